"""Interrupted, stopped, held by another: what is in flight finishes, and everything can be taken up again."""

import asyncio
import os
import signal

import anyio
import pytest

from checkpoints.states import State
from tests.cli.conftest import Place
from tests.connections import served_connections

ROWS = 150


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_the_first_signal_lets_what_is_in_flight_finish(number: signal.Signals, place: Place) -> None:
    place.billing.latency = 0.1
    balances = place.balances(ROWS)
    async with place.cli.started("run", "balances", balances.path, "--yes", "--json", "--in-flight", "4") as run:
        await place.traffic.reaches(10)
        run.signal(number)
        ended = await run.ended()
    assert ended.exit == 130
    assert "press again to stop at once" in ended.err
    states = ended.closing["states"]
    assert set(states) == {"accepted", "pending"}
    assert (await place.found()).rows == states["accepted"] == place.traffic.arrived
    assert ended.closing["stopped"].startswith("interrupted")
    place.billing.latency = 0.0
    closing = (await place.cli("resume", "--settle", "0", "--json")).closing
    assert closing["states"] == {"accepted": ROWS}
    found = await place.found()
    assert (found.rows, found.sum, found.most_for_one) == (ROWS, balances.sum, 1)
    assert place.traffic.arrived == ROWS


async def test_the_second_signal_stops_at_once(place: Place) -> None:
    place.billing.latency = 2.0
    balances = place.balances(20)
    async with place.cli.started("run", "balances", balances.path, "--yes", "--json", "--in-flight", "4") as run:
        await place.traffic.reaches(4)
        run.signal(signal.SIGINT)
        await run.said("press again to stop at once")
        run.signal(signal.SIGINT)
        ended = await run.ended()
    assert ended.exit == 130
    assert ended.closing["states"]["sending"] >= 4
    await place.billing.wait_for_requests()
    place.billing.latency = 0.0
    closing = (await place.cli("resume", "--json", "--settle", "0.2")).closing
    assert closing["states"] == {"accepted": 20}
    found = await place.found()
    assert (found.rows, found.sum, found.most_for_one) == (20, balances.sum, 1)


async def test_a_signal_while_rows_in_doubt_wait_to_be_looked_up_leaves_them_in_doubt(place: Place) -> None:
    place.billing.latency = 0.5
    balances = place.balances(20)
    await place.kill_at(1, "run", "balances", balances.path, "--yes", "--in-flight", "4")
    place.billing.latency = 0.0
    async with place.cli.started("resume", "--json") as resumed:
        await resumed.said("a call of an earlier process may still be under way: going on in 30 s")
        resumed.signal(signal.SIGINT)
        ended = await resumed.ended()
    assert ended.exit == ended.closing["exit"] == 130
    assert "Ctrl-C: nothing is in flight, stopping" in ended.words
    assert ended.closing["stopped"] == "interrupted (Ctrl-C)"
    assert ended.closing["states"].keys() == {"unknown", "pending"}
    assert ended.closing["calls"] == 0
    assert (await place.cli("resume", "--json", "--settle", "0.2")).closing["states"] == {"accepted": 20}
    assert (await place.found()).most_for_one == 1


async def test_a_signal_before_a_run_is_worked_on_closes_as_well(place: Place) -> None:
    balances = place.balances(3)
    asked = anyio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        await reader.read()
        writer.close()

    async with served_connections(never_answer) as port:
        url = f"http://127.0.0.1:{port}"
        async with place.cli.started("run", "balances", balances.path, "--json", "--api-url", url) as run:
            await asked.wait()
            run.signal(signal.SIGINT)
            ended = await run.ended()
    assert ended.exit == ended.closing["exit"] == 130
    assert ended.closing["run"] is None
    assert "interrupted (Ctrl-C)" in ended.closing["stopped"]
    assert "interrupted (Ctrl-C)" in ended.words


