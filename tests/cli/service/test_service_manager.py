"""What systemd is told of a process, by whom, and when: nothing of it from an event loop that hangs."""

import os
import signal
import time
from itertools import pairwise

import anyio
import pytest

from cli.service.service_manager import EVERY, Facts, ServiceManager
from cli.terminal.exits import Exit
from tests.cli.conftest import Typed
from tests.cli.service.conftest import Listener
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
