"""Export a fine-tuned model as a SavedModel from text to answers."""
