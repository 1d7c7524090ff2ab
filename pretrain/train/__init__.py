"""Train a model: the loop, one update, metrics, evaluation, exits."""
