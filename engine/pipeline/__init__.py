"""The way of a row: one station a file."""
