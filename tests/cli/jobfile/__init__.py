"""Tests of `cli/jobfile/`."""
