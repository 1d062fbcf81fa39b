"""The page lists the runs of the journal as `status` has them."""

import os
import resource
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from anyio import create_task_group

from checkpoints.address import journal_in_postgres
from checkpoints.journal import open_journal
from checkpoints.purge import Purge
from checkpoints.queries import FoundRow
from checkpoints.records import Run, Totals
from checkpoints.sqlite_connection import SqliteQueries
from checkpoints.states import State
from cli.page import feed
from cli.page.application import PageOrder, serving
from cli.page.feed import Feed, Feeds, RunList
from cli.settings.known_billings import NO_BILLINGS, KnownBillings
from cli.terminal.language import ENGLISH, language
from tests.checkpoints.samples import come_to, frozen_run, new_item
from tests.cli.conftest import Cli, clean_environment
from tests.cli.fleet.conftest import every_stage
from tests.cli.page.browser import browser_at, page_shown
from tests.postgres_server import PostgresServer


async def test_runs_of_many_billings_are_listed_with_their_needs(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    where = journal_in_postgres(postgres_server.new_journal(), tmp_path)
    known = KnownBillings({"idle.example.org-8082": ["north"]}, (where,))
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(open_journal(where))
        campaign = await stack.enter_async_context(every_stage(journal))
        what = {run.name: what for what, run in campaign.runs.items()}
        address = await stack.enter_async_context(serving(journal, PageOrder(None, "ru", known=known)))
        browser = await stack.enter_async_context(browser_at(address.url))
        await browser.open()
        found = (await browser.get("/api/runs")).found
        runs = {what[one["run"]]: one for one in found["runs"]}
        assert list(runs)[0:7] == ["reading", "frozen", "again", "left", "idle", "decide", "rejected"]
        assert (runs["idle"]["billing"], runs["works"]["billing"]) == ("north", "works.example.org")
        assert runs["works"]["where"].endswith(f", {os.getpid()}")
        assert runs["works"]["per_second"] > 0
        assert runs["decide"]["needs"] == ["надо решить по 3 строкам"]
        assert runs["queued"]["where"].startswith("в очереди с ")
        assert found["summary"][0].startswith("14 биллингов: 7 загрузок требуют внимания")
        assert len(found["billings"]) == len(runs) == 14
        of_one = (await browser.get("/api/runs?billing=north&lang=en")).found
        assert [what[one["run"]] for one in of_one["runs"]] == ["idle"]
        assert of_one["summary"][0] == "1 billing: 1 run needs a person"
        assert len(of_one["billings"]) == 14


async def test_the_rows_of_a_run_at_rest_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal has many runs, and the list asks for all of them every few seconds."""
    monkeypatch.setattr(feed, "PAUSE", 0)
    monkeypatch.setattr(feed, "MOST_RUNS", 1)
    async with open_journal(tmp_path / "a.journal") as journal:
        run = await frozen_run(journal, new_item("1"))
        listed, counted = RunList(journal, NO_BILLINGS), counted_runs(monkeypatch)
        for _ in range(3):
            await listed.look(language("en"))
        assert counted == [run.run_id]
        counted.clear()
        monkeypatch.setattr(feed, "PAUSE", 1e6)
        patient = RunList(journal, NO_BILLINGS)
        async with journal.taken_up(run) as ours:
            # The journal keeps of it how far its rows are read.
            for rate in ("1", "2", "3"):
                await journal.keep_policy(ours, {"rate": rate})
                await patient.look(language("en"))
        assert counted == [run.run_id]
        monkeypatch.setattr(feed, "PAUSE", 0)
        await listed.look(language("en"))
        counted.clear()
        async with journal.taken_up(run) as ours:
            await come_to(journal, ours, {1: State.ACCEPTED})
        for _ in range(3):
            await listed.look(language("en"))
        assert counted == [run.run_id]
        newer = await frozen_run(journal, new_item("2"))
        found = await listed.look(language("en"))
        assert ([one["run"] for one in cast("list[dict[str, str]]", found["runs"])], found["more"]) == (
            [newer.name],
            1,
        )
        monkeypatch.undo()
        found = await listed.look(language("en"))
    assert [one["accepted"] for one in cast("list[dict[str, int]]", found["runs"])] == [0, 1]


def counted_runs(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The ids of the runs whose rows are counted for lists from now on."""
    each, counted = SqliteQueries.each, list[object]()

    def counting(db: SqliteQueries, name: str, /, **values: Any) -> Iterator[FoundRow]:
        if name == "totals_of_runs":
            counted.extend(values["ids"])
        return each(db, name, **values)

    monkeypatch.setattr(SqliteQueries, "each", counting)
    return counted


async def test_an_open_run_is_counted_again_when_it_has_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "EVERY", 0.01)
    monkeypatch.setattr(feed, "PAUSE", 0)
    async with open_journal(tmp_path / "a.journal") as journal:
        run, totals, counted = await frozen_run(journal, new_item("1")), journal.totals, list[str]()

        async def count(run: Run) -> Totals:
            counted.append(run.name)
            return await totals(run)

        monkeypatch.setattr(journal, "totals", count)
        async with create_task_group() as group, Feeds(journal, group).watching(run.name) as watched:
            await moments(watched, 5)
            assert counted == [run.name]
            async with journal.taken_up(run) as ours:
                await come_to(journal, ours, {1: State.ACCEPTED})
            await moments(watched, 5)
            before = len(counted)
            await moments(watched, 5)
            assert len(counted) == before
            facts = watched.facts
    assert facts is not None
    assert facts.totals.counts == {State.ACCEPTED: 1}


async def moments(watched: Feed, number: int) -> None:
    """Wait for so many looks."""
    for _ in range(number):
        assert await watched.next(watched.last)


async def test_the_report_is_that_of_the_command(tmp_path: Path) -> None:
    async with page_shown(tmp_path, language="en") as shown:
        name = shown.run.name
        replies = {one: await shown.browser.get(f"/api/runs/{name}/report?lang={one}") for one in ("en", "ru")}
        assert (await shown.browser.get("/api/runs/zzzzz/report")).status == 404
        gone = await frozen_run(shown.journal, new_item("9"))
        await shown.journal.discard(gone)
        purge = Purge({}, empty=lambda payload: payload, keep_totals=False)
        await shown.journal.purge(await shown.journal.run(gone.name), purge)
        reply = await shown.browser.get(f"/api/runs/{gone.name}/report")
        assert (reply.status, reply.found["refused"]) == (409, True)
    for one, reply in replies.items():
        assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "script-src" not in reply.headers["Content-Security-Policy"]
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        arguments = ("report", name, "--lang", one, "--journal", tmp_path / "a.journal", "-o", f"{one}.html")
        await Cli(tmp_path, clean_environment())(*arguments)
        assert reply.text == await anyio.Path(tmp_path / f"{one}.html").read_text(encoding="utf-8")


# ---- A page beside a run changes nothing of how the run comes out


async def test_a_fault_in_the_last_look_is_none_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(_: Feed) -> None:
        raise ValueError("a fault of the page")

    async with open_journal(tmp_path / "a.journal") as journal:
        run = await frozen_run(journal, new_item("1"))
        async with serving(journal, PageOrder(run.name, ENGLISH)):
            monkeypatch.setattr(Feed, "look", fails)


async def test_connections_to_a_page_take_no_files_from_the_calls_of_the_run(tmp_path: Path) -> None:
    """Anybody on this machine can connect, and a call without a free file waits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard - 1, 512), hard))
    try:
        async with open_journal(tmp_path / "a.journal") as journal, serving(journal, PageOrder(None, ENGLISH)):
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
