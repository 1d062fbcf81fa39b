"""The flags that several commands share, in groups; `grouped` lets a command take a whole group as one parameter."""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from math import inf, isfinite
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_args, get_type_hints

import typer

from cli import names
from cli.errors import CommandRefused
from cli.texts import plain
from engine.budget import LAST, LEAST, error_limit
from engine.hours import hours_of
from engine.policy import Policy
from engine.sources.files import AUTO
from engine.spending import money_limit
from engine.steering import DEEPEST, FASTEST, WIDEST

Value = TypeVar("Value")

_CONNECTION: Final = "Connection"
_PACING: Final = "Pacing"
_SCREEN: Final = "Screen"
_ROWS: Final = "Rows"
_CALLING: Final = "The job `call`"
_DEFAULT: Final = Policy()
_MEGABYTE: Final = 1_000_000
_LONGEST_SETTLE: Final = 86_400
_LONGEST_LATENCY: Final = 3600


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
            help=f"Where all runs are remembered, {names.JOURNAL} by default. Or {names.JOURNAL_FILE}.",
        ),
    ] = None
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
            help=f"The file of settings, {names.FILE} in the working folder by default.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Pacing:
    """How hard a run drives the billing."""

    in_flight: Annotated[
        int | None,
        typer.Option(
            "--in-flight",
            min=1,
            max=WIDEST,
            metavar="N",
            rich_help_panel=_PACING,
            help="Calls at one time. By default as many as the billing takes well, beginning with 2.",
        ),
    ] = None
    max_in_flight: Annotated[
        int,
        typer.Option(
            "--max-in-flight",
            min=1,
            max=WIDEST,
            metavar="N",
            rich_help_panel=_PACING,
            help="Calls at one time at most, where --in-flight does not fix them.",
        ),
    ] = _DEFAULT.max_in_flight
    rate: Annotated[
        float | None,
        typer.Option("--rate", metavar="R", rich_help_panel=_PACING, help="Calls a second at most."),
    ] = None
    hours: Annotated[
        str | None,
        typer.Option(
            "--hours",
            metavar="FROM-TO",
            rich_help_panel=_PACING,
            help="Send at these hours of the billing's day only, as 01:00-06:00 or 22:00-05:30.",
        ),
    ] = None
    max_stack: Annotated[
        int,
        typer.Option(
            "--max-stack",
            min=0,
            max=DEEPEST,
            metavar="N",
            rich_help_panel=_PACING,
            help="Wait while one of the billing's stacks holds so many entries; 0 for never.",
        ),
    ] = _DEFAULT.max_stack
    max_latency: Annotated[
        float | None,
        typer.Option(
            "--max-latency",
            metavar="SECONDS",
            rich_help_panel=_PACING,
            help="Wait while the billing takes longer than this to tell its version; asked every 5 s.",
        ),
    ] = None
    throttle_sql: Annotated[
        str | None,
        typer.Option(
            "--throttle-sql",
            metavar="SELECT",
            rich_help_panel=_PACING,
            help="Wait while the one number that this select gives is above --throttle-above.",
        ),
    ] = None
    throttle_above: Annotated[
        float | None,
        typer.Option("--throttle-above", metavar="N", rich_help_panel=_PACING, help="For --throttle-sql."),
    ] = None
    min_disk: Annotated[
        int,
        typer.Option(
            "--min-disk",
            min=0,
            max=1_000_000,
            metavar="MB",
            rich_help_panel=_PACING,
            help="Wait while less than this is free where the journal is; 0 for never.",
        ),
    ] = _DEFAULT.min_disk // _MEGABYTE
    stop_after_errors: Annotated[
        str,
        typer.Option(
            "--stop-after-errors",
            metavar="N|P%",
            rich_help_panel=_PACING,
            help="Stop when so many rows went wrong, or more than such a share of all rows or of the last "
            f"{LAST:,}, once {LEAST} have an outcome; 0 for never.",
        ),
    ] = str(_DEFAULT.stop_after_errors)
    limit_money: Annotated[
        str | None,
        typer.Option(
            "--limit-money",
            metavar="AMOUNT",
            rich_help_panel=_PACING,
            help="Stop before the amounts sent in this run, signs left out, add up to more.",
        ),
    ] = None
    no_canary: Annotated[
        bool,
        typer.Option(
            "--no-canary",
            rich_help_panel=_PACING,
            help="Do not begin with 1, 10 and 100 rows, and do not stop at a new error of the first ten.",
        ),
    ] = False
    settle: Annotated[
        float,
        typer.Option(
            "--settle",
            min=0,
            metavar="SECONDS",
            rich_help_panel=_PACING,
            help="After a lost answer, how long until a look-up is trusted to see what the call did.",
        ),
    ] = _DEFAULT.settle

    @property
    def policy(self) -> Policy:
        """The same for the engine. Raises `CommandRefused` for what is none of its values."""
        # Not a number compares false to everything, so it is asked for what is right, not for what is wrong.
        if self.rate is not None and not 0 < self.rate <= FASTEST:
            raise CommandRefused(f"--rate {self.rate:g}: calls a second, above 0 and up to {FASTEST:,}")
        if not self.settle <= _LONGEST_SETTLE:
            raise CommandRefused(f"--settle {self.settle:g}: seconds, up to {_LONGEST_SETTLE:,}")
        if self.max_latency is not None and not 0 < self.max_latency <= _LONGEST_LATENCY:
            raise CommandRefused(f"--max-latency {self.max_latency:g}: seconds, above 0 and up to {_LONGEST_LATENCY}")
        if (self.throttle_sql is None) != (self.throttle_above is None):
            raise CommandRefused("--throttle-sql and --throttle-above belong together: give both, or none")
        if self.throttle_above is not None and not isfinite(self.throttle_above):
            raise CommandRefused(f"--throttle-above {self.throttle_above:g}: a number is wanted")
        return Policy(
            in_flight=self.in_flight,
            max_in_flight=self.max_in_flight,
            rate=self.rate,
            hours=None if self.hours is None else _read("--hours", self.hours, hours_of),
            max_stack=self.max_stack,
            max_latency=self.max_latency,
            throttle_sql=self.throttle_sql,
            throttle_above=self.throttle_above or 0.0,
            min_disk=self.min_disk * _MEGABYTE,
            canary=not self.no_canary,
            stop_after_errors=_read("--stop-after-errors", self.stop_after_errors, error_limit),
            limit_money=None if self.limit_money is None else _read("--limit-money", self.limit_money, money_limit),
            settle=self.settle,
        )


