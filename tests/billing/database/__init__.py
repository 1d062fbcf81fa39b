"""Tests of `billing/database/`."""
