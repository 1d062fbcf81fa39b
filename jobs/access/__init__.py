"""The billing as the jobs reach it: by its API, by its database, with its secrets sealed."""
