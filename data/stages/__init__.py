"""Stages of the data build, and what keeps them resumable and accounted for."""
