"""The observer of an experiment's journal while the load works on it.

Each look opens the file anew for reading: a permanent connection would keep the write-ahead log alive, and a killed
process would never leave one to recover.
"""

import sqlite3
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from checkpoints.journal_file import is_locked
from checkpoints.sqlite_store import prepare
from checkpoints.states import State, states_where
from lab.crash.trials import sql

POLL: Final = 0.005
"""Seconds between two looks at the journal, the only way to see the progress from outside."""
_LOOKS_A_PAUSE: Final = 25
_LATE_ROWS: Final = 200


@dataclass(frozen=True, slots=True)
class JournalView:
    """The progress of the load: its run, None before there is one, and its items by state."""

    run: str | None
    counts: Counter[str]

    @property
    def done(self) -> int:
        """The number of items that need no further call."""
        return sum(self.counts[state] for state in states_where(open=False))

    @property
    def open(self) -> int:
        """The number of items that the run still has work with."""
        return sum(self.counts[state] for state in states_where(open=True))

    @property
    def in_flight(self) -> int:
        """The number of items that are being sent."""
        return self.counts[State.SENDING]


class Observer:
    """Reads the journal of an experiment, which `prepare` creates.

    `forgotten` are the keys of rows that were sent, of which a restored copy of the journal does not know. `touched`
    are those of rows that a stranger had in his hands, and whether they must not be sent since. `others` are runs of
    other journals with the same input, `racing` the keys of rows that were being sent when such a run began. `pause`
    is how many seconds to wait between two looks: the processor that a look at a long journal takes, the load lacks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pause = POLL
        self.forgotten: frozenset[str] = frozenset()
        self.touched: dict[str, bool] = {}
        self.others: frozenset[str] = frozenset()
        self.racing: frozenset[str] = frozenset()

    def prepare(self) -> "Observer":
        """Create the journal, with the lab's trigger in it."""
        prepare(self.path)
        with closing(sqlite3.connect(self.path)) as journal:
            journal.executescript(sql("watch").text)
        return self

    def view(self) -> JournalView:
        """The current progress of the load."""
        began = time.perf_counter()
        with suppress(sqlite3.Error), closing(self._open()) as journal:
            name = journal.execute(sql("run_name").text).fetchone()
            counts = Counter(dict(journal.execute(sql("counts").text).fetchall()))
            self.pause = max(POLL, _LOOKS_A_PAUSE * (time.perf_counter() - began))
            return JournalView(name[0] if name else None, counts)
        return JournalView(None, Counter())

    def steps(self) -> Counter[tuple[str, str]]:
        """How often items changed from one state to another, in the whole experiment."""
        with closing(self._open()) as journal:
            return Counter({(source, target): n for source, target, n in journal.execute(sql("steps").text)})

    def claims(self) -> int | None:
        """The number of intents to send in the whole experiment; None when it cannot be read now."""
        with suppress(sqlite3.Error):
            return self.steps()[State.PENDING, State.SENDING]
        return None

    def not_sent(self, run: str) -> list[str]:
        """The keys of rows that no process has tried to send, the last ones first."""
        with closing(self._open()) as journal:
            return [key for (key,) in journal.execute(sql("not_sent").text, {"run": run, "rows": _LATE_ROWS})]

    def left(self, run: str) -> list[tuple[str, State]]:
        """The keys and states of rows that are not at their end."""
        with closing(self._open()) as journal:
            rows = [(key, State(state)) for key, state in journal.execute(sql("states").text, {"run": run})]
        return [(key, state) for key, state in rows if not state.settled]

    def being_sent(self, run: str) -> frozenset[str]:
        """The keys of rows that are being sent."""
        with closing(self._open()) as journal:
            return frozenset(key for (key,) in journal.execute(sql("being_sent").text, {"run": run}))

    def is_held(self, run: str, process: int) -> bool:
        """Whether the process holds the run's lock."""
        run_id, holder = 0, None
        with suppress(sqlite3.Error), closing(self._open()) as journal:
            run_id, holder = journal.execute(sql("holder").text, {"run": run}).fetchone()
        return holder == process and is_locked(self.path, run_id)

    def is_writable(self) -> bool:
        """Whether no process, running or frozen, is in the middle of a write."""
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(self.path, timeout=0.0, isolation_level=None)) as journal,
        ):
            journal.execute("begin immediate")
            journal.execute("rollback")
            return True
        return False

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=5.0)
