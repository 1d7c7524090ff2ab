"""Readers of the corpus formats: files in, documents out."""
