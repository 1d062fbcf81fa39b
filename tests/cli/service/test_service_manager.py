"""What systemd is told of a process, by whom, and when: nothing of it from an event loop that hangs."""

import os
import re
import signal
import time
from itertools import pairwise

import aiohttp
import anyio
import pytest

from checkpoints.states import State
from cli.service.service_manager import EVERY, Facts, ServiceManager
from cli.terminal.exits import Exit
from tests.cli.conftest import Cli, Place, Typed
from tests.cli.metrics.test_reader import of, scraped
from tests.cli.service.conftest import Listener, listener
from tests.virtual_clock import run as on_virtual_clock


class Collected(ServiceManager):
    """What would be sent, and when."""

    def __init__(self, watchdog: float | None = None) -> None:
        super().__init__("nowhere", watchdog=watchdog)
        self.told: list[tuple[float, Facts]] = []

    def tell(self, facts: Facts, patience: float = 0.0) -> None:
        self.told.append((anyio.current_time(), facts))

    def times(self, name: str) -> list[float]:
        return [when for when, facts in self.told if name in facts]


@pytest.mark.parametrize("watchdog", [None, 120.0, 3.0])
def test_the_watchdog_hears_of_it_in_half_of_its_time(watchdog: float | None) -> None:
    async def beats() -> list[float]:
        manager = Collected(watchdog)
        async with manager.beating():
            await anyio.sleep(60)
        return manager.times("WATCHDOG")

    times = on_virtual_clock(beats())
    gaps = {round(later - earlier, 3) for earlier, later in pairwise(times)}
    assert gaps == {min(EVERY, (watchdog or 120) / 2)}


def test_more_time_is_asked_for_while_it_starts_and_ends() -> None:
    async def told() -> Collected:
        manager = Collected()
        async with manager.beating():
            await anyio.sleep(1.5 * EVERY)
            manager.work()
            await anyio.sleep(2 * EVERY)
            assert len(manager.times("EXTEND_TIMEOUT_USEC")) == 2
            manager.hear(signal.SIGINT)
            manager.hear(signal.SIGINT)
            await anyio.sleep(EVERY)
        manager.end(Exit.INTERRUPTED)
        return manager

    manager = on_virtual_clock(told())
    assert len(manager.times("EXTEND_TIMEOUT_USEC")) == 4
    assert (len(manager.times("READY")), len(manager.times("STOPPING"))) == (1, 1)


async def test_an_event_loop_that_hangs_says_nothing(listener: Listener) -> None:
    environment = {"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())}
    manager = ServiceManager.of(environment, str)
    assert environment == {}
    async with manager.beating():
        await listener.hears("WATCHDOG", times=3)
        listener.forget()
        time.sleep(0.1)  # noqa: ASYNC251 - it hangs for ten beats
        assert listener.waiting() == []
        await listener.hears("WATCHDOG")


@pytest.mark.parametrize(("usec", "pid"), [("0", ""), ("soon", ""), ("20000", "1"), ("", "")])
def test_no_watchdog_is_meant_that_is_none_or_of_another_process(usec: str, pid: str) -> None:
    environment = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}
    assert ServiceManager.of(environment, str).every == EVERY


def test_a_socket_may_be_of_the_abstract_namespace() -> None:
    listener = Listener(f"@carbon-migrate-test-{os.getpid()}")
    try:
        ServiceManager(listener.address).tell({"READY": 1, "STATUS": "one\nline", "MAINPID": 7})
        assert listener.waiting() == [{"READY": "1", "STATUS": "one line", "MAINPID": "7"}]
    finally:
        listener.close()


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "vsock:2:1234", "x" * 200, "a\0b"])
def test_a_socket_that_is_none_harms_nothing(address: str) -> None:
    ServiceManager(address).tell({"READY": 1})


def test_what_a_full_queue_does_not_take_goes_with_what_is_told_next(listener: Listener) -> None:
    socket = ServiceManager(listener.address)
    told = [f"line {number}" for number in range(1000)]
    for line in told:
        socket.tell({"STATUS": line})
    socket.tell({"READY": 1})
    socket.tell({"STATUS": "the last"})
    assert "READY" not in {name for message in listener.waiting() for name in message}
    socket.tell({"WATCHDOG": 1})
    assert listener.waiting() == [{"STATUS": "the last", "READY": "1", "WATCHDOG": "1"}]


