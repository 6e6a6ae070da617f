"""The chapters as plain functions on explicit parameters, and attention; imports nothing from the other rooms."""
