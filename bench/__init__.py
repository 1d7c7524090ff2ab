"""Measurements of Lambert beside its peers; not part of the installed packages."""
