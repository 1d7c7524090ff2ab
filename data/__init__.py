"""Build training data from raw text, and read it as batches of masked examples."""
