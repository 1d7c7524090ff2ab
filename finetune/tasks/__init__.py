"""Tasks: their files, examples, metrics and predictions."""
