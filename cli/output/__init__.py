"""Files that are written: refusals, items, answers."""
