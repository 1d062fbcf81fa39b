"""Flags that several commands share, in groups; `grouped` lets a command take a whole group as one parameter."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import typer

from cli.terminal import texts as names
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import printable
from texts import remedies
from texts.said import said

_CONNECTION: Final = "Connection"
EARLIER: Final = said("Earlier runs")
ASIDE: Final = "Extras"

RunName = Annotated[str, typer.Argument(metavar="RUN", help="The run's short name, as `status` lists it.")]
RunNameOrNone = Annotated[
    str | None, typer.Argument(metavar="RUN", help="The run's short name, as `status` lists it.")
]
FaultWords = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        metavar="KIND[:SHARE]",
        help="How the mock billing fails: a kind, for a share of requests, or a fault plan, PLAN.toml; repeatable.",
    ),
]
RecordFile = Annotated[
    Path | None,
    typer.Option(
        "--record",
        metavar="FILE",
        rich_help_panel=ASIDE,
        help="Keep every exchange, without secrets and with made-up people, for `mock replay`.",
    ),
]

WithPage = Annotated[
    bool,
    typer.Option(
        "--page",
        rich_help_panel=ASIDE,
        help="Show the run in a browser while it works, at the address that is printed.",
    ),
]

RecordNames = Annotated[
    bool,
    typer.Option(
        "--record-names",
        rich_help_panel=ASIDE,
        help="Keep names, phones, logins and the like in the recording as they are.",
    ),
]

ChangedDeclaration = Annotated[
    bool,
    typer.Option(
        "--changed-declaration",
        rich_help_panel=EARLIER,
        help="Go on although the file that declares the run's job has changed since the run was begun.",
    ),
]


ApiUrl = Annotated[
    str | None,
    typer.Option(
        "--api-url",
        metavar="URL",
        rich_help_panel=_CONNECTION,
        help=f"The billing's REST API, as http://HOST:8082. Or {names.API_URL}.",
    ),
]
JournalName = Annotated[
    str | None,
    typer.Option(
        "--journal",
        metavar="FILE",
        rich_help_panel=_CONNECTION,
        help="Where all runs are remembered; by default the billing's own file in the state folder. For several "
        f"machines postgresql://HOST/DATABASE. Or {names.JOURNAL_FILE}.",
    ),
]
OnNetwork = Annotated[
    bool,
    typer.Option(
        "--journal-on-network",
        rich_help_panel=_CONNECTION,
        help="Take a journal on a network file system: you see to it that one machine at a time opens it.",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        rich_help_panel=_CONNECTION,
        help=f"How long the billing may be silent before an answer counts as lost, {names.TIMEOUT:g} by default.",
    ),
]
ConfigPath = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        readable=False,
        rich_help_panel=_CONNECTION,
        help=f"The file of settings, {remedies.SETTINGS_FILE} in the working folder by default.",
    ),
]


COMMON_PART: Final = "\0"
"""In place of a profile of settings: what stands outside of all. Nobody can type it."""

SettingsProfileName = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="PROFILE",
        rich_help_panel=_CONNECTION,
        help=f"Which profile of settings of that file counts. Or {remedies.SETTINGS_PROFILE}.",
    ),
]


@dataclass(frozen=True, slots=True)
class Flags:
    """The connection to billing and journal, as given on the command line; None where not given."""

    api_url: ApiUrl = None
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="PATH",
            rich_help_panel=_CONNECTION,
            help=f"The billing's Firebird database: HOST:PATH, HOST/PORT:PATH, or a file. Or {remedies.DATABASE}.",
        ),
    ] = None
    database_user: Annotated[
        str | None,
        typer.Option(
            "--database-user",
            metavar="NAME",
            rich_help_panel=_CONNECTION,
            help=f"The database's user, {names.USER} by default. Or {names.DATABASE_USER}.",
        ),
    ] = None
    database_password: Annotated[
        str | None,
        typer.Option(
            "--database-password",
            metavar="WORD",
            rich_help_panel=_CONNECTION,
            hidden=True,
            help=f"Refused, since everybody on the machine can see a flag: it is {names.DATABASE_PASSWORD}.",
        ),
    ] = field(default=None, repr=False)
    database_charset: Annotated[
        str | None,
        typer.Option(
            "--database-charset",
            metavar="NAME",
            rich_help_panel=_CONNECTION,
            help=f"{names.CHARSET} by default; WIN1251 for version 4. Or {names.DATABASE_CHARSET}.",
        ),
    ] = None
    journal: JournalName = None
    journal_on_network: OnNetwork = False
    timeout: Timeout = None
    config: ConfigPath = None
    profile: SettingsProfileName = None


@dataclass(frozen=True, slots=True)
class JournalFlags:
    """The flags of a command that works on the journal alone; the address says which billing's journal it is."""

    api_url: ApiUrl = None
    journal: JournalName = None
    journal_on_network: OnNetwork = False
    config: ConfigPath = None
    profile: SettingsProfileName = None

    def whole(self) -> Flags:
        """The same with nothing given of the connection to the billing."""
        return Flags(
            api_url=self.api_url,
            journal=self.journal,
            journal_on_network=self.journal_on_network,
            config=self.config,
            profile=self.profile,
        )


