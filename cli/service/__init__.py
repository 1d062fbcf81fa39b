"""The run as a service of systemd: it says when it works, how far it is, that it is alive, and that it ends.

a run's events and status ──▶ reader ──▶ service manager ──▶ notify socket
"""
