"""A call that is over sends nothing any more, whoever ended it: a look-up may come right after it.

The servers here do not read, so that most of a request waits on this side: in the kernel where it is small, in the
event loop as well where it is large.
"""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import uvloop

from billing.api.calls import create
from billing.api.client import BillingClient, ClientSettings
from engine.evidence import Accepted, Evidence, Lost

AMPLE = 600.0
SHORT = 0.25
IN_KERNEL = 256 * 1024
IN_LOOP = 8 * 1024 * 1024
ROOT = Path(__file__).parents[3]

Run = Callable[[Coroutine[Any, Any, Any]], Any]

CALLING = """
import sys, uvloop
from tests.billing.api.test_nothing_late import AMPLE, call
uvloop.run(call(sys.argv[1], int(sys.argv[2]), read=AMPLE))
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with closing(socket.socket()) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.bind(("127.0.0.1", 0))
        made.listen()
        made.settimeout(60)
        yield made


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


async def call(url: str, size: int, *, read: float) -> Evidence:
    settings = ClientSettings(url, connect=AMPLE, read=read, deadline=AMPLE)
    async with BillingClient(settings) as client:
        return await client.send(create("FinanceOperations", abonent_id=1, descr="x" * size))


def accepted(listener: socket.socket) -> socket.socket:
    peer, _ = listener.accept()
    peer.settimeout(60)
    return peer


def taken(peer: socket.socket) -> int:
    """Read to the end; how much there was."""
    size = 0
    try:
        while part := peer.recv(1 << 20):
            size += len(part)
    except ConnectionResetError:
        pass
    return size


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("size", [IN_KERNEL, IN_LOOP])
def test_a_request_that_is_lost_does_not_arrive_later(listener: socket.socket, size: int, run: Run) -> None:
    async def work() -> tuple[Evidence, int]:
        seen = await call(url_of(listener), size, read=SHORT)
        with closing(accepted(listener)) as peer:
            # The loop goes on: what it still had to send, it could send now.
            return seen, await asyncio.to_thread(taken, peer)

    seen, arrived = run(work())
    assert isinstance(seen, Lost)
    assert 0 < arrived < size


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_request_that_was_answered_early_does_not_arrive_later(listener: socket.socket, run: Run) -> None:
    async def work() -> tuple[Evidence, int]:
        task = asyncio.ensure_future(call(url_of(listener), IN_LOOP, read=AMPLE))
        with closing(await asyncio.to_thread(accepted, listener)) as peer:
            # An answer that is there before the request would be taken for what it is: none.
            await asyncio.to_thread(peer.recv, 1, socket.MSG_PEEK)
            peer.sendall(b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 13\r\n\r\n{"result": 1}')
            return await task, await asyncio.to_thread(taken, peer)

    seen, arrived = run(work())
    assert seen == Accepted(result=1)
    assert arrived < IN_LOOP


@pytest.mark.slow
def test_the_request_of_a_killed_process_does_not_arrive_later(listener: socket.socket) -> None:
    command = [sys.executable, "-c", CALLING, url_of(listener), str(IN_KERNEL)]
    with (
        subprocess.Popen(command, cwd=ROOT) as process,  # noqa: S603 - ourselves
        closing(accepted(listener)) as peer,
    ):
        assert peer.recv(1, socket.MSG_PEEK)
        process.kill()
        assert process.wait(60) == -signal.SIGKILL
        assert 0 < taken(peer) < IN_KERNEL
