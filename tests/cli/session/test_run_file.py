"""Job files run, killed, started again and refused, in real processes against a mock billing."""

import json
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import anyio
import pytest

from billing.api.client import BillingClient, Health
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Run
from cli.session import job_file as barrier
from cli.session.job_file import wait, with_waiting
from cli.session.session import BillingConnection, Session
from cli.settings.settings import Settings
from cli.show.closing import Closing
from cli.terminal.exits import Exit
from cli.terminal.screen import Screen, Voice
from engine.pacing.holds import Stop, StopKind
from engine.pipeline.progress import LivePolicy
from jobs.access.gateway import Gateway
from tests.checkpoints.samples import frozen_run, new_item
from tests.cli.commands.test_control import Heard
from tests.cli.conftest import Place, Started

ROWS = 40
THRESHOLDS = '[[step]]\njob = "warning-threshold"\nfile = "people.csv"\nset = {amount = "-77"}\n'
BALANCES = '[[step]]\njob = "balances"\nfile = "balances.csv"\n'
QUICK = ("--yes", "--no-canary", "--settle", "0.1")


def people(place: Place, number: int = 3) -> list[str]:
    """A file of subscribers; each has an account of its own."""
    ids = [str(key) for key in place.subscribers(number)]
    place.rows("abonent_id", *ids, name="people.csv")
    return ids


async def jobs(place: Place) -> list[str]:
    return [run.job for run in await place.runs()]


async def test_a_file_that_was_killed_in_its_second_step_goes_on_there(place: Place) -> None:
    people(place)
    balances = place.balances(ROWS)
    place.write(THRESHOLDS + BALANCES, "night.toml")
    await place.kill_at(10, "run", "night.toml", "--in-flight", "2", *QUICK)
    says = ["Going on with round 1, which is not at its end", "done before in this round: run", "taking up run"]
    (await place.cli("run", f"../{place.cli.folder.name}/night.toml", *QUICK)).saying(says)
    assert await jobs(place) == ["warning-threshold", "balances"]
    await place.each_landed_once(balances)


async def test_the_example_of_the_page_is_planned(place: Place) -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "job-files.md").read_text(encoding="utf-8")
    place.write(page.partition("```toml\n")[2].partition("```")[0], "night.toml")
    (place.cli.folder / "data").mkdir()
    place.write("Договор;К зачислению\n00003;1,50\n00004;2,50\n", "data/balances.csv")
    told = await place.cli("plan", "night.toml")
    assert "Step 4 of 4" in told.out
    assert "2 rows, 4.00 in total" in told.out
    assert (await place.found()).rows == 0
    assert not place.cli.journal.exists()


async def test_a_step_may_read_what_is_piped_in_and_enters_on_top_when_it_says_so(place: Place) -> None:
    place.balances(3)
    place.write(BALANCES.replace("balances.csv", "-"), "night.toml")
    await anyio.run_process(
        [sys.executable, "-m", "cli", "run", "night.toml", "--yes"],
        cwd=place.cli.folder,
        env=place.cli.environment,
        input=(place.cli.folder / "balances.csv").read_bytes(),
    )
    for again, rows in (("", 3), ("again = true\n", 6)):
        place.write(BALANCES + again, "night.toml")
        await place.cli("run", "night.toml", "--yes")
        assert (await place.found()).rows == rows


async def test_where_the_billing_is_away_the_advised_command_names_the_file_as_a_shell_takes_it(place: Place) -> None:
    place.write(BALANCES, "the last night.toml")
    place.balances(1)
    away = ("--api-url", "http://127.0.0.1:9")
    ended = await place.cli("run", "the last night.toml", *QUICK, *away, may_end_with=[3])
    (typed,) = re.findall(r"^ *carbon-migrate (run .+)$", ended.err, re.MULTILINE)
    command, file, *_ = shlex.split(typed)
    assert (command, file) == ("run", str(place.cli.folder.resolve() / "the last night.toml"))


# ---- Between two steps of a job file: the run of the first is seen, paused, stopped, killed while the second waits


FEW = 5
LEFT = FEW - 1
"""Rows that the billing does not work off."""

AT_ONCE = 0.0
WAITS = "the next step waits: ACCOUNT_STACK holds"


@asynccontextmanager
async def at_the_barrier(place: Place, *flags: str) -> AsyncIterator[tuple[Started, str]]:
    """A file that waits between its steps, and the name of the run that it waits behind."""
    async with place.cli.started("run", "night.toml", "--json", *QUICK, *flags) as file:
        await file.said("held by=barrier")
        yield file, (await place.runs())[-1].name


