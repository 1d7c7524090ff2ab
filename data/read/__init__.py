"""Read a build: training and evaluation batches."""
