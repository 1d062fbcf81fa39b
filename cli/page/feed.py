"""The feed of a page: follows a run through kills and restarts, a look a second, and keeps what it has seen.

The journal says who holds the run; who holds it is asked over its control socket. What has to be counted is counted
as often as it takes little of the machine's time.
"""

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import anyio
import msgspec
import structlog
from anyio.abc import TaskGroup

from checkpoints.errors import JournalError
from checkpoints.journal import Journal
from checkpoints.records import Command, Holder, Reason, Refusal, Run, Runner, Stage, Totals
from checkpoints.states import State, states_where
from cli.session.control_client import ask_facts, ask_status, unheard
from cli.session.journal import stored_policy
from cli.session.stages import describe_stage, stage_of
from cli.show.closing import describe_end
from cli.show.progress import limit_of
from cli.terminal.exits import CommandRefused
from cli.terminal.layout import badge_of
from cli.terminal.names import OUTCOMES, REFUSED, STATE_NAMES
from cli.terminal.signals import run_alongside
from cli.terminal.texts import printable
from engine.control.events import Timeline
from engine.control.messages import to_json
from engine.pacing.policy import setting_text
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


# ---- the feed of a page -------------------------------------------------------------------------------------------


log = structlog.get_logger(__name__)

EVERY: Final = 1.0
"""Seconds between two looks."""

PATIENCE: Final = 1.5
"""Seconds to wait for an answer of the run's process: that nobody answers is to be seen within three."""

RECOVERY: Final = 10.0
"""Seconds after a fault of the page itself."""


class Feed:
    """Follows one run, and tells what it sees on a timeline."""

    def __init__(self, name: str, journal: Journal) -> None:
        self.timeline: Timeline[RunFacts] = Timeline()
        self.name = name
        self._journal = journal
        self._counted: Counted | None = None
        self._count_after = 0.0
        """When it may be counted again, on the clock of the event loop."""
        self._ends = 0
        """How often somebody has ceased to work on the run: a count that was begun before an end is old."""
        self._holder: Holder | None = None
        self._epoch = 0
        """The epoch of the run at the last look."""
        self._last_held: float | None = None
        """When somebody worked on it last, in seconds since 1970, as far as this feed knows."""
        self._seen_of_process = 0
        """The id of the last sample that the run's process has given."""
        self._trouble = ""
        """Why the last look failed."""
        self._rendered_facts: RunFacts | None = None
        self._rendered: dict[str, bytes] = {}

    def rendered(self, facts: RunFacts, language: Language) -> bytes:
        """A moment in JSON for readers of a language; rendered once for all of them."""
        if self._rendered_facts is not facts:
            self._rendered_facts, self._rendered = facts, {}
        if language.name not in self._rendered:
            self._rendered[language.name] = to_json(snapshot_of(facts, language))
        return self._rendered[language.name]

    async def follow(self) -> None:
        """Look at the run each second until cancelled; a look that fails is tried again with the next.

        Who looks meanwhile is cut off, comes again, and is told why.
        """
        async with run_alongside(self._count_again):
            while True:
                began = anyio.current_time()
                try:
                    await self.look()
                    self._trouble = ""
                except (JournalError, CommandRefused) as error:
                    self.timeline.cut_off()
                    if str(error) != self._trouble:
                        log.warning("the page cannot look at the run", run=self.name, why=str(error))
                    self._trouble = str(error)
                await anyio.sleep(max(0.0, EVERY - (anyio.current_time() - began)))

    async def look(self) -> None:
        """Look at the run now. Raises `NoSuchRun` and `JournalError`."""
        run = await self._journal.run(self.name)
        holder = await self._journal.holder(run)
        if holder is None and (self._holder or self._counted is None or run.epoch != self._epoch):
            # It has ended, or was killed: what was counted before is old. And so is what was read of it.
            run = await self._journal.run(self.name)
            self._counted = None
            self._ends += 1
        counted = self._counted = self._counted or await self._count(run)
        live, unanswered = await self._ask(run, holder) if holder else (None, None)
        if holder is None:
            samples = []
        else:
            self._last_held = time.time()
            samples = await self._samples(run, holder) if live else []
        self._holder, self._epoch = holder, run.epoch
        history = self._journal.history
        facts = RunFacts(
            run=run,
            counted=counted,
            holder=holder,
            runners=await history.runners(run),
            commands=await history.commands(run, size=MOST_COMMANDS),
            settings=setting_text(stored_policy(run)),
            sample=samples[-1] if samples else self._still(live),
            live=live,
            unanswered=unanswered,
            silent_for=None if holder else await self._silent_for(run),
        )
        self.timeline.add(samples or ([facts.sample] if facts.knows_pace else []), facts)

    async def _ask(self, run: Run, holder: Holder) -> tuple[Status | None, Said | None]:
        """What the process that holds the run says of it, and why it says nothing."""
        try:
            found = await ask_status(run, self._journal, patience=PATIENCE)
            if found is not None:
                return found, None
        except CommandRefused as error:
            log.debug("the run's process does not answer", run=run.name, why=str(error))
            return None, said("its process does not answer at this moment")
        except msgspec.ValidationError:
            return None, said("its process is of another version of this program")
        if self._journal.address.is_shared:
            return None, unheard(holder)
        return None, said("its process reads rows, looks something up, or waits for an answer on its terminal")

    async def _samples(self, run: Run, holder: Holder) -> list[PaceSample]:
        """The samples of the run's process that are new here; of one that has taken it up, all that it has."""
        seen = self._seen_of_process if holder == self._holder else 0
        try:
            found = await ask_facts(run, self._journal, f"samples?after={seen}", patience=PATIENCE)
            if found is None:
                return []
            samples = msgspec.convert(found["samples"], list[PaceSample])
        except (CommandRefused, KeyError, msgspec.ValidationError):
            return []
        self._seen_of_process = found.get("last", 0)
        return samples

    def _still(self, live: Status | None) -> PaceSample:
        """The sample of a moment in which nothing is heard of the run's pace."""
        window, in_flight = (live.window, live.in_flight) if live else (0, 0)
        return PaceSample(t=time.time(), rate=0.0, window=window, in_flight=in_flight, p50=None, p95=None)

    async def _silent_for(self, run: Run) -> float:
        """For how many seconds nobody has worked on the run: since it was last seen held, or last took a step."""
        if self._last_held is None:
            self._last_held = (await self._journal.history.last_change(run)).timestamp()
        return max(0.0, time.time() - self._last_held)

    async def _count(self, run: Run) -> Counted:
        """Count the rows, which is not done again for so long that it leaves the run its time."""
        began = anyio.current_time()
        try:
            return await count(run, self._journal)
        finally:
            now = anyio.current_time()
            self._count_after = now + max(EVERY, PAUSE * (now - began))

    async def _count_again(self) -> None:
        """Count again and again while somebody works on the run: else no row changes."""
        while True:
            await anyio.sleep(EVERY)
            if self._holder is None or anyio.current_time() < self._count_after:
                continue
            try:
                ends, counted = self._ends, await self._count(await self._journal.run(self.name))
                if ends == self._ends:
                    self._counted = counted
            except JournalError as error:
                # The next look says it.
                log.debug("the page cannot count the rows of the run", run=self.name, why=str(error))


