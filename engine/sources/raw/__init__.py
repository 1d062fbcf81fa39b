"""Bytes, charsets and the places of faults, below every reader of files."""
