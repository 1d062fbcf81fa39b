"""A rehearsal says of each row what a real run would, and enters nothing."""

from pathlib import Path

import pytest

from checkpoints.earlier import earlier_runs
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Change, NewItem, NewRun
from checkpoints.states import State
from engine.intake import Intake
from engine.progress import Progress
from engine.rehearsal import Rehearsal
from tests.engine.doubles import FakeJob, row, rows

TARGET = "http://billing"
NEW = NewRun("fake", {}, TARGET, "memory", "", ("id",))


async def entered(journal: Journal) -> None:
    """Earlier runs: 0 accepted, 1 rejected, 2 in doubt, 3 accepted with another amount."""
    run = await journal.create_run(NEW)
    job = FakeJob([*rows(3), row("3", "9")])
    await Intake(run, job, journal, Progress()).freeze_all()
    items = await journal.items(run, {State.PENDING})
    await journal.claim([item.item_id for item in items])
    ends = (State.ACCEPTED, State.REJECTED, State.UNKNOWN, State.ACCEPTED)
    await journal.record([Change(item.item_id, end) for item, end in zip(items, ends, strict=True)])


async def outcome(journal: Journal, supplier: FakeJob | Rehearsal, *, again: bool) -> list[tuple[str, str, str]]:
    """What became of the rows of a run: its items and its refused rows, each with the reason."""
    run = await journal.create_run(NEW)
    await Intake(run, supplier, journal, Progress(), enter_again=again).freeze_all()
    items = await journal.items(run, set(State))
    refused = [refusal for _, refusal in await journal.refusals(run)]
    return [
        *((item.key, str(item.state), (item.message or "").partition(":")[0]) for item in items),
        *((refusal.label, "refused", refusal.reason) for refusal in refused),
    ]


def again_in_the_input() -> list[NewItem]:
    """What the earlier runs have, one row of it twice, a new one, and a new one twice."""
    return [*rows(5), row("0"), row("5"), row("5")]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("repeatable", [False, True])
async def test_it_says_what_a_real_run_would(tmp_path: Path, *, again: bool, repeatable: bool) -> None:
    job = FakeJob(again_in_the_input())
    job.repeatable = repeatable
    async with open_journal(tmp_path / "real") as real, open_journal(tmp_path / "plans") as plans:
        await entered(real)
        before = len(await real.runs())
        with earlier_runs(real.path) as earlier:
            rehearsal = Rehearsal(job, TARGET, earlier, enter_again=again)
            rehearsed = await outcome(plans, rehearsal, again=True)
        assert len(await real.runs()) == before
        # A second plan is not held against the first.
        with earlier_runs(real.path) as earlier:
            assert await outcome(plans, Rehearsal(job, TARGET, earlier, enter_again=again), again=True) == rehearsed
        assert rehearsed == await outcome(real, job, again=again)
    states = {key: state for key, state, _ in rehearsed}
    if not again and not repeatable:
        assert states == {
            "0": "skipped",
            "1": "pending",
            "4": "pending",
            "5": "skipped",
            "subscriber 2": "refused",
            "subscriber 3": "refused",
        }


async def test_a_row_that_is_skipped_for_another_reason_is_judged_as_well(tmp_path: Path) -> None:
    job = FakeJob([NewItem("3", "subscriber 3", "account 3", "{}", row("3").amount, skip_reason="there already")])
    async with open_journal(tmp_path / "real") as real, open_journal(tmp_path / "plans") as plans:
        await entered(real)
        with earlier_runs(real.path) as earlier:
            rehearsed = await outcome(plans, Rehearsal(job, TARGET, earlier), again=True)
        assert [state for _, state, _ in rehearsed] == ["refused"]
        assert rehearsed == await outcome(real, job, again=False)