class Feeds:
    """The feeds of a page: one a run, which follows it while somebody watches."""

    def __init__(self, journal: Journal, group: TaskGroup) -> None:
        self._journal = journal
        self._group = group
        self._feeds: dict[str, _Shared] = {}

    @asynccontextmanager
    async def watching(self, name: str) -> AsyncIterator[Feed]:
        """The feed of a run, which follows it for as long as the context lasts. Raises `NoSuchRun`."""
        await self._journal.run(name)
        shared = self._feeds.get(name)
        if shared is None:
            shared = self._feeds[name] = _Shared(Feed(name, self._journal))
            self._group.start_soon(shared.follow)
        shared.watchers += 1
        try:
            yield shared.feed
        finally:
            shared.watchers -= 1
            if not shared.watchers:
                del self._feeds[name]
                shared.scope.cancel()

    async def look(self) -> None:
        """Look at all runs that are watched, once more; one that cannot be looked at keeps its last moment."""
        for shared in list(self._feeds.values()):
            try:
                await shared.feed.look()
            except (JournalError, CommandRefused) as error:
                log.debug("the page cannot look at the run", run=shared.feed.name, why=str(error))
            except Exception:  # a fault of the page is no reason to change how a run comes out
                log.exception("the page has lost a run: a fault of ours, please report it")

    def close(self) -> None:
        """End all streams, once they have sent what there is."""
        for shared in self._feeds.values():
            shared.feed.timeline.close()


class _Shared:
    """A feed and those who watch it."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.watchers = 0
        self.scope = anyio.CancelScope()

    async def follow(self) -> None:
        with self.scope:
            while True:
                try:
                    await self.feed.follow()
                except Exception:  # a fault of the page is no reason to end anything else
                    log.exception("the page has lost a run: a fault of ours, please report it")
                    await anyio.sleep(RECOVERY)
