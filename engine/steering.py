"""Steering: how a person drives a run while it goes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from types import MappingProxyType
from typing import Any, Final

import structlog

from engine.budget import error_limit
from engine.holds import PAUSED
from engine.hours import hours_of
from engine.policy import Policy
from engine.progress import Progress
from engine.spending import in_roubles, money_limit
from engine.status import Status
from engine.stop import Stop, StopKind

log = structlog.get_logger(__name__)

AUTO: Final = "auto"
NONE: Final = "none"
ALWAYS: Final = "always"
NEVER: Final = "never"

FASTEST: Final = 100_000
"""Calls a second."""
WIDEST: Final = 1000
"""Calls in flight."""
DEEPEST: Final = 1_000_000_000
"""Entries of a stack."""


class Steering:
    """The one object through which a live run is steered. What is changed takes effect at once, and in this process.

    `policy` is what is in force now: all that works on the run reads it when it needs it.
    """

    def __init__(self, policy: Policy, progress: Progress, stopping: Stop, *, paused_by: str | None = None) -> None:
        self.policy = policy
        self.progress = progress
        self.stopping = stopping
        self._listeners: list[Callable[[], None]] = []
        if paused_by is not None:
            self.pause(paused_by)

    def get(self) -> dict[str, str]:
        """All settings with their values, as `change` takes them."""
        return {name: setting.shown(self.policy) for name, setting in SETTINGS.items()}

    def change(self, name: str, value: str) -> str:
        """Set one of them; returns what it is now, in words. Raises `ValueError` with a sentence."""
        setting = SETTINGS.get(name)
        if setting is None:
            raise ValueError(f"there is no setting {name[:40]!r}: {', '.join(SETTINGS)}")
        try:
            changed = setting.changed(self.policy, value.strip())
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        self.policy = changed
        log.info("changed", setting=name, value=setting.shown(changed))
        for heard in self._listeners:
            heard()
        return f"{name}: {setting.told(changed)}"

    def pause(self, who: str) -> None:
        """Begin no call until `go_on`; what is in flight is finished. Who paused first is told."""
        if PAUSED not in self.progress.holds:
            self.progress.holds.put(PAUSED, f"paused by {who}")

    def go_on(self) -> None:
        """End the pause."""
        self.progress.holds.lift(PAUSED)

    def stop(self, who: str) -> None:
        """Begin nothing new and end the run, resumable, once what is in flight is finished."""
        self.stopping.request(StopKind.INTERRUPTED, f"stopped by {who}")

    def look(self) -> Status:
        """Where the run stands."""
        return self.progress.status()

    def status(self) -> dict[str, Any]:
        """The same in plain values."""
        return self.look().as_dict()

    def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard` whenever a setting was changed."""
        self._listeners.append(heard)


def in_words(policy: Policy) -> str:
    """How a policy drives the billing, in half a sentence: what is always told, and what is set."""
    parts = [_in_flight_told(policy)]
    parts += [_rate_told(policy)] if policy.rate is not None else []
    parts += [_hours_told(policy)] if policy.hours is not None else []
    parts += [_errors_told(policy)]
    return "; ".join(parts + ([_money_told(policy)] if policy.limit_money is not None else []))


@dataclass(frozen=True, slots=True)
class _Setting:
    """One setting: how its text changes a policy, how it is written, and how it is told."""

    changed: Callable[[Policy, str], Policy]
    shown: Callable[[Policy], str]
    told: Callable[[Policy], str]


def whole(text: str, least: int, most: int) -> int:
    """A whole number within bounds. Raises `ValueError` with a sentence."""
    if not (text.isascii() and text.isdigit() and least <= int(text[:12]) <= most):
        raise ValueError(f"{text[:40]!r} is no whole number from {least:,} to {most:,}")
    return int(text)


def rate_of(text: str) -> float | None:
    """Calls a second, None for `none`. Raises `ValueError` with a sentence."""
    if text == NONE:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not (isfinite(rate) and 0 < rate <= FASTEST):
        raise ValueError(f"{text[:40]!r} are no calls a second: above 0 and up to {FASTEST:,}, or {NONE}")
    return rate


def _rate_told(policy: Policy) -> str:
    return (
        "as many calls a second as the window lets through"
        if policy.rate is None
        else (f"at most {policy.rate:g} calls a second")
    )


def _in_flight_told(policy: Policy) -> str:
    if policy.in_flight is not None:
        return f"{policy.in_flight} in flight"
    return f"as many in flight as the billing takes well, {policy.max_in_flight} at most"


def _max_in_flight_told(policy: Policy) -> str:
    fixed = f"; now in-flight is fixed at {policy.in_flight}" if policy.in_flight is not None else ""
    return f"{policy.max_in_flight} in flight at most, while in-flight is {AUTO}{fixed}"


def _hours_told(policy: Policy) -> str:
    return "at all hours" if policy.hours is None else f"from {policy.hours.begin:%H:%M} to {policy.hours.end:%H:%M}"


def _max_stack_told(policy: Policy) -> str:
    return f"held above {policy.max_stack:,} entries in a stack" if policy.max_stack else "never held for the stacks"


def _errors_told(policy: Policy) -> str:
    limit = policy.stop_after_errors
    if limit is None:
        return "never stops for errors"
    return f"stops after {limit:,} errors" if isinstance(limit, int) else f"stops when more than {limit} go wrong"


def _money_told(policy: Policy) -> str:
    return "any sum" if policy.limit_money is None else f"at most {in_roubles(policy.limit_money)} in this run"


SETTINGS: Final[Mapping[str, _Setting]] = MappingProxyType(
    {
        "rate": _Setting(
            lambda policy, text: replace(policy, rate=rate_of(text)),
            lambda policy: NONE if policy.rate is None else f"{policy.rate:.12g}",
            _rate_told,
        ),
        "in-flight": _Setting(
            lambda policy, text: replace(policy, in_flight=None if text == AUTO else whole(text, 1, WIDEST)),
            lambda policy: AUTO if policy.in_flight is None else str(policy.in_flight),
            _in_flight_told,
        ),
        "max-in-flight": _Setting(
            lambda policy, text: replace(policy, max_in_flight=whole(text, 1, WIDEST)),
            lambda policy: str(policy.max_in_flight),
            _max_in_flight_told,
        ),
        "hours": _Setting(
            lambda policy, text: replace(policy, hours=None if text == ALWAYS else hours_of(text)),
            lambda policy: ALWAYS if policy.hours is None else str(policy.hours),
            _hours_told,
        ),
        "max-stack": _Setting(
            lambda policy, text: replace(policy, max_stack=0 if text == NEVER else whole(text, 0, DEEPEST)),
            lambda policy: str(policy.max_stack),
            _max_stack_told,
        ),
        "stop-after-errors": _Setting(
            lambda policy, text: replace(policy, stop_after_errors=error_limit(text)),
            lambda policy: NEVER if policy.stop_after_errors is None else str(policy.stop_after_errors),
            _errors_told,
        ),
        "limit-money": _Setting(
            lambda policy, text: replace(policy, limit_money=money_limit(text)),
            lambda policy: NONE if policy.limit_money is None else f"{policy.limit_money:f}",
            _money_told,
        ),
    }
)
"""By the names that an operator types."""
