"""Benchmark of the overhead of a run: start, input, checkpoints, several workers."""
