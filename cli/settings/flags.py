"""The flags that several commands share, in groups; `grouped` lets a command take a whole group as one parameter."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import typer

from cli.terminal import texts as names
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import printable
from engine.pacing.limits import LAST, LEAST
from engine.pacing.policy import ALL, NO, NONE, YES, Policy, policy_with
from engine.sources.text.delimited import AUTO

_CONNECTION: Final = "Connection"
_PACING: Final = "Pacing"
_ROWS: Final = "Rows"
_CALLING: Final = "The job `call`"
_DEFAULT: Final = Policy()
_SWITCH: Final = "no_canary"
"""The one field of the pacing that is on or off."""


@dataclass(frozen=True, slots=True)
class Flags:
    """How to reach billing and journal, as far as the command line says; None where it says nothing."""

    api_url: Annotated[
        str | None,
        typer.Option(
            "--api-url",
            metavar="URL",
            rich_help_panel=_CONNECTION,
            help=f"The billing's REST API, as http://HOST:8082. Or {names.API_URL}.",
        ),
    ] = None
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="PATH",
            rich_help_panel=_CONNECTION,
            help=f"The billing's Firebird database: HOST:PATH, HOST/PORT:PATH, or a file. Or {names.DATABASE}.",
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
            help=f"Its password. Everybody on the machine can see a flag: better {names.DATABASE_PASSWORD}.",
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
    journal: Annotated[
        Path | None,
        typer.Option(
            "--journal",
            metavar="FILE",
            rich_help_panel=_CONNECTION,
            help="Where all runs are remembered; by default the billing's own file in the state folder. "
            f"Or {names.JOURNAL_FILE}.",
        ),
    ] = None
    journal_on_network: Annotated[
        bool,
        typer.Option(
            "--journal-on-network",
            rich_help_panel=_CONNECTION,
            help="Take a journal on a network file system: you see to it that one machine at a time opens it.",
        ),
    ] = False
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            min=0.1,
            max=3600,
            metavar="SECONDS",
            rich_help_panel=_CONNECTION,
            help=f"How long the billing may be silent before an answer counts as lost, {names.TIMEOUT:g} by default.",
        ),
    ] = None
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            rich_help_panel=_CONNECTION,
            help=f"The file of settings, {names.SETTINGS_FILE} in the working folder by default.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Pacing:
    """How hard a run drives the billing, as far as the command line says; None where it says nothing.

    Each is the text of a setting, as `set` takes it, so that what a run keeps can be taken back as well.
    """

    in_flight: Annotated[
        str | None,
        typer.Option(
            "--in-flight",
            metavar="N",
            rich_help_panel=_PACING,
            help="Calls at one time; auto, the default, for as many as the billing takes well, beginning with 2.",
        ),
    ] = None
    max_in_flight: Annotated[
        str | None,
        typer.Option(
            "--max-in-flight",
            metavar="N",
            rich_help_panel=_PACING,
            help=f"Calls at one time at most while --in-flight is auto, {_DEFAULT.max_in_flight} by default.",
        ),
    ] = None
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate",
            metavar="R",
            rich_help_panel=_PACING,
            help="Calls a second at most, or none.",
        ),
    ] = None
    hours: Annotated[
        str | None,
        typer.Option(
            "--hours",
            metavar="FROM-TO",
            rich_help_panel=_PACING,
            help="Send at these hours of the billing's day only, as 01:00-06:00 or 22:00-05:30; always for all.",
        ),
    ] = None
    max_stack: Annotated[
        str | None,
        typer.Option(
            "--max-stack",
            metavar="N",
            rich_help_panel=_PACING,
            help=f"Wait while one of the billing's stacks holds so many entries, {_DEFAULT.max_stack} by default; "
            "0 for never.",
        ),
    ] = None
    max_latency: Annotated[
        str | None,
        typer.Option(
            "--max-latency",
            metavar="SECONDS",
            rich_help_panel=_PACING,
            help="Wait while the billing takes longer than this to tell its version, or none; asked every 5 s.",
        ),
    ] = None
    throttle_sql: Annotated[
        str | None,
        typer.Option(
            "--throttle-sql",
            metavar="SELECT",
            rich_help_panel=_PACING,
            help="Wait while the one number that this select gives is above --throttle-above; none for none.",
        ),
    ] = None
    throttle_above: Annotated[
        str | None,
        typer.Option(
            "--throttle-above",
            metavar="N",
            rich_help_panel=_PACING,
            help="For --throttle-sql.",
        ),
    ] = None
    min_disk: Annotated[
        str | None,
        typer.Option(
            "--min-disk",
            metavar="MB",
            rich_help_panel=_PACING,
            help="Wait while less than this is free where the journal is, "
            f"{_DEFAULT.min_disk // 1_000_000} by default; 0 for never.",
        ),
    ] = None
    stop_after_errors: Annotated[
        str | None,
        typer.Option(
            "--stop-after-errors",
            metavar="N|P%",
            rich_help_panel=_PACING,
            help="Stop when so many rows went wrong, or more than such a share of all rows or of the last "
            f"{LAST:,}, once {LEAST} have an outcome; {_DEFAULT.stop_after_errors} by default, 0 for never.",
        ),
    ] = None
    limit_money: Annotated[
        str | None,
        typer.Option(
            "--limit-money",
            metavar="AMOUNT",
            rich_help_panel=_PACING,
            help="Stop before the amounts sent in this run, signs left out, add up to more; none for any sum.",
        ),
    ] = None
    no_canary: Annotated[
        bool | None,
        typer.Option(
            "--no-canary/--canary",
            rich_help_panel=_PACING,
            help="Do not begin with 1, 10 and 100 rows, and do not stop at a new error of the first ten.",
        ),
    ] = None
    settle: Annotated[
        str | None,
        typer.Option(
            "--settle",
            metavar="SECONDS",
            rich_help_panel=_PACING,
            help="After a lost answer, how long until a look-up is trusted to see what the call did, "
            f"{_DEFAULT.settle:g} by default.",
        ),
    ] = None

    @property
    def said(self) -> dict[str, str]:
        """What the command line says, by the names of the settings. Raises `CommandRefused` for what is no value."""
        said = {
            _setting(one.name): _text(getattr(self, one.name)) for one in fields(self) if _is_said(self, one.name)
        }
        try:
            policy_with(_DEFAULT, said, ALL)
        except ValueError as error:
            raise CommandRefused(f"--{error}") from error
        if (said.get("throttle-sql", NONE) == NONE) != ("throttle-above" not in said):
            raise CommandRefused("--throttle-sql and --throttle-above belong together: give both, or none")
        return said


def with_file(pacing: Pacing, said: Mapping[str, object]) -> Pacing:
    """The pacing with what a job file says where the command line says nothing. Raises `CommandRefused`."""
    read = {name: _of_file(name, value) for name, value in said.items()}
    # A window that is fixed would make nothing of the bound that was typed for it.
    over = {"in_flight"} if _is_said(pacing, "max_in_flight") else set()
    return replace(
        pacing, **{name: value for name, value in read.items() if not _is_said(pacing, name) and name not in over}
    )


def names_of(*groups: type[Any]) -> frozenset[str]:
    """The parameters of these groups of flags."""
    return frozenset(one.name for group in groups for one in fields(group))


def typed(context: typer.Context) -> dict[str, str]:
    """What stands on the command line itself, by parameter, each as people call it: `--set`, `FILE (other.csv)`."""
    return {
        one.name: _called(one, context.params.get(one.name))
        for one in context.command.params
        if one.name and (source := context.get_parameter_source(one.name)) and source.name == "COMMANDLINE"
    }


def _called(parameter: Any, value: object) -> str:  # noqa: ANN401 - a class of typer's that it does not hand out
    if parameter.param_type_name == "argument":
        return f"{parameter.metavar} ({printable(value)})"
    return str(max(parameter.opts, key=len))


def _of_file(name: str, value: object) -> Any:  # noqa: ANN401 - the field says which
    """A value of `[run]` as the flag would give it."""
    if name == _SWITCH:
        if not isinstance(value, bool):
            raise CommandRefused(f"{name}: true or false is expected, not {value!r}")
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise CommandRefused(f"{name}: a number or a text is expected, not {value!r}")
    try:
        policy_with(_DEFAULT, {_setting(name): str(value)}, ALL)
    except ValueError as error:
        raise CommandRefused(str(error)) from error
    return str(value)


def _is_said(pacing: Pacing, name: str) -> bool:
    return getattr(pacing, name) is not None


def _setting(name: str) -> str:
    """The setting that a field is of."""
    return "canary" if name == _SWITCH else name.replace("_", "-")


def _text(value: str | bool) -> str:  # noqa: FBT001 - the switch among the texts
    if isinstance(value, str):
        return value
    return NO if value else YES


@dataclass(frozen=True, slots=True)
class RowFlags:
    """Where the rows of a job come from, and how they are read."""

    sql: Annotated[
        str | None,
        typer.Option(
            "--sql",
            metavar="SELECT",
            rich_help_panel=_ROWS,
            help="Rows from a select in the billing's database; :names are bound to --set NAME=VALUE.",
        ),
    ] = None
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="A,B",
            rich_help_panel=_ROWS,
            help="Names of the columns, in order, where the rows have none.",
        ),
    ] = None
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="NAME=COLUMN", rich_help_panel=_ROWS, help="Which column holds what; repeatable."
        ),
    ] = None
    encoding: Annotated[
        str,
        typer.Option(
            "--encoding", metavar="NAME", rich_help_panel=_ROWS, help="Of a text file: auto, or a name as cp1251."
        ),
    ] = AUTO
    delimiter: Annotated[
        str | None,
        typer.Option(
            "--delimiter", metavar="CHARACTER", rich_help_panel=_ROWS, help="Of a CSV file; found by itself else."
        ),
    ] = None
    sheet: Annotated[
        str | None,
        typer.Option("--sheet", metavar="NAME", rich_help_panel=_ROWS, help="Of a workbook with several sheets."),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=1,
            metavar="N",
            rich_help_panel=_ROWS,
            help="Send the first N rows that are to be sent; rows that are skipped or refused do not count.",
        ),
    ] = None
    only: Annotated[
        str | None,
        typer.Option(
            "--only",
            metavar="KEYS|FILE",
            rich_help_panel=_ROWS,
            help="Only the rows of these contract numbers or ids: with commas, or a file, one a line or in a column.",
        ),
    ] = None
    exclude: Annotated[
        str | None,
        typer.Option(
            "--exclude", metavar="KEYS|FILE", rich_help_panel=_ROWS, help="Leave the rows of these out, as --only."
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class CallFlags:
    """What the job `call` calls."""

    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODEL", rich_help_panel=_CALLING, help="The model, as AdminAccounts."),
    ] = None
    chain: Annotated[
        list[str] | None,
        typer.Option(
            "--chain",
            metavar="LINK",
            rich_help_panel=_CALLING,
            help='A method with its arguments, as \'set {"limit": "{sum}"}\'; once for each, in their order.',
        ),
    ] = None
    fields: Annotated[
        str | None,
        typer.Option("--fields", metavar="A,B", rich_help_panel=_CALLING, help="The fields wanted in the answer."),
    ] = None
    repeatable: Annotated[
        bool, typer.Option("--repeatable", rich_help_panel=_CALLING, help="The call does no harm when made twice.")
    ] = False
    look_up: Annotated[
        str | None,
        typer.Option(
            "--look-up",
            metavar="SELECT",
            rich_help_panel=_CALLING,
            help="Finds the effect of a row, by its :placeholders; a row found means that it is there.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Consent:
    """What may be done without asking again."""

    yes: Annotated[bool, typer.Option("--yes", "-y", help="Send without asking.")] = False
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave refused rows out and send the good ones all the same.")
    ] = False
    trust_journal: Annotated[
        bool,
        typer.Option(
            "--trust-journal",
            help="Do not look in the billing for rows that another copy of the journal may have sent.",
        ),
    ] = False


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command as typer wants it: each parameter whose type is one of the groups above becomes its fields."""
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
