"""Show a finished build in the terminal and as a page."""
