"""The names by which settings are known outside: variables, files, and what they are when nobody sets them."""

from typing import Final

PROGRAM: Final = "carbon-migrate"
FILE: Final = "carbon-migrate.toml"
JOURNAL: Final = "carbon-migrate.journal"
USER: Final = "sysdba"
CHARSET: Final = "UTF8"
TIMEOUT: Final = 60.0
"""Seconds."""

API_URL: Final = "CARBON_MIGRATE_API_URL"
DATABASE: Final = "CARBON_MIGRATE_DATABASE"
DATABASE_USER: Final = "CARBON_MIGRATE_DATABASE_USER"
DATABASE_PASSWORD: Final = "CARBON_MIGRATE_DATABASE_PASSWORD"  # noqa: S105 - the name of the variable
DATABASE_CHARSET: Final = "CARBON_MIGRATE_DATABASE_CHARSET"
JOURNAL_FILE: Final = "CARBON_MIGRATE_JOURNAL"
