"""Does it learn: pretraining beside tf-models' reference trainer, on the same data."""
