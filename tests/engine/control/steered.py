"""A run that only remembers what it was told, and a client of its socket that does whatever a test wants."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import UNIXSocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from engine.control.address import connect
from engine.control.messages import LONGEST_ANSWER, ControlAnswer, ControlRequest, line_of, to_answer
from engine.pacing.policy import Policy, describe_policy

PATIENCE = 30


class FakeRun:
    """Has a policy, and a list of what it was told."""

    def __init__(self) -> None:
        self.policy = Policy()
        self.told: list[str] = []
        self.standing: dict[str, Any] = {"done": 3, "total": 10}

    def take(self, policy: Policy) -> None:
        self.policy = policy
        self.told.append(f"driven: {describe_policy(policy)}")

    def pause(self, who: str) -> None:
        self.told.append(f"pause by {who}")

    def unpause(self) -> None:
        self.told.append("go on")

    def stop(self, who: str) -> None:
        self.told.append(f"stop by {who}")

    def status(self) -> Mapping[str, Any]:
        return self.standing


class Client:
    """One connection to a run's socket."""

    def __init__(self, stream: UNIXSocketStream) -> None:
        self.stream = stream
        self._lines = BufferedByteReceiveStream(stream)

    async def asks(self, command: str, who: str = "", **arguments: str) -> ControlAnswer:
        return await self.sends(line_of(ControlRequest(command, arguments, who)))

    async def sends(self, content: bytes) -> ControlAnswer:
        await self.stream.send(content)
        return await self.hears()

    async def hears(self) -> ControlAnswer:
        with anyio.fail_after(PATIENCE):
            return to_answer(await self._lines.receive_until(b"\n", LONGEST_ANSWER))

    async def is_shown_out(self) -> None:
        """Wait until the other side has closed."""
        with anyio.fail_after(PATIENCE):
            try:
                while True:
                    await self._lines.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return


@asynccontextmanager
async def client_of(path: Path) -> AsyncIterator[Client]:
    connection = await anyio.to_thread.run_sync(connect, path, PATIENCE)
    async with await UNIXSocketStream.from_socket(connection) as stream:
        yield Client(stream)
