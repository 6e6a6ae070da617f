"""What a trained cell does: one folder a study, its values and its drawing together."""
