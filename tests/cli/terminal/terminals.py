"""A process at a pseudo-terminal, as a person at a keyboard has it."""

import os
import pty
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from tests.cli.conftest import PATIENCE, Place
from tests.cli.forking import Forked, command_server


class Terminal:
    """A process that believes in a person at a keyboard."""

    def __init__(self, master: int, process: subprocess.Popen[bytes] | Forked) -> None:
        self._master = master
        self._process = process
        self.seen = ""

    async def shows(self, text: str) -> None:
        with anyio.fail_after(PATIENCE):
            while text not in self.seen:
                await anyio.wait_readable(self._master)
                self.seen += os.read(self._master, 65536).decode(errors="replace")

    def types(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        # What the terminal makes of Ctrl-C, were it the process's controlling one.
        self._process.send_signal(signal.SIGINT)

    def hangs_up(self) -> None:
        """Close the terminal under the process, as a lost connection does."""
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, self._master)
        os.close(nowhere)
        self._process.send_signal(signal.SIGHUP)

    def dies(self) -> None:
        self._process.kill()

    async def ends(self) -> int:
        def drain() -> int:
            try:
                while part := os.read(self._master, 65536):
                    self.seen += part.decode(errors="replace")
            except OSError:
                # The other end of a terminal that is closed.
                pass
            return self._process.wait()

        with anyio.fail_after(PATIENCE):
            return await anyio.to_thread.run_sync(drain)


@contextmanager
def _opened(start: Callable[[int], subprocess.Popen[bytes] | Forked]) -> Iterator[Terminal]:
    """A terminal with what is started at it; killed when the context ends, if it has not ended by then."""
    master, slave = pty.openpty()
    process = start(slave)
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def opened(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> AbstractContextManager[Terminal]:
    """A program of the system at a terminal."""

    def start(slave: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - a shell of the system
            command, cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )

    return _opened(start)


def at_a_terminal(place: Place, *arguments: str) -> AbstractContextManager[Terminal]:
    """A command of ours at a terminal."""
    environment = {**place.cli.environment, "TERM": "xterm"}
    return _opened(lambda slave: command_server().at_terminal(arguments, place.cli.folder, environment, slave))


async def killed_at(question: str, place: Place, *words: str | Path) -> None:
    """Type a command, and kill it when it asks this."""
    with at_a_terminal(place, *map(str, words)) as terminal:
        await terminal.shows(question)
        terminal.dies()
        await terminal.ends()


async def answered(place: Place, *words: str | Path, says: Sequence[tuple[str, str]], ends: int = 0) -> str:
    """Type a command, answer what it shows, and wait for its end; all that was seen, its lines joined."""
    with at_a_terminal(place, *map(str, words)) as terminal:
        for question, answer in says:
            await terminal.shows(question)
            terminal.types(f"{answer}\n")
        assert await terminal.ends() == ends, terminal.seen
    assert "Traceback" not in terminal.seen
    return " ".join(terminal.seen.split())
