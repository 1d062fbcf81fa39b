"""Tests of `engine/sources/text/`."""
