"""Settings: flags, environment, carbon-migrate.toml, the profile."""
