"""Tests of systemd and the metrics, which read the events of a run."""
