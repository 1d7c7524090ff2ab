"""A run of hours on two cores, with text from documentation packages."""
