"""What a report is of: one run, a run with those that take it back, or all steps of a job file in one round."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import anyio

from checkpoints.journal import Journal
from checkpoints.merkle import leaf_hash, root_of
from checkpoints.records import ReportRoot, Run, Stage
from cli.report.facts import ReportedRun, facts_of_run, sums_of_run
from cli.session.journal import refuse_purged
from cli.session.stages import StepMark, mark_of
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import printable
from jobs.catalogue.catalogue import Catalogue
from jobs.spec.undo_words import RUN, UNDO
from texts.said import said


class SubjectKind(StrEnum):
    """What a report is of; the value stands in its stamp."""

    RUN = "run"
    """One run."""
    UNDO = "undo"
    """A run and the undo that takes it back; with the undo of the undo, three."""
    FILE = "file"
    """The runs of one round of a job file."""
    CAMPAIGN = "campaign"
    """Runs of all billings; its report has of each run its sums and its root, and no rows."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The runs that a report is of, the oldest first; those of a job file in the order of its steps."""

    kind: SubjectKind
    runs: tuple[Run, ...]

    @property
    def main(self) -> Run:
        """The run that gives the report its number."""
        return self.runs[-1]


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """What a report says, run by run. `root` is the root over the roots of the runs, of one run its own."""

    kind: SubjectKind
    runs: tuple[ReportedRun, ...]
    root: str
    before: ReportRoot | None

    @property
    def main(self) -> ReportedRun:
        """The run that gives the report its number."""
        return self.runs[-1]

    @property
    def file(self) -> StepMark | None:
        """The job file of the report, None for a report of one run or of an undo."""
        return self.main.step if self.kind is SubjectKind.FILE else None

    @property
    def steps_not_begun(self) -> tuple[int, ...]:
        """The numbers of the steps of the job file that have no run yet."""
        if self.file is None:
            return ()
        begun = {one.step.number for one in self.runs if one.step}
        return tuple(number for number in range(1, self.file.steps + 1) if number not in begun)

    @property
    def is_unfinished(self) -> bool:
        """Whether rows are still to be read, approved or sent, or steps to be begun."""
        return bool(self.steps_not_begun) or any(one.is_unfinished for one in self.runs)

    @property
    def in_doubt(self) -> int:
        """The number of rows of which it is not known whether they are in the billing."""
        return sum(one.in_doubt for one in self.runs)

    @property
    def is_preliminary(self) -> bool:
        """Whether nothing can be handed over with this report yet."""
        return self.is_unfinished or self.in_doubt > 0

    @property
    def has_money(self) -> bool:
        """Whether any row has an amount."""
        return any(one.sums.has_money for one in self.runs)

    @property
    def exceptions(self) -> int:
        """The number of exceptions in all runs."""
        return sum(one.exceptions.number for one in self.runs)

    @property
    def date(self) -> datetime:
        """The moment whose state the report shows."""
        return max(one.history.changed_at for one in self.runs)


async def subject_of(word: str, journal: Journal, *, is_file: bool) -> Subject:
    """The subject that a name stands for: of an undo with what it takes back, of a job file its last round.

    Raises `NoSuchRun`, and `CommandRefused` for a job file without runs in the journal.
    """
    if is_file:
        path = str(await anyio.Path(word).resolve())
        marked = [run for run in await journal.runs() if (mark := mark_of(run)) and mark.file == path]
        sent = [run for run in marked if run.stage is not Stage.DISCARDED]
        if not sent:
            none = said("the journal has no run of the job file {file}: name a run instead", file=printable(path))
            raise CommandRefused(none)
        return await round_of(sent[-1], journal)
    run = await journal.run(word)
    return await _of_undo(run, journal) if run.job == UNDO else Subject(SubjectKind.RUN, (run,))


async def round_of(step: Run, journal: Journal) -> Subject:
    """The runs of the round of a job file that a step belongs to."""
    mark = mark_of(step)
    if mark is None:
        raise CommandRefused(said("run {run} is not a step of a job file", run=step.name))
    runs = [
        (one.number, run)
        for run in await journal.runs()
        if (one := mark_of(run)) and (one.file, one.round, run.target) == (mark.file, mark.round, step.target)
        if run.stage is not Stage.DISCARDED
    ]
    # A step that was begun anew has several runs: in the order in which they began.
    return Subject(SubjectKind.FILE, tuple(run for _, run in sorted(runs, key=lambda one: one[0])))


async def again(kind: str, names: Sequence[str], journal: Journal) -> Subject:
    """The subject as it is now of a report that was of these runs. Raises `NoSuchRun` and `ValueError`."""
    run = await journal.run(names[-1])
    match SubjectKind(kind):
        case SubjectKind.FILE:
            return await round_of(run, journal)
        case SubjectKind.UNDO:
            return await _of_undo(run, journal)
        case SubjectKind.CAMPAIGN:
            return Subject(SubjectKind.CAMPAIGN, tuple([await journal.run(name) for name in names]))
        case SubjectKind.RUN:
            return Subject(SubjectKind.RUN, (run,))


async def campaign_of(journal: Journal, since: datetime | None) -> Subject:
    """All runs of a journal that were not given up, begun at that moment or later. Raises `CommandRefused`."""
    runs = [run for run in await journal.runs() if run.stage is not Stage.DISCARDED]
    chosen = tuple(run for run in runs if since is None or run.created_at >= since)
    if not chosen:
        raise CommandRefused(
            said("{journal} has no runs yet", journal=journal.name)
            if since is None
            else said("{journal} has no run that was begun since {moment}", journal=journal.name, moment=since)
        )
    return Subject(SubjectKind.CAMPAIGN, chosen)


async def _of_undo(run: Run, journal: Journal) -> Subject:
    chain = [run]
    while chain[0].job == UNDO:
        chain.insert(0, await journal.run(chain[0].parameters[RUN]))
    return Subject(SubjectKind.UNDO, tuple(chain))


async def facts_of(subject: Subject, journal: Journal, catalogue: Catalogue) -> ReportFacts:
    """The facts of a report. Raises `JournalError`, also for a run whose rows were purged."""
    if subject.kind is SubjectKind.CAMPAIGN:
        runs = tuple([await sums_of_run(run, journal, catalogue) for run in subject.runs])
    else:
        for run in subject.runs:
            refuse_purged(run)
        runs = tuple([await facts_of_run(run, journal, catalogue) for run in subject.runs])
    roots = [one.evidence.root for one in runs]
    root = roots[0] if len(roots) == 1 else root_of(leaf_hash(bytes.fromhex(one)) for one in roots).hex()
    return ReportFacts(subject.kind, runs, root, await journal.history.report_before(subject.main, root))
