"""The parts of launch.node: data on the local disk, environment variables, the commands that it runs."""
