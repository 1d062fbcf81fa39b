"""Tests of `lab/record/`."""
