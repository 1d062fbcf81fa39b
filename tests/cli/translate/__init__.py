"""Tests of `cli/translate/`."""
