"""A rehearsal says of each row what a real run would, and enters nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from checkpoints.earlier_runs import earlier_runs
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Change, NewItem, NewRun
from checkpoints.states import State
from engine.job import Entries, Marked
from engine.pipeline.intake import Intake, Rehearsal, Repeat
from engine.pipeline.progress import Progress
from tests.engine.doubles import FakeJob, row, rows

TARGET = "http://billing"
NEW = NewRun("fake", {}, TARGET, "memory", "", ("id",))
ELSEWHERE = replace(NEW, target="http://127.0.0.1:8082")


async def entered(journal: Journal) -> None:
    """Earlier runs: 0 accepted, 1 rejected, 2 in doubt, 3 accepted with another amount; 4 at another address."""
    await Intake(await journal.create_run(ELSEWHERE), FakeJob([row("4")]), journal, Progress()).freeze_all()
    run = await journal.create_run(NEW)
    job = FakeJob([*rows(3), row("3", "9")])
    await Intake(run, job, journal, Progress()).freeze_all()
    items = await journal.items(run, {State.PENDING})
    await journal.claim(run, [item.item_id for item in items])
    ends = (State.ACCEPTED, State.REJECTED, State.UNKNOWN, State.ACCEPTED)
    await journal.record(run, [Change(item.item_id, end) for item, end in zip(items, ends, strict=True)])


async def outcome(journal: Journal, supplier: FakeJob | Rehearsal, enter: Repeat) -> list[tuple[str, str, str]]:
    """What became of the rows of a run: its items and its refused rows, each with the reason."""
    run = await journal.create_run(NEW)
    await Intake(run, supplier, journal, Progress(), enter=enter).freeze_all()
    items = await journal.items(run, set(State))
    refused = [refusal for _, refusal in await journal.refusals(run)]
    return [
        *((item.key, str(item.state), (item.message or "").partition(":")[0]) for item in items),
        *((refusal.label, "refused", refusal.reason) for refusal in refused),
    ]


def again_in_the_input() -> list[NewItem]:
    """What the earlier runs have, one row of it twice, a new one, and a new one twice."""
    return [*rows(5), row("0"), row("5"), row("5")]


@pytest.mark.parametrize("enter", list(Repeat))
@pytest.mark.parametrize("repeatable", [False, True])
async def test_it_says_what_a_real_run_would(tmp_path: Path, *, enter: Repeat, repeatable: bool) -> None:
    job = FakeJob(again_in_the_input())
    job.repeatable = repeatable
    async with open_journal(tmp_path / "real") as real, open_journal(tmp_path / "plans") as plans:
        await entered(real)
        before = len(await real.runs())
        async with earlier_runs(real.path) as earlier:
            rehearsal = Rehearsal(job, TARGET, earlier, enter=enter)
            rehearsed = await outcome(plans, rehearsal, Repeat.AGAIN)
        assert len(await real.runs()) == before
        # A second plan is not held against the first.
        async with earlier_runs(real.path) as earlier:
            assert await outcome(plans, Rehearsal(job, TARGET, earlier, enter=enter), Repeat.AGAIN) == rehearsed
        assert rehearsed == await outcome(real, job, enter)
    states = {key: state for key, state, _ in rehearsed}
    if enter is not Repeat.AGAIN and not repeatable:
        elsewhere = {"subscriber 4": "refused"} if enter is Repeat.ONCE else {"4": "pending"}
        assert states == elsewhere | {
            "0": "skipped",
            "1": "pending",
            "5": "skipped",
            "subscriber 2": "refused",
            "subscriber 3": "refused",
        }


class PartlyRepeatable(FakeJob):
    """One whose calls of the payload "set" may be made again."""

    def may_repeat(self, payload: str) -> bool:
        return payload == "set"


async def test_a_row_whose_call_may_be_made_again_is_not_held_against_earlier_runs(tmp_path: Path) -> None:
    job = PartlyRepeatable([replace(row("0"), payload="set"), replace(row("3"), payload="set"), row("2")])
    job.entries["3"] = Entries((Marked("other", 1, "5", "operation 5"),))
    async with open_journal(tmp_path / "real") as real, open_journal(tmp_path / "plans") as plans:
        await entered(real)
        async with earlier_runs(real.path) as earlier:
            rehearsed = await outcome(plans, Rehearsal(job, TARGET, earlier), Repeat.AGAIN)
        assert rehearsed == await outcome(real, job, Repeat.ONCE)
    assert [(key, state) for key, state, _ in rehearsed] == [
        ("0", "pending"),
        ("3", "pending"),
        ("subscriber 2", "refused"),
    ]
