"""The policy of a run, and its settings as text.

The same texts are used for flags of the command line, for `set` on a live run, and in the journal.
"""

import re
import resource
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from math import isfinite, nan
from types import MappingProxyType
from typing import Final

from engine.errors import EngineError, nearest
from engine.pacing.holds import LAST, LEAST, STEPS, ErrorLimit, error_limit, money_limit
from engine.pacing.throttle import Hours, hours_of
from texts.said import Quantity, ValueRefused, counted, in_clauses, percent, said, wording


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits and time-outs of a run. Times are seconds."""

    in_flight: int | None = None
    """Parallel calls; None for a window that adapts to the billing."""
    max_in_flight: int = 64
    """Maximum size of the adaptive window."""
    rate: float | None = None
    """Maximum calls a second; None for as many as the window allows."""
    hours: Hours | None = None
    """Hours of the day, by the billing's clock, in which calls may leave; None for all hours."""
    max_stack: int = 1000
    """Entries in one of the billing's queues above which the run is held; 0 for no threshold."""
    max_latency: float | None = None
    """Answer time of the billing's version call above which the run is held; None for no threshold."""
    throttle_sql: str | None = None
    """A select of the operator that gives one number; above `throttle_above` the run is held."""
    throttle_above: float = 0.0
    min_disk: int = 200_000_000
    """Free bytes required on the journal's disk; 0 for no threshold."""
    canary: bool = True
    """Whether a run begins with a few rows only."""
    stop_after_errors: ErrorLimit | None = 100
    """Rejected rows and rows out of tries after which the run stops; None for never."""
    limit_money: Decimal | None = None
    """Maximum sum of the absolute amounts of all rows sent; None for no limit."""
    like_last: Decimal | None = None
    """By how much of them rows and sum may differ from those of the job's last load; None for any."""
    tries: int = 10
    """Maximum calls for one row before it is left for the next `resume`."""
    retry_share: float = 0.1
    """Retries of the whole run for each success."""
    retry_floor: float = 1.0
    """Retries a second of the whole run that are always allowed."""
    settle: float = 30.0
    """Delay after a lost answer before a look-up is trusted to see the effect of the call."""
    drain_patience: float = 1800.0
    """Maximum wait for the billing's queues to empty before a look-up."""
    away_after: int = 5
    """Consecutive failed calls after which the billing counts as away."""
    away_patience: float = 600.0
    """Maximum wait for a billing that is away, or for an unreadable gauge, before the run stops."""
    page: int = 1000
    """Rows read, frozen and looked up at one time."""

    def patience(self, unfinished_work: str | None) -> float:
        """Seconds after a call until it counts that its effect is not seen, given the billing's work for its row."""
        return self.settle if unfinished_work is None else max(self.settle, self.drain_patience)


AUTO: Final = "auto"
NONE: Final = "none"
ALWAYS: Final = "always"
NEVER: Final = "never"
YES: Final = "yes"
NO: Final = "no"

_MOST_DIGITS: Final = 12
_SHARE: Final = re.compile(r"([0-9]{1,6}(?:[.,][0-9]{1,3})?)\s*%")
_MEGABYTE: Final = 1_000_000
LONGEST_SETTLE: Final = 86_400
"""Seconds."""

_DEFAULT: Final = Policy()
_SHOWN: Final = 40
"""Characters of a typed text that an error shows."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: `changed` applies its text to a policy, `shown` gives the text, `told` describes it in words.

    `changed` raises `ValueError` with a sentence. `help` and `metavar` are those of its flag, also in a job file; one
    that is not `live` changes only when a run is started or resumed.
    """

    changed: Callable[[Policy, str], Policy]
    shown: Callable[[Policy], str]
    told: Callable[[Policy], str]
    help: str
    metavar: str | None
    live: bool = True


def policy_with(policy: Policy, changes: Mapping[str, str], known: Mapping[str, Setting] | None = None) -> Policy:
    """The policy with all of `changes` applied; `known` are the permitted settings, by default those of a live run.

    Raises `ValueError` with a sentence that begins with the name.
    """
    settings = SETTINGS if known is None else known
    check_names(changes, settings)
    for name, text in changes.items():
        try:
            policy = settings[name].changed(policy, text.strip())
        except ValueError as error:
            raise ValueRefused("{name}: {error}", name=name, error=error) from None
    return policy


