"""From raw text to batches of masked examples."""
