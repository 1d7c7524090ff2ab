"""Checkpoints, the best one, and the model directory."""
