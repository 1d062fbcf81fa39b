"""Metrics: the figures of a run for Prometheus, in a file that an exporter reads and at an address of this machine.

a run's events and status ──▶ reader ──▶ exposition ──▶ text file, endpoint
"""
