"""The page lists the runs of the journal as `status` has them."""

from pathlib import Path

import pytest

from checkpoints.records import Change
from checkpoints.states import State
from cli.page import runs
from tests.checkpoints.samples import frozen_run, ids, new_item
from tests.cli.page.browser import page_shown


async def test_runs_come_with_their_rows_and_sums_the_newest_first(tmp_path: Path) -> None:
    async with page_shown(tmp_path, language="ru") as shown:
        journal, run = shown.journal, shown.run
        item = (await ids(journal, run))["1"]
        async with journal.taken_up(run) as ours:
            await journal.claim(ours, [item])
            await journal.record(ours, [Change(item, State.ACCEPTED)])
            newer = await frozen_run(journal, new_item("9"))
            found = (await shown.browser.get("/api/runs")).found
        assert [one["run"] for one in found["runs"]] == [newer.name, run.name]
        own = found["runs"][1]
        totals = await journal.totals(run)
        assert (own["stage"], own["stage_text"], own["is_held"]) == ("running", "выполняется", True)
        assert (own["asked"], own["asked_sum"], own["accepted"]) == (2, format(totals.amount, "f"), 1)
        assert own["accepted_sum"] == format(totals.amounts[State.ACCEPTED], "f")


async def test_old_runs_are_counted_and_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MOST_RUNS", 2)
    async with page_shown(tmp_path) as shown:
        names = [(await frozen_run(shown.journal, new_item(str(number)))).name for number in range(3)]
        found = (await shown.browser.get("/api/runs")).found
        assert ([one["run"] for one in found["runs"]], found["more"]) == ([names[2], names[1]], 2)
