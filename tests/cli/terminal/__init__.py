"""Tests of `cli/terminal/`."""
