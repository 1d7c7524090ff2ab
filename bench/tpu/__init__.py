"""Compilation of the training step for TPUs, without a TPU."""
