"""Export a fine-tuned model as a SavedModel that takes text."""
