"""A run is steered and watched from other terminals, and what it was told survives whatever happens to it."""

import json
import os
import pwd
import re
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from checkpoints.journal import Journal, open_journal
from checkpoints.mailbox import Mailbox
from checkpoints.records import Command, Run
from checkpoints.states import State
from cli.commands.status import tell_changes
from cli.session import control_client as asking
from cli.session import journal as session_journal
from cli.session.control_client import give
from cli.session.run_view import RunView
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.screen import Screen, Voice
from engine.pacing.policy import Policy
from engine.pipeline.control import ControlRequest
from engine.pipeline.progress import Progress, Status
from lab.mock.faults import Fault, FaultKind, FaultPlan
from tests.checkpoints.samples import come_to, frozen_run, new_item, sent_run, within
from tests.cli.conftest import PATIENCE, Cli, Place, Started, Typed
from tests.cli.terminal.terminals import at_a_terminal

ROWS = 80
SLOW = 0.5
"""Seconds of an answer while a run is steered: it is still there when the next command has begun."""
DISK = 4 * 2**20
"""Bytes of a small disk."""
ENOUGH = 4
"""Calls after which a run is steered: it sends for certain, and most is still to come."""


@asynccontextmanager
async def a_load(place: Place, *words: str, latency: float = SLOW) -> AsyncIterator[tuple[Started, str]]:
    """A load in the middle of its work, two calls at a time, and the name of its run."""
    balances = place.balances(ROWS)
    place.billing.latency = 0.05
    flags = ("--yes", "--json", "--in-flight", "2", *words)
    async with place.cli.started("run", "balances", balances.path, *flags) as load:
        await load.until(partial(place.traffic.reaches, place.traffic.arrived + ENOUGH))
        place.billing.latency = latency
        yield load, (await place.runs())[-1].name


async def a_stopped_load(place: Place) -> str:
    async with a_load(place) as (load, name):
        load.signal(signal.SIGTERM)
        await load.ended()
    place.billing.latency = 0.0
    return name


async def told(place: Place, name: str) -> tuple[Run, list[Command]]:
    """The run as the journal has it, and what it was told."""
    async with place.journal() as journal:
        run = await journal.run(name)
        return run, await journal.history.commands(run)


async def is_still(place: Place, name: str) -> int:
    """Wait until nothing is in flight; how many calls have been made until then."""
    with anyio.fail_after(PATIENCE):
        while (await live(place, name))["in_flight"]:
            pass
    return place.traffic.arrived


async def live(place: Place, name: str) -> dict[str, Any]:
    """What the run says of itself."""
    found: dict[str, Any] = (await place.cli.closing("status", name))["live"]
    return found


async def held(place: Place, name: str, by: str) -> str:
    """Wait until something like this holds the run; in its words."""
    with anyio.fail_after(PATIENCE):
        while by not in (why := (await live(place, name))["held"] or ""):
            pass
    return str(why)


async def settings(place: Place, name: str) -> dict[str, str]:
    """What `get` says of a run that works."""
    found: dict[str, str] = (await place.cli.closing("get", name))["settings"]
    return found


# ---- pause, continue, set, get, stop -----------------------------------------------------------------------------


async def test_what_was_set_on_a_live_run_survives_a_kill_and_so_does_its_pause(place: Place) -> None:
    """There is one run alone, so no command need name it."""
    async with a_load(place) as (load, name):
        hours = hours_with(place, 11, 12)
        await place.cli("set", f"hours={hours}", "rate=7", "limit-money=100")
        assert f"run {name}: paused" in (await place.cli("pause")).out
        before = await is_still(place, name)
        load.signal(signal.SIGKILL)
        await load.ended()
    place.billing.latency = 0.0
    by = (await told(place, name))[0].paused_by
    assert by is not None
    async with place.cli.started("resume", "--settle", "0", "--json", *NO_WAITING) as load:
        heard = await load.said(f"carbon-migrate continue {name}")
        assert by in " ".join(heard.split())
        # It listens, and has the time to send, were it to.
        in_force = await settings(place, name)
        assert (in_force["hours"], in_force["rate"], in_force["limit-money"]) == (hours, "7", "100")
        assert (await live(place, name))["paused"]
        shown = (await place.cli("status", name)).out
        assert ("running, paused" in shown, by in shown) == (True, True)
        await place.cli("set", "hours=always", "rate=none")
        assert place.traffic.arrived == before < ROWS
        assert "it goes on" in (await place.cli("continue")).out
        ended = await load.ended()
    assert ended.exit == 3
    assert "--limit-money 100.00" in ended.closing["stopped"]
    assert (await place.found()).rows == 53
    run = (await told(place, name))[0]
    # What was set back to what it is by default is kept no more.
    assert (run.paused_at, run.policy) == (None, {"in-flight": "2", "limit-money": "100", "settle": "0.1"})
    assert (await place.cli.closing("resume", "--limit-money", "none"))["states"] == {"accepted": ROWS}
    await place.landed_once(ROWS)
    assert f"run {name}" in (await place.cli("verify")).out
    await place.cli("report")
    assert [*place.cli.folder.glob("report-*.html")] == [place.cli.folder / f"report-{name}.html"]


