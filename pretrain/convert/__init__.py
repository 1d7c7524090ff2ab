"""Read BERT weights from the formats of other projects."""
