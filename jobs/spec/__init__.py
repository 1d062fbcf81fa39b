"""What a job says of itself: its chain, its parameters, its columns."""
