"""The journal of an experiment: its observer while the load works on it, and what is done to its files.

Each look opens the file anew for reading: a permanent connection would keep the write-ahead log alive, and a killed
process would never leave one to recover.
"""

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from billing.database.sql_blocks import sql_block
from checkpoints.journal_file import is_locked
from checkpoints.sqlite_store import prepare
from checkpoints.states import State, states_where
from lab.crash.plan import Alias, Elsewhere

POLL: Final = 0.005
"""Seconds between two looks at the journal, the only way to see the progress from outside."""


@dataclass(frozen=True, slots=True)
class JournalView:
    """The progress of the load: its run, None before there is one, and its items by state."""

    run: str | None
    counts: Counter[str]

    @property
    def done(self) -> int:
        return sum(self.counts[state] for state in states_where(open=False))

    @property
    def open(self) -> int:
        return sum(self.counts[state] for state in states_where(open=True))


@dataclass(slots=True)
class Traces:
    """What acts have left that a verdict must know.

    `forgotten` are the keys of rows that were sent, of which a restored copy of the journal does not know. `touched`
    are those of rows that a stranger had in his hands, and whether they must not be sent since. `others` are runs of
    other journals with the same input, `racing` the keys of rows that were being sent when such a run began.
    """

    forgotten: set[str] = field(default_factory=set)
    touched: dict[str, bool] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    racing: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Observer:
    """Reads the journal of an experiment, which `prepare` creates.

    `pause` is how many seconds to wait between two looks: the processor that a look at a long journal takes, the load
    lacks.
    """

    path: Path
    pause: float = POLL
    traces: Traces = field(default_factory=Traces)

    def prepare(self) -> Self:
        prepare(self.path)
        with closing(sqlite3.connect(self.path)) as journal:
            journal.executescript(_sql("watch"))
        return self

    def view(self) -> JournalView:
        began = time.perf_counter()
        with suppress(sqlite3.Error), closing(_open(self.path)) as journal:
            name = journal.execute(_sql("run_name")).fetchone()
            counts = Counter(dict(journal.execute(_sql("counts")).fetchall()))
            self.pause = max(POLL, 25 * (time.perf_counter() - began))
            return JournalView(name[0] if name else None, counts)
        return JournalView(None, Counter())

    def steps(self) -> Counter[tuple[str, str]]:
        return Counter({(source, target): n for source, target, n in _rows(self.path, "steps")})

    def claims(self) -> int | None:
        """The intents to send in the whole experiment; None when it cannot be read now."""
        with suppress(sqlite3.Error):
            return self.steps()[State.PENDING, State.SENDING]
        return None

    def not_sent(self, run: str) -> list[str]:
        return [key for (key,) in _rows(self.path, "not_sent", run=run, rows=200)]

    def states(self, run: str) -> dict[str, State]:
        return {key: State(state) for key, state in _rows(self.path, "states", run=run)}

    def is_held(self, run: str, process: int) -> bool:
        with suppress(sqlite3.Error):
            ((run_id, holder),) = _rows(self.path, "holder", run=run)
            return bool(holder == process and is_locked(self.path, run_id))
        return False

    def is_writable(self) -> bool:
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(self.path, timeout=0.0, isolation_level=None)) as journal,
        ):
            journal.execute("begin immediate")
            journal.execute("rollback")
            return True
        return False

    # ---- its files ----

    def back_up(self) -> Path:
        """Copy the journal during writes, as `sqlite3 .backup` does: a consistent snapshot."""
        copy = self.path.with_name(f"copy-{self.path.name}")
        copy.unlink(missing_ok=True)
        with closing(_open(self.path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        return copy

    def put_back(self, copy: Path) -> None:
        """Replace the journal, which no process has open, by a copy that does not know of what was sent since."""
        known, sent = (dict(_rows(path, "attempts")) for path in (copy, self.path))
        self.traces.forgotten |= {key for key, attempts in sent.items() if attempts > known.get(key, 0)}
        for path in _files(self.path):
            path.unlink(missing_ok=True)
        copy.replace(self.path)


def _files(journal: Path) -> list[Path]:
    """A journal, and what SQLite keeps beside it, with the name by which it was opened."""
    return [journal.with_name(journal.name + ending) for ending in ("", "-wal", "-shm")]


def _sql(name: str) -> str:
    return sql_block("journals", name, "lab.crash").text


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5.0)


def _rows(path: Path, name: str, **values: str | int) -> list[Any]:
    with closing(_open(path)) as journal:
        return journal.execute(_sql(name), values).fetchall()


@contextmanager
def aliased(journal: Path, alias: Alias) -> Iterator[Path]:
    """Another way to a journal, while the context lasts."""
    if alias is Alias.NO_LOCK_FILES:
        for lock in journal.parent.glob(f"{journal.name}*.lock"):
            lock.unlink()
        yield journal
        return
    link = journal.with_name(f"alias-{journal.name}")
    if alias is Alias.SYMBOLIC_LINK:
        link.symlink_to(journal)
    else:
        os.link(journal, link)
    try:
        yield link
    finally:
        for path in _files(link):
            path.unlink(missing_ok=True)


@contextmanager
def set_aside(journal: Path, elsewhere: Elsewhere) -> Iterator[Path]:
    """The journal that the same input is entered with instead, while the context lasts.

    No process may work with a journal that is moved aside.
    """
    if elsewhere is Elsewhere.OTHER_FOLDER:
        folder = journal.parent / "elsewhere"
        folder.mkdir(exist_ok=True)
        yield folder / journal.name
        return
    aside = journal.parent / "aside"
    aside.mkdir(exist_ok=True)
    for path in _files(journal):
        with suppress(FileNotFoundError):
            path.rename(aside / path.name)
    if elsewhere is Elsewhere.EMPTY:
        journal.touch()
    try:
        yield journal
    finally:
        for path in _files(journal):
            path.unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                (aside / path.name).rename(path)