async def test_a_second_runner_is_refused_with_the_name_of_the_first(place: Place) -> None:
    place.billing.latency = 1.0
    balances = place.balances(ROWS)
    async with place.cli.started("run", "balances", balances.path, "--yes", "--in-flight", "4") as first:
        await place.traffic.reaches(4)
        (run,) = await place.runs()
        for arguments in (("resume", run.name), ("verify", run.name)):
            ended = await place.cli(*arguments, may_end_with=(2,))
            assert f"process {first.process.pid} on " in ended.words
            assert "in flight" in ended.words
        again = await place.cli("run", "balances", balances.path, "--yes", may_end_with=(2,))
        assert f"run {run.name} is doing just this" in again.words
        status = await place.cli("status", run.name)
        assert "running" in status.out
        first.signal(signal.SIGTERM)
        assert (await first.ended()).exit == 130
    again = await place.cli("run", "balances", balances.path, "--yes", may_end_with=(2,))
    assert f"carbon-migrate resume {run.name}" in again.words


async def test_a_run_that_is_taken_over_sends_nothing_more_and_says_who_has_it(place: Place) -> None:
    """The lock is left out: whoever takes the run up here is a second runner that it has not kept away."""
    place.billing.latency = 0.2
    balances = place.balances(30)
    async with place.cli.started("run", "balances", balances.path, "--yes", "--json", "--in-flight", "4") as first:
        await place.traffic.reaches(6)
        async with place.journal() as journal:
            (run,) = await journal.runs()
            await journal.take_up(run)
            ended = await first.ended()
            sent = place.traffic.arrived
            assert ended.exit == ended.closing["exit"] == 3
            assert f"run {run.name} was taken over by process {os.getpid()} on " in ended.closing["stopped"]
            assert "what it had in flight is looked up there" in ended.words
            left = await journal.totals(run)
            assert left.count(State.SENDING)
            assert left.count(State.ACCEPTED) < sent
    await place.billing.wait_for_requests()
    place.billing.latency = 0.0
    closing = (await place.cli("resume", "--json", "--settle", "0.2")).closing
    assert closing["states"] == {"accepted": 30}
    found = await place.found()
    assert (found.rows, found.sum, found.most_for_one) == (30, balances.sum, 1)


async def test_a_signal_before_anything_is_sent_leaves_a_run_that_can_be_taken_up(place: Place) -> None:
    balances = place.balances(5)
    async with place.cli.started("run", "balances", balances.path, "--yes", "--rate", "0.5") as run:
        await place.traffic.reaches(1)
        run.signal(signal.SIGINT)
        assert (await run.ended()).exit == 130
    assert (await place.cli("resume", "--settle", "0", "--json", "--rate", "none")).closing["states"] == {
        "accepted": 5
    }


async def test_resume_says_when_there_is_nothing_to_do(place: Place) -> None:
    assert "nothing to resume" in (await place.cli("resume")).out
    closing = (await place.cli("run", "balances", place.balances(3).path, "--yes", "--json")).closing
    assert "nothing to resume" in (await place.cli("resume")).out
    assert (await place.cli("resume", "--settle", "0", closing["run"], "--json")).closing["states"] == {"accepted": 3}


async def test_resume_asks_which_of_several(place: Place) -> None:
    place.billing.latency = 0.2
    for name, rows in (("a.csv", 20), ("b.csv", 40)):
        balances = place.balances(rows, name)
        before = place.traffic.arrived
        arguments = ("run", "balances", balances.path, "--yes", "--again")
        async with place.cli.started(*arguments) as run:
            await place.traffic.reaches(before + 2)
            run.signal(signal.SIGTERM)
            await run.ended()
    ended = await place.cli("resume", may_end_with=(2,))
    for left in await place.runs():
        assert f"carbon-migrate resume {left.name}" in ended.words


async def test_resume_against_another_billing_is_refused_with_both(place: Place) -> None:
    place.billing.latency = 0.2
    async with place.cli.started("run", "balances", place.balances(20).path, "--yes") as run:
        await place.traffic.reaches(2)
        run.signal(signal.SIGTERM)
        await run.ended()
    ended = await place.cli("resume", "--api-url", "http://elsewhere:8082", may_end_with=(2,))
    assert place.billing.url in ended.words
    assert "http://elsewhere:8082" in ended.words


async def test_resume_of_a_billing_that_is_away_stays_resumable(place: Place) -> None:
    place.billing.latency = 0.2
    async with place.cli.started("run", "balances", place.balances(20).path, "--yes") as run:
        await place.traffic.reaches(2)
        run.signal(signal.SIGTERM)
        await run.ended()
    place.file.rename(place.file.with_name("away.fdb"))
    ended = await place.cli("resume", may_end_with=(3,))
    assert "stays as it is" in ended.words
