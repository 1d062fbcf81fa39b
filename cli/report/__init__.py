"""The report of a run, to be read and signed."""
