"""Commands as forks of a process that has imported all of the program already.

A test of the command line starts a real process for each command, and half of what that costs is the import of the
same modules. `python -m tests.cli.forking SOCKET` imports them once and waits; each command is a fork of it, in a
folder, an environment and with outputs of its own, or a terminal, and with nothing else of the server's. It is
killed, waited for and read as any other process. The crash lab's long seeds start the program itself.

A command that reads a database file starts a keeper for that, a third of what a load costs: that is a fork of the
server as well, unless the command is started with `real_keepers`. It is no child of its command then.
"""

import asyncio
import atexit
import contextlib
import ctypes
import gc
import json
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Self

import anyio
from anyio.abc import AsyncResource

from billing.database import file_database, file_process

LONGEST = 256 * 1024
"""Bytes of a request: arguments and environment of a command."""
LONGEST_LINE = 64 * 1024 * 1024
KEEPER = "billing.database.file_process"
LATE = (
    "anyio._backends._asyncio",
    "cli.commands.correct",
    "concurrent.futures.thread",
    "encodings.idna",
    "encodings.utf_8_sig",
    "rich.columns",
    "rich.markdown",
    "rich.panel",
    "uvloop",
    "zoneinfo",
)
"""What commands import once they come to it: a third of the processor's time of a `run`, two of a refused one."""


class Output(asyncio.StreamReader):
    """What a command says on one of its outputs, as it comes; `receive` ends with `anyio.EndOfStream`."""

    transport: asyncio.BaseTransport

    @classmethod
    async def of(cls, descriptor: int) -> Self:
        reader = cls(limit=LONGEST_LINE)
        reader.transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
        )
        return reader

    async def receive(self) -> bytes:
        if part := await self.read(64 * 1024):
            return part
        raise anyio.EndOfStream


class Command(AsyncResource):
    def __init__(self, pid: int, status: Output, stdout: Output, stderr: Output) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self._status = status
        self._ended = asyncio.ensure_future(self._wait())
        try:
            self._handle = os.pidfd_open(pid)
        except ProcessLookupError:
            self._handle = -1

    @property
    def returncode(self) -> int | None:
        """What it ended with, negative for a signal; None while it runs."""
        return self._ended.result() if self._ended.done() else None

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, to this process and to no other that has got its number since."""
        if self._handle >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    async def _wait(self) -> int:
        return int(await self._status.readline())

    async def aclose(self) -> None:
        """Wait for its end, also where the test is cancelled, and read no more.

        Otherwise the collector closes its outputs, in the middle of another test, which fails by that.
        """
        with anyio.CancelScope(shield=True):
            await self.wait()
        for output in (self.stdout, self.stderr, self._status):
            output.transport.close()
        if self._handle >= 0:
            os.close(self._handle)


class CommandServer:
    """The process that commands are forks of, one a worker of the tests."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST)
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-m", "tests.cli.forking", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
            )

    async def start(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        stdout: int | None = None,
        stderr: int | None = None,
        module: str = "cli",
        *,
        real_keepers: bool = False,
    ) -> Command:
        """Start a command, the program's or another module's; an output that is given no file can be read."""
        request = json.dumps([module, list(arguments), str(folder), dict(environment), real_keepers]).encode()
        pipes = [os.pipe() for _ in range(3)]
        written = [end for _, end in pipes]
        given = [own if file is None else file for own, file in zip(written, (stdout, stderr, None), strict=True)]
        try:
            socket.send_fds(self._line, [request], given)
        finally:
            for end in written:
                os.close(end)
        out, err, status = [await Output.of(read) for read, _ in pipes]
        return Command(int(await status.readline()), status, out, err)

    def at_terminal(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], terminal: int
    ) -> "Forked":
        """Start a command of the program with a terminal for all that it reads and says."""
        return Forked(self._line, ("cli", list(arguments), str(folder), dict(environment), False), [terminal] * 2)

    def close(self) -> None:
        """End it; commands that still run go on."""
        self._line.close()
        self._process.wait()


@cache
def command_server() -> CommandServer:
    return CommandServer()


def close_command_server() -> None:
    """End it if there is one; when another command is started, there is another one."""
    if command_server.cache_info().currsize:
        command_server().close()
        command_server.cache_clear()


# ---- the server ---------------------------------------------------------------------------------------------------


