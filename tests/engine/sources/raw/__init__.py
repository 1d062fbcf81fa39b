"""Tests of `engine/sources/raw/`."""
