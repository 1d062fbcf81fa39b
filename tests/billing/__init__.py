"""Tests of `billing/`."""
