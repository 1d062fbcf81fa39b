"""Tests of `jobs/catalogue/`."""
