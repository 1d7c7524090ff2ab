"""Benchmark of the data build and its peers: `python -m bench.data`."""
