"""A job on other machines: its settings, its directory, and the command line that submits it."""
