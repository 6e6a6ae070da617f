"""What trained models produce: continued texts, translations, and explanations of a classification."""
