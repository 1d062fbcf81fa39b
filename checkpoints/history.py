"""The history of a run beside its rows, as commands and decisions; and all runs of a journal at one moment."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

import anyio
import msgspec

from checkpoints import rows
from checkpoints.errors import JournalError
from checkpoints.mailbox import LiveRow
from checkpoints.queries import FoundRow, Queries
from checkpoints.records import (
    Command,
    Decision,
    Holder,
    LookUps,
    ReportRoot,
    Run,
    RunHistory,
    Runner,
    SentSpan,
    Totals,
    Verification,
)
from checkpoints.rows import record
from checkpoints.states import State, states_where
from checkpoints.store import Store
from checkpoints.tally import ImportTally
from checkpoints.transitions import totals_of_runs
from texts.said import to_json

_TALLY: Final = "tally"
"""The name of the tally of an import beside the figures of a verification."""

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


class History:
    """Reads and writes the history of runs in an open journal."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def runners(self, run: Run) -> list[Runner]:
        found = await self._store.all("runners", run_id=run.run_id)
        return [record(Runner, row, look_ups=record(LookUps, row)) for row in found]

    async def of_run(self, run: Run) -> RunHistory:
        """The last moment of which the run has a note, also of who looked at it."""
        (found,) = await self._store.records(RunHistory, "run_history", run_id=run.run_id)
        return found

    async def last_change(self, run: Run) -> datetime:
        """When the run or a row of it last took a step; who has only looked at it since does not count."""
        (found,) = await self._store.all("last_change", run_id=run.run_id)
        return datetime.fromisoformat(found["changed_at"])

    async def sent_by_time(self, run: Run, most: int) -> list[SentSpan]:
        """What was sent of the run when, in at most so many equal spans; those in which nothing was are left out."""
        # What has no answer is in doubt where nobody works on the run.
        trouble = (*states_where(trouble=True), State.SENDING)
        return await self._store.records(SentSpan, "sent_by_time", run_id=run.run_id, most=most, trouble=trouble)

    async def end_runner(self, run: Run) -> None:
        """Note that the process of this epoch works on the run no longer; without the note it counts as killed."""
        # The lock is given back in any case: a note that fails must not hide why the work ended.
        with anyio.CancelScope(shield=True), suppress(JournalError):
            await self._store.do("end_runner", run_id=run.run_id, epoch=run.epoch, now=rows.now())

    async def note_free(self, run: Run, machine: str) -> None:
        """Note that no earlier owner of the billing can send any more, but for other runs of this machine."""
        await self._store.do("note_free", run_id=run.run_id, epoch=run.epoch, machine=machine)

    async def note_calls_ended(self, run: Run) -> None:
        """Note that no call of an earlier owner of the run can be under way any more."""
        await self._store.do("note_calls_ended", run_id=run.run_id, epoch=run.epoch)

    async def note_command(self, run: Run, who: str, command: str, answer: str) -> None:
        note = {"who": who, "command": command, "answer": to_json(answer)}
        await self._store.do("note_command", run_id=run.run_id, now=rows.now(), **note)

    async def commands(self, run: Run, *, size: int = 1000) -> list[Command]:
        return await self._store.records(Command, "commands", run_id=run.run_id, size=size)

    async def note_wait(self, run: Run, holder: str, why: str = "", *, ago: float = 0.0) -> None:
        """Note that the run is held since so many seconds, by `holder`; without a reason, that this is over."""
        at = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat(timespec="milliseconds")
        note = {"who": "", "command": holder, "answer": to_json(why)}
        await self._store.do("note_command", run_id=run.run_id, now=at, **note)

    async def waits(self, run: Run) -> list[Command]:
        """The beginnings and ends of waits, as commands that nobody gave: each is named by what held the run."""
        return await self._store.records(Command, "waits", run_id=run.run_id, size=1000)

    async def decisions(self, run: Run) -> list[Decision]:
        return await self._store.records(Decision, "decisions", run_id=run.run_id)

    async def note_look_ups(self, run: Run, look_ups: LookUps) -> None:
        await self._store.do("note_look_ups", run_id=run.run_id, epoch=run.epoch, **asdict(look_ups))

    async def note_assumptions(self, run: Run, text: str) -> None:
        """Keep what the sums of a run rest on and no probe has confirmed; the first note counts."""
        await self._store.do("note_assumptions", run_id=run.run_id, text=to_json(text))

    async def note_verification(
        self, run: Run, who: str, figures: Mapping[str, str | int], tally: ImportTally | None = None
    ) -> None:
        """Record what was read back of a run. Of earlier ones the extra subscribers are forgotten."""
        text = msgspec.json.encode(figures if tally is None else {**figures, _TALLY: tally}).decode()

        def work(db: Queries) -> None:
            db.write("forget_extra_subscribers", run_id=run.run_id)
            db.write("note_verification", run_id=run.run_id, who=who, result=text, now=rows.now())

        await self._store.write(work)

    async def last_verification(self, run: Run) -> Verification | None:
        row = await self._store.first("last_verification", run_id=run.run_id)
        if row is None:
            return None
        result = msgspec.json.decode(row["result"])
        return record(Verification, row, rows=result, accounts=result, tally=result.get(_TALLY))

    async def note_report(self, run: Run, root: str) -> None:
        """Record that a report with this Merkle root was made; the same root of a run counts once."""
        await self._store.do("note_report", run_id=run.run_id, root=root, now=rows.now())

    async def report_before(self, run: Run, root: str) -> ReportRoot | None:
        """The last report of this journal before the first one of the run with this root, None for none."""
        return next(iter(await self._store.records(ReportRoot, "report_before", run_id=run.run_id, root=root)), None)

    async def queue(self, task: str) -> tuple[Sequence[FoundRow], Sequence[FoundRow]]:
        """The runs that wait for workers or are given out, and the names that workers show; none without a queue."""

        def work(db: Queries) -> tuple[Sequence[FoundRow], Sequence[FoundRow]]:
            if not db.one("has_queue")["answer"]:
                return (), ()
            return db.all("queued_runs", task=task), db.all("names_of_workers")

        return await self._store.read(work)

    async def take_out(self, run: Run) -> bool:
        """Take a run out of the queue, also from a worker, which then stops it; False where it is not there."""

        def work(db: Queries) -> bool:
            return bool(db.one("has_queue")["answer"] and db.all("take_out_of_queue", run=run.name))

        return await self._store.write(work)

    async def overview(
        self, command: str, before: Mapping[int, RunSummary] = NOTHING_SEEN, *, recount: bool = True
    ) -> list[RunSummary]:
        """All runs at one moment, the oldest first, each with its last note of a command.

        A few statements for the whole journal, however many runs it has. `before` is the look before, by the ids of
        the runs: what nobody has worked on since is not counted again. Those of a run that is worked on all the time
        are, unless there is to be no `recount`.
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
