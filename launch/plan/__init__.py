"""Plan a run: memory, speed, cost, storage, failures."""