def with_file(pacing: Pacing, said: Mapping[str, object], typed: Collection[str] = ()) -> Pacing:
    """The pacing with what a job file says, less what was `typed`, which goes before it. Raises `CommandRefused`."""
    # A window that is fixed would make nothing of the bound that was typed for it.
    over = {*typed, "in_flight"} if "max_in_flight" in typed else {*typed}
    return replace(pacing, **{name: _of_file(name, value) for name, value in said.items() if name not in over})


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
        return f"{parameter.metavar} ({plain(value)})"
    return str(max(parameter.opts, key=len))


_WORDS: Final = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _of_file(name: str, value: object) -> Any:  # noqa: ANN401 - the field says which
    """A value of `[run]` as the flag would give it."""
    hints = get_type_hints(Pacing)
    wanted = hints[name]
    kinds = tuple(one for one in get_args(wanted) if one is not type(None)) or (wanted,)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if str in kinds and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise CommandRefused(f"{name}: {' or '.join(_WORDS[one] for one in kinds)} is expected, not {value!r}")
    _check_bounds(name, value)
    return value


def _check_bounds(name: str, value: object) -> None:
    """Hold a value of `[run]` against the bounds of its flag. Raises `CommandRefused`."""
    option = get_type_hints(Pacing, include_extras=True)[name].__metadata__[0]
    if option.min is None or not isinstance(value, int | float):
        return
    most = inf if option.max is None else option.max
    # Not a number compares false to everything.
    if not option.min <= value <= most:
        above = "" if option.max is None else f" and {option.max:,} at most"
        raise CommandRefused(f"{name}: {value:g} is out of bounds: {option.min:g} at least{above}")


def _read(flag: str, text: str, reader: Callable[[str], Value]) -> Value:
    """What a flag says. Raises `CommandRefused` with the flag's name."""
    try:
        return reader(text)
    except ValueError as error:
        raise CommandRefused(f"{flag}: {error}") from error


@dataclass(frozen=True, slots=True)
class Rows:
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


@dataclass(frozen=True, slots=True)
class Calling:
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


@dataclass(frozen=True, slots=True)
class Voice:
    """How much is said, and to whom."""

    as_json: Annotated[
        bool,
        typer.Option(
            "--json", rich_help_panel=_SCREEN, help="One closing JSON object on stdout, all else on stderr."
        ),
    ] = False
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", rich_help_panel=_SCREEN, help="Say only what went wrong.")
    ] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", rich_help_panel=_SCREEN, help="Log every step.")] = False


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
