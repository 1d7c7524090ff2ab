"""The machines of a TPU slice: an agent on every host, and a hub on host 0 that runs the one coordinator."""
