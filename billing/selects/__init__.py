"""A select that somebody typed: checked, and read row by row."""
