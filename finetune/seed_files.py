"""Names of files and folders in the model directory of a seed."""

METRICS_FILE = "metrics.json"
PREDICTIONS = "predictions"  # a directory with one directory for each split
