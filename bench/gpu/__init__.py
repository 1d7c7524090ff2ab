"""The training step on GPUs: exported as StableHLO, and run beside its peers where TensorFlow is missing."""
