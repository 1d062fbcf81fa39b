"""A moment of a run, as the browser gets it: numbers as numbers, money as decimal texts, sentences for the reader."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from checkpoints.journal import Journal
from checkpoints.records import Command, Holder, Reason, Refusal, Run, Runner, Stage, Totals
from checkpoints.states import State, states_where
from cli.session.stages import describe_stage, stage_of
from cli.show.closing import describe_end
from cli.show.progress import limit_of
from cli.terminal.badge import badge_of
from cli.terminal.names import OUTCOMES, REFUSED, STATE_NAMES
from cli.terminal.texts import printable
from engine.pipeline.progress import Status
from engine.statistics import PaceSample
from jobs.rows.input import job_parameters
from jobs.spec.import_words import IMPORT
from jobs.spec.undo_words import UNDO, source_of
from texts.remedies import PROGRAM
from texts.said import Language, Quantity, Said, counted, heading, kind_of, said

# ---- the facts of a run at one moment, as its page shows them -----------------------------------------------------


MOST_COMMANDS: Final = 20
"""The latest commands, which are shown."""

MOST_REASONS: Final = 20
"""The most frequent reasons of a state, which are shown."""

PAUSE: Final = 50
"""Nothing is counted again within so many times of what that took: it takes at most 2 % of a processor."""

TROUBLE: Final = states_where(trouble=True)
ACCEPTED: Final = states_where(in_effect=True)
ASKED: Final = tuple(state for state in State if state is not State.REPLACED)
"""A corrected row is counted once, as the row that replaced it."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What has to be counted in the journal, and takes as long as there are rows."""

    totals: Totals
    reasons: Sequence[tuple[State, Reason]]
    first_refusal: Refusal | None


async def count(run: Run, journal: Journal) -> Counted:
    """Count the rows of a run. Raises `JournalError`."""
    totals = await journal.totals(run)
    reasons = [
        (state, reason)
        for state in TROUBLE
        if totals.count(state)
        for reason in await journal.reasons(run, state, size=MOST_REASONS)
    ]
    refusals = await journal.refusals(run, size=1) if totals.refused else []
    return Counted(totals, reasons, refusals[0][1] if refusals else None)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run at one moment.

    `live` is what its process says of it, None where none works on it, or that does not answer, which `unanswered`
    says then. `silent_for` is for how many seconds nobody has worked on it, None while somebody does.
    """

    run: Run
    counted: Counted
    holder: Holder | None
    runners: Sequence[Runner]
    commands: Sequence[Command]
    settings: Mapping[str, str]
    sample: PaceSample
    live: Status | None = None
    unanswered: Said | None = None
    silent_for: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to send and nobody works on it."""
        run = self.run
        if self.holder is not None:
            return False
        waits = run.frozen_at is None or run.approved_at is None or self.counted.totals.count_where(open=True) > 0
        return run.stage is Stage.DISCARDED or run.ended_at is not None or not waits

    @property
    def knows_pace(self) -> bool:
        """Whether its pace is known: not where somebody works on it who is not heard."""
        return self.live is not None or self.holder is None

    @property
    def passing_errors(self) -> Mapping[str, int]:
        """Errors that the process has met and that are the reason of no row's state: what was sent again since."""
        kinds = {reason.kind for _, reason in self.counted.reasons}
        met = self.live.errors if self.live else {}
        return {text: rows for text, rows in met.items() if kind_of(text) not in kinds}

    @property
    def rows(self) -> Mapping[State, int]:
        """The number of rows by state, as the process counts them, which is newer than the journal's count."""
        if self.live is None:
            return self.counted.totals.counts
        return {State(word): number for word, number in self.live.counts.items()}

    def rows_in(self, *states: State) -> int:
        """The number of rows in these states."""
        return sum(self.rows.get(state, 0) for state in states)

    def sum_in(self, *states: State) -> Decimal:
        """The sum of the rows in these states."""
        return sum((self.counted.totals.amounts.get(state, Decimal(0)) for state in states), Decimal(0))

    @property
    def accepted_sum(self) -> Decimal:
        """The sum of what the billing has accepted, as the process adds it up."""
        return self.sum_in(*ACCEPTED) if self.live is None else self.live.entered


# ---- a moment of a run, as the browser gets it --------------------------------------------------------------------


IN_DOUBT: Final = (State.UNCONFIRMED, State.UNKNOWN, State.MANUAL)

_LONGEST: Final = 200
"""Characters of a foreign text."""


def snapshot_of(facts: RunFacts, language: Language) -> dict[str, object]:
    """The moment in the language of a reader."""
    live, run = facts.live, facts.run
    return {
        "sample": facts.sample,
        "run": _run(facts, language),
        "counts": {str(state): _part(facts, state) for state in State if facts.rows.get(state)},
        "state_texts": {str(state): language.render(text) for state, text in STATE_NAMES.items()},
        "has_steps": run.job == IMPORT,
        "asked": _part(facts, *ASKED),
        "accepted": {"rows": facts.rows_in(*ACCEPTED), "sum": format(facts.accepted_sum, "f")},
        "in_doubt": _part(facts, *IN_DOUBT),
        "rejected": _part(facts, State.REJECTED),
        "refused": facts.counted.totals.refused,
        "why": _text(_why(facts), language),
        "held": _text(live.held, language) if live and live.held else None,
        "paused": {"since": run.paused_at, "by": printable(run.paused_by or "")} if run.paused_at else None,
        "knows_pace": facts.knows_pace,
        "window": live.window if live else 0,
        "in_flight": live.in_flight if live else 0,
        "eta": live.eta if live else None,
        "settings": facts.settings,
        "worked_by": _worked_by(facts),
        "silent_for": facts.silent_for,
        "errors": list(_errors(facts, language)),
        "commands": [
            {
                "at": one.given_at,
                "what": printable(one.command),
                "who": printable(one.who),
                "answer": _text(one.answer, language),
            }
            for one in facts.commands
        ],
        "ended": facts.has_ended,
        "closing": [language.render(line) for line in closing_lines(run, facts.counted.totals)]
        if facts.has_ended
        else None,
    }


