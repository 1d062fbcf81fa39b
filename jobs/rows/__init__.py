"""Rows of an input, and the values that they bind."""
