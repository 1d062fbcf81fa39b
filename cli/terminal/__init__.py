"""The terminal: what is printed and asked, exit codes, signals, the log."""
