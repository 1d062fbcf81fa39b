"""A run is steered from another machine, which has its journal and nothing else: no socket, another state folder."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import anyio
import pytest

from checkpoints.address import journal_in_postgres
from checkpoints.journal import open_journal
from tests.cli.conftest import PATIENCE, Cli, Place, Started
from tests.cli.page.browser import browser_at
from tests.postgres_server import PostgresServer

ROWS: Final = 200
SLOW: Final = ("--rate", "4", "--timeout", "2", "--settle", "0.5")
FAST: Final = "rate=none"


@pytest.fixture
def shared(place: Place, postgres_server: PostgresServer) -> Place:
    """A billing whose journal is in PostgreSQL, with a lease that outlasts a command that nobody takes."""
    return replace(place, cli=place.cli.on_machine("work", f"{postgres_server.new_journal()}&lease=30"))


@pytest.fixture
def other(shared: Place) -> Cli:
    """Another machine with the same journal."""
    return shared.cli.on_machine("other")


@asynccontextmanager
async def a_load(place: Place) -> AsyncIterator[tuple[Started, str]]:
    """A slow load in the middle of its work, and the name of its run."""
    async with place.cli.started("run", "balances", place.balances(ROWS).path, "--yes", "--json", *SLOW) as load:
        await place.traffic.reaches(2)
        ((name,),) = place.asked("select name from runs")
        yield load, str(name)


async def test_its_commands_are_heard_answered_and_noted_once_with_their_sender(shared: Place, other: Cli) -> None:
    async with a_load(shared) as (load, name):
        seen = (await other("status", name, "--json")).closing
        assert (seen["holder"]["process"], seen["live"]) == (load.process.pid, None)
        assert sum(seen["states"].values()) == ROWS
        assert "is not heard from here" in " ".join((await other("status", name)).out.split())
        answered = await other("set", name, "rate=5", "--json")
        assert answered.closing["said"] == "rate: at most 5 calls a second"
        assert (await other("get", name, "--json")).closing["settings"]["rate"] == "5"
        refused = await other("set", name, "rate=never", may_end_with=(2,))
        assert "'never'" in refused.words
        shared.asked(
            "select pg_terminate_backend(pid) from pg_stat_activity where starts_with(query, 'listen carbon')"
        )
        await other("pause", name)
        assert (await other("status", name, "--json")).closing["paused"]
        await other("continue", name)
        stopped = await other("stop", name, "--json")
        assert stopped.closing["exit"] == 0
        assert (await load.ended(None)).exit == 130
    commands = (await other("status", name, "--json")).closing["commands"]
    assert [one["command"] for one in commands] == ["set rate=5", "set rate=never", "pause", "continue", "stop"]
    ((host,),) = shared.asked("select host from runners")
    assert all(f"@{host}, process " in one["who"] for one in commands)
    assert shared.asked("select 1 from requests") == []
    resumed = await other("resume", "--settle", "0.1", "--rate", "none", "--json")
    assert resumed.closing["states"] == {"accepted": ROWS}
    assert (await shared.found()).most_for_one == 1


async def test_a_command_that_a_stopped_process_does_not_take_has_no_effect_when_it_goes_on(
    shared: Place, other: Cli
) -> None:
    async with a_load(shared) as (load, name):
        load.signal(signal.SIGSTOP)
        try:
            refused = await other("stop", name, may_end_with=(2,))
        finally:
            load.signal(signal.SIGCONT)
        assert f"process {load.process.pid} on" in refused.words
        assert "has not taken the command within 10 s. The command is withdrawn" in refused.words
        assert f"kill -INT {load.process.pid}" in refused.words
        # The next one is heard, and the run goes on under it.
        await other("set", name, FAST)
        assert (await load.ended(None)).closing["states"] == {"accepted": ROWS}
    assert [one["command"] for one in (await other("status", name, "--json")).closing["commands"]] == [f"set {FAST}"]


async def test_a_command_for_an_earlier_process_is_refused_by_its_successor(shared: Place, other: Cli) -> None:
    async with (
        a_load(shared) as (load, name),
        open_journal(journal_in_postgres(other.environment["CARBON_MIGRATE_JOURNAL"], other.folder)) as seen,
    ):
        before = await seen.run(name)
        load.signal(signal.SIGKILL)
        await load.ended(None)
        async with shared.cli.started("resume", name, "--settle", "0.1", "--json") as resumed:
            # It waits until it is taken: the successor begins meanwhile.
            handed = await seen.requests.ask(before, "olga@ops", '{"command": "stop"}', PATIENCE)
            answer = json.loads(handed.answer or "{}")
            assert answer["refused"], handed
            assert "does not work on the run any more" in answer["said"]
            await other("set", name, FAST)
            assert (await resumed.ended(None)).closing["states"] == {"accepted": ROWS}
    assert [one["command"] for one in (await other("status", name, "--json")).closing["commands"]][-1:] == [
        f"set {FAST}"
    ]


async def test_the_page_shows_what_the_journal_knows_and_its_buttons_work(shared: Place, other: Cli) -> None:
    async with a_load(shared) as (load, name), other.started("page", name, "--json") as page:
        async with browser_at(json.loads(await page.first_line())["address"]) as browser:
            assert (await browser.open()).status == 303
            async with browser.stream(name) as stream:
                first = (await stream.until(lambda seen: seen["accepted"]["rows"] > 0)).data
                assert first["worked_by"]["process"] == load.process.pid
                assert not first["knows_pace"]
                assert "is not heard from here" in first["why"]
                await stream.until(lambda seen: seen["accepted"]["rows"] > first["accepted"]["rows"])
                assert (await browser.commands(name, "pause")).status == 200
                paused = (await stream.until(lambda seen: seen["paused"])).data
                assert paused["paused"]["by"].startswith("page, ")
                assert (await browser.commands(name, "continue")).status == 200
                assert (await browser.commands(name, "set", None, rate="none")).status == 200
                with anyio.fail_after(PATIENCE):
                    ended = (await stream.until(lambda seen: seen["ended"])).data
                assert (ended["accepted"]["rows"], ended["knows_pace"]) == (ROWS, True)
        page.signal(signal.SIGINT)
        await page.ended(None)
        assert (await load.ended(None)).exit == 0
