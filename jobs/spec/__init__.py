"""The specification of a job: its chain, its parameters, its columns."""