def _text(text: str, language: Language, limit: int = _LONGEST) -> str:
    """A sentence for the reader, or a foreign text, without what a browser or a terminal would obey."""
    return printable(language.render(text), limit)


def _part(facts: RunFacts, *states: State) -> Mapping[str, object]:
    return {"rows": facts.rows_in(*states), "sum": format(facts.sum_in(*states), "f")}


def _run(facts: RunFacts, language: Language) -> Mapping[str, object]:
    run, is_held, totals = facts.run, facts.holder is not None, facts.counted.totals
    version = next((runner.billing for runner in reversed(facts.runners) if runner.billing), "")
    return {
        "run": run.name,
        "job": run.job,
        "parameters": {name: printable(value, _LONGEST) for name, value in job_parameters(run.parameters).items()},
        "source": printable(language.render(source_of(run)), _LONGEST),
        "target": printable(run.target, _LONGEST),
        "version": printable(version),
        "profile": profile_of_run(run, language),
        "begun": run.created_at,
        "approved": run.approved_at,
        "stage": stage_of(run, totals, is_held=is_held),
        "stage_text": language.render(describe_stage(run, totals, is_held=is_held)),
        "who": printable(facts.runners[0].who if facts.runners else ""),
    }


def profile_of_run(run: Run, language: Language) -> Mapping[str, object] | None:
    """The profile of settings that a run was begun by, in words, and whether that is production."""
    badge = badge_of(run.parameters)
    if badge is None:
        return None
    return {"text": printable(language.render(badge.sentence), _LONGEST), "production": badge.production}


def _worked_by(facts: RunFacts) -> Mapping[str, object] | None:
    holder = facts.holder
    if holder is None:
        return None
    who = facts.runners[-1].who if facts.runners else ""
    return {"who": printable(who), "host": printable(holder.host), "process": holder.process, "since": holder.since}


def _why(facts: RunFacts) -> str:
    """Why the run is not faster, "" where nothing limits it."""
    if facts.live is None:
        return facts.unanswered or ""
    return limit_of(facts.live.why)


def _errors(facts: RunFacts, language: Language) -> Iterator[Mapping[str, object]]:
    """Kinds of errors: of rows that have them, of input that was refused, and what was sent again since."""
    for state, reason in facts.counted.reasons:
        yield _error(state, reason, language)
    if refusal := facts.counted.first_refusal:
        where, why = _place(refusal.line, refusal.label), _text(refusal.reason, language)
        example = language.render(said("{row}: {text}", row=where, text=why))
        yield {"text": language.render(REFUSED), "rows": facts.counted.totals.refused, "example": example}
    for text, rows in facts.passing_errors.items():
        yield {"text": _text(text, language), "rows": rows, "example": ""}


def _error(state: State, reason: Reason, language: Language) -> Mapping[str, object]:
    """A kind of error with its first row; a text that is the same for all of its rows is told once."""
    where = _place(reason.line, reason.label)
    told = _text(reason.example, language)
    if not told:
        text, example = language.render(OUTCOMES[state]), where
    elif reason.items == 1 or reason.example == reason.kind:
        text, example = told, where
    else:
        text = heading(told)
        example = said("{row}: {text}", row=where, text=told)
    return {"text": text, "rows": reason.items, "example": language.render(example)}


def _place(line: int | None, label: str) -> str:
    """A row, by its line and its label."""
    shown = printable(label, 60)
    return said("line {line} ({label})", line=line, label=shown) if line else shown


def closing_lines(run: Run, totals: Totals) -> Iterator[Said]:
    """How the run came out, and what a person does next."""
    if run.discarded_at:
        yield said("The run was given up before anything was sent.")
        return
    if end := describe_end(run):
        yield said(
            "The run has ended: {end}. Of {rows} rows that were entered, {back} are taken back.",
            end=end,
            rows=Quantity(totals.count(*ACCEPTED)),
            back=Quantity(totals.taken_back),
        )
    done, amount = (
        totals.count(*ACCEPTED),
        sum((totals.amounts.get(state, Decimal(0)) for state in ACCEPTED), Decimal(0)),
    )
    if run.job == IMPORT:
        yield counted(
            "{n} step is in the billing, balances of {sum}.",
            "{n} steps are in the billing, balances of {sum}.",
            done,
            sum=amount,
        )
    elif run.job == UNDO:
        yield counted("{n} row is taken back.", "{n} rows are taken back.", done)
    elif amount:
        yield counted(
            "{n} row is in the billing, {sum} in total.",
            "{n} rows are in the billing, {sum} in total.",
            done,
            sum=amount,
        )
    else:
        yield counted("{n} row is in the billing.", "{n} rows are in the billing.", done)
    for state in TROUBLE:
        if number := totals.count(state):
            yield said("{what}: {rows}", what=OUTCOMES[state], rows=counted("{n} row", "{n} rows", number))
    if totals.refused:
        yield counted("{n} row was refused before sending.", "{n} rows were refused before sending.", totals.refused)
    yield from _advice(run, totals)


def _advice(run: Run, totals: Totals) -> Iterator[Said]:
    """What a person does next."""
    if totals.count(State.MANUAL):
        yield said(
            "{command} shows both sides of what a person has to decide.", command=f"{PROGRAM} reconcile {run.name}"
        )
    if totals.count(State.ACCEPTED):
        yield said("{command} reads back what the billing now says.", command=f"{PROGRAM} verify {run.name}")
