"""Benchmark of the host side of a run on a TPU slice of several hosts."""
