"""Tests of `packaging/` and `tools/package.py`: what is built, and how it works where there is no clone."""