@pytest.fixture
def waiting(place: Place) -> Place:
    """A job file of two steps, of which the billing does not work off the first, but for its first row."""
    people(place)
    place.balances(FEW)
    place.write(BALANCES + THRESHOLDS, "night.toml")
    place.works_off_the_first_alone()
    return place


# ---- seen --------------------------------------------------------------------------------------------------------


async def test_whoever_watches_sees_what_is_waited_for_and_a_pause_keeps_the_next_step_from_beginning(
    waiting: Place,
) -> None:
    async with at_the_barrier(waiting) as (file, name), waiting.cli.started("status", name, "--watch") as watcher:
        heard = Heard(watcher)
        await heard.until(f"{FEW} of {FEW} rows (100 %), 0 rows/s, held: {WAITS} {LEFT} entries")
        seen = json.loads((await waiting.cli("status", name, "--json")).out)
        assert seen["holder"]["process"] == file.process.pid
        assert seen["live"]["held"] == f"{WAITS} {LEFT} entries"
        assert WAITS in (await waiting.cli("status", name)).out
        for words in (("run", "night.toml", "--yes"), ("verify", name), ("undo", name, "--yes")):
            await waiting.cli.refused(*words, says=f"process {file.process.pid} on ")
        assert f"run {name}: paused" in (await waiting.cli("pause", name)).out
        waiting.billing.stack_rate = AT_ONCE
        await file.said("held no longer by=barrier seconds=")
        shown = (await waiting.cli("status", name)).out
        assert "running, paused" in shown
        assert f"carbon-migrate continue {name}" in shown
        assert await jobs(waiting) == ["balances"]
        assert "it goes on" in (await waiting.cli("continue", name)).out
        ended = await file.ended()
        assert await heard.ended() == 0
    assert heard.lines[-1] == f"run {name}: done, {FEW} accepted"
    assert (ended.exit, ended.closing["job"]) == (0, "warning-threshold")
    assert ended.closing["held"].keys() == {"barrier", "paused"}
    assert 0 < ended.closing["held"]["barrier"] <= ended.closing["seconds"]
    assert await jobs(waiting) == ["balances", "warning-threshold"]
    await waiting.landed_once(FEW)


# ---- paused ------------------------------------------------------------------------------------------------------


async def test_a_file_that_was_paused_and_killed_waits_there_when_it_is_started_again(waiting: Place) -> None:
    async with at_the_barrier(waiting) as (file, name):
        await waiting.cli("pause", name)
        file.signal(signal.SIGKILL)
        await file.ended()
    waiting.billing.stack_rate = AT_ONCE
    assert "done, paused" in (await waiting.cli("status")).out
    assert f"carbon-migrate continue {name}" in (await waiting.cli("status", name)).out
    async with waiting.cli.started("run", "night.toml", "--json", *QUICK) as file:
        heard = await file.said(f"carbon-migrate continue {name}")
        assert f"done before in this round: run {name}" in heard
        seen = json.loads((await waiting.cli("status", name, "--json")).out)
        assert seen["live"]["paused"]
        assert await jobs(waiting) == ["balances"]
        file.signal(signal.SIGKILL)
        await file.ended()
    # Nobody works on the run, and the pause can be ended all the same.
    said = (await waiting.cli("continue", name)).out
    where = ("--journal", waiting.cli.journal, "--api-url", waiting.billing.url, "--database", waiting.file)
    again = " ".join(map(str, ("carbon-migrate", "run", waiting.cli.folder / "night.toml", *where)))
    assert f"it is not paused any more; nobody works on it. To go on:\n  {again}\n" in said
    assert (await waiting.cli("run", "night.toml", "--json", *QUICK)).closing["job"] == "warning-threshold"
    assert await jobs(waiting) == ["balances", "warning-threshold"]
    await waiting.cli.refused("continue", name, says=f"run {name} is at its end")
    await waiting.landed_once(FEW)


# ---- stopped -----------------------------------------------------------------------------------------------------


async def test_stop_ends_the_file_and_says_so_and_a_pause_stays(waiting: Place) -> None:
    async with at_the_barrier(waiting) as (file, name):
        await waiting.cli("pause", name)
        stopped = (await waiting.cli("stop", name)).out
        assert f"run {name} is at its end, and no further step of its job file begins" in stopped
        assert "It stays paused" in stopped
        for command in (f"continue {name}", f"run {waiting.cli.folder}/night.toml"):
            assert f"carbon-migrate {command}" in stopped
        ended = await file.ended()
    assert ended.exit == ended.closing["exit"] == 130
    assert ended.closing["stopped"].startswith("stopped by ")
    assert ended.closing["held"].keys() == {"barrier", "paused"}
    assert f"carbon-migrate continue {name}" in ended.words


