"""Training: options, data, the training loop, and run folders."""
