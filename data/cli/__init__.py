"""Command line, messages and exit codes of all programs."""
