"""Read documents from files of every supported format."""
