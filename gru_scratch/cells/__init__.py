"""Recurrent cells as equations, ready for an engine."""
