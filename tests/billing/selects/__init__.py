"""Tests of `billing/selects/`."""
