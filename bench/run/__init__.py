"""What a run costs beside its steps: start, input, checkpoints, other workers."""
