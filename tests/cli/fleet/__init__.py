"""Workers and what they are handed, by real processes and a real PostgreSQL."""
