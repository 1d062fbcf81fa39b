"""Tests of `jobs/access/`."""
