"""The page lists the runs of the journal as `status` has them."""

from pathlib import Path
from typing import cast

import anyio
import pytest
from anyio import create_task_group

from checkpoints.journal import Journal, open_journal
from checkpoints.purge import Purge
from checkpoints.records import Change, Run, Totals
from checkpoints.states import State
from cli.page import feed, runs
from cli.page.feed import Feed, Feeds
from cli.page.runs import RunList
from cli.terminal.language import language
from tests.checkpoints.samples import frozen_run, ids, new_item
from tests.cli.conftest import Cli, clean_environment
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


async def test_the_rows_of_a_run_that_nobody_works_on_are_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal has many runs, and the list asks for all of them every few seconds."""
    monkeypatch.setattr(runs, "PAUSE", 0)
    async with open_journal(tmp_path / "a.journal") as journal:
        run = await frozen_run(journal, new_item("1"))
        listed, counted = RunList(journal), counts_of(journal, monkeypatch)
        for _ in range(3):
            await listed.look(language("en"))
        assert counted == [run.name]
        async with journal.taken_up(run) as ours:
            changes = [Change(item, State.ACCEPTED) for item in (await ids(journal, ours)).values()]
            await journal.claim(ours, [one.item_id for one in changes])
            await journal.record(ours, changes)
        for _ in range(3):
            await listed.look(language("en"))
        found = await listed.look(language("en"))
        assert counted == [run.name] * 2
    assert [one["accepted"] for one in cast("list[dict[str, int]]", found["runs"])] == [1]


async def test_a_run_that_is_read_page_by_page_is_not_counted_after_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal keeps of it how far its rows are read."""
    monkeypatch.setattr(runs, "PAUSE", 1e6)
    async with open_journal(tmp_path / "a.journal") as journal:
        run = await frozen_run(journal, new_item("1"))
        listed, counted = RunList(journal), counts_of(journal, monkeypatch)
        async with journal.taken_up(run) as ours:
            for rate in ("1", "2", "3"):
                await journal.keep_policy(ours, {"rate": rate})
                await listed.look(language("en"))
    assert counted == [run.name]


def counts_of(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the runs whose rows are counted from now on."""
    totals, counted = journal.totals, list[str]()

    async def count(run: Run) -> Totals:
        counted.append(run.name)
        return await totals(run)

    monkeypatch.setattr(journal, "totals", count)
    return counted


async def test_the_rows_of_an_open_run_are_counted_again_once_somebody_has_worked_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "EVERY", 0.01)
    monkeypatch.setattr(feed, "PAUSE", 0)
    async with open_journal(tmp_path / "a.journal") as journal:
        run, counted = await frozen_run(journal, new_item("1")), counts_of(journal, monkeypatch)
        async with create_task_group() as group, Feeds(journal, group).watching(run.name) as watched:
            await moments(watched, 5)
            assert counted == [run.name]
            async with journal.taken_up(run) as ours:
                (item,) = (await ids(journal, ours)).values()
                await journal.claim(ours, [item])
                await journal.record(ours, [Change(item, State.ACCEPTED)])
            await moments(watched, 5)
            before = len(counted)
            await moments(watched, 5)
            assert len(counted) == before
            facts = watched.timeline.facts
    assert facts is not None
    assert facts.counted.totals.counts == {State.ACCEPTED: 1}


async def moments(watched: Feed, number: int) -> None:
    """Wait for so many looks."""
    for _ in range(number):
        assert await watched.timeline.next(watched.timeline.last)


async def test_who_opens_a_run_has_its_rows_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_journal(tmp_path / "a.journal") as journal:
        run, counted = await frozen_run(journal, new_item("1")), counts_of(journal, monkeypatch)
        async with create_task_group() as group, Feeds(journal, group).watching(run.name) as watched:
            assert await watched.timeline.next(0)
            # What was begun beside the first look has its turn.
            await journal.runs()
    assert counted == [run.name]


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_the_report_is_that_of_the_command(language: str, tmp_path: Path) -> None:
    async with page_shown(tmp_path, language="en") as shown:
        reply = await shown.browser.get(f"/api/runs/{shown.run.name}/report?lang={language}")
        assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "script-src" not in reply.headers["Content-Security-Policy"]
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        name = shown.run.name
    arguments = ("report", name, "--lang", language, "--journal", str(tmp_path / "a.journal"), "-o", "r.html")
    await Cli(tmp_path, clean_environment())(*arguments)
    assert reply.text == await anyio.Path(tmp_path / "r.html").read_text(encoding="utf-8")


async def test_where_there_can_be_no_report_it_says_why(tmp_path: Path) -> None:
    async with page_shown(tmp_path) as shown:
        gone = await frozen_run(shown.journal, new_item("9"))
        await shown.journal.discard(gone)
        purge = Purge({}, empty=lambda payload: payload, keep_totals=False)
        await shown.journal.purge(await shown.journal.run(gone.name), purge)
        reply = await shown.browser.get(f"/api/runs/{gone.name}/report")
        assert (reply.status, reply.found["refused"]) == (409, True)
        assert (await shown.browser.get("/api/runs/zzzzz/report")).status == 404
