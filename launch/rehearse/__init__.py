"""Rehearse a cloud job on this machine."""
