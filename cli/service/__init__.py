"""The run as a service of systemd."""
