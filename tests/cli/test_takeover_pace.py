"""One pace a billing, whoever works on it: real processes, a journal in PostgreSQL, and a mock that counts."""

import signal
from itertools import pairwise
from typing import Final

import pytest
from aiohttp import web

from tests.cli.conftest import Place
from tests.cli.test_billing_lease import TIMEOUT, shared

__all__ = ["shared"]

EVERY: Final = 5.0
"""Seconds between two calls: far more than a process needs to begin."""

JITTER: Final = 0.5
"""Seconds by which a call may arrive later than another one after it left."""

FIRST_FOUR: Final = "0.46"
"""What the first four amounts of a file of balances add up to."""


def of_another_machine(place: Place) -> None:
    """Whoever has worked until now has done so elsewhere, for all that the next one knows."""
    place.asked("update runners set machine = 'another one'")


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_no_take_over_is_faster_than_the_rate_and_rate_and_money_are_kept(shared: Place, how: str) -> None:
    path, settle = shared.balances(6).path, ("--settle", "0.1")
    other = shared.cli.on_machine("other")
    paced = ("--rate", f"{1 / EVERY:g}", "--limit-money", FIRST_FOUR)
    async with shared.cli.started("run", "balances", path, "--yes", *paced, *settle) as load:
        await shared.traffic.reaches(2)
        load.signal(signal.SIGINT if how == "stopped" else signal.SIGKILL)
        await load.ended()
    if how == "stopped":
        # Nobody is waited for: only what it has left holds the next one.
        of_another_machine(shared)
    resumed = await other("resume", *settle, "--json", may_end_with=(3,))
    assert "--limit-money 0.46" in resumed.closing["stopped"]
    assert resumed.closing["states"] == {"accepted": 4, "pending": 2}
    assert len(shared.traffic.moments) == 4
    assert min(later - sooner for sooner, later in pairwise(shared.traffic.moments)) > EVERY - JITTER
    assert (await shared.found()).most_for_one == 1


async def test_no_take_over_after_a_kill_has_more_in_flight_than_the_window(shared: Place) -> None:
    shared.billing.latency = 0.5
    balances = shared.balances(60)
    wide = ("--max-in-flight", "4", "--no-canary", "--settle", "0.3", *TIMEOUT)
    async with shared.cli.started("run", "balances", balances.path, "--yes", *wide) as load:
        await shared.traffic.reaches(30)
        load.signal(signal.SIGKILL)
        await load.ended()
    of_another_machine(shared)
    resumed = await shared.cli("resume", "--settle", "0.3", "--json")
    assert resumed.closing["states"] == {"accepted": 60}
    assert shared.traffic.most_in_flight == 4
    found = await shared.found()
    assert (found.rows, found.sum, found.most_for_one) == (60, balances.sum, 1)


async def test_a_breaker_that_was_open_stays_open_for_what_is_left(shared: Place) -> None:
    path, pause = shared.balances(3).path, 12.0
    other = shared.cli.on_machine("other")
    shared.traffic.answer = lambda number: (
        web.Response(status=503, headers={"Retry-After": f"{pause:g}"}) if number == 2 else None
    )
    async with shared.cli.started("run", "balances", path, "--yes", "--settle", "0.1", "--in-flight", "1") as load:
        await shared.traffic.reaches(2)
        await load.said("asking again in")
        load.signal(signal.SIGINT)
        assert (await load.ended()).exit == 130
    of_another_machine(shared)
    resumed = await other("resume", "--settle", "0.1", "--json")
    assert resumed.closing["states"] == {"accepted": 3}
    assert shared.traffic.moments[2] - shared.traffic.moments[1] > pause - JITTER
