"""The training step on the TPU compiler, without a TPU."""
