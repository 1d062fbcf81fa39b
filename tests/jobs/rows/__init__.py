"""Tests of `jobs/rows/`."""
