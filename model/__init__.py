"""The encoder, its MLM head and the exported preprocessor."""
