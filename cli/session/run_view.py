"""A run at one moment, as all that shows it has it: screens, `--json`, the page, the table of all billings, reports.

It is built from the journal alone, with what the run's process says of itself where one works on it and is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from checkpoints.history import RunSummary
from checkpoints.records import Command, Run, Runner, Stage, Totals, Verification
from checkpoints.states import State, states_where
from checkpoints.tally import Subtotal
from cli.terminal.layout import Badge, badge_of
from cli.terminal.names import STAGE_NAMES
from cli.terminal.texts import printable, short_moment
from jobs.spec.words import IMPORT, PLACE, UNDO
from texts.said import Quantity, Said, counted, in_clauses, said

if TYPE_CHECKING:
    from engine.pipeline.progress import Status


# ---- the stage of a run -------------------------------------------------------------------------------------------


_KEYS: Final = tuple(f"{PLACE}{key}" for key in ("file", "round", "step", "steps", "begun", "digest"))


@dataclass(frozen=True, slots=True)
class StepMark:
    """The position of a run in its job file: step `number` of `steps`, in this round, which was begun then.

    What the file names with a date keeps the date of `begun`, however long the round takes. `digest` is the SHA-256
    of the file when the step began.
    """

    file: str
    round: int
    number: int
    steps: int
    begun: datetime
    digest: str = ""

    def to_parameters(self) -> dict[str, str]:
        values = (self.file, self.round, self.number, self.steps, self.begun.isoformat(), self.digest)
        return dict(zip(_KEYS, map(str, values), strict=True))

    @property
    def is_last(self) -> bool:
        return self.number == self.steps


def mark_of(run: Run) -> StepMark | None:
    file, in_round, number, steps, begun, digest = (run.parameters.get(key, "") for key in _KEYS)
    if not (file and in_round and number and steps):
        return None
    began = datetime.fromisoformat(begun) if begun else run.created_at.astimezone()
    return StepMark(file, int(in_round), int(number), int(steps), began, digest)


def is_followed(run: Run) -> bool:
    mark = mark_of(run)
    return mark is not None and not mark.is_last


def holds_its_file(run: Run) -> bool:
    """Whether the run is paused and its job file waits after it, also when the run itself has ended."""
    return run.paused_at is not None and is_followed(run)


RUNNING: Final = "running"
STOPPED: Final = "stopped"
DONE: Final = "done"
CLOSED: Final = "closed"
TAKEN_BACK: Final = "taken back"
ENDED: Final = frozenset({DONE, CLOSED, TAKEN_BACK})
"""The stages of a run for which nothing is left to send."""


def ended_facts(run: Run) -> dict[str, object] | None:
    if run.ended_at is None:
        return None
    return {"at": run.ended_at, "by": run.ended_by, "why": run.ended_why, "undone_by": run.undone_by}


# ---- a run at one moment, as all that shows it has it -------------------------------------------------------------


_LONGEST_HOST: Final = 16


class FleetGroup(IntEnum):
    """Where a run stands in the list of all runs, the first first."""

    PERSON = 0
    WORKING = 1
    WAITING = 2
    ENDED = 3


@dataclass(frozen=True, slots=True)
class Need:
    """What a person has to see to, by its word for scripts, and how many rows it is about."""

    kind: str
    rows: int
    sentence: Said


UNSERVED: Final = said("no worker with a profile of its billing is running: start one with `carbon-migrate worker`")
"""Why a run is not taken out of the queue."""


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A run in the queue, since it was handed in. It waits until `not_before`, if that is set, or is `given_out`.

    It `is_served` where a worker that is at work sends to its billing.
    """

    run: str
    target: str
    given_out: bool
    priority: int
    attempts: int
    not_before: datetime | None
    since: datetime | None
    is_served: bool = True

    @property
    def facts(self) -> dict[str, object]:
        return {
            "since": self.since,
            "not_before": self.not_before,
            "given_out": self.given_out,
            "attempts": self.attempts,
            "priority": self.priority,
            "served": self.is_served,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView(RunSummary):
    """A run at one moment.

    `live` is what its process says of itself, None where it was not asked or did not answer; `silent` is why not.
    Among the runs of all billings `name` is what its billing is called, `queued` its place in the queue, None for
    none; a journal that `is_shared` has a queue, from which workers of several machines take runs. A page and a
    report also have its history: the processes that took it up, its commands, and when it was last read back.
    """

    live: "Status | None" = None
    silent: str = ""
    name: str = ""
    profile: str | None = None
    journal: str = ""
    is_shared: bool = False
    queued: QueuedRun | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    runners: Sequence[Runner] = ()
    commands: Sequence[Command] = ()
    verification: Verification | None = None

    @property
    def version(self) -> str:
        """The version that the billing reported last, "" if it was never asked."""
        return next((runner.billing for runner in reversed(self.runners) if runner.billing), "")

    @property
    def is_held(self) -> bool:
        return self.holder is not None

    @property
    def shown(self) -> Totals:
        """The totals as people are shown them; scripts get those of the journal.

        What is claimed and has not left is still to be sent; where nobody works on the run it may have left.
        """
        if self.live and not self.live.in_flight:
            return self.totals.sending_as(State.PENDING)
        return self.totals if self.is_held else self.totals.sending_as(State.UNKNOWN)

    @property
    def stage(self) -> str:
        """In a word or two: the same on the screen and for scripts."""
        run, totals = self.run, self.totals
        match run.stage:
            case _ if self.is_held:
                return RUNNING
            case _ if run.purged_at or self.is_discarded:
                return "purged" if run.purged_at else "given up"
            case _ if run.ended_at and totals.taken_back and not totals.standing:
                return TAKEN_BACK
            case _ if run.ended_at and (totals.unsent or run.frozen_at is None):
                return CLOSED
            case Stage.INTAKE | Stage.FROZEN:
                return "not approved" if run.frozen_at else "reading, stopped"
            case Stage.APPROVED if totals.count_where(open=True) or run.frozen_at is None:
                return STOPPED
            case _:
                return DONE

    @property
    def stage_text(self) -> Said:
        if self.queued is not None and not self.is_held and self.run.paused_at is None and self.stage == STOPPED:
            return self.in_queue
        waits = {RUNNING, STOPPED, DONE} if holds_its_file(self.run) else {RUNNING, STOPPED}
        text = STAGE_NAMES[self.stage]
        if self.totals.taken_back and self.stage in {DONE, CLOSED}:
            text = said("{stage}, partly taken back", stage=text)
        if self.totals.different and self.stage in {DONE, CLOSED}:
            text = said("{stage}, not as sent: {n}", stage=text, n=Quantity(self.totals.different))
        return said("{stage}, paused", stage=text) if self.run.paused_at and self.stage in waits else text

    @property
    def is_discarded(self) -> bool:
        return self.run.stage is Stage.DISCARDED

    @property
    def is_undo(self) -> bool:
        return self.run.job == UNDO

    @property
    def is_unfinished(self) -> bool:
        if self.is_discarded or self.run.ended_at:
            return False
        waits = self.run.frozen_at is None or self.run.approved_at is None
        return waits or self.totals.count_where(to_send=True) > 0

    @property
    def has_ended(self) -> bool:
        return not self.is_held and (self.run.purged_at is not None or self.is_discarded or self.stage in ENDED)

    @property
    def step(self) -> StepMark | None:
        return mark_of(self.run)

    @property
    def badge(self) -> Badge | None:
        return badge_of(self.run.parameters)

    @property
    def rows(self) -> int:
        """Rows that need a call or needed one; a corrected one counts once, and what is never sent is none."""
        return self.totals.frozen - self.totals.count(State.SKIPPED) - self.totals.unsent

    @property
    def done(self) -> int:
        return self.rows - self.totals.count_where(settled=False)

    @property
    def in_doubt(self) -> int:
        return self.shown.count_where(settled=False, to_send=False)

    @property
    def entered(self) -> Decimal:
        return self.totals.amount_of(*states_where(in_effect=True))

    @property
    def standing(self) -> Subtotal:
        """What the billing has now as it was entered; of an import its steps, of which some go with another."""
        totals = self.totals
        there = totals.standing - totals.different
        return Subtotal(there, self.entered - totals.sum_taken_back - totals.not_as_sent)

    @property
    def seconds_left(self) -> float | None:
        """How long it takes, None where nobody knows: as its process says, else at the pace of the last minute."""
        if self.live is not None:
            return self.live.eta
        pace = self.per_second
        return self.totals.count_where(open=True) / pace if pace and self.run.frozen_at else None

    @property
    def is_at_work(self) -> bool:
        return self.is_held and self.run.paused_at is None

    @property
    def group(self) -> FleetGroup:
        if self.needs:
            return FleetGroup.PERSON
        if self.is_at_work:
            return FleetGroup.WORKING
        return FleetGroup.ENDED if self.has_ended else FleetGroup.WAITING

    @property
    def needs(self) -> Sequence[Need]:
        run, totals, found = self.run, self.totals, list[Need]()
        if run.purged_at or self.is_discarded:
            return found
        if manual := totals.count(State.MANUAL):
            found.append(Need("decide", manual, counted("{n} row[s] to decide on", manual)))
        if run.ended_at:
            return found
        if rejected := totals.count(State.REJECTED):
            held = totals.held_back.rows
            both = (
                counted("{n} row[s] rejected", rejected - held),
                counted("{n} row[s] held back", held),
            )
            found.append(Need("rejected", rejected, in_clauses([one for one in both if one.n])))
        if totals.refused:
            refused = counted("{n} row[s] of the input refused", totals.refused)
            found.append(Need("refused", totals.refused, refused))
        left, note = totals.count_where(open=True), self.note
        if self.is_held or self.has_ended or run.paused_at is not None:
            return found
        if self.queued is not None:
            unserved = [] if self.queued.is_served else [Need("unserved", left, UNSERVED)]
            return [*found, *unserved]
        if note is not None and note.given_at >= (self.began_at or note.given_at):
            need = Need("left", left, said("a worker has left it: {why}", why=note.answer))
        elif self.stage == STOPPED:
            idle = said("nobody works on it, and it is in no queue") if self.is_shared else said("nobody works on it")
            need = Need("idle", left, idle)
        elif run.frozen_at is None:
            need = Need("idle", left, said("its rows are not all read, and nobody works on it"))
        else:
            need = Need("unapproved", left, said("nobody has said yes to it"))
        return [*found, need]

    @property
    def where(self) -> Said:
        run = self.run
        if self.holder is not None:
            first = self.holder.host.partition(".")[0]
            # An address has no such part.
            host = printable(self.holder.host if first.isdecimal() else first, _LONGEST_HOST)
            if run.paused_at is not None:
                return said("paused on {host}", host=host)
            return said("on {host}, {process}", host=host, process=str(self.holder.process))
        if self.has_ended:
            if run.ended_at is None or (self.stage == DONE and not self.totals.taken_back):
                return self.stage_text
            # Of one that was ended for good, by whom, when, and how much of it is in the billing: of an import, whose
            # steps partly go with their subscriber, the money.
            return said(
                "{stage} {time} by {who}; in the billing: {n}",
                stage=self.stage_text,
                time=short_moment(run.ended_at, self.now),
                who=printable(run.ended_by.partition("@")[0], _LONGEST_HOST) or "?",
                n=self.standing.amount if run.job == IMPORT else Quantity(self.standing.rows),
            )
        if run.paused_at is not None:
            return said("paused")
        return self.in_queue

    @property
    def waits_for(self) -> str | None:
        return self.live.held if self.live else None

    @property
    def in_queue(self) -> Said:
        run, queued = self.run, self.queued
        if queued is None:
            return STAGE_NAMES[self.stage]
        if queued.given_out and queued.is_served:
            return said("being taken up")
        if queued.not_before is None or queued.not_before <= self.now:
            since = queued.since or run.approved_at or run.created_at
            return said("queued since {time}", time=short_moment(since, self.now))
        time = short_moment(queued.not_before, self.now)
        return said("waits until {time}", time=time) if "hours" in run.policy else said("again at {time}", time=time)
