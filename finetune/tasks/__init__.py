"""Tasks: files, examples, metrics and predictions."""
