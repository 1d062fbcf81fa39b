"""Tests of `billing/directory/`."""
