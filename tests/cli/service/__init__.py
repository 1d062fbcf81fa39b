"""Tests of `cli/service/`."""