async def test_a_pause_holds_until_a_person_ends_it_and_what_is_set_holds_at_once(place: Place) -> None:
    """All that was said is on record; where one setting is wrong, nothing is set."""
    async with a_load(place) as (load, name):
        await place.cli("pause", name)
        before = await is_still(place, name)
        assert "it was paused already, by " in (await place.cli("pause", name)).out
        in_force = await settings(place, name)
        wrong = ("rate=500", "in-flight=3", "hours=25:00-26:00")
        await place.cli.refused("set", name, *wrong, says=["hours", "nothing was changed"])
        assert (await settings(place, name), place.traffic.arrived) == (in_force, before)
        await place.cli("set", name, "rate=0.001", "in-flight=8")
        assert {"rate=0.001", "in-flight=8"} <= set((await place.cli("get", name)).out.split())
        place.billing.latency = 0.0
        await place.cli("continue", name)
        # The next call but one would be a quarter of an hour away.
        assert await is_still(place, name) <= before + 1 < ROWS
        await place.cli("pause", name)
        await place.cli("stop", name, "--no-wait")
        assert (await load.ended()).exit == 130
    before = place.traffic.arrived
    async with place.cli.started("resume", "--settle", "0", name) as load:
        await load.said("is paused")
        # What Ctrl-C ends is the waiting: the run stays paused.
        load.signal(signal.SIGINT)
        assert (await load.ended()).exit == 130
    run, commands = await told(place, name)
    assert (place.traffic.arrived, run.paused_at is None) == (before, False)
    said_to_it = ["pause", "pause", f"set {' '.join(wrong)}", "set rate=0.001 in-flight=8", "continue"]
    assert [one.command for one in commands] == [*said_to_it, "pause", "stop", "taken up with --settle 0"]
    assert all(f"@{socket.gethostname()}, process " in one.who for one in commands)
    assert len({one.who for one in commands}) == len(commands)  # each from a process of its own
    shown = (await place.cli("status", name)).out
    assert [one.who for one in commands if one.who not in shown] == []
    # A script says at once that it is to go on.
    resumed = await place.cli.closing("resume", "--settle", "0", "--rate", "none", "--unpause")
    assert resumed["states"] == {"accepted": ROWS}
    await place.landed_once(ROWS)
    run, commands = await told(place, name)
    assert run.paused_at is None
    assert [one.command for one in commands[-2:]] == ["resume --unpause", "taken up with --rate none"]


async def test_stop_finishes_what_is_in_flight_and_waits_for_the_end(place: Place) -> None:
    async with a_load(place) as (load, name):
        # The next calls take longer than any command.
        place.billing.latency = 5 * SLOW
        await place.traffic.reaches(place.traffic.arrived + 2)
        (await place.cli("stop", name)).saying("its process ends with 130")
        # It had ended when the command did.
        async with place.journal() as journal:
            assert await journal.holder(await journal.run(name)) is None
        ended = await load.ended()
    assert (ended.exit, ended.closing["stopped"][:11]) == (130, "stopped by ")
    assert ended.closing["states"].keys() == {"accepted", "pending"}
    assert (await place.found()).rows == ended.closing["states"]["accepted"] == place.traffic.arrived


async def test_a_run_that_is_frozen_is_left_the_stop_and_stops_when_it_wakes(place: Place) -> None:
    async with a_load(place) as (load, name):
        load.signal(signal.SIGSTOP)
        (await place.cli("stop", name, may_end_with=(Exit.STOPPED,))).saying("it stops when it wakes")
        load.signal(signal.SIGCONT)
        ended = await load.ended()
    assert (ended.exit, ended.closing["stopped"][:11]) == (130, "stopped by ")
    assert ended.closing["states"].keys() == {"accepted", "pending"}