class Forked:
    """A fork, as a command has its keeper and a terminal its command: the part of a `Popen` that is used of one."""

    def __init__(self, asks: socket.socket, request: Sequence[object], outputs: Sequence[int]) -> None:
        self._status, status = os.pipe()
        try:
            socket.send_fds(asks, [json.dumps(request).encode()], [*outputs, status])
        finally:
            os.close(status)
        self.pid = self._read()
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises `subprocess.TimeoutExpired`."""
        if self._code is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a fork", timeout or 0.0)
            self._code = self._read()
            os.close(self._status)
        return self._code

    def send_signal(self, number: signal.Signals) -> None:
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _read(self) -> int:
        line = b""
        while not line.endswith(b"\n"):
            if not (byte := os.read(self._status, 1)):
                raise OSError("the server of forks has ended")
            line += byte
        return int(line)


def _keeper(asks: socket.socket, line: int) -> Forked:
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        return Forked(asks, (KEEPER, [], str(Path.cwd()), dict(os.environ), False), [nothing, nothing, line])
    finally:
        os.close(nothing)


@dataclass(frozen=True, slots=True)
class Request:
    """A command to become: what was typed, where, and its outputs; a keeper has its line behind them.

    `asks` is where a command asks the server for keepers.
    """

    outputs: list[int]
    asks: socket.socket
    module: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    real_keepers: bool

    def become(self) -> None:
        stdout, stderr, *line = self.outputs
        for output, descriptor in ((1, stdout), (2, stderr)):
            os.dup2(descriptor, output)
            os.close(descriptor)
        if os.isatty(1):
            os.setsid()
            os.dup2(1, 0)
        # Those of the server know whether its own outputs can be sought in, and believe it of these.
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process lasts
        sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 - the same
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        sys.argv = [self.module, *self.arguments, *map(str, line)]
        if self.module == KEEPER:
            self.asks.close()
            os.setsid()
            file_process.main()
            # As the interpreter ends, without looking through all that the server has imported.
            ctypes.PyDLL(None).exit(0)
        if self.real_keepers:
            self.asks.close()
        else:
            vars(file_database)["_started"] = partial(_keeper, self.asks)
        codes: list[int] = []
        # Registered before all handlers of the command, and so called after them.
        atexit.register(_end, codes)
        try:
            runpy.run_module(self.module, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            if isinstance(ended.code, int):
                codes.append(ended.code)
            raise


def _end(codes: Sequence[int]) -> None:
    """End as the interpreter does, without taking apart all that the server has imported: half of a short command."""
    if not codes:
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return
    ctypes.PyDLL(None).exit(codes[0])


def serve(line: socket.socket) -> Request | None:
    """Fork for each request, and tell what each command ended with. In the fork: the request that it is to become."""
    statuses: dict[int, int] = {}
    awake, wake = socket.socketpair()
    wake.setblocking(False)
    asked, asks = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asks.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno())
    with line, asked, awake, wake, selectors.DefaultSelector() as selector:
        for source in (line, asked, awake):
            selector.register(source, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if awake in ready:
                awake.recv(1024)
                _tell_ended(statuses)
            for source in (line, asked):
                if source not in ready:
                    continue
                received, (*outputs, status), _, _ = _received(source)
                if not received:
                    return None
                pid = os.fork()
                if not pid:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for other in (status, *statuses.values()):
                        os.close(other)
                    return Request(outputs, asks, *json.loads(received))
                for output in outputs:
                    os.close(output)
                os.write(status, f"{pid}\n".encode())
                statuses[pid] = status


def _received(line: socket.socket) -> tuple[bytes, list[int], int, object]:
    request, descriptors, flags, address = socket.recv_fds(line, LONGEST, 4)
    return request, descriptors or [-1], flags, address


def _tell_ended(statuses: dict[int, int]) -> None:
    while statuses:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with contextlib.suppress(BrokenPipeError):
            os.write(statuses[pid], f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os.close(statuses.pop(pid))


if __name__ == "__main__":
    from rich.cells import cell_len

    import lab.crash.experiment  # noqa: F401
    from cli.main import COMMANDS

    for module in (*(entry.module for entry in COMMANDS.values()), *LATE):
        import_module(module)
    # It imports the widths of characters.
    cell_len("―")
    # Otherwise each command looks through all these objects when it ends, which takes longer than most commands do.
    gc.collect()
    gc.freeze()
    if found := serve(socket.socket(fileno=int(sys.argv[1]))):
        found.become()
