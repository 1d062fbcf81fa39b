"""Pacing: the number of parallel calls, their rate, and the holds and limits of a run."""
