"""The pacing of a command line and of a job file: how hard a run may drive the billing.

Each option is a setting of `engine/pacing/policy.py`, and has its name: as a flag, as a key of `[run]` in a job file,
and, where it is live, as what `set` changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from billing.errors import NotASelect
from billing.selects.select import select_of
from cli.terminal.exits import CommandRefused
from cli.terminal.options import Option, option
from engine.pacing.policy import ALL, NO, NONE, YES, Policy, policy_with
from texts.said import text_of

_DEFAULT: Final = Policy()
_SWITCH: Final = "no_canary"
"""The key of the only switch, which is the opposite of its setting."""
_SELECT: Final = "throttle-sql"
_ABOVE: Final = "throttle-above"


def _options() -> dict[str, Option]:
    found: dict[str, Option] = {}
    for name, one in ALL.items():
        key, names = (name.replace("-", "_"), ()) if one.metavar else (_SWITCH, ("--no-canary/--canary",))
        found[key] = Option(one.metavar, one.help, names, "Pacing")
    return found


@dataclass(frozen=True, init=False)
class Pacing:
    """Limits on how hard a run drives the billing, as given on the command line, by their keys in a job file.

    Each is the text of a setting, as `set` takes it, so that a setting kept by the run can be reset as well.
    """

    OPTIONS: ClassVar[Mapping[str, Option]] = _options()
    typed: Mapping[str, str | bool]

    def __init__(self, **typed: str | bool | None) -> None:
        given = {name: value for name, value in typed.items() if value is not None}
        object.__setattr__(self, "typed", given)

    @property
    def given(self) -> dict[str, str]:
        """The given settings, by name. Raises `CommandRefused` for an invalid value."""
        given = {_setting(name): _text(value) for name, value in self.typed.items()}
        try:
            policy_with(_DEFAULT, given, ALL)
        except ValueError as error:
            raise CommandRefused("--{error}", error=error) from error
        if (given.get(_SELECT, NONE) == NONE) != (_ABOVE not in given):
            raise CommandRefused(
                "{sql} and {above} belong together: give both, or none", sql=f"--{_SELECT}", above=f"--{_ABOVE}"
            )
        _check_select(given, f"--{_SELECT}")
        return given


READING_RATE: Final[Any] = option("R", "Reading calls a second at most, or none.")
SETTLE: Final[Any] = option("SECONDS", ALL["settle"].help)


def with_file(pacing: Pacing, given: Mapping[str, object]) -> Pacing:
    """The pacing, with a job file's values where the command line gives none. Raises `CommandRefused`."""
    read = {name: _of_file(name, value) for name, value in given.items()}
    if "max_in_flight" in pacing.typed:
        # A fixed window in the file would make a bound on the command line useless.
        read.pop("in_flight", None)
    return Pacing(**{**read, **pacing.typed})


def _of_file(name: str, value: object) -> str | bool:
    if name == _SWITCH:
        if not isinstance(value, bool):
            raise CommandRefused("{name}: true or false is expected, not {value}", name=name, value=repr(value))
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise CommandRefused("{name}: a number or a text is expected, not {value}", name=name, value=repr(value))
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
        raise CommandRefused("{name}: {error}", name=name, error=error) from error


def _setting(name: str) -> str:
    return "canary" if name == _SWITCH else name.replace("_", "-")


def _text(value: str | bool) -> str:  # noqa: FBT001 - one switch among texts
    if isinstance(value, str):
        return value
    return NO if value else YES
