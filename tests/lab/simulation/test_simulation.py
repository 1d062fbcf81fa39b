"""The simulation: a seed gives the same run, its schedules hold, and what is broken is found."""

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import anyio.to_thread
import pytest

from lab.simulation import campaign
from lab.simulation.campaign import drawn, shrunk
from lab.simulation.judge import judge
from lab.simulation.story import Schedule, draw, play
from tests.lab.simulation.ablations import ABLATIONS

ROOT = Path(__file__).parents[3]
FIXED = 100
"""Schedules that never change."""
DRAWN = 20
"""Schedules of another seed each time, which the failure names."""


def problems_of(schedule: Schedule) -> list[str]:
    return play(schedule, judge)[1]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("first", range(0, FIXED, 25))
def test_of_a_fixed_hundred_none_is_wrong(first: int) -> None:
    played = campaign.run(first, 25, None, lambda _: None)
    assert [(one.seed, one.problems, campaign.as_table(one)) for one in played.violations] == []


@pytest.mark.timeout(120)
def test_of_some_drawn_ones_none_is_wrong() -> None:
    played = campaign.run(secrets.randbelow(10**9), DRAWN, None, lambda _: None)
    assert [(one.seed, one.problems, campaign.as_table(one)) for one in played.violations] == []


@pytest.mark.timeout(120)
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


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("safeguard", "seed"),
    [
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
        ("the window has no end", 0),
        ("counts are compared when the run may be another's", 18325),
    ],
)
def test_a_safeguard_that_is_taken_out_is_missed(safeguard: str, seed: int) -> None:
    schedule = draw(seed)
    assert problems_of(schedule) == []
    with ABLATIONS[safeguard]():
        world, problems = play(schedule, judge)
        assert problems
        violation = shrunk(schedule, world, problems)
    assert len(violation.schedule.events) <= len(schedule.events)
    assert violation.problems
    assert campaign.as_table(violation)
