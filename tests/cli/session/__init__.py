"""Tests of `cli/session/`."""
