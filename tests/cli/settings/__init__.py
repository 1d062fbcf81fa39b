"""Tests of `cli/settings/`."""