# ---- where the journal takes nothing more -----------------------------------------------------------------------


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Leave a small disk not one byte of room while the context lasts."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        for size in (2**16, 2**12):
            with suppress(OSError):
                while file.tell() < 2 * DISK:
                    file.write(bytes(size))
    try:
        yield
    finally:
        filler.unlink()


async def test_a_run_whose_disk_is_full_still_hears_stop(place: Place, tmp_path: Path) -> None:
    """The command goes by a signal, to the process that the journal names and that has it open."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = await anyio.run_process(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("only root may mount")
    journal = {"CARBON_MIGRATE_JOURNAL": str(disk / place.cli.journal.name)}
    place = replace(place, cli=Cli(disk, place.cli.environment | journal))
    try:
        async with a_load(place, "--min-disk", "0") as (load, name):
            await place.cli("pause", name)
            await is_still(place, name)
            with filled(disk):
                await place.cli.refused("continue", name, says="cannot be written")
                said = await place.cli.closing("stop", name, "--no-wait")
                assert "was sent SIGTERM, and the run stops" in said["said"]
            assert (await load.ended(None)).exit in {3, 130}
        place.billing.latency = 0.0
        assert (await place.cli.closing("resume", name, "--unpause", "--settle", "0.1"))["states"] == {
            "accepted": ROWS
        }
        await place.landed_once(ROWS)
    finally:
        await anyio.run_process(["umount", str(disk)])


async def test_a_wait_for_the_billing_is_ended_at_once_and_none_for_rows_in_doubt(place: Place) -> None:
    """The billing asks for ten minutes, with a page that may have come after the effect."""
    async with a_load(place, "--settle", "600", "--no-canary") as (load, name):
        not_now = Fault(FaultKind.UNAVAILABLE, method="objects.create", retry_after="600", times=1)
        place.billing.faults.set(FaultPlan((not_now,)))
        place.billing.latency = 0.0
        assert "asking again in" in await held(place, name, "asking again")
        assert "the billing is asked at once" in (await place.cli("continue", "--now")).out
        assert "looking them up in" in await held(place, name, "in doubt")
        early = ["in doubt", "would be sent a second time"]
        await place.cli.refused("continue", name, "--now", says=early)
        assert (await live(place, name))["counts"] == {"accepted": ROWS - 1, "unknown": 1}
        await place.cli("stop", name)
        assert (await load.ended()).exit == 130
    await place.cli.refused("continue", name, "--now", says="there is no wait to end")
    assert (await place.cli.closing("resume", *NO_WAITING))["states"] == {"accepted": ROWS}
    await place.landed_once(ROWS)
    assert [one.command for one in (await told(place, name))[1]][:2] == ["continue now=yes", "continue now=yes"]


# ---- what a run keeps of how it is driven ------------------------------------------------------------------------

SUM_OF_15 = "7.50"
"""What the first fifteen amounts of a file of balances add up to, signs left out."""
NO_WAITING = ("--settle", "0.1")
STEP = '[[step]]\njob = "balances"\nfile = "balances.csv"\n'


def hours_with(place: Place, first: int, last: int) -> str:
    """Hours of the day from so many after the billing's own to so many."""
    ((hour,),) = place.query("select extract(hour from current_timestamp) from rdb$database")
    return f"{(hour + first) % 24:02}:00-{(hour + last) % 24:02}:00"


async def test_after_a_kill_a_plain_resume_is_held_by_limit_hours_and_rate_as_before(place: Place) -> None:
    hours = hours_with(place, -1, 2)
    begun = ("--limit-money", SUM_OF_15, "--hours", hours, "--rate", "5", "--in-flight", "2", "--max-stack", "70")
    path = place.balances(200).path
    await place.kill_at(4, "run", "balances", path, "--yes", *begun, *NO_WAITING, "--no-canary")
    (left,) = await place.runs()
    assert f"at most {SUM_OF_15} in this run" in (await place.cli("status", left.name)).out
    # A reconcile waits as long as the run does.
    await place.cli("reconcile", left.name, may_end_with=(0, 3))
    async with place.journal() as journal:
        assert "unknown" not in (await journal.totals(left)).counts
        *_, process = await journal.history.runners(left)
    assert (process.purpose, process.ended_at is None) == ("reconcile", False)
    assert ((process.ended_at or process.began_at) - process.began_at).total_seconds() < Policy().settle
    ended = await place.cli("resume", "--settle", "0", "--json", may_end_with=(3,))
    begin, end = hours.split("-")
    assert (
        f"pacing: parallel calls: 2; at most 5 calls a second; from {begin} to {end}; "
        "held above 70 entries in a stack; "
        f"stops after 100 errors; at most {SUM_OF_15} in this run; "
    ) in ended.words
    assert f"kept with the run: in-flight=2, rate=5, hours={hours}, max-stack=70, limit-money=7.50," in ended.words
    assert "--limit-money 7.50" in ended.closing["stopped"]
    assert 0 < ended.closing["calls"] <= 5 * ended.closing["seconds"] + 1
    await place.landed_once(15)


