"""Speed of the training step."""
