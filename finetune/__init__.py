"""Fine-tune an encoder on labelled tasks: read, train, score, export."""
