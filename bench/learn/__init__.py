"""Benchmark of learning: pretraining compared with tf-models' trainer, on the same data."""
