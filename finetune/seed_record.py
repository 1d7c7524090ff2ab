"""Files of a seed's model directory that other modules read."""

METRICS_FILE = "metrics.json"
PREDICTIONS = "predictions"  # a directory with one for each split
