"""The rows of an input, and their values."""
