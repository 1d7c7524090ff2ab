"""Split text into sentences, words and WordPiece tokens."""
