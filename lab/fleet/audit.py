"""The journal of a fleet as the lab sees it: through triggers and statements of the lab's own, see audit.sql."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from billing.database.sql_blocks import sql_block

SCHEMA: Final = "fleet"
_PATIENCE: Final = 5


@dataclass(frozen=True, slots=True)
class TakeUp:
    """A process of the machine `host` has taken a run up, at a time of the server's clock, in seconds."""

    run_id: int
    epoch: int
    host: str
    process: int
    at: float


@dataclass(frozen=True, slots=True)
class Owner:
    """The last process of a run, which may have ended its work in order."""

    run_id: int
    host: str
    process: int
    has_ended: bool

    @property
    def is_at_work(self) -> bool:
        """Whether the process may work on the run: it has not ended its work in order, and is still there."""
        return not self.has_ended and Path(f"/proc/{self.process}").exists()


@dataclass(frozen=True, slots=True)
class AuditedRun:
    """A run: its name, the address of its billing, its rows by state, and their sum of those that are entered."""

    run_id: int
    name: str
    target: str
    states: Counter[str]
    entered: Decimal

    @property
    def entered_rows(self) -> int:
        """The number of its rows that are in the billing."""
        return sum(self.states[state] for state in _ENTERED)

    @property
    def is_entered(self) -> bool:
        """Whether all of its rows are in the billing."""
        return self.entered_rows == self.states.total()


@dataclass(frozen=True, slots=True)
class Audited:
    """All that the journal says at the end. `offences` are sentences, by run."""

    runs: Sequence[AuditedRun]
    take_ups: Sequence[TakeUp]
    steps: Counter[tuple[str, str]]
    offences: Sequence[tuple[int, str]]


class JournalAudit:
    """Looks into a journal at an address, over a connection of its own each time. All of it blocks.

    Raises `psycopg.Error` while the server is away.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def install(self, rate: int) -> None:
        """Install the triggers in the journal, which is there, and set the rate of all runs that it has."""
        with closing(self._connect()) as connection:
            connection.execute(_sql("install"))
            connection.execute(_sql("set_rate"), (rate,))

    def runs(self) -> list[AuditedRun]:
        """All runs with their rows."""
        states: dict[int, Counter[str]] = {}
        sums: defaultdict[int, Decimal] = defaultdict(Decimal)
        with closing(self._connect()) as connection:
            for row in connection.execute(_sql("rows")):
                states.setdefault(row["run_id"], Counter())[row["state"]] = row["n"]
                if row["state"] in _ENTERED:
                    sums[row["run_id"]] += Decimal(row["amount"])
            return [
                AuditedRun(states=states.get(row["run_id"], Counter()), entered=sums[row["run_id"]], **row)
                for row in connection.execute(_sql("runs"))
            ]

    def owners(self) -> list[Owner]:
        """Who works on what."""
        return [Owner(**row) for row in self._found("owners")]

    def take_ups(self) -> list[TakeUp]:
        """Who has taken up what, in its order."""
        return [TakeUp(**row) for row in self._found("take_ups")]

    def terminate_one(self, place: float) -> bool:
        """End the session of a process of the program, chosen by `place` in [0, 1); False where there is none."""
        sessions = [row["pid"] for row in self._found("backends")]
        if sessions:
            self._found("terminate", sessions[int(place * len(sessions))])
        return bool(sessions)

    def read(self) -> Audited:
        """Read everything."""
        offences = [
            (row["run_id"], sentence.format(**row))
            for name, sentence in _OFFENCES.items()
            for row in self._found(name)
        ]
        steps = Counter({(row["source"], row["target"]): row["n"] for row in self._found("steps")})
        return Audited(self.runs(), self.take_ups(), steps, offences)

    def _found(self, name: str, *values: object) -> list[dict[str, Any]]:
        with closing(self._connect()) as connection:
            return connection.execute(_sql(name), values or None).fetchall()

    def _connect(self) -> "psycopg.Connection[dict[str, Any]]":
        return psycopg.connect(
            self._url,
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=_PATIENCE,
            options=f"-c search_path={SCHEMA}",
        )


_OFFENCES: Final = {
    "old_epochs": "{n} rows were written under epoch {own} while it was {current}",
    "hasty": "{n} rows that an earlier process was sending were made {target} without a look",
    "doubtful": "row {number} is left {state} after {attempts} attempts: {message}",
}
"""Statements that find nothing where all is well, and what each row of theirs says."""

_ENTERED: Final = frozenset({"accepted", "applied"})
"""The states of rows that are in the billing, as they stand in the journal."""


def _sql(name: str) -> Any:  # noqa: ANN401 - psycopg takes texts that are in the source alone
    return sql_block("audit", name, "lab.fleet").text