async def test_a_stop_that_finds_nothing_left_of_a_step_ends_the_file_behind_it(waiting: Place) -> None:
    waiting.billing.latency = 1.0
    async with waiting.cli.started("run", "night.toml", "--json", "--in-flight", "8", *QUICK) as file:
        await waiting.traffic.reaches(FEW)
        file.signal(signal.SIGINT)
        ended = await file.ended()
    assert (ended.exit, ended.closing["states"]) == (130, {"accepted": FEW})
    assert "press again to stop at once" in ended.words
    assert "stopped after step 1: interrupted (Ctrl-C)" in ended.words
    assert await jobs(waiting) == ["balances"]


# ---- the parts ---------------------------------------------------------------------------------------------------


def test_a_billing_that_does_not_catch_up_is_exit_code_3_and_the_closing_says_so() -> None:
    stop = Stop()
    stop.request(StopKind.SYSTEM, "after 1,800 s it is not worked off")
    step = Closing(Exit.DONE, "k7m2q", seconds=10.0, held={"paused": 4.0, "hours": 1.0})
    closing = with_waiting(step, 5.0, {"barrier": 4.5, "paused": 1.0}, stop)
    assert (closing.exit, closing.stopped, closing.error) == (3, "after 1,800 s it is not worked off", None)
    assert closing.seconds == 15.0
    assert closing.held == {"barrier": 4.5, "paused": 5.0, "hours": 1.0}


def session_of(journal: Journal) -> Session:
    """A session with a billing without a database, for which no time is waited."""
    billing = BillingConnection("http://127.0.0.1:8082", Gateway(cast("BillingClient", None)), cast("Health", None))
    screen = Screen(Voice(quiet=True))
    return Session(cast("Settings", None), screen, {"settle": "0"}, journal=journal, billing=billing)


async def test_a_pause_at_the_end_of_the_waiting_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []

    @asynccontextmanager
    async def steerable(run: Run, journal: Journal, steered: LivePolicy, screen: Screen) -> AsyncIterator[None]:  # noqa: ARG001 - as the real one
        if heard:
            heard.append(f"waited for, {(await journal.run(run.name)).paused_by}")
            await journal.unpause(run)
        yield
        if not heard:
            heard.append("paused")
            await journal.pause(run, "olga")

    monkeypatch.setattr(barrier, "serve_control", steerable)
    async with open_journal(tmp_path / "a.journal") as journal:
        _, stop = await wait(await frozen_run(journal, new_item("1")), session_of(journal))
    assert heard == ["paused", "waited for, olga"]
    assert not stop.requested


async def test_of_the_stops_of_the_step_only_a_persons_ends_the_file(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "a.journal") as journal:
        run = await frozen_run(journal, new_item("1"))
        for kind in StopKind:
            session = session_of(journal)
            session.stop.request(kind, "enough")
            _, stop = await wait(run, session)
            assert stop.requested is (kind is StopKind.INTERRUPTED)


async def test_a_step_that_was_stopped_goes_on_by_its_file_and_no_command_stands_in_the_table(place: Place) -> None:
    place.balances(ROWS)
    place.write(BALANCES, "night.toml")
    ended = await place.cli("run", "night.toml", *QUICK, "--limit-money", "0.2", may_end_with=(3,))
    assert "stopped: not at its end" in ended.told
    name = await place.stopped("night.toml", "--limit-money", "none")
    shown = await place.cli.told("status", name)
    assert ("night.toml" in shown, "carbon-migrate resume" in shown) == (True, False)


async def test_payments_that_are_in_already_keep_no_next_step_from_beginning(place: Place) -> None:
    """The exit code is that of the step alone, which says that money of its file was left out."""
    keys = people(place)
    place.rows("abonent_id;amount;document", *(f"{key};5;D-{key}" for key in keys), name="payments.csv")
    place.write('[[step]]\njob = "payment"\nfile = "payments.csv"\n' + THRESHOLDS, "night.toml")
    await place.run("night.toml", *QUICK)
    again = await place.cli("run", "night.toml", *QUICK, "--json", may_end_with=(1,))
    payments, thresholds = again.closing["steps"]
    assert (payments["exit"], payments["states"]) == (1, {"skipped": 3})
    assert (thresholds["exit"], thresholds["states"]) == (0, {"skipped": 3})
    assert "Put right what is wrong" not in again.words
    assert "3 rows were left out, as they are in already" in again.words
    # A fault beside them is one.
    place.rows("abonent_id;amount;document", f"{keys[0]};5;D-{keys[0]}", "none;5;D-0", name="payments.csv")
    faulty = await place.cli("run", "night.toml", *QUICK, "--skip-bad", "--json", may_end_with=(1,))
    assert [step["exit"] for step in faulty.closing["steps"]] == [1, None]
    assert "Put right what is wrong" in faulty.words
