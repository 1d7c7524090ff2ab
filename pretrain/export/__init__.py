"""Export checkpoints as SavedModels, in Hugging Face's format and as tf-models checkpoints."""
