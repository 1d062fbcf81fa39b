"""Holds, stops, the canary and limits: why no call may leave now, what ends the run, and its first few rows.

A hold ends by itself or by a person, and the run goes on. A stop ends the run, which can be resumed, behind a limit
with a higher one.
"""

import re
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import accumulate
from math import inf
from typing import Final, TypeAlias

import anyio
import structlog

from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from checkpoints.states import State, states_where
from engine.statistics import error_group
from texts.said import Given, Quantity, ValueRefused, advised, counted, said, setting, two_decimals

log = structlog.get_logger(__name__)


class StopKind(StrEnum):
    """The kind of a stop; a run can be resumed after each."""

    INTERRUPTED = "interrupted"
    """A person or the system asked for it."""
    SYSTEM = "system"
    """The billing as a whole refuses or fails, or something else that the run needs has failed."""
    BUDGET = "budget"
    """A limit on errors or money was reached: a person has to check."""
    DECISION = "decision"
    """All that is left waits for a person's decision on other rows of the run."""


class Stop:
    """The stop request of a run, shared by all of its tasks; the first reason is kept."""

    def __init__(self) -> None:
        self.kind: StopKind | None = None
        self.reason = ""
        """What has happened, and what to do next."""
        self.again: float | None = None
        """Seconds after which it passes by itself, None where nobody knows."""
        self.requested = False
        self._event = anyio.Event()

    def request(self, kind: StopKind, reason: str, again: float | None = None) -> None:
        """Request a stop: begin nothing new, finish the calls in flight."""
        if self.kind is None:
            self.kind, self.reason, self.again = kind, reason, again
            self.requested = True
            self._event.set()

    async def wait(self) -> None:
        await self._event.wait()

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            with anyio.move_on_after(seconds):
                await self._event.wait()


IN_DOUBT: Final = "in doubt"
"""Rows in doubt are looked up, and nothing is sent meanwhile."""

PAUSED: Final = "paused"
"""A person has paused the run."""

BILLING: Final = "billing"
"""The billing is away, busy, or asks for a pause."""
ASKING_AGAIN: Final = "retry"
"""The code of that hold while it waits for the time to ask again, which `continue --now` ends."""

BARRIER: Final = "barrier"
"""The run has ended, and the next step waits until the billing has processed what was sent."""

POLL_SECONDS: Final = 1.0
"""Seconds between two updates of a countdown."""


