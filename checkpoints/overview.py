"""All runs of a journal at one moment: their rows by state, who works on them, and how fast.

A few statements for the whole journal, however many runs it has. What nobody has worked on since the last look is not
counted again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

from checkpoints import rows
from checkpoints.mailbox import LiveRow
from checkpoints.queries import Queries
from checkpoints.records import Command, Holder, Run, Totals
from checkpoints.store import Store
from checkpoints.transitions import totals_of_runs

RECENT: Final = 60.0
"""Seconds over which the pace of a run is taken."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run at one moment.

    `holder` is the process that works on it, None for none, `began_at` when that or the last one began. `per_second`
    are the rows that were sent and accepted in the last minute, a second. `note` is the last one of the command that
    was asked for, `told` what that process says of itself.
    """

    run: Run
    totals: Totals
    holder: Holder | None = None
    began_at: datetime | None = None
    per_second: float = 0.0
    note: Command | None = None
    told: LiveRow | None = None
    seen_epoch: int = 0
    """The run's epoch before it was looked who works on it."""

    def holds_for(self, run: Run, epoch: int, *, is_held: bool, recount: bool) -> bool:
        """Whether rows and pace are good enough for the run as it is now.

        Who takes a run up raises its epoch, and nobody else changes the state of a row.
        """
        if is_held:
            return not recount and self.holder is not None and self.run.epoch == run.epoch
        # What was taken back of a run changes with the rows of its undo.
        return self.holder is None and self.seen_epoch == epoch and self.run == run and run.undone_by is None


NOTHING_SEEN: Final[Mapping[int, RunSummary]] = MappingProxyType({})


class Overview:
    """Reads all runs of an open journal."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def look(
        self, command: str, before: Mapping[int, RunSummary] = NOTHING_SEEN, *, recount: bool = True
    ) -> list[RunSummary]:
        """All runs, the oldest first, each with its last note of a command.

        `before` is the look before, by the ids of the runs: what nobody has worked on since has the same rows. Those
        of a run that is worked on all the time are counted again, unless there is to be no `recount`.
        """
        epochs = await self._store.read(lambda db: {row["run_id"]: row["epoch"] for row in db.all("runs")})
        held = await self._store.locked_runs(epochs)
        now = datetime.now(UTC)

        def work(db: Queries) -> list[RunSummary]:
            with db.snapshot():
                runs = [rows.to_run(row) for row in db.all("runs") if row["run_id"] in epochs]
                kept = {
                    run.run_id: old
                    for run in runs
                    if (old := before.get(run.run_id))
                    and old.holds_for(run, epochs[run.run_id], is_held=run.run_id in held, recount=recount)
                }
                since = (now - timedelta(seconds=RECENT)).isoformat(timespec="milliseconds")
                counted = totals_of_runs(db, [run.run_id for run in runs if run.run_id not in kept], since)
                runners = {row["run_id"]: row for row in db.all("runners_of_runs")}
                lives = {row["run_id"]: LiveRow(row["status"], row["age"]) for row in db.all("lives")} if held else {}
                notes = {row["run_id"]: rows.record(Command, row) for row in db.all("last_notes", command=command)}
            found: list[RunSummary] = []
            for run in runs:
                runner, old = runners.get(run.run_id), kept.get(run.run_id)
                began = None if runner is None else datetime.fromisoformat(runner["began_at"])
                totals, recent = (old.totals, 0) if old else counted[run.run_id]
                holder, pace = None, 0.0
                if run.run_id in held:
                    holder = rows.to_holder(runner)
                    seconds = (now - (began or now)).total_seconds()
                    pace = old.per_second if old else recent / min(max(seconds, 1.0), RECENT)
                note, told = notes.get(run.run_id), lives.get(run.run_id)
                # Rows that were left out are not counted here.
                totals = replace(totals, left_out={})
                found.append(RunSummary(run, totals, holder, began, pace, note, told, epochs[run.run_id]))
            return found

        return await self._store.read(work)
