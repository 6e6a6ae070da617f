"""Gated recurrent networks from the book's equations: readable, exact and fast."""
