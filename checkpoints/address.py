"""Where a journal is: a file on this machine, or a schema of a PostgreSQL database."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from checkpoints.errors import JournalUnreadable
from texts.said import said

SCHEMES: Final = ("postgresql", "postgres")
SCHEMA: Final = "carbon_migrate"
"""The schema of a journal whose address names none, with `?schema=`."""

LEASE: Final = 10.0
"""Seconds for which a process may send after it has last renewed its lease, where the address has no `lease=`."""

_SHORTEST_LEASE, _LONGEST_LEASE = 0.5, 3600.0
_PORT: Final = 5432


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """A journal in PostgreSQL: `url` for libpq, without the schema, and with a password where one was given."""

    url: str = field(repr=False)
    schema: str
    name: str
    """How it is shown: without user, password and options."""
    lease: float = LEASE
    typed: str = field(default="", repr=False)
    """As it was typed, with schema, lease and password."""


@dataclass(frozen=True, slots=True)
class JournalAddress:
    """The place of a journal.

    `path` is its file; of one in PostgreSQL it is the name beside which this machine keeps its own files of it.
    """

    path: Path
    postgres: PostgresAddress | None = None

    @property
    def is_shared(self) -> bool:
        return self.postgres is not None

    @property
    def lease(self) -> float:
        return self.postgres.lease if self.postgres else 0.0

    def __str__(self) -> str:
        return self.postgres.name if self.postgres else str(self.path)


def is_postgres(text: str) -> bool:
    return text.partition("://")[0] in SCHEMES and "://" in text


def journal_in_postgres(text: str, state: Path) -> JournalAddress:
    """The place of a journal in PostgreSQL; the files of this machine go to the folder `state`.

    Raises `JournalUnreadable` for an address that cannot be one.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port or _PORT
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise JournalUnreadable("the address of the journal is not valid: {error}", error=error) from error
    schema = options.pop("schema", SCHEMA)
    database = parts.path.strip("/")
    if not database or not schema.isidentifier():
        raise JournalUnreadable(
            said("the address of the journal needs a database, and a schema of letters: postgresql://HOST/DATABASE")
        )
    given = options.pop("lease", "")
    try:
        lease = float(given or LEASE)
    except ValueError:
        lease = 0.0
    if not _SHORTEST_LEASE <= lease <= _LONGEST_LEASE:
        raise JournalUnreadable(
            "the address of the journal has lease={text}: give seconds from {least} to {most}",
            text=given,
            least=f"{_SHORTEST_LEASE:g}",
            most=round(_LONGEST_LEASE),
        )
    name = f"postgresql://{host or 'localhost'}:{port}/{database}?schema={schema}"
    url = urlunsplit((SCHEMES[0], parts.netloc, parts.path, urlencode(options), ""))
    # One local name a journal, whoever types it in whatever form.
    key = hashlib.sha256(name.encode()).hexdigest()[:8]
    return JournalAddress(
        state / f"{database}-{schema}-{key}.postgres", PostgresAddress(url, schema, name, lease, text)
    )
