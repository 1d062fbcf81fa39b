"""The table of options, first part: how an option is stated, and those of connection, consent and recording.

An option is one field of a record: its name is that of the flag, of a job file's key and of a setting. `option` says
the rest once. From the records come the flags of the commands (`grouped`), the settings with their origins
(`settings.py`), the keys of job files, their schema, the reference and the completion.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import typer

from cli.terminal import texts as names
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import printable
from texts import remedies
from texts.said import said

_ROW: Final = "option"
_CONNECTION: Final = "Connection"
EARLIER: Final = said("Earlier runs")
ASIDE: Final = "Extras"


@dataclass(frozen=True, slots=True)
class Option:
    """A row of the table: how an option is typed, and the variable and the key of the settings file that give it.

    One without a `metavar` is a switch. `names` are those of its flag where the field's does not say them; `more` is
    for typer.
    """

    metavar: str | None
    help: str
    panel: str | None = None
    names: tuple[str, ...] = ()
    variable: str = ""
    key: str = ""
    default: str = ""
    """Of the setting, where nobody gives it."""
    secret: bool = False
    more: tuple[tuple[str, object], ...] = ()

    def flags_of(self, name: str) -> tuple[str, ...]:
        return self.names or (f"--{name.replace('_', '-')}",)


def option(
    metavar: str | None,
    help_: str,
    *names: str,
    panel: str | None = None,
    default: object = None,
    variable: str = "",
    key: str = "",
    built_in: str = "",
    secret: bool = False,
    **more: object,
) -> Any:  # noqa: ANN401 - the field has the type that its record gives it
    """A field of a record of options. `default` is what the flag is where it is not typed."""
    row = Option(metavar, help_, panel, names, variable, key, built_in, secret, tuple(more.items()))
    return field(default=default, repr=not secret, metadata={_ROW: row})


switch: Final = partial(option, None, default=False)


def flag(names: str, metavar: str | None, help_: str, panel: str | None = None, **more: Any) -> Any:  # noqa: ANN401 - as typer has it
    """An option that is no field of a record, for the type of a command's parameter."""
    return typer.Option(*names.split(), metavar=metavar, help=help_, rich_help_panel=panel, **more)


def argument(metavar: str, help_: str, **more: Any) -> Any:  # noqa: ANN401 - as above
    """An argument of a command, as typer takes it."""
    return typer.Argument(metavar=metavar, help=help_, **more)


def options_of(*groups: type[Any]) -> dict[str, Option]:
    """The options of these records by the names of their fields."""
    found: dict[str, Option] = {}
    for group in groups:
        found |= getattr(group, "OPTIONS", {})
        found |= {one.name: one.metadata[_ROW] for one in fields(group) if _ROW in one.metadata}
    return found


def names_of(*groups: type[Any]) -> frozenset[str]:
    return frozenset(name for group in groups for name in _defaults(group))


def _defaults(group: type[Any]) -> dict[str, object]:
    stated = getattr(group, "OPTIONS", None)
    return dict.fromkeys(stated) if stated else {one.name: one.default for one in fields(group)}


class Part:
    """Says in the type of a parameter which options of a record a command takes, and which it states otherwise."""

    def __init__(self, *names: str, **otherwise: Option) -> None:
        self.names = names
        self.otherwise = otherwise


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command in typer's form: each parameter whose type is a record is replaced by the record's fields."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, tuple[type[Any], list[str]]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        kind, *more = get_args(hints[name]) if get_origin(hints[name]) is Annotated else (hints[name],)
        if is_dataclass(kind) and isinstance(kind, type):
            own = _parameters(kind, *more)
            groups[name] = kind, [one.name for one in own]
            parameters += own
        else:
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))

    def flat(**given: object) -> None:
        made = {name: group(**{one: given.pop(one) for one in own}) for name, (group, own) in groups.items()}
        command(**given, **made)

    flat.__name__ = command.__name__
    flat.__doc__ = command.__doc__
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # as inspect documents it
    return flat


def _parameters(group: type[Any], part: Part | None = None) -> list[inspect.Parameter]:
    rows, defaults = {**options_of(group), **(part.otherwise if part else {})}, _defaults(group)
    hints = get_type_hints(group, include_extras=True)
    found: list[inspect.Parameter] = []
    for name in part.names if part else defaults:
        row = rows.get(name)
        # A record that states its options by itself takes texts and switches.
        kind = hints.get(name) or (str | None if row and row.metavar else bool | None)
        if row is not None:
            flags = " ".join(row.flags_of(name))
            kind = Annotated[kind, flag(flags, row.metavar, row.help, row.panel, **dict(row.more))]
        found.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=kind))
    return found


RunName = Annotated[str, argument("RUN", "The run's short name, as `status` lists it.")]
RunNameOrNone = Annotated[str | None, argument("RUN", "The run's short name, as `status` lists it.")]

COMMON_PART: Final = "\0"
"""In place of a profile of settings: what stands outside of all. Nobody can type it."""

_connection: Final = partial(option, panel=_CONNECTION)

ConfigPath = Annotated[
    Path | None,
    flag(
        "--config",
        "FILE",
        f"The file of settings, {remedies.SETTINGS_FILE} in the working folder by default.",
        _CONNECTION,
        readable=False,
    ),
]


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
    config: ConfigPath = None
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
        "N", "With --detach: a higher one goes before others.", panel=ASIDE, default=0, min=-100, max=100
    )


FaultWords = Annotated[
    list[str] | None,
    flag(
        "--fault",
        "KIND[:SHARE]",
        "How the mock billing fails: a kind, for a share of requests, or a fault plan, PLAN.toml; repeatable.",
    ),
]
RecordFile = Annotated[
    Path | None,
    flag(
        "--record",
        "FILE",
        "Keep every exchange, without secrets and with made-up people, for `mock replay`.",
        ASIDE,
    ),
]
RecordNames = Annotated[
    bool,
    flag("--record-names", None, "Keep names, phones, logins and the like in the recording as they are.", ASIDE),
]
WithPage = Annotated[
    bool, flag("--page", None, "Show the run in a browser while it works, at the address that is printed.", ASIDE)
]
ChangedDeclaration = Annotated[
    bool,
    flag(
        "--changed-declaration",
        None,
        "Go on although the file that declares the run's job has changed since the run was begun.",
        EARLIER,
    ),
]


def typed(context: typer.Context) -> dict[str, str]:
    """The parameters given on the command line, each as shown to people: `--set`, `FILE (other.csv)`."""
    found: dict[str, str] = {}
    for one in context.command.params:
        source = context.get_parameter_source(one.name or "") if one.expose_value else None
        if one.name and source and source.name == "COMMANDLINE":
            value = f"{one.metavar} ({printable(context.params.get(one.name))})"
            found[one.name] = value if one.param_type_name == "argument" else max(one.opts, key=len)
    return found


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
