"""The command line of this project."""
