"""The gate page: every gate and state of a model on a text, and which earlier characters moved a prediction."""
