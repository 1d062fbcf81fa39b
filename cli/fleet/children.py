"""The processes of a worker: `resume` for each run that it works on.

A run has a process of its own, so a fault in one ends no other, and each has a core where there is one. A process
ends in order when its worker dies: the kernel tells it.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import anyio
import msgspec
from anyio.abc import ByteReceiveStream, Process

_STARTS: Final = ("-m", "cli.child")
_LINES: Final = 20
"""Last lines of what a process has said that are kept."""
_LONGEST_LINE: Final = 1000
_LONGEST: Final = 1_000_000
"""Bytes of its closing that are read."""


class RunClosing(msgspec.Struct, frozen=True):
    """What the closing object of `resume --json` says of how the run came out."""

    calls: int = 0
    stopped: str | None = None
    stopped_by: str | None = None
    again_in: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """How a process has ended: its exit code, negative for a signal, its closing, and the last that it said."""

    code: int
    closing: RunClosing
    said: str

    @property
    def why(self) -> str:
        """Why the run did not come to its end, as far as the process could say."""
        return self.closing.stopped or self.closing.error or self.said


class Children:
    """The processes of the runs that this worker works on, by run.

    They outlive the queue's connection: a job that is given out again to this worker finds its process at work.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._running: dict[str, asyncio.Task[ProcessEnd]] = {}
        self._processes: dict[str, Process] = {}
        self._signal: signal.Signals | None = None

    def __contains__(self, run: str) -> bool:
        return run in self._running

    def __len__(self) -> int:
        return len(self._running)

    async def finished(self, run: str, words: Sequence[str]) -> ProcessEnd:
        """Wait for the process of a run, which is started with these words of a command line where there is none.

        Who waits can be cancelled; the process goes on.
        """
        task = self._running.get(run)
        if task is None:
            task = self._running[run] = asyncio.create_task(self._run(run, words))
            task.add_done_callback(lambda _: self._running.pop(run, None))
        return await asyncio.shield(task)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all processes, also to those that are just being started."""
        self._signal = number
        for process in self._processes.values():
            _send(process, number)

    async def wait(self) -> None:
        """Wait until all processes have ended."""
        while self._running:
            await asyncio.wait(self._running.values())

    async def _run(self, run: str, words: Sequence[str]) -> ProcessEnd:
        # A session of its own: Ctrl-C reaches the worker alone, which then ends its processes in order.
        process = await anyio.open_process(
            [sys.executable, "-P", *_STARTS, str(os.getpid()), *words],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._processes[run] = process
        try:
            if self._signal is not None:
                _send(process, self._signal)
            tail: deque[str] = deque(maxlen=_LINES)
            async with process, anyio.create_task_group() as group:
                group.start_soon(_keep_tail, process.stderr, tail)
                closing = await _read(process.stdout)
                code = await process.wait()
        finally:
            del self._processes[run]
        return ProcessEnd(code, _closing_of(closing), "\n".join(tail))


def _send(process: Process, number: signal.Signals) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


async def _keep_tail(stream: ByteReceiveStream | None, tail: deque[str]) -> None:
    rest = ""
    if stream is not None:
        async for part in stream:
            *lines, rest = (rest + part.decode(errors="replace")).split("\n")
            tail.extend(line for line in lines if line)
            rest = rest[-_LONGEST_LINE:]
    if rest:
        tail.append(rest)


async def _read(stream: ByteReceiveStream | None) -> bytes:
    """All that comes; of more than `_LONGEST` bytes the rest is read and left out."""
    found = bytearray()
    if stream is not None:
        async for part in stream:
            found += part[: _LONGEST - len(found)]
    return bytes(found)


def _closing_of(text: bytes) -> RunClosing:
    """The closing object, an empty one where the process could not print it."""
    try:
        return msgspec.json.decode(text, type=RunClosing)
    except msgspec.DecodeError:
        return RunClosing()