def check_names(names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name in known:
            continue
        shown = name[:40]
        if name in ALL:
            raise ValueRefused(
                "{name!r} is set when a run is begun or taken up, and cannot be set while it works", name=shown
            )
        raise ValueRefused(
            "there is no setting {name!r}{nearest}; there are: {known}",
            name=shown,
            nearest=nearest(shown, known),
            known=tuple(known),
        )


def setting_text(policy: Policy) -> dict[str, str]:
    return {name: setting.shown(policy) for name, setting in SETTINGS.items()}


def to_settings(policy: Policy) -> dict[str, str]:
    """The settings to keep with a run: those that differ from their defaults."""
    return {name: setting.shown(policy) for name, setting in ALL.items() if _is_set(policy, name)}


def describe_settings(policy: Policy, names: Iterable[str]) -> str:
    return in_clauses([said("{name}: {value}", name=name, value=ALL[name].told(policy)) for name in names])


def describe_policy(policy: Policy) -> str:
    """Describe a policy in half a sentence: the settings that are always shown, and those that are set."""
    return in_clauses(
        [
            setting.told(policy)
            for name, setting in {**SETTINGS, **ALL}.items()
            if name in _ALWAYS_TOLD or (name not in _TOLD_BY_ANOTHER and _is_set(policy, name))
        ]
    )


def whole(text: str, least: int, most: int) -> int:
    """Parse a whole number from `least` to `most`. Raises `ValueError` with a sentence."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and least <= int(text) <= most):
        raise ValueRefused(
            "{text!r} is not a whole number from {least} to {most}",
            text=text[:_SHOWN],
            least=Quantity(least),
            most=Quantity(most),
        )
    return int(text)


def _number(text: str, fits: Callable[[float], bool], wrong: str, most: int = 0) -> float:
    """Parse a number that `fits`. Raises `ValueError` with the sentence `wrong`."""
    try:
        number = float(text)
    except ValueError:
        number = nan
    # NaN compares false with everything, so a range fits no NaN.
    if not fits(number):
        raise ValueRefused(wrong, text=text[:_SHOWN], most=Quantity(most), none=NONE)
    return number


def _positive(text: str, most: int) -> float | None:
    wrong = wording("{text!r} is not a number above 0 and up to {most}, or {none}")
    return None if text == NONE else _number(text, lambda number: 0 < number <= most, wrong, most)


def _settle_of(text: str) -> float:
    wrong = wording("{text!r} is not a valid settle delay: seconds from 0 to {most}")
    return _number(text, lambda seconds: 0 <= seconds <= LONGEST_SETTLE, wrong, LONGEST_SETTLE)


def is_yes(text: str) -> bool:
    if text not in {YES, NO}:
        raise ValueRefused("{text!r} is neither {yes} nor {no}", text=text[:_SHOWN], yes=YES, no=NO)
    return text == YES


def _share_of(text: str) -> Decimal | None:
    if text == NONE:
        return None
    found = _SHARE.fullmatch(text)
    if found is None:
        raise ValueRefused("{text!r} is not a share as 50%, or {none}", text=text[:_SHOWN], none=NONE)
    return Decimal(found[1].replace(",", "."))


def _written(number: float | None) -> str:
    return NONE if number is None else f"{number:.12g}"


def _errors_told(policy: Policy) -> str:
    match policy.stop_after_errors:
        case None:
            return said("never stops for errors")
        case int(limit):
            return counted("stops after {n} error[s]", limit)
        case limit:
            return said("stops when more than {share} go wrong", share=percent(limit.value))


def _throttle_told(policy: Policy) -> str:
    if policy.throttle_sql is None:
        return said("holds nothing: there is no throttle-sql")
    return said("held while throttle-sql gives more than {number}", number=policy.throttle_above)


ALL: Final[Mapping[str, Setting]] = MappingProxyType(
    {
        "in-flight": Setting(
            lambda policy, text: replace(policy, in_flight=None if text == AUTO else whole(text, 1, 1000)),
            lambda policy: AUTO if policy.in_flight is None else str(policy.in_flight),
            lambda policy: (
                said("parallel calls: automatic, at most {calls}", calls=policy.max_in_flight)
                if policy.in_flight is None
                else said("parallel calls: {calls}", calls=policy.in_flight)
            ),
            metavar="N",
            help="Parallel calls; auto, the default, begins with 2 and finds out how many the billing takes well.",
        ),
        "max-in-flight": Setting(
            lambda policy, text: replace(policy, max_in_flight=whole(text, 1, 1000)),
            lambda policy: str(policy.max_in_flight),
            lambda policy: (
                said("at most {most} parallel calls, while in-flight is {auto}", most=policy.max_in_flight, auto=AUTO)
                if policy.in_flight is None
                else said(
                    "at most {most} parallel calls, while in-flight is {auto}; now in-flight is fixed at {calls}",
                    most=policy.max_in_flight,
                    auto=AUTO,
                    calls=policy.in_flight,
                )
            ),
            metavar="N",
            help=f"Parallel calls at most while --in-flight is auto, {_DEFAULT.max_in_flight} by default.",
        ),
        "rate": Setting(
            lambda policy, text: replace(policy, rate=_positive(text, 100_000)),
            lambda policy: _written(policy.rate),
            lambda policy: (
                said("as many calls a second as the window lets through")
                if policy.rate is None
                else said("at most {rate} calls a second", rate=policy.rate)
            ),
            metavar="R",
            help="Calls a second at most, or none.",
        ),
        "hours": Setting(
            lambda policy, text: replace(policy, hours=None if text in {ALWAYS, NONE} else hours_of(text)),
            lambda policy: ALWAYS if policy.hours is None else str(policy.hours),
            lambda policy: (
                said("at all hours")
                if policy.hours is None
                else said(
                    "from {begin} to {end}", begin=f"{policy.hours.begin:%H:%M}", end=f"{policy.hours.end:%H:%M}"
                )
            ),
            metavar="FROM-TO",
            help="Send at these hours of the billing's day only, as 01:00-06:00 or 22:00-05:30; always for all.",
        ),
        "max-stack": Setting(
            lambda policy, text: replace(policy, max_stack=0 if text == NEVER else whole(text, 0, 1_000_000_000)),
            lambda policy: str(policy.max_stack),
            lambda policy: (
                said("held above {entries} entries in a stack", entries=Quantity(policy.max_stack))
                if policy.max_stack
                else said("never held for the stacks")
            ),
            metavar="N",
            help=f"Wait while one of the billing's stacks holds so many entries, {_DEFAULT.max_stack} by default; "
            "0 for never.",
        ),
        "max-latency": Setting(
            lambda policy, text: replace(policy, max_latency=_positive(text, 3600)),
            lambda policy: _written(policy.max_latency),
            lambda policy: (
                said("never held for the latency")
                if policy.max_latency is None
                else said(
                    "held while the billing takes longer than {seconds} s for its version", seconds=policy.max_latency
                )
            ),
            metavar="SECONDS",
            help="Wait while the billing takes longer than this to tell its version, or none; asked every 5 s.",
        ),
        "throttle-sql": Setting(
            lambda policy, text: replace(policy, throttle_sql=None if text == NONE else text),
            lambda policy: NONE if policy.throttle_sql is None else policy.throttle_sql,
            _throttle_told,
            metavar="SELECT",
            help="Wait while the one number that this select gives is above --throttle-above; none for none.",
            live=False,
        ),
        "throttle-above": Setting(
            lambda policy, text: replace(
                policy, throttle_above=_number(text, isfinite, wording("{text!r} is not a number"))
            ),
            lambda policy: _written(policy.throttle_above),
            _throttle_told,
            metavar="N",
            help="For --throttle-sql.",
        ),
        "min-disk": Setting(
            lambda policy, text: replace(
                policy, min_disk=0 if text == NEVER else whole(text, 0, 1_000_000) * _MEGABYTE
            ),
            lambda policy: str(policy.min_disk // _MEGABYTE),
            lambda policy: (
                said(
                    "held while less than {megabytes} MB are free for the journal",
                    megabytes=Quantity(policy.min_disk // _MEGABYTE),
                )
                if policy.min_disk
                else said("never held for the disk")
            ),
            metavar="MB",
            help="Wait while less than this is free where the journal is, "
            f"{_DEFAULT.min_disk // _MEGABYTE} by default; 0 for never.",
        ),
        "stop-after-errors": Setting(
            lambda policy, text: replace(policy, stop_after_errors=error_limit(text)),
            lambda policy: NEVER if policy.stop_after_errors is None else str(policy.stop_after_errors),
            _errors_told,
            metavar="N|P%",
            help="Stop when so many rows went wrong, or more than such a share of all rows or of the last "
            f"{LAST:,}, once {LEAST} have an outcome; {_DEFAULT.stop_after_errors} by default, 0 for never.",
        ),
        "limit-money": Setting(
            lambda policy, text: replace(policy, limit_money=money_limit(text)),
            lambda policy: NONE if policy.limit_money is None else f"{policy.limit_money:f}",
            lambda policy: (
                said("any sum")
                if policy.limit_money is None
                else said("at most {sum} in this run", sum=policy.limit_money)
            ),
            metavar="AMOUNT",
            help="Stop before the amounts sent in this run, signs left out, add up to more; none for any sum.",
        ),
        "like-last": Setting(
            lambda policy, text: replace(policy, like_last=_share_of(text)),
            lambda policy: NONE if policy.like_last is None else f"{policy.like_last:f}%",
            lambda policy: (
                said("however unlike the last load")
                if policy.like_last is None
                else said("like the last load, up to {share}", share=percent(policy.like_last))
            ),
            metavar="P%",
            help="Ask before a load whose rows or sum differ by more than this from the last one of its job, as 50%; "
            "with --yes it is refused. none for any.",
            live=False,
        ),
        "canary": Setting(
            lambda policy, text: replace(policy, canary=is_yes(text)),
            lambda policy: YES if policy.canary else NO,
            lambda policy: (
                said("begins with {steps} rows, then all", steps=tuple(map(str, STEPS)))
                if policy.canary
                else said("begins with all rows at once")
            ),
            metavar=None,
            help="Do not begin with 1, 10 and 100 rows, and do not stop at a new error of the first ten.",
            live=False,
        ),
        "settle": Setting(
            lambda policy, text: replace(policy, settle=_settle_of(text)),
            lambda policy: _written(policy.settle),
            lambda policy: said("looks lost answers up after {seconds} s", seconds=policy.settle),
            metavar="SECONDS",
            help="After a lost answer, how long until a look-up is trusted to see what the call did, "
            f"{_DEFAULT.settle:g} by default.",
            live=False,
        ),
    }
)
"""All settings, by the names that an operator types, in the order of the help; `min-disk` in megabytes."""

SETTINGS: Final = MappingProxyType({name: setting for name, setting in ALL.items() if setting.live})
"""Those of a live run."""

_ALWAYS_TOLD: Final = frozenset({"in-flight", "stop-after-errors"})
_TOLD_BY_ANOTHER: Final = frozenset({"max-in-flight", "throttle-above"})
_DEFAULTS: Final = {name: setting.shown(_DEFAULT) for name, setting in ALL.items()}


def _is_set(policy: Policy, name: str) -> bool:
    return ALL[name].shown(policy) != _DEFAULTS[name]


# ---- the open files of this process -------------------------------------------------------------------------------
# A parallel call is a connection, and the system limits them (`ulimit -n`). A call that finds no free file is not
# sent, and looks as if the billing were away: the run is held without end. So what a run needs is provided before it
# begins, and before it is driven wider.


BASE: Final = 64
"""Files besides those of calls: journal, log, input, recording, the database's process, standard streams."""

A_CALL: Final = 2
"""Files of a parallel call: its connection, and one that rests between two calls."""


class TooFewFiles(EngineError):
    """Raised when the system lets this process open fewer files than are needed; the text says what to do."""


def widest(policy: Policy) -> int:
    return policy.max_in_flight if policy.in_flight is None else policy.in_flight


def provide_files(calls: int = 0) -> None:
    """See to it that so many parallel calls find their files, within what the system allows. Raises `TooFewFiles`."""
    wanted = BASE + A_CALL * calls
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _reaches(soft, wanted):
        return
    if _reaches(hard, wanted):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return
    what = said("this command needs {wanted} open files", wanted=Quantity(wanted))
    hint = ""
    if calls:
        what = said("{calls} parallel calls need {wanted} open files", calls=Quantity(calls), wanted=Quantity(wanted))
        if (most := (hard - BASE) // A_CALL) > 0:
            hint = said("; with it, {most} are possible", most=Quantity(most))
    raise TooFewFiles(
        said(
            "{what}, and the system lets this process open {hard}{hint}. Raise the limit: ulimit -n 4096 in the "
            "shell, LimitNOFILE=4096 in a service",
            what=what,
            hard=Quantity(hard),
            hint=hint,
        )
    )


def provide_all_files() -> None:
    """Let this process open as many files as the system allows: for clients, whose number nobody here decides."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _reaches(limit: int, wanted: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= wanted
