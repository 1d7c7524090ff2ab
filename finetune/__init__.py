"""Fine-tuning: tasks with labels, read, trained on, scored and written out."""
