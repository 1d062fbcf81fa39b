"""systemd's end of the notify socket."""

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import anyio
import pytest

from tests.cli.conftest import PATIENCE, Ended, Started

Message = Mapping[str, str]
MOST: Final = 4096


class Listener:
    """Hears what a service says: each datagram by its names, in order."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[Message] = []
        self._looked_at = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    def waiting(self) -> list[Message]:
        """What has come since it was last asked for."""
        found: list[Message] = []
        while True:
            try:
                text = self._socket.recv(MOST).decode()
            except BlockingIOError:
                self.heard += found
                return found
            found.append(dict(line.split("=", 1) for line in text.splitlines()))

    async def hears(self, name: str, words: str = "", times: int = 1) -> None:
        """Wait until so many messages of this name with these words have come, behind what was waited for before."""
        with anyio.fail_after(PATIENCE):
            while times:
                while self._looked_at == len(self.heard):
                    await anyio.wait_readable(self._socket)
                    self.waiting()
                message = self.heard[self._looked_at]
                self._looked_at += 1
                times -= name in message and words in message[name]

    async def hears_out(self, command: Started) -> Ended:
        """Hear a command to its end, as systemd does: of what comes unheard the queue takes ten messages alone."""

        async def listen() -> None:
            while True:
                await anyio.wait_readable(self._socket)
                self.waiting()

        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            ended = await command.ended()
            group.cancel_scope.cancel()
        self.waiting()
        return ended

    def forget(self) -> None:
        """Forget all that was heard."""
        self.waiting()
        self.heard.clear()
        self._looked_at = 0

    def names(self, *which: str) -> list[str]:
        """Which of these were heard, in their order."""
        return [name for message in self.heard for name in message if name in which]

    @property
    def status(self) -> str:
        """The last status line."""
        return next(message["STATUS"] for message in reversed(self.heard) if "STATUS" in message)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    found = Listener(str(tmp_path / "notify"))
    yield found
    found.close()
