"""The table of options, third part, those of the pacing: how hard a run may drive the billing.

Each has the name of a setting of `engine/pacing/policy.py`, which reads its text: as a flag, as a key of `[run]` in a
job file, and, where it is live, as what `set` changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Annotated, Any, Final

from billing.errors import NotASelect
from billing.selects.select import select_of
from cli.settings.flags import flag, option, options_of
from cli.terminal.exits import CommandRefused
from engine.pacing.limits import LAST, LEAST
from engine.pacing.policy import ALL, NO, NONE, YES, Policy, policy_with
from texts.said import said, text_of

_DEFAULT: Final = Policy()
_SWITCH: Final = "no_canary"
"""The only boolean field of the pacing."""
_SELECT: Final = "throttle-sql"
_ABOVE: Final = "throttle-above"

_pacing: Final = partial(option, panel="Pacing")


@dataclass(frozen=True, slots=True)
class Pacing:
    """Limits on how hard a run drives the billing, as given on the command line; None where not given.

    Each is the text of a setting, as `set` takes it, so that a setting kept by the run can be reset as well.
    """

    in_flight: str | None = _pacing(
        "N", "Parallel calls; auto, the default, begins with 2 and finds out how many the billing takes well."
    )
    max_in_flight: str | None = _pacing(
        "N", f"Parallel calls at most while --in-flight is auto, {_DEFAULT.max_in_flight} by default."
    )
    rate: str | None = _pacing("R", "Calls a second at most, or none.")
    hours: str | None = _pacing(
        "FROM-TO",
        "Send at these hours of the billing's day only, as 01:00-06:00 or 22:00-05:30; always for all.",
    )
    max_stack: str | None = _pacing(
        "N",
        f"Wait while one of the billing's stacks holds so many entries, {_DEFAULT.max_stack} by default; "
        "0 for never.",
    )
    max_latency: str | None = _pacing(
        "SECONDS", "Wait while the billing takes longer than this to tell its version, or none; asked every 5 s."
    )
    throttle_sql: str | None = _pacing(
        "SELECT", "Wait while the one number that this select gives is above --throttle-above; none for none."
    )
    throttle_above: str | None = _pacing("N", "For --throttle-sql.")
    min_disk: str | None = _pacing(
        "MB",
        "Wait while less than this is free where the journal is, "
        f"{_DEFAULT.min_disk // 1_000_000} by default; 0 for never.",
    )
    stop_after_errors: str | None = _pacing(
        "N|P%",
        "Stop when so many rows went wrong, or more than such a share of all rows or of the last "
        f"{LAST:,}, once {LEAST} have an outcome; {_DEFAULT.stop_after_errors} by default, 0 for never.",
    )
    limit_money: str | None = _pacing(
        "AMOUNT", "Stop before the amounts sent in this run, signs left out, add up to more; none for any sum."
    )
    no_canary: bool | None = _pacing(
        None,
        "Do not begin with 1, 10 and 100 rows, and do not stop at a new error of the first ten.",
        "--no-canary/--canary",
    )
    settle: str | None = _pacing(
        "SECONDS",
        "After a lost answer, how long until a look-up is trusted to see what the call did, "
        f"{_DEFAULT.settle:g} by default.",
    )

    @property
    def given(self) -> dict[str, str]:
        """The given settings, by name. Raises `CommandRefused` for an invalid value."""
        typed = {one.name: value for one in fields(self) if (value := getattr(self, one.name)) is not None}
        given = {_setting(name): _text(value) for name, value in typed.items()}
        try:
            policy_with(_DEFAULT, given, ALL)
        except ValueError as error:
            raise CommandRefused(said("--{error}", error=error)) from error
        if (given.get(_SELECT, NONE) == NONE) != (_ABOVE not in given):
            raise CommandRefused(
                said(
                    "{sql} and {above} belong together: give both, or none",
                    sql=f"--{_SELECT}",
                    above=f"--{_ABOVE}",
                )
            )
        _check_select(given, f"--{_SELECT}")
        return given


ReadingRate = Annotated[str | None, flag("--rate", "R", "Reading calls a second at most, or none.")]
SettleDelay = Annotated[str | None, flag("--settle", "SECONDS", options_of(Pacing)["settle"].help)]


def with_file(pacing: Pacing, given: Mapping[str, object]) -> Pacing:
    """The pacing, with a job file's values where the command line gives none. Raises `CommandRefused`."""
    read = {name: _of_file(name, value) for name, value in given.items()}
    # A fixed window in the file would make a bound on the command line useless.
    over = {"in_flight"} if pacing.max_in_flight is not None else set()
    return replace(
        pacing,
        **{name: value for name, value in read.items() if getattr(pacing, name) is None and name not in over},
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
    given = {_setting(name): str(value)}
    try:
        policy_with(_DEFAULT, given, ALL)
    except ValueError as error:
        raise CommandRefused(text_of(error)) from error
    _check_select(given, name)
    return str(value)


def _check_select(given: Mapping[str, str], name: str) -> None:
    """Raise `CommandRefused` for a throttle-sql that is not one select that changes nothing."""
    text = given.get(_SELECT, NONE)
    try:
        if text != NONE:
            select_of(text)
    except NotASelect as error:
        raise CommandRefused(said("{name}: {error}", name=name, error=error)) from error


def _setting(name: str) -> str:
    """The setting of a field."""
    return "canary" if name == _SWITCH else name.replace("_", "-")


def _text(value: str | bool) -> str:  # noqa: FBT001 - one switch among texts
    if isinstance(value, str):
        return value
    return NO if value else YES
