"""The training run, its checkpoints, and the published SavedModel."""