@dataclass(frozen=True, slots=True)
class ApiFlags:
    """The flags of a command that asks the billing's REST API alone."""

    api_url: ApiUrl = None
    timeout: Timeout = None
    config: ConfigPath = None
    profile: SettingsProfileName = None

    def whole(self) -> Flags:
        """The same with nothing given of database and journal."""
        return Flags(api_url=self.api_url, timeout=self.timeout, config=self.config, profile=self.profile)


@dataclass(frozen=True, slots=True)
class Consent:
    """The consent given in advance."""

    yes: Annotated[bool, typer.Option("--yes", "-y", help="Send without asking.")] = False
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave refused rows out and send the good ones all the same.")
    ] = False
    trust_journal: Annotated[
        bool,
        typer.Option(
            "--trust-journal",
            rich_help_panel=EARLIER,
            help="Do not look in the billing for rows that another copy of the journal may have sent.",
        ),
    ] = False


@dataclass(frozen=True, slots=True)
class Detaching:
    """Whether the run is handed in for a worker, and its place in the queue."""

    detach: Annotated[
        bool,
        typer.Option(
            "--detach",
            rich_help_panel=ASIDE,
            help="Hand the run in for a `worker` to send; the journal is in PostgreSQL.",
        ),
    ] = False
    priority: Annotated[
        int,
        typer.Option(
            "--priority",
            rich_help_panel=ASIDE,
            min=-100,
            max=100,
            metavar="N",
            help="With --detach: a higher one goes before others.",
        ),
    ] = 0


def names_of(*groups: type[Any]) -> frozenset[str]:
    """The parameter names of these groups of flags."""
    return frozenset(one.name for group in groups for one in fields(group))


def typed(context: typer.Context) -> dict[str, str]:
    """The parameters given on the command line, each as shown to people: `--set`, `FILE (other.csv)`."""
    return {
        one.name: _display_name(one, context.params.get(one.name))
        for one in context.command.params
        if one.name
        and one.expose_value
        and (source := context.get_parameter_source(one.name))
        and source.name == "COMMANDLINE"
    }


def _display_name(parameter: Any, value: object) -> str:  # noqa: ANN401 - typer does not export this type
    if parameter.param_type_name == "argument":
        return f"{parameter.metavar} ({printable(value)})"
    return str(max(parameter.opts, key=len))


def parse_pairs(words: Sequence[str], flag: str, *, example: str = "name=value") -> dict[str, str]:
    """The NAME=VALUE pairs of a flag. Raises `CommandRefused` for one without a name, or given twice."""
    pairs: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.strip()
        if not equals or not name:
            raise CommandRefused(
                said(
                    "{flag} {given}: write it as {flag} {example}", flag=flag, given=printable(word), example=example
                )
            )
        if name in pairs:
            raise CommandRefused(
                said("{flag} {name}=… is given twice: which is meant?", flag=flag, name=printable(name))
            )
        pairs[name] = value
    return pairs


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command in typer's form: each parameter whose type is a group is replaced by the group's fields."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(hints[name]) and isinstance(hints[name], type):
            groups[name] = hints[name]
            parameters += _fields(hints[name])
        else:
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))

    def flat(**given: object) -> None:
        made = {
            name: group(**{one.name: given.pop(one.name) for one in fields(group)}) for name, group in groups.items()
        }
        command(**given, **made)

    flat.__name__ = command.__name__
    flat.__doc__ = command.__doc__
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # as inspect documents it
    return flat


def _fields(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            one.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if one.default is MISSING else one.default,
            annotation=hints[one.name],
        )
        for one in fields(group)
    ]
