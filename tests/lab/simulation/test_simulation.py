"""The simulation: a seed gives the same run, its schedules hold, and what is broken is found."""

import gc
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import anyio.to_thread
import pytest

from lab.simulation.campaign import Campaign, as_table, drawn, run, shrunk
from lab.simulation.judge import judge
from lab.simulation.story import draw, play
from tests.lab.simulation.ablations import ABLATIONS

ROOT: Final = Path(__file__).parents[3]
PART: Final = 25
FIXED: Final = 100
"""Schedules that never change."""
MANY: Final = 1000
"""As many as take a minute or two, the fixed hundred among them."""

DRAWN: Final = 25
"""Schedules of other seeds each time; a failure names them."""

FOUND: Final = [
    ("a row whose answer came into doubt while others were looked up had no settle delay of its own", 249),
    ("the look for a row was older than a quarter of a second at its call", 700282),
    ("the program failed where a run was taken over at its end", 238),
    ("a copy that was put back gave the mark of a row to another row", 319),
]
"""What schedules have found in the program, each with its seed."""

MISSED: Final = [
    ("a lost answer counts as not sent", 11),
    ("a lost answer counts as accepted", 2),
    ("a refusal is believed from a proxy", 1),
    ("busy is believed from a proxy", 15),
    ("no settle delay before a look-up", 7),
    ("rows of an account at the same time", 7),
    ("the account of a row in doubt stays open", 7),
    ("no epoch", 8),
    ("no look before a call", 16),
    ("entries of others since the list do not count", 16),
    ("the epoch is not confirmed before a call", 2417),
    ("changes since the list are not looked at", 72),
    ("earlier runs do not count", 0),
    ("the window has no end", 0),
    ("counts are compared when the run may be another's", 7312),
]
"""Safeguards, each with a seed whose schedule is wrong without it."""


def wrong_in(seeds: range) -> list[object]:
    campaign = Campaign()
    run(campaign, seeds)
    assert campaign.schedules == len(seeds)
    return [(one.seed, one.problems, as_table(one)) for one in campaign.violations]


@pytest.mark.loops(60)
@pytest.mark.parametrize("first", range(0, FIXED, PART))
def test_of_a_fixed_hundred_none_is_wrong(first: int) -> None:
    assert wrong_in(range(first, first + PART)) == []


@pytest.mark.loops(60)
def test_of_some_drawn_ones_none_is_wrong() -> None:
    first = secrets.randbelow(10**9)
    assert wrong_in(range(first, first + DRAWN)) == [], f"the first seed is {first}"


@pytest.mark.loops(60)
@pytest.mark.parametrize(("fault", "seed"), FOUND)
def test_what_was_found_is_found_no_more(fault: str, seed: int) -> None:
    assert play(drawn(seed), judge)[1] == [], fault


@pytest.mark.prove
@pytest.mark.loops(600)
@pytest.mark.parametrize("first", range(FIXED, MANY, MANY // 4))
def test_of_many_none_is_wrong(first: int) -> None:
    assert wrong_in(range(first, min(first + MANY // 4, MANY))) == []


@pytest.mark.loops(60)
def test_a_seed_gives_the_same_run_in_any_process() -> None:
    def digests(hashes: str) -> str:
        command = [sys.executable, "-m", "tests.lab.simulation.digests"]
        environment = os.environ | {"PYTHONHASHSEED": hashes}
        done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)  # noqa: S603
        return done.stdout

    first = digests("1")
    assert first
    assert first == digests("77")


def test_nothing_of_a_schedule_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a changed door nor a coroutine that goes on when its memory is cleared."""
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: unraisable.append(found.object))
    before = time.time, time.monotonic, secrets.choice, anyio.to_thread.run_sync, os.getpid
    for seed in (3, 4, 26):
        play(drawn(seed), judge)
        gc.collect()
    assert unraisable == []
    assert (time.time, time.monotonic, secrets.choice, anyio.to_thread.run_sync, os.getpid) == before


@pytest.mark.loops(60)
@pytest.mark.parametrize(("safeguard", "seed"), MISSED)
def test_a_safeguard_that_is_taken_out_is_missed(safeguard: str, seed: int) -> None:
    assert play(draw(seed), judge)[1] == []
    with ABLATIONS[safeguard]():
        assert play(draw(seed), judge)[1]


@pytest.mark.prove
@pytest.mark.loops(300)
@pytest.mark.parametrize(("safeguard", "seed"), MISSED)
def test_what_is_wrong_is_shown_by_fewer_events(safeguard: str, seed: int) -> None:
    schedule = draw(seed)
    with ABLATIONS[safeguard]():
        violation = shrunk(schedule, *play(schedule, judge))
        problems = play(violation.schedule, judge)[1]
    assert len(violation.schedule.events) <= len(schedule.events)
    assert violation.problems
    assert set(violation.problems) <= set(problems)
    assert as_table(violation)
