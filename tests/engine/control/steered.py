"""A run that only remembers what it was told, and a client of its socket that does whatever a test wants."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import UNIXSocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from engine.control.address import connect
from engine.control.messages import (
    JSON,
    ControlAnswer,
    ControlRequest,
    commands_path,
    facts_path,
    to_answer,
    to_json,
)
from engine.pacing.policy import Policy, describe_policy
from engine.statistics import PaceSample
from lab.crash.loops import loops

PATIENCE = round(loops(30))
RUN = "k7m2q"


class FakeRun:
    """Has a policy, and a list of what it was told."""

    def __init__(self) -> None:
        self.policy = Policy()
        self.told: list[str] = []
        self.standing: dict[str, Any] = {"done": 3, "total": 10}
        self.samples = 0

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

    def sample(self) -> PaceSample:
        self.samples += 1
        return PaceSample(t=1000.0 + self.samples, rate=float(self.samples), window=8, in_flight=2, p50=0.1, p95=None)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def found(self) -> Any:
        return json.loads(self.body)

    @property
    def answer(self) -> ControlAnswer:
        return to_answer(self.body)


class Client:
    """One connection to a run's socket."""

    def __init__(self, stream: UNIXSocketStream) -> None:
        self.stream = stream
        self._parts = BufferedByteReceiveStream(stream)

    async def gets(self, facts: str, headers: Mapping[str, str] | None = None) -> Reply:
        return await self.sends(request("GET", facts_path(RUN, facts), headers=headers))

    async def commands(self, command: str, who: str = "", **arguments: str) -> ControlAnswer:
        return (await self.sends(posted(to_json(ControlRequest(command, arguments, who))))).answer

    async def sends(self, content: bytes) -> Reply:
        await self.stream.send(content)
        return await self.hears()

    async def hears(self) -> Reply:
        status, headers = await self.hears_head()
        with anyio.fail_after(PATIENCE):
            return Reply(status, headers, await self._parts.receive_exactly(int(headers["content-length"])))

    async def hears_head(self) -> tuple[int, dict[str, str]]:
        with anyio.fail_after(PATIENCE):
            lines = (await self._parts.receive_until(b"\r\n\r\n", 10_000)).decode().split("\r\n")
        pairs = (line.partition(": ") for line in lines[1:])
        return int(lines[0].split()[1]), {name.lower(): value for name, _, value in pairs}

    async def hears_event(self) -> tuple[int, str, Any]:
        """The next server-sent event: its id, its name and its data. A chunk of HTTP holds one or two."""
        while True:
            with anyio.fail_after(PATIENCE):
                block = (await self._parts.receive_until(b"\n\n", 1_000_000)).decode()
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if "event" in fields:
                return int(fields["id"]), fields["event"], json.loads(fields["data"])

    async def is_shown_out(self) -> None:
        """Wait until the other side has closed."""
        with anyio.fail_after(PATIENCE):
            try:
                while True:
                    await self._parts.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return


def request(method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a request."""
    sent = {"Host": "run", **({"Content-Length": str(len(body))} if body else {}), **dict(headers or {})}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def posted(body: bytes, content_type: str = JSON) -> bytes:
    """The bytes of a command."""
    return request("POST", commands_path(RUN), body, {"Content-Type": content_type})


@asynccontextmanager
async def client_of(path: Path) -> AsyncIterator[Client]:
    connection = await anyio.to_thread.run_sync(connect, path, PATIENCE)
    async with await UNIXSocketStream.from_socket(connection) as stream:
        yield Client(stream)
