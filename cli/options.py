"""The flags that several commands share, in groups; `grouped` lets a command take a whole group as one parameter."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import typer

from cli import names
from cli.errors import CommandRefused
from engine.policy import Policy

_CONNECTION: Final = "Connection"
_PACING: Final = "Pacing"
_SCREEN: Final = "Screen"
_DEFAULT: Final = Policy()


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
        int,
        typer.Option("--in-flight", min=1, max=1000, metavar="N", rich_help_panel=_PACING, help="Calls at one time."),
    ] = _DEFAULT.in_flight
    rate: Annotated[
        float | None,
        typer.Option("--rate", metavar="R", rich_help_panel=_PACING, help="Calls a second at most."),
    ] = None
    stop_after_errors: Annotated[
        int,
        typer.Option(
            "--stop-after-errors",
            min=0,
            metavar="N",
            rich_help_panel=_PACING,
            help="Stop when so many rows went wrong; 0 for never.",
        ),
    ] = _DEFAULT.stop_after_errors or 0
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
        """The same for the engine. Raises `CommandRefused` for a rate that is none."""
        # Not a number compares false to everything, so it is asked for what is right, not for what is wrong.
        if self.rate is not None and not 0 < self.rate <= _FASTEST:
            raise CommandRefused(f"--rate {self.rate:g}: calls a second, above 0 and up to {_FASTEST:,}")
        if not self.settle <= _LONGEST_SETTLE:
            raise CommandRefused(f"--settle {self.settle:g}: seconds, up to {_LONGEST_SETTLE:,}")
        return Policy(
            in_flight=self.in_flight,
            rate=self.rate,
            stop_after_errors=self.stop_after_errors or None,
            settle=self.settle,
        )


_FASTEST: Final = 100_000
_LONGEST_SETTLE: Final = 86_400


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
