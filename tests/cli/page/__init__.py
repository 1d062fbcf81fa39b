"""Tests of `cli/page/`."""
