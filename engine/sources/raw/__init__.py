"""Bytes, encodings and the places of faults, for all readers of files."""
