"""The data build beside its peers: `python -m bench.data`."""
