"""The past of a run that nobody works on: what was sent when, and what came between, as the page draws it.

The journal keeps no pace beyond fifteen minutes. So it is made of the moments at which the rows were sent last, in a
bounded number of spans, and of who worked on the run and what it was told meanwhile.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from typing import Final, NamedTuple

from checkpoints.records import Command, Runner, SentSpan
from cli.session.comparison import PEAK, STILL, pace_of
from engine.pacing.holds import BILLING, IN_DOUBT

MOST_MARKS: Final = 100
"""The latest marks on the axis of time."""
LOOKS: Final = frozenset({"verify", "reconcile", "decide", "close", "undo"})
"""What takes a run up and sends nothing of it."""
_PAUSES: Final = {"pause": "paused", "continue": "continued"}
"""Commands that are marked, where they have changed something: of a paused run `pause` does not."""
_WAITS: Final = {BILLING: "away", IN_DOUBT: "doubt"}
"""Waits that are told apart from others."""
_UNPAUSES: Final = frozenset({"continue", "resume"})
"""`continue now=yes` ends a pause too, and so does `resume --unpause`."""


class _Worked(NamedTuple):
    """When a process worked on the run, in seconds since 1970, and what its end was."""

    began: float
    ended: float
    how: str


def past_of(
    spans: Sequence[SentSpan],
    runners: Sequence[Runner],
    commands: Sequence[Command],
    waits: Sequence[Command],
    alive: Sequence[float],
    *,
    has_ended: bool,
) -> Mapping[str, object] | None:
    """What the page draws: points and marks in their order, and figures; None for a run that has sent nothing.

    Sums are decimal text, all others numbers; times are seconds. `alive` are the last moments at which a process has
    said something of the run: one that was killed counts until then, or until the last row that it has sent.
    """
    if (pace := pace_of(spans)) is None:
        return None
    working = [one for one in runners if one.purpose not in LOOKS]
    worked = _worked(spans, working, alive, has_ended=has_ended)
    first, length = spans[0].at, spans[0].seconds
    last = max([spans[-1].at + 1.0, *(one.ended for one in worked)])
    starts = range(first, spans[-1].at + 1, length)
    # The last span may reach beyond the end of the run, and the end lie long after it.
    over = min(float(starts[-1] + length), last)
    still = [*pace.still, *([(over, last)] if last - over >= STILL else [])]
    clipped = [(max(one.began, first), min(one.ended, last)) for one in worked]
    busy = sum(max(end - begin, 0.0) for begin, end in clipped)
    held = sum(max(min(end, to) - max(begin, since), 0.0) for begin, end in clipped for since, to in still)
    return {
        "points": [*_points(spans, starts, [over, last] if over < last else [last])],
        "marks": sorted(_marks(worked, commands, waits))[-MOST_MARKS:],
        "average": pace.average,
        "peak": pace.peak,
        "seconds": max(PEAK, length),
        "worked": busy,
        "held": held,
        "idle": max(last - first - busy, 0.0),
        "repeated": sum(one.calls - one.sent for one in spans),
    }


def _points(spans: Sequence[SentSpan], starts: range, ends: Sequence[float]) -> Iterator[Mapping[str, object]]:
    """A point for each span, also for those without a row; errors and roubles are those since the beginning."""
    by_start: Mapping[float, SentSpan] = {one.at: one for one in spans}
    errors, amount = 0, Decimal(0)
    for at in (*starts, *ends):
        one = by_start.get(at)
        if one is not None:
            errors += one.failed
            amount += one.amount
        yield {"t": at, "rate": one.sent / one.seconds if one else 0.0, "errors": errors, "sum": format(amount, "f")}


def _worked(
    spans: Sequence[SentSpan], runners: Sequence[Runner], alive: Sequence[float], *, has_ended: bool
) -> list[_Worked]:
    found: list[_Worked] = []
    nexts = [one.began_at.timestamp() for one in runners[1:]]
    for runner, then in zip(runners, [*nexts, float("inf")], strict=False):
        began = runner.began_at.timestamp()
        if runner.ended_at is not None:
            how = "ended" if has_ended and runner is runners[-1] else "stopped"
            found.append(_Worked(began, runner.ended_at.timestamp(), how))
        else:
            # What the next one has sent again counts as its own.
            ends = chain((one.at + one.seconds for one in spans), alive)
            found.append(_Worked(began, max([began, *(one for one in ends if one <= then)]), "killed"))
    return found


def _marks(
    worked: Sequence[_Worked], commands: Sequence[Command], waits: Sequence[Command]
) -> Iterator[tuple[float, str]]:
    """What came when, by its moment."""
    for number, one in enumerate(worked):
        yield one.began, "resumed" if number else "begun"
        yield one.ended, one.how
    is_paused = False
    for told in commands:
        word = told.command.partition(" ")[0]
        was_paused, is_paused = is_paused, word == "pause" or (is_paused and word not in _UNPAUSES)
        if word in _PAUSES and is_paused != was_paused:
            yield told.given_at.timestamp(), _PAUSES[word]
    for told in waits:
        yield told.given_at.timestamp(), _WAITS.get(told.command, "waits") if told.answer else "waited"
