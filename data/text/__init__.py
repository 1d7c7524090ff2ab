"""Sentences, words and WordPiece tokens."""
