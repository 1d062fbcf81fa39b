"""A run that is watched: by several at once, by scripts, on a terminal, and until it ends."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from checkpoints.journal import open_journal
from cli.commands.status import tell_changes
from cli.session.run_view import RunView
from cli.terminal.screen import Screen, Voice
from engine.pipeline.progress import Progress, Status
from tests.checkpoints.samples import frozen_run, new_item
from tests.cli.commands.test_control import ROWS, a_load, a_stopped_load
from tests.cli.conftest import PATIENCE, Place, Started
from tests.cli.terminal.terminals import at_a_terminal


class Heard:
    """What a watcher has printed so far, line by line."""

    def __init__(self, watcher: Started) -> None:
        self._watcher = watcher
        self.text = ""

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    async def until(self, wanted: str) -> None:
        with anyio.fail_after(PATIENCE):
            while wanted not in self.text:
                self.text += (await self._watcher.process.stdout.receive()).decode()

    async def ended(self) -> int:
        ended = await self._watcher.ended()
        self.text += ended.out
        assert "Traceback" not in ended.err
        return ended.exit


async def test_two_watch_one_run_and_both_see_it_paused_going_on_and_ending(place: Place) -> None:
    async with (
        a_load(place) as (load, name),
        place.cli.started("status", name, "--watch") as first,
        place.cli.started("status", "--watch", "--json") as second,
    ):
        by_eye, by_script = Heard(first), Heard(second)
        await by_eye.until(" in flight")
        await by_script.until('"live":{')
        await place.cli("pause", name)
        await by_eye.until("held: paused by ")
        await by_script.until('"paused":{"since"')
        place.billing.latency = 0.0
        await place.cli("continue", name)
        assert (await load.ended()).exit == 0
        assert (await by_eye.ended(), await by_script.ended()) == (0, 0)
    assert f"run {name} paused, by " in by_eye.text
    assert by_eye.lines[-1] == f"run {name}: done, {ROWS} accepted"
    objects: list[dict[str, Any]] = [json.loads(line) for line in by_script.lines]
    assert {one["run"] for one in objects} == {name}
    assert any(one["live"] and one["live"]["paused"] for one in objects)
    last = objects[-1]
    assert (last["live"], last["holder"], last["states"]) == (None, None, {"accepted": ROWS})


async def test_a_watcher_may_leave_and_who_stays_is_told_the_end_in_full(place: Place) -> None:
    """On a terminal it is drawn until then, and the run goes on without who has left."""
    async with a_load(place) as (load, name):
        with at_a_terminal(place, "status", name, "--watch") as leaves:
            await leaves.shows("rows/s")
            leaves.interrupt()
            assert await leaves.ends() == 130
        assert "Traceback" not in leaves.seen
        with at_a_terminal(place, "status", name, "--watch") as stays:
            await stays.shows("rows/s")
            place.billing.latency = 0.0
            assert (await load.ended()).exit == 0
            assert await stays.ends() == 0
    assert f"carbon-migrate verify {name}" in stays.seen


async def test_a_run_at_rest_is_shown_once_and_one_that_says_nothing_is_followed_in_its_journal(place: Place) -> None:
    name = await a_stopped_load(place)
    (line,) = (await place.cli("status", name, "--watch")).out.splitlines()
    assert line.startswith(f"run {name}: stopped, ")
    (found,) = (json.loads(line) for line in (await place.cli("status", name, "--watch", "--json")).out.splitlines())
    assert (found["run"], found["live"]) == (name, None)
    await place.cli.refused("status", "--watch", says="nobody works on any run")
    async with place.journal() as journal:
        run = await journal.run(name)
        async with AsyncExitStack() as work:
            await work.enter_async_context(journal.taken_up(run))
            async with place.cli.started("status", "--watch") as watcher:
                heard = Heard(watcher)
                await heard.until("running, ")
                await journal.pause(run, "olga")
                await heard.until("paused, by olga")
                await work.aclose()
                assert await heard.ended() == 0
    assert "stopped, paused" in heard.lines[-1]


@pytest.mark.parametrize("as_json", [False, True])
async def test_only_what_has_changed_is_said(
    as_json: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_journal(tmp_path / "a.journal") as journal:
        run = await frozen_run(journal, new_item("1"), new_item("2"))
        async with journal.taken_up(run):
            holder = await journal.holder(run)
        status = Progress().status()
        # Time passes, a row is done, time passes, the process says nothing any more, and goes.
        heard: list[Status | None] = [status, _later(status), replace(_later(status), total=1, done=1), None, None]

        async def each_look() -> AsyncIterator[RunView]:
            for live in heard:
                yield RunView(run, await journal.totals(run), holder, live=live)
            yield RunView(run, await journal.totals(run))

        await tell_changes(each_look(), journal, Screen(Voice(as_json=as_json)))
    lines = capsys.readouterr().out.splitlines()
    if as_json:
        objects = [json.loads(line) for line in lines]
        assert [one["live"] and one["live"]["done"] for one in objects] == [0, 1, None, None]
        assert [one["holder"] is None for one in objects] == [False, False, False, True]
    else:
        assert [line.partition(":")[2].split(",")[0].strip() for line in lines] == [
            "no row to send so far",
            "1 of 1 row so far",
            "running",
            "reading",
        ]


def _later(status: Status) -> Status:
    return replace(status, seconds=status.seconds + 1, average=0.5, held_seconds={"paused": 1.0})
