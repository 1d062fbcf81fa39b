"""The terminal: output, questions, exit codes, signals, the log."""
