"""Flags of the pacing: limits on how hard a run drives the billing; a job file uses the same names."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Final

import typer

from billing.errors import NotASelect
from billing.selects.select import select_of
from cli.terminal.exits import CommandRefused
from engine.pacing.limits import LAST, LEAST
from engine.pacing.policy import ALL, NO, NONE, YES, Policy, policy_with
from texts.said import said, text_of

_PACING: Final = "Pacing"
_DEFAULT: Final = Policy()
_SWITCH: Final = "no_canary"
"""The only boolean field of the pacing."""
_SELECT: Final = "throttle_sql"

ReadingRate = Annotated[
    str | None,
    typer.Option("--rate", metavar="R", help="Reading calls a second at most, or none."),
]
SettleDelay = Annotated[
    str | None,
    typer.Option(
        "--settle",
        metavar="SECONDS",
        help="After a lost answer, how long until a look-up is trusted to see what the call did, "
        f"{_DEFAULT.settle:g} by default.",
    ),
]


@dataclass(frozen=True, slots=True)
class Pacing:
    """Limits on how hard a run drives the billing, as given on the command line; None where not given.

    Each is the text of a setting, as `set` takes it, so that a setting kept by the run can be reset as well.
    """

    in_flight: Annotated[
        str | None,
        typer.Option(
            "--in-flight",
            metavar="N",
            rich_help_panel=_PACING,
            help="Parallel calls; auto, the default, begins with 2 and finds out how many the billing takes well.",
        ),
    ] = None
    max_in_flight: Annotated[
        str | None,
        typer.Option(
            "--max-in-flight",
            metavar="N",
            rich_help_panel=_PACING,
            help=f"Parallel calls at most while --in-flight is auto, {_DEFAULT.max_in_flight} by default.",
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
    def given(self) -> dict[str, str]:
        """The given settings, by name. Raises `CommandRefused` for an invalid value."""
        given = {
            _setting(one.name): _text(getattr(self, one.name)) for one in fields(self) if _is_said(self, one.name)
        }
        try:
            policy_with(_DEFAULT, given, ALL)
        except ValueError as error:
            raise CommandRefused(said("--{error}", error=error)) from error
        if (given.get("throttle-sql", NONE) == NONE) != ("throttle-above" not in given):
            raise CommandRefused(
                said(
                    "{sql} and {above} belong together: give both, or none",
                    sql="--throttle-sql",
                    above="--throttle-above",
                )
            )
        _check_select(given.get("throttle-sql", NONE), "--throttle-sql")
        return given


def _check_select(text: str, name: str) -> None:
    """Raise `CommandRefused` for a throttle-sql that is not one select that changes nothing."""
    try:
        if text != NONE:
            select_of(text)
    except NotASelect as error:
        raise CommandRefused(said("{name}: {error}", name=name, error=error)) from error


def with_file(pacing: Pacing, given: Mapping[str, object]) -> Pacing:
    """The pacing, with a job file's values where the command line gives none. Raises `CommandRefused`."""
    read = {name: _of_file(name, value) for name, value in given.items()}
    # A fixed window in the file would make a bound on the command line useless.
    over = {"in_flight"} if _is_said(pacing, "max_in_flight") else set()
    return replace(
        pacing, **{name: value for name, value in read.items() if not _is_said(pacing, name) and name not in over}
    )


def _of_file(name: str, value: object) -> Any:  # noqa: ANN401 - its type depends on the field
    """A value of `[run]` as the flag would give it."""
    if name == _SWITCH:
        if not isinstance(value, bool):
            raise CommandRefused(said("{name}: true or false is expected, not {value}", name=name, value=repr(value)))
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise CommandRefused(
            said("{name}: a number or a text is expected, not {value}", name=name, value=repr(value))
        )
    try:
        policy_with(_DEFAULT, {_setting(name): str(value)}, ALL)
    except ValueError as error:
        raise CommandRefused(text_of(error)) from error
    if name == _SELECT:
        _check_select(str(value), name)
    return str(value)


def _is_said(pacing: Pacing, name: str) -> bool:
    return getattr(pacing, name) is not None


def _setting(name: str) -> str:
    """The setting of a field."""
    return "canary" if name == _SWITCH else name.replace("_", "-")


def _text(value: str | bool) -> str:  # noqa: FBT001 - one switch among texts
    if isinstance(value, str):
        return value
    return NO if value else YES
