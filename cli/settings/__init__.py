"""What is set: flags, environment, carbon-migrate.toml, the profile."""
