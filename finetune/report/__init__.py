"""Pages about fine-tuning runs."""
