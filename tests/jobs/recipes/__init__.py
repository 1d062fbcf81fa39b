"""Tests of `jobs/recipes/`."""
