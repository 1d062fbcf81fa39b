"""How many calls, how fast, and when none."""