class Holds:
    """The present holds by holder; calls leave when there is none. A pause is shown first, then the oldest hold.

    `who` is the holder, a short fixed word; `why` is a text for people that may change during the hold.
    """

    def __init__(self) -> None:
        self._holds: dict[str, tuple[str, float]] = {}
        """By holder: why, and since when."""
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._lifted_at = -inf
        """When the last hold ended."""
        self._listeners: list[Callable[[], None]] = []
        self._free = anyio.Event()
        self._free.set()
        self._released = False

    def __bool__(self) -> bool:
        return bool(self._holds)

    def __contains__(self, who: str) -> bool:
        return who in self._holds

    @property
    def why(self) -> str | None:
        why, _ = self._holds.get(PAUSED) or next(iter(self._holds.values()), (None, 0.0))
        return why

    @property
    def present(self) -> dict[str, str]:
        return {who: why for who, (why, _) in self._holds.items()}

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds held so far, by holder; overlapping holds count in full."""
        now = time.monotonic()
        present = {who: self._seconds.get(who, 0.0) + now - since for who, (_, since) in self._holds.items()}
        return {**self._seconds, **present}

    def lasting(self, seconds: float) -> dict[str, tuple[str, float]]:
        """The present holds that have lasted at least so long: by holder why, and for how many seconds."""
        now = time.monotonic()
        return {who: (why, now - since) for who, (why, since) in self._holds.items() if now - since >= seconds}

    def was_free_for(self, seconds: float) -> bool:
        return not self._holds and time.monotonic() - self._lifted_at >= seconds

    def put(self, who: str, why: str) -> None:
        before = self._holds.get(who)
        was_free = not self._holds
        self._holds[who] = why, before[1] if before else time.monotonic()
        if before is None:
            log.info("held", by=who, why=why)
            # One event for overlapping holds: it is set when the last of them ends.
            if was_free and not self._released:
                self._free = anyio.Event()
            self._tell()

    def lift(self, who: str) -> None:
        hold = self._holds.pop(who, None)
        if hold is None:
            return
        held = time.monotonic() - hold[1]
        self._seconds[who] += held
        log.info("held no longer", by=who, seconds=round(held, 1))
        if not self._holds:
            self._lifted_at = time.monotonic()
            self._free.set()
        self._tell()

    def listen(self, heard: Callable[[], None]) -> None:
        self._listeners.append(heard)

    async def lifted(self) -> None:
        await self._free.wait()

    def release(self) -> None:
        """Wake all waiters for good, because a stop was requested."""
        self._released = True
        self._free.set()

    def _tell(self) -> None:
        for heard in self._listeners:
            heard()


# ---- the canary ---------------------------------------------------------------------------------------------------
# A run begins with one row, then ten, then a hundred, and waits for the outcomes of each step. A fault of the whole
# input, or of the call, shows in the first rows, and the run stops before all rows repeat it.


STEPS: Final = (1, 10, 100)
"""Rows of each step; after the last step all rows follow."""

WATCHED: Final = 10
"""Number of first rows in which a new error stops the run."""


class Canary:
    """The canary steps of a run in this process. `known` are error texts that the run has shown before.

    A step without a single answered row is repeated.
    """

    def __init__(self, *, wanted: bool, known: Collection[str] = ()) -> None:
        self._left = list(STEPS) if wanted else []
        self._known = {error_group(text) for text in known}
        self._answered = 0
        self._watched = WATCHED if wanted else 0

    @property
    def rows(self) -> int | None:
        return self._left[0] if self._left else None

    @property
    def why(self) -> str:
        """The present step, in words; "" when the steps are over."""
        return said("trial rows first: {rows}", rows=self._left[0]) if self._left else ""

    def answered(self) -> None:
        self._answered += 1
        self._watched -= 1

    def alarm(self, item: Item, error: str, run_name: str, *, tries: int | None = None) -> str | None:
        """The stop message if `item` is one of the first rows and `error` is new, None otherwise.

        `tries` is the number of tries of a row that was not refused but left pending.
        """
        if self._watched < 0 or not self._left or error_group(error) in self._known:
            return None
        where = said("row {row}", row=item.number)
        if item.line:
            where = said("row {row}, line {line}", row=item.number, line=item.line)
        slots: dict[str, Given] = {
            "watched": WATCHED,
            "where": where,
            "label": item.label,
            "error": error,
            "resume": advised("resume", run_name),
            "no_canary": setting("no-canary"),
        }
        if tries is not None:
            return said(
                "one of the first {watched} rows was tried {tries} times in vain and is left for another time: "
                "{where} ({label}): {error}. {resume} tries it again; with {no_canary} the others do not wait for it",
                tries=tries,
                **slots,
            )
        return said(
            "one of the first {watched} rows met an error that this run has not met before: {where} ({label}): "
            "{error}. If it is only this row, {resume} goes on with the others; with {no_canary} it does not begin "
            "with a few rows",
            **slots,
        )

    def passed(self) -> None:
        if self._left and self._answered:
            del self._left[0]
        self._answered = 0


async def canary_of(run: Run, journal: Journal, counts: Mapping[State, int], *, wanted: bool) -> Canary:
    if not wanted or any(counts.get(state) for state in states_where(in_effect=True)):
        return Canary(wanted=False)
    known = [*await journal.reasons(run, State.REJECTED), *await journal.reasons(run, State.UNCONFIRMED)]
    return Canary(wanted=True, known=[reason.example for reason in known])


# ---- the limits that stop a run -----------------------------------------------------------------------------------


# At most two decimals: 10,000 is ambiguous.
_AMOUNT: Final = re.compile(r"[0-9]{1,15}(?:[.,][0-9]{1,2})?")


def money_limit(text: str) -> Decimal | None:
    """Parse an amount such as `10000` or `10 000,50`; None for `none`. Raises `ValueError` with a sentence."""
    words = "".join(text.split())
    if words == "none":
        return None
    if not _AMOUNT.fullmatch(words):
        raise ValueRefused(
            "{text!r} is not a limit of money: write an amount as 10000 or 10000.50, or none", text=text
        )
    return Decimal(words.replace(",", "."))


class Spending:
    """The sum of absolute amounts of all rows of a run that were sent, also by earlier processes.

    `limit` gives the present limit, None for none. The sum is kept without a limit too, so that a limit set later
    counts the rows already under way. A row that is refused or found absent is subtracted again.
    """

    def __init__(self, limit: Callable[[], Decimal | None]) -> None:
        self._limit = limit
        self._sent = Decimal(0)
        self._whole = Decimal(0)
        self.must_look = True
        """Whether the sum is unknown and must be read from the journal, as after items in doubt were settled."""

    async def look(self, run: Run, journal: Journal) -> None:
        """Read the sum from the journal; no call may be under way meanwhile."""
        self._sent = await journal.absolute_sum(run, states_where(counts_money=True))
        self._whole = await whole_sum(run, journal)
        self.must_look = False

    def fitting(self, items: Sequence[Item]) -> int:
        limit = self._limit()
        if limit is None:
            return len(items)
        sums = accumulate(abs(item.amount or Decimal(0)) for item in items)
        return next((place for place, sum_ in enumerate(sums) if self._sent + sum_ > limit), len(items))

    def sent(self, items: Sequence[Item]) -> None:
        self._sent += sum([abs(item.amount) for item in items if item.amount], Decimal(0))

    def came_out(self, item: Item, state: State) -> None:
        if not state.counts_money:
            self._sent -= abs(item.amount or Decimal(0))

    def overdrawn(self, run: Run) -> str | None:
        """The stop message if the limit is now below the sum sent, None otherwise."""
        limit = self._limit()
        if limit is None or self.must_look or self._sent <= limit:
            return None
        return said(
            "{sent} has been sent or was about to be, and {flag} is {limit} now. {resume} sends the rest as well",
            sent=self._sent,
            flag=setting("limit-money"),
            limit=limit,
            resume=_with_limit(run, self._whole),
        )

    def told(self, item: Item, run: Run) -> str:
        limit, sent = self._limit() or Decimal(0), self._sent
        return said(
            "{sent} has been sent, and row {row} ({label}) of {amount} would pass {flag}: {left} is left. {resume} "
            "sends the rest as well",
            sent=sent,
            row=item.number,
            label=item.label,
            amount=item.amount or Decimal(0),
            flag=setting("limit-money", two_decimals(limit)),
            left=max(limit - sent, Decimal(0)),
            resume=_with_limit(run, self._whole),
        )


async def whole_sum(run: Run, journal: Journal) -> Decimal:
    """The limit that lets the whole run through: the absolute sums of what was sent and of what is left."""
    return await journal.absolute_sum(run, {*states_where(counts_money=True), *states_where(open=True)})


def _with_limit(run: Run, limit: Decimal) -> str:
    return advised("resume", run.name, ("limit-money", two_decimals(limit)))


LEAST: Final = 100
"""Minimum number of rows with an outcome before a share is checked."""

LAST: Final = 1000
"""Number of last rows whose share is checked as well as that of all rows, for a run that goes wrong late."""

_HUNDRED: Final = Decimal(100)
_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:[.,][0-9]{1,6})?)\s*%")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Percent:
    """A share of rows, in percent."""

    value: Decimal

    def __str__(self) -> str:
        return f"{self.value.normalize():f}%"


ErrorLimit: TypeAlias = int | Percent
"""A number of rows, or a share of them."""


def error_limit(text: str) -> ErrorLimit | None:
    """Parse a limit such as `50` or `1%`; None for 0 or `never`. Raises `ValueError` with a sentence."""
    words = text.strip()
    if words in {"0", "never"}:
        return None
    if _NUMBER.fullmatch(words):
        return int(words) or None
    percent = _PERCENT.fullmatch(words)
    if percent and (value := Decimal(percent[1].replace(",", "."))) < _HUNDRED:
        return Percent(value)
    raise ValueRefused(
        "{text!r} is not a limit of errors: write a number of rows as 50, a share as 1%, or never", text=text
    )


class ErrorBudget:
    """Counts right and wrong outcomes in this process."""

    def __init__(self) -> None:
        self._rows = 0
        self._wrong = 0
        self._last: deque[bool] = deque(maxlen=LAST)
        self._wrong_of_last = 0

    def add(self, *, wrong: bool) -> None:
        if len(self._last) == LAST:
            self._wrong_of_last -= self._last[0]
        self._last.append(wrong)
        self._wrong_of_last += wrong
        self._rows += 1
        self._wrong += wrong

    def spent(self, limit: ErrorLimit | None) -> str | None:
        """Describe how the limit is reached: its number of errors, or a larger share; None while it is not."""
        match limit:
            case int() if self._wrong >= limit:
                return counted("{n} row[s] went wrong", self._wrong)
            case Percent(value) if self._rows >= LEAST:
                if self._wrong * _HUNDRED > value * self._rows:
                    return said(
                        "{wrong} of {rows} rows went wrong", wrong=Quantity(self._wrong), rows=Quantity(self._rows)
                    )
                if self._wrong_of_last * _HUNDRED > value * len(self._last):
                    return said(
                        "{wrong} of the last {rows} rows went wrong",
                        wrong=Quantity(self._wrong_of_last),
                        rows=Quantity(len(self._last)),
                    )
        return None
