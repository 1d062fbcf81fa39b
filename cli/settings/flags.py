"""The table of options, first part, of connection, consent and recording; `cli/terminal/options.py` reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

from cli.terminal import texts as names
from cli.terminal.exits import CommandRefused
from cli.terminal.options import Part, argument, option, switch
from cli.terminal.texts import printable
from texts import remedies
from texts.said import said

_CONNECTION: Final = "Connection"
EARLIER: Final = said("Earlier runs")
ASIDE: Final = "Extras"

RUN_NAME: Final[Any] = argument("RUN", "The run's short name, as `status` lists it.")
RUN_NAME_OR_NONE: Final[Any] = argument("RUN", "The run's short name, as `status` lists it.", required=False)

COMMON_PART: Final = "\0"
"""In place of a profile of settings: what stands outside of all. Nobody can type it."""

_connection: Final = partial(option, panel=_CONNECTION)

CONFIG: Final[Any] = _connection(
    "FILE", f"The file of settings, {remedies.SETTINGS_FILE} in the working folder by default.", "--config"
)


@dataclass(frozen=True, slots=True)
class Flags:
    """The connection to billing and journal, as given on the command line; None where not given."""

    api_url: str | None = _connection(
        "URL",
        f"The billing's REST API, as http://HOST:8082. Or {names.API_URL}.",
        variable=names.API_URL,
        key="api.url",
    )
    database: str | None = _connection(
        "PATH",
        f"The billing's Firebird database: HOST:PATH, HOST/PORT:PATH, or a file. Or {remedies.DATABASE}.",
        variable=remedies.DATABASE,
        key="database.address",
    )
    database_user: str | None = _connection(
        "NAME",
        f"The database's user, {names.USER} by default. Or {names.DATABASE_USER}.",
        variable=names.DATABASE_USER,
        key="database.user",
        built_in=names.USER,
    )
    database_password: str | None = _connection(
        "WORD",
        f"Refused, since everybody on the machine can see a flag: it is {names.DATABASE_PASSWORD}.",
        variable=names.DATABASE_PASSWORD,
        key="database.password",
        secret=True,
        hidden=True,
    )
    database_charset: str | None = _connection(
        "NAME",
        f"{names.CHARSET} by default; WIN1251 for version 4. Or {names.DATABASE_CHARSET}.",
        variable=names.DATABASE_CHARSET,
        key="database.charset",
        built_in=names.CHARSET,
    )
    journal: str | None = _connection(
        "FILE",
        "Where all runs are remembered; by default the billing's own file in the state folder. For several machines "
        f"postgresql://HOST/DATABASE. Or {names.JOURNAL_FILE}.",
        variable=names.JOURNAL_FILE,
        key="journal",
    )
    journal_on_network: bool = _connection(
        None,
        "Take a journal on a network file system: you see to it that one machine at a time opens it.",
        default=False,
        key="journal_on_network",
    )
    timeout: float | None = _connection(
        "SECONDS",
        f"How long the billing may be silent before an answer counts as lost, {names.TIMEOUT:g} by default.",
        key="api.timeout",
        built_in=f"{names.TIMEOUT:g}",
    )
    config: Path | None = CONFIG
    profile: str | None = _connection(
        "PROFILE",
        f"Which profile of settings of that file counts. Or {remedies.SETTINGS_PROFILE}.",
        variable=remedies.SETTINGS_PROFILE,
    )


JournalFlags = Annotated[Flags, Part("api_url", "journal", "journal_on_network", "config", "profile")]
"""Those of a command that works on the journal alone; the address says which billing's journal it is."""

ApiFlags = Annotated[Flags, Part("api_url", "timeout", "config", "profile")]
"""Those of a command that asks the billing's REST API alone."""


@dataclass(frozen=True, slots=True)
class Consent:
    """The consent given in advance."""

    yes: bool = switch("Send without asking.", "--yes", "-y")
    skip_bad: bool = switch("Leave refused rows out and send the good ones all the same.")
    trust_journal: bool = switch(
        "Do not look in the billing for rows that another copy of the journal may have sent.", panel=EARLIER
    )


@dataclass(frozen=True, slots=True)
class Detaching:
    """Whether the run is handed in for a worker, and its place in the queue."""

    detach: bool = switch("Hand the run in for a `worker` to send; the journal is in PostgreSQL.", panel=ASIDE)
    priority: int = option(
        "N", "With --detach: a higher one goes before others.", panel=ASIDE, default=0, least=-100, most=100
    )


FAULTS: Final[Any] = option(
    "KIND[:SHARE]",
    "How the mock billing fails: a kind, for a share of requests, or a fault plan, PLAN.toml; repeatable.",
)
RECORD: Final[Any] = option(
    "FILE", "Keep every exchange, without secrets and with made-up people, for `mock replay`.", panel=ASIDE
)
RECORD_NAMES: Final[Any] = switch(
    "Keep names, phones, logins and the like in the recording as they are.", panel=ASIDE
)
WITH_PAGE: Final[Any] = switch(
    "Show the run in a browser while it works, at the address that is printed.", panel=ASIDE
)
CHANGED_DECLARATION: Final[Any] = switch(
    "Go on although the file that declares the run's job has changed since the run was begun.", panel=EARLIER
)


def parse_pairs(words: Sequence[str], flag: str, *, example: str = "name=value") -> dict[str, str]:
    """The NAME=VALUE pairs of a flag. Raises `CommandRefused` for one without a name, or given twice."""
    pairs: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.strip()
        if not equals or not name:
            raise CommandRefused(
                "{flag} {given}: write it as {flag} {example}", flag=flag, given=printable(word), example=example
            )
        if name in pairs:
            raise CommandRefused("{flag} {name}=… is given twice: which is meant?", flag=flag, name=printable(name))
        pairs[name] = value
    return pairs
