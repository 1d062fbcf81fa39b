"""Access of the jobs to the billing: its API, its database, and the vault for secrets."""
