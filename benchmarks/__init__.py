"""Benchmarks: `python -m benchmarks` prints ratios within one run."""
