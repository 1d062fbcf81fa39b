"""Tests of `cli/show/`."""
