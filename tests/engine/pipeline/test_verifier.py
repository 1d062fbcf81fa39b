from collections import Counter
from decimal import Decimal

import pytest

from checkpoints.records import Item
from checkpoints.states import State
from engine.errors import LookUpFailed
from engine.job import CannotLook, ReadBack
from engine.pipeline.verifier import ReadBackSummary, verify
from tests.engine.doubles import A_RUN, FakeJob, MemoryJournal, item

pytestmark = pytest.mark.virtual_clock


class Report:
    """What the verifier had to say."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str | None]] = []

    def __call__(self, item: Item, reading: ReadBack) -> None:
        self.told.append((item.key, reading.difference))


def accepted(*numbers: int) -> list[Item]:
    return [item(number, state=State.ACCEPTED, amount="1.10") for number in numbers]


async def test_what_is_read_back_as_wanted_is_applied() -> None:
    journal, report = MemoryJournal(*accepted(1, 2, 3, 4, 5)), Report()
    verdict = await verify(A_RUN, FakeJob(), journal, report, page=2)
    assert verdict == ReadBackSummary(5, 0, expected=Decimal("5.50"), found=Decimal("5.50"))
    assert set(journal.states().values()) == {State.APPLIED}
    assert [len(changes) for changes in journal.recorded] == [2, 2, 1]
    assert report.told == []


async def test_what_is_not_as_wanted_is_reported_and_stays_accepted() -> None:
    journal, report, job = MemoryJournal(*accepted(1, 2, 3)), Report(), FakeJob()
    job.readings = {"2": ReadBack(Decimal("0.10"), "sent 1.10, found 0.10"), "3": None}
    verdict = await verify(A_RUN, job, journal, report)
    assert verdict == ReadBackSummary(1, 2, expected=Decimal("3.30"), found=Decimal("1.20"))
    assert report.told == [("2", "sent 1.10, found 0.10"), ("3", "the billing says nothing of it")]
    assert journal.states() == {"1": State.APPLIED, "2": State.ACCEPTED, "3": State.ACCEPTED}


async def test_what_cannot_be_read_back_is_neither_applied_nor_different() -> None:
    journal, report, job = MemoryJournal(*accepted(1, 2, 3)), Report(), FakeJob()
    job.readings = {"2": CannotLook("no way"), "3": CannotLook("no way")}
    verdict = await verify(A_RUN, job, journal, report, page=2)
    # Its money is on neither side: a difference would be claimed with it.
    assert verdict == ReadBackSummary(1, 0, Counter({"no way": 2}), Decimal("1.10"), Decimal("1.10"))
    assert report.told == []
    assert journal.states() == {"1": State.APPLIED, "2": State.ACCEPTED, "3": State.ACCEPTED}


async def test_only_what_had_an_effect_is_read_back() -> None:
    items = [item(number, state=state) for number, state in enumerate(State)]
    journal, job = MemoryJournal(*items), FakeJob()
    before = journal.states()
    verdict = await verify(A_RUN, job, journal, Report())
    assert (verdict.as_wanted, verdict.different) == (2, 0)
    changed = {key for key, state in journal.states().items() if state is not before[key]}
    assert [before[key] for key in changed] == [State.ACCEPTED]


async def test_a_billing_that_cannot_be_asked_changes_nothing() -> None:
    journal, job = MemoryJournal(*accepted(1, 2)), FakeJob()
    job.look_up_error = LookUpFailed("away")
    with pytest.raises(LookUpFailed):
        await verify(A_RUN, job, journal, Report())
    assert set(journal.states().values()) == {State.ACCEPTED}
