"""Tests of `checkpoints/`."""
