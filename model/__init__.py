"""The encoder, the MLM head, and weights in the formats of other projects."""