async def test_a_run_that_stopped_at_its_limit_stops_there_again_and_a_higher_one_is_kept_in_turn(
    place: Place,
) -> None:
    path = place.balances(60).path
    name = (await place.run("balances", path, "--limit-money", SUM_OF_15, "--settle", "0", ends=3))["run"]
    policy = {"limit-money": SUM_OF_15, "settle": "0"}
    assert (await place.cli.closing("status", name))["settings"] == policy
    says = f"it keeps limit-money={SUM_OF_15} settle=0, which a flag changes: carbon-migrate resume"
    await place.cli.refused("get", name, says=says)
    # A select that is none is not kept.
    mistyped = ("--throttle-sql", "select nothing", "--throttle-above", "5", "--limit-money", "none")
    await place.cli.refused("resume", name, *mistyped, says="--throttle-sql")
    assert (await told(place, name))[0].policy == policy
    again = await place.cli("resume", name, "--json", may_end_with=(3,))
    assert (again.closing["calls"], (await place.found()).rows) == (0, 15)
    needed = re.search(rf"`carbon-migrate resume {name} --limit-money ([0-9.]+) --journal ", again.closing["stopped"])
    assert needed is not None
    assert "pacing: " in again.words
    assert (await place.cli.closing("resume", name, "--limit-money", "20", ends=3))["calls"] > 0
    assert (await place.cli.closing("resume", name, ends=3))["calls"] == 0
    run, commands = await told(place, name)
    assert run.policy == {"limit-money": "20", "settle": "0"}
    assert [one.command for one in commands] == ["taken up with --limit-money 20"]
    assert (await place.cli.closing("resume", name, "--limit-money", needed[1]))["states"] == {"accepted": 60}
    assert (await place.found()).most_for_one == 1


async def test_a_step_of_a_job_file_that_is_taken_up_keeps_its_limits_and_a_flag_changes_them(place: Place) -> None:
    place.balances(60)
    place.write(f'[run]\nlimit_money = 7.5\nin_flight = "auto"\n{STEP}', "night.toml")
    stopped = await place.run("night.toml", "--settle", "0", ends=3)
    assert (await place.found()).rows == 15
    place.write(STEP, "night.toml")
    again = await place.run("night.toml", ends=3)
    assert (again["run"], again["calls"]) == (stopped["run"], 0)
    assert (await place.run("night.toml", "--limit-money", "none"))["states"] == {"accepted": 60}


# ---- watched: by several at once, by scripts, on a terminal, and until it ends -----------------------------------


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


async def test_all_who_watch_one_run_see_it_paused_going_on_and_ending_and_one_may_leave(place: Place) -> None:
    """On a terminal it is drawn until then, and told in full."""
    async with (
        a_load(place) as (load, name),
        place.cli.started("status", name, "--watch") as first,
        place.cli.started("status", "--watch", "--json") as second,
    ):
        by_eye, by_script = Heard(first), Heard(second)
        await by_eye.until(" in flight")
        await by_script.until('"live":{')
        with at_a_terminal(place, "status", name, "--watch") as leaves:
            await leaves.shows("rows/s")
            leaves.interrupt()
            assert await leaves.ends() == 130
        assert "Traceback" not in leaves.seen
        with at_a_terminal(place, "status", name, "--watch") as stays:
            await stays.shows("rows/s")
            await place.cli("pause", name)
            await by_eye.until("held: paused by ")
            await by_script.until('"paused":{"since"')
            place.billing.latency = 0.0
            await place.cli("continue", name)
            assert (await load.ended()).exit == 0
            assert await stays.ends() == 0
        assert (await by_eye.ended(), await by_script.ended()) == (0, 0)
    assert f"carbon-migrate verify {name}" in stays.seen
    assert f"run {name} paused, by " in by_eye.text
    assert by_eye.lines[-1] == f"run {name}: done, {ROWS} accepted"
    objects: list[dict[str, Any]] = [json.loads(line) for line in by_script.lines]
    assert {one["run"] for one in objects} == {name}
    assert any(one["live"] and one["live"]["paused"] for one in objects)
    last = objects[-1]
    assert (last["live"], last["holder"], last["states"]) == (None, None, {"accepted": ROWS})


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


