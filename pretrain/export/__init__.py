"""Export a trained encoder."""
