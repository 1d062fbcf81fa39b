"""Tests of `jobs/spec/`."""
