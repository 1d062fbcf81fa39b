"""The simulation: a seed gives the same run, its schedules hold, and what is broken is found."""

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

MISSED: Final = [
    ("a lost answer counts as not sent", 2),
    ("a lost answer counts as accepted", 2),
    ("a refusal is believed from a proxy", 1),
    ("busy is believed from a proxy", 15),
    ("no settle delay before a look-up", 11),
    ("rows of an account at the same time", 2),
    ("the account of a row in doubt stays open", 2),
    ("no epoch", 8),
    ("no look before a call", 16),
    ("entries of others since the list do not count", 16),
    ("entries of other journals are not looked for", 136),
    ("the epoch is not confirmed before a call", 141),
    ("changes since the list are not looked at", 72),
    ("earlier runs do not count", 102),
    ("the window has no end", 0),
    ("counts are compared when the run may be another's", 18325),
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


def test_nothing_of_a_schedule_is_left_behind() -> None:
    before = time.time, time.monotonic, secrets.choice, anyio.to_thread.run_sync, os.getpid
    play(drawn(3), judge)
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
        violation, fewest = shrunk(schedule, *play(schedule, judge))
        problems = play(fewest, judge)[1]
    assert violation.events == len(fewest.events) <= len(schedule.events)
    assert violation.problems
    assert set(violation.problems) <= set(problems)
    assert as_table(violation)