# ---- at rest: what commands do to a run that nobody works on, or that does not answer ----------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "carbon-migrate.journal"


@pytest.fixture
def name(path: Path) -> str:
    """A run of two rows, one accepted, that somebody has stopped."""

    async def make(journal: Journal) -> str:
        return (await sent_run(journal, new_item("1"), new_item("2"), fates={1: State.ACCEPTED})).name

    return within(path, make)


@contextmanager
def worked_on(path: Path, run: Run) -> Iterator[None]:
    """Somebody works on the run and does not listen."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(open_journal(path)) as journal,
        portal.wrap_async_context_manager(journal.taken_up(run)),
    ):
        yield


def looked_at(path: Path, name: str) -> tuple[Run, list[Command]]:
    async def look(journal: Journal) -> tuple[Run, list[Command]]:
        run = await journal.run(name)
        return run, await journal.history.commands(run)

    return within(path, look)


def test_of_several_runs_each_is_named_and_the_one_that_somebody_works_on_is_meant(
    name: str, path: Path, typed: Typed
) -> None:
    async def another(journal: Journal) -> Run:
        return await sent_run(journal, new_item("3"), new_item("4"), fates={1: State.ACCEPTED})

    other = within(path, another)
    asked = typed.refused("verify", "--api-url", "http://127.0.0.1:9", says="there are several runs; which?")
    assert [one for one in (name, other.name) if f"carbon-migrate verify {one} " not in asked.words] == []
    with worked_on(path, other):
        assert f"run {other.name}: " in typed("pause").out


def test_a_run_that_reads_or_looks_up_can_be_paused_and_nothing_else(name: str, path: Path, typed: Typed) -> None:
    run, _ = looked_at(path, name)
    with worked_on(path, run):
        for words in (("get", name), ("set", name, "rate=5"), ("stop", name)):
            typed.refused(*words, says=["does not listen at this moment", f"kill -INT {os.getpid()}"])
        assert "does not listen at this moment and finds it in the journal" in typed("pause", name).out
        assert looked_at(path, name)[0].paused_at is not None
        assert "finds it in the journal" in typed("continue", name).out


async def test_one_that_does_not_take_a_command_is_told_from_one_that_is_not_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_journal(path) as journal:
        run = await frozen_run(journal, new_item("1"))
        assert await asking.ask(run, journal, ControlRequest("stop"), "olga") is None
        async with journal.taken_up(run) as ours:
            await journal.mailbox.tell(ours, "it is frozen", 1, "{}")
            with monkeypatch.context() as impatient:
                impatient.setattr(Mailbox.ask, "__defaults__", (0.1,))
                with pytest.raises(CommandRefused, match=rf"process {os.getpid()} .*has not taken the command"):
                    await give(ControlRequest("stop"), run, journal)
            live, silent = await asking.hear(ours, journal)
            assert (live, silent) == (None, "its process is of another version of this program")
            monkeypatch.setattr(asking, "FRESH", -1.0)
            assert (await asking.hear(ours, journal))[1] == "its process does not answer at this moment"


@pytest.mark.parametrize("caller", ["olga", None])
def test_a_decision_is_told_with_its_reason_and_the_name_of_who_called_sudo_also_without_an_account(
    name: str, path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch, caller: str | None
) -> None:
    async def left_to_a_person(journal: Journal) -> None:
        await come_to(journal, await journal.run(name), {2: State.MANUAL})

    def without_account(user: int) -> None:
        raise KeyError(user)

    within(path, left_to_a_person)
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.delenv(variable, raising=False)
    if caller is not None:
        monkeypatch.setenv("SUDO_USER", caller)
    monkeypatch.setattr(pwd, "getpwuid", without_account)
    decided = typed("decide", name, "2", "pending", "--why", "\x1b[31mlooked; not there")
    assert decided.exit == 0, decided.err
    who = f"{caller or f'user {os.geteuid()}'}@{socket.gethostname()}"
    assert f"row 2 is pending: \\x1b[31mlooked; not there ({who})" in typed("status", name).out
    (decision,) = typed("status", name, "--json").closing["decisions"]
    assert (decision["who"], decision["state"]) == (who, "pending")
    assert ("(says it is olga@" in session_journal.ourselves()) == (caller is not None)
    assert session_journal.ourselves("page").startswith("page, ")
    monkeypatch.setenv("SUDO_USER", "x" * 5000)
    assert len(session_journal.ourselves()) < 300
