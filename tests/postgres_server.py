"""The lab's PostgreSQL for tests: one server, a journal of its own for each test."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from lab.fleet import postgres_server


@dataclass(frozen=True, slots=True)
class PostgresServer(postgres_server.PostgresServer):
    """A running server with one database."""

    _numbers: Iterator[int] = field(default_factory=count, repr=False)

    def new_journal(self) -> str:
        """The address of a journal of its own."""
        return f"{self.url}?schema=journal_{next(self._numbers)}"


def open_the_way() -> None:
    """Let the server's user get through the tests' own folders, which are closed to others."""
    if os.geteuid() == 0:
        for folder in (Path(tempfile.gettempdir()), *Path(tempfile.gettempdir()).parents):
            if not folder.stat().st_mode & stat.S_IXOTH:
                folder.chmod(folder.stat().st_mode | stat.S_IXOTH)


@contextmanager
def running() -> Iterator[PostgresServer]:
    """The server, for as long as the context lasts."""
    open_the_way()
    with postgres_server.running() as server:
        yield PostgresServer(server.port, server.folder)
