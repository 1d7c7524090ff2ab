"""Decompress input files in bounded memory."""
