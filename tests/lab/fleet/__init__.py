"""Tests of `lab/crash/`."""
