"""A job: its description, its folder, and the commands that submit it."""
