"""What the gates do: collected values, no drawing."""