def test_a_status_line_has_no_secrets_and_one_that_fails_is_left_out(listener: Listener) -> None:
    manager = ServiceManager(listener.address, lambda text: text.replace("masterkey", "•••"))
    manager.show(lambda: f"{'x' * 295} masterkey\n  and more")
    manager.show(lambda: str(1 // 0))
    manager.end(Exit.FAULT, "a fault")
    first, end = listener.waiting()
    assert first == {"STATUS": f"{'x' * 295} •••…"}
    assert end == {"STOPPING": "1", "STATUS": "a fault"}


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("run balances rows.csv --yes --lang en --journal x.journal", Exit.REFUSED, ["STOPPING"]),
        ("resume", Exit.DONE, ["READY", "STOPPING"]),
    ],
)
def test_a_command_that_is_refused_was_never_started_and_one_with_nothing_to_do_has_ended_well(
    line: str, code: Exit, told: list[str], listener: Listener, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", listener.address)
    assert typed(*line.split()).exit == code
    listener.waiting()
    assert listener.names("READY", "STOPPING") == told
    assert "exit code 0" in listener.status if code is Exit.DONE else listener.status


# ---- a load, as systemd and a scraper see it ---------------------------------------------------------------------

__all__ = ["listener"]

ROWS = 60
SETTINGS = """\
[hooks]
on-start = ["sh", "-c", "env > environment"]
"""
NIGHT = """\
format = 1

[run]
in_flight = 4
settle = 0.1

[[step]]
job = "balances"
file = "balances.csv"
"""
COMMAND = ("run", "night.toml", "--yes", "--quiet")


def as_service(cli: Cli, listener: Listener) -> None:
    cli.environment |= {"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "200000"}


async def test_a_load_says_how_it_is_and_a_stop_waits_for_what_is_in_flight(place: Place, listener: Listener) -> None:
    place.write(SETTINGS, "carbon-migrate.toml")
    place.write(NIGHT, "night.toml")
    place.balances(ROWS)
    place.billing.latency = 0.3
    as_service(place.cli, listener)
    async with place.cli.started(*COMMAND) as run:
        await listener.hears("READY")
        await listener.hears("STATUS", f" of {ROWS} rows (")
        await listener.hears("WATCHDOG", times=3)
        await place.traffic.reaches(10)
        run.signal(signal.SIGTERM)
        await listener.hears("STOPPING")
        ended = await run.ended()
    listener.waiting()
    assert ended.exit == Exit.INTERRUPTED
    assert listener.names("READY", "STOPPING") == ["READY", "STOPPING"]
    sent = place.traffic.arrived
    assert sent < ROWS
    assert listener.status.endswith(f"; pending {ROWS - sent}, accepted {sent}")
    assert "exit code 130" in listener.status
    environment = await anyio.Path(place.cli.folder / "environment").read_text()
    assert "NOTIFY_SOCKET" not in environment
    assert "WATCHDOG_USEC" not in environment
    # Begun again, as the timer does it the next night, it goes on.
    place.billing.latency = 0.0
    listener.forget()
    async with place.cli.started(*COMMAND) as run:
        await listener.hears("STOPPING")
        assert (await run.ended()).exit == Exit.DONE
    assert listener.names("READY", "STOPPING") == ["READY", "STOPPING"]
    assert listener.status.endswith(f"exit code 0; accepted {ROWS}")
    await place.landed_once(ROWS)


async def test_a_service_whose_billing_is_away_was_not_started_and_one_whose_socket_goes_away_ends_no_load(
    place: Place, listener: Listener
) -> None:
    place.write(NIGHT, "night.toml")
    place.balances(ROWS)
    as_service(place.cli, listener)
    for wrong in (("--api-url", "http://127.0.0.1:1"), ("--database", "127.0.0.1/1:/billing.fdb")):
        listener.forget()
        ended = await place.cli(*COMMAND, *wrong, may_end_with=(Exit.STOPPED,))
        listener.waiting()
        assert listener.names("READY", "STOPPING") == ["STOPPING"]
        assert "127.0.0.1" in listener.status
        assert f"carbon-migrate run {place.cli.folder.resolve() / 'night.toml'} " in ended.err
    # As soon as it is back:
    listener.forget()
    place.billing.latency = 0.1
    async with place.cli.started("run", "night.toml", "--yes", "--json") as run:
        await listener.hears("READY")
        await anyio.Path(listener.address).unlink()
        listener.close()
        ended = await run.ended()
    assert ended.exit == Exit.DONE
    assert ended.err.count("systemd cannot be told of the run") == 1
    assert (await place.found()).rows == ROWS


# ---- metrics: while it works, after a kill, and at its end --------------------------------------------------------

MEASURED = 30


async def test_every_scrape_of_a_load_is_whole_and_the_same_rows_are_in_each(place: Place) -> None:
    place.write("[metrics]\nport = 0\n", "carbon-migrate.toml")
    place.billing.latency = 0.02
    # The scraper is done long before the run is, which has both on one event loop.
    balances = place.balances(10 * MEASURED)
    async with (
        aiohttp.ClientSession() as scraper,
        place.cli.started("run", "balances", balances.path, "--yes", "--json", "--in-flight", "2") as run,
    ):
        heard = await run.said("/metrics")
        address = re.search(r"http://127\.0\.0\.1:\d+/metrics", heard)
        assert address is not None
        async with scraper.get(address[0], headers={"Host": "example.org"}) as answer:
            assert answer.status == 403
        accepted: list[float] = []
        for calls in range(1, MEASURED, 4):
            await place.traffic.reaches(calls)
            async with scraper.get(address[0]) as answer:
                assert answer.content_type == "text/plain"
                seen = scraped(await answer.text())
            assert sum(of(seen, "items", state=state) for state in State) == balances.rows
            assert of(seen, "working") == 1
            accepted.append(of(seen, "items", state="accepted"))
        run.signal(signal.SIGINT)
        assert (await run.ended()).exit == Exit.INTERRUPTED
    assert accepted == sorted(accepted)
    assert len(set(accepted)) > 1
