"""Read BERT weights from other projects' formats."""
