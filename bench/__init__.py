"""Benchmarks of Lambert and its peers; not part of the installed packages."""
