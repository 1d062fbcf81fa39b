"""Tests of `cli/commands/`."""
