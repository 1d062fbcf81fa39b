"""Tests of `billing/api/`."""
