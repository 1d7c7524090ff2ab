"""File formats of a build: packed rows, masked records, sequence sources."""
