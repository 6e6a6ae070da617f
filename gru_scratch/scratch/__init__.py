"""The chapter as plain functions on explicit parameters; imports nothing from the other rooms."""
