"""Embed texts: vectors in a file, a SavedModel for servers, the layout of sentence-transformers."""
