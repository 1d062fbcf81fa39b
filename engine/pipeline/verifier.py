"""The verifier: reads back what the billing now says, and holds it against what was sent."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from checkpoints.journal import Journal
from checkpoints.records import Change, Item, Run
from checkpoints.states import State, states_where
from engine.job import CannotLook, Job, ReadBack


@dataclass(slots=True)
class ReadBackSummary:
    """What reading back gave: how many are as wanted, how many are not, and what both sides of these add up to.

    `unreadable` are those that cannot be read back, by the reason why: nothing is claimed of them.
    """

    as_wanted: int = 0
    different: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    expected: Decimal = field(default=Decimal(0))
    found: Decimal = field(default=Decimal(0))


Report = Callable[[Item, ReadBack], None]
"""Told of each item that is not as wanted."""


async def verify(run: Run, job: Job, journal: Journal, report: Report, *, page: int = 1000) -> ReadBackSummary:
    """Read back every accepted and applied item; those as wanted become applied.

    What cannot be read back is counted, and stays as it is. Raises `LookUpFailed` when the billing cannot be asked;
    what was verified until then is kept.
    """
    verdict = ReadBackSummary()
    async for items in journal.each_page(run, states_where(in_effect=True), size=page):
        readings = await job.effect.read_back(run, items)
        applied: list[Change] = []
        for item in items:
            reading = readings.get(item.item_id, ReadBack(None, "the billing says nothing of it"))
            if isinstance(reading, CannotLook):
                verdict.unreadable[reading.text] += 1
                continue
            verdict.expected += item.amount or 0
            verdict.found += reading.amount or 0
            if reading.difference is not None:
                verdict.different += 1
                report(item, reading)
                continue
            verdict.as_wanted += 1
            if item.state is State.ACCEPTED:
                applied.append(Change(item.item_id, State.APPLIED, message=item.message))
        await journal.record(run, applied)
    return verdict
