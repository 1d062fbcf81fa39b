"""The lab's PostgreSQL for tests: one server, a journal of its own for each test."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg

from lab.crash import program

EMPTY = """\
begin;
set constraints all deferred;
delete from secret_keys; delete from secrets; delete from reports; delete from verifications; delete from requests;
delete from live; delete from samples;
delete from billings; delete from runners; delete from commands; delete from decisions; delete from refusals;
delete from items; delete from purging; delete from runs;
select setval(format('%I.%I', schemaname, sequencename), 1, false)
from pg_sequences where schemaname = current_schema();
commit
"""


@dataclass(frozen=True, slots=True)
class PostgresServer(program.PostgresServer):
    """A running server with one database."""

    _numbers: Iterator[int] = field(default_factory=count, repr=False)
    _emptied: list[str] = field(default_factory=list, repr=False)

    def new_journal(self) -> str:
        """The address of a journal of its own, which is not there yet."""
        return f"{self.url}?schema={self._new_schema()}"

    @contextmanager
    def journal_without_rows(self) -> Iterator[str]:
        """The address of a journal of its own, perhaps one that another test has left and that was emptied."""
        schema = self._emptied.pop() if self._emptied else self._new_schema()
        yield f"{self.url}?schema={schema}"
        with psycopg.connect(self.url, autocommit=True, options=f"-c search_path={schema}") as server:
            if server.execute("select to_regclass('items')").fetchone() != (None,):
                server.execute(EMPTY)
                self._emptied.append(schema)

    def _new_schema(self) -> str:
        return f"journal_{next(self._numbers)}"


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
    with program.running_postgres() as server:
        yield PostgresServer(server.port, server.folder)
