"""Scratch against built-in: how long a training step takes, what it holds, and whether it computes the same."""
