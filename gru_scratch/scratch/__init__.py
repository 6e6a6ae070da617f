"""The book's recurrent networks as plain functions on explicit parameters, and attention; it imports no other room."""
