"""The feed of a page: follows a run through kills and restarts, a look a second, and keeps what it has seen.

The journal says who holds the run, and has what that process says of itself. What has to be counted is counted as
often as it takes little of the machine's time. A browser gets it as server-sent events:

    event: history    {"samples": […]}   what the client has not seen of the last fifteen minutes, once
    event: past       {"points": […], …} all that was sent, while nobody works on the run, whenever it is another
    event: snapshot   …                  the facts of this moment, once a second
    event: closed     {"command": "…"}   the page has ended in order; the command opens it again

The journal keeps no pace beyond fifteen minutes. So the past of a run that nobody works on is made of the moments at
which the rows were sent last, in a bounded number of spans, and of who worked on the run and what it was told.
"""

import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain, zip_longest
from typing import Final, NamedTuple

import anyio
import msgspec
import structlog
from aiohttp import web
from anyio.abc import TaskGroup

from checkpoints.comparison import Rows
from checkpoints.errors import JournalError
from checkpoints.journal import Journal
from checkpoints.mailbox import KEPT
from checkpoints.records import Command, Reason, Run, Runner, SentSpan, Totals, Verification
from checkpoints.states import State, states_where
from cli.page.nameless import COMPARED, LISTED, PAST, SNAPSHOT, bare_command, blanked, only
from cli.page.verifying import NOTHING_YET, VERIFY, Verifier, Verifying, VerifyRun, lines_of
from cli.session.comparison import MOST_SPANS, PEAK, STILL, Comparison, pace_of
from cli.session.control_client import hear
from cli.session.journal import stored_policy
from cli.session.overview import FleetJournal, run_facts, sums_lines, view_of
from cli.session.queue import queued_runs
from cli.session.run_view import RunView
from cli.settings.settings import KnownBillings
from cli.show.closing import describe_end, next_steps
from cli.show.progress import limit_of
from cli.terminal.exits import CommandRefused
from cli.terminal.names import REFUSED, STATE_NAMES, name_of_command, name_of_outcome, name_of_state
from cli.terminal.signals import run_alongside
from cli.terminal.texts import JOINT, LONGEST, SENTENCE, SPACE, CatalogueLanguage, printable
from engine.pacing.holds import ASKING_AGAIN, BILLING, IN_DOUBT
from engine.pacing.policy import setting_text
from engine.pipeline.control import NotAMessage, to_sample
from engine.statistics import PaceSample
from jobs.rows.input import job_parameters
from jobs.spec.words import IMPORT, source_of
from texts.said import Language, Quantity, command_line, heading, in_clauses, kind_of, name_of_sender, said

log = structlog.get_logger(__name__)

MOST_RUNS: Final = 200
"""The first runs of a journal, which are listed; the others are counted."""
MOST_COMMANDS: Final = 20
"""The latest commands, which are shown."""
MOST_REASONS: Final = 20
"""The most frequent reasons of a state, which are shown."""

EVERY: Final = 1.0
"""Seconds between two looks."""
RECOVERY: Final = 10.0
"""Seconds after a fault of the page itself."""
PAUSE: Final = 50
"""Nothing is counted again within so many times of what that took: it takes at most 2 % of a processor."""

TROUBLE: Final = states_where(trouble=True)
ACCEPTED: Final = states_where(in_effect=True)
TO_SEND: Final = tuple(state for state in State if state not in {State.REPLACED, State.SKIPPED})
"""What accepted rows are held against: with those skipped, a run that is done would seem not to be.

A corrected row is counted once, as the row that replaced it.
"""
DONE: Final = tuple(state for state in TO_SEND if not state.open)
"""What the run has finished with: all rows, at its end."""

_LONGEST_ID: Final = 15
"""Digits."""
_EVER: Final = 2**31
"""Seconds."""
_RETRY: Final = b"retry: 1000\n\n"
"""Milliseconds after which a browser that was cut off comes again."""

_encode: Final = msgspec.json.Encoder(enc_hook=str).encode

# ---- a moment of a run, and what the browser gets of it -----------------------------------------------------------


class Counted(NamedTuple):
    """What has to be counted in the journal, and takes as long as there are rows."""

    totals: Totals
    reasons: Sequence[tuple[State, Reason]]
    refusals: Sequence[Reason]
    verification: Verification | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment(RunView):
    """A run at one moment; `silent_for` is for how many seconds nobody has worked on it, None while somebody does."""

    reasons: Sequence[tuple[State, Reason]]
    refusals: Sequence[Reason]
    sample: PaceSample
    silent_for: float | None = None
    verifying: Verifying = NOTHING_YET

    @property
    def is_stopped(self) -> bool:
        """Whether its process has put it down in order, with rows left: it was not killed."""
        last = self.last_runner
        return self.holder is None and not self.has_ended and last is not None and last.ended_at is not None

    @property
    def last_runner(self) -> Runner | None:
        """Who took it up last; None also while the first one has its lock, and has not written itself down yet."""
        return self.runners[-1] if self.runners else None

    @property
    def knows_pace(self) -> bool:
        """Whether its pace is known: not where somebody works on it who is not heard."""
        return self.live is not None or self.holder is None


def snapshot_of(seen: Moment, language: CatalogueLanguage, *, names: bool = True) -> Mapping[str, object]:
    """The facts of a moment for the reader; without `names` nothing of a row, of a person or of what was typed."""
    run, totals, holder, live, runners = seen.run, seen.shown, seen.holder, seen.live, seen.runners
    last = seen.last_runner
    # What the process counts is newer than the journal's count; at first it has not read yet what the journal has.
    counts: Mapping[str, int] | Mapping[State, int] = totals.counts
    held_back = totals.held_back.rows
    if live and live.counts:
        held_back = live.held_back
        counts = live.under_way

    def part(*states: State) -> dict[str, object]:
        return {"rows": sum(counts.get(state, 0) for state in states), "sum": _sum(totals, states)}

    def spoken(text: str) -> str:
        return _text(text if names else blanked(text, numbers=True), language)

    command = command_line if names else bare_command
    limit = limit_of(live.why) if live else ""
    waits = [need.sentence for need in seen.needs if need.kind == "unserved"]
    accepted = part(*ACCEPTED) | ({"sum": format(live.entered, "f")} if live and live.counts else {})
    found: dict[str, object] = {
        "sample": seen.sample,
        "run": {
            "run": run.name,
            "job": run.job,
            "parameters": {name: printable(text) for name, text in job_parameters(run.parameters).items()},
            "source": _text(source_of(run), language),
            "target": printable(run.target),
            "version": printable(seen.version),
            "profile": _profile(seen, language),
            "begun": run.created_at,
            "approved": run.approved_at,
            "stage": seen.stage,
            "stage_text": language.render(seen.stage_text),
            "who": _who(runners[0].who if runners else "", language),
        },
        "counts": {str(state): part(state) for state in State if counts.get(state)} | _changed(counts, totals),
        "state_texts": {
            str(state): language.render(
                name_of_state(state, counts.get(state, 0), held_back, has_ended=totals.has_ended)
            )
            for state in State
        },
        "has_steps": run.job == IMPORT,
        "asked": part(*TO_SEND),
        "done": part(*DONE),
        "accepted": accepted,
        "standing": {"rows": seen.standing.rows, "sum": format(seen.standing.amount, "f")}
        if totals.taken_back or totals.different
        else None,
        "in_doubt": part(*states_where(settled=False, to_send=False)),
        "rejected": part(State.REJECTED),
        "refused": totals.refused,
        "why": _text(limit, language) if limit else spoken(live.why if live else seen.silent),
        "held": spoken(live.held) if live and live.held else None,
        "asks_again": live is not None and kind_of(live.held or "") == ASKING_AGAIN,
        "paused": {"since": run.paused_at, "by": _who(run.paused_by, language)} if run.paused_at else None,
        "knows_pace": seen.knows_pace,
        "window": live.window if live else 0,
        "in_flight": live.in_flight if live else 0,
        "eta": live.eta if live else None,
        "settings": setting_text(stored_policy(run)),
        "worked_by": holder
        and {
            "who": _who(last.who if last else "", language),
            "host": printable(holder.host),
            "process": holder.process,
            "since": holder.since,
        },
        "silent_for": seen.silent_for,
        "stopped": seen.is_stopped,
        "queued": seen.queued and _text(in_clauses([seen.in_queue, *waits]), language),
        "resume": command("resume", run.name),
        "again": command("page", run.name),
        "errors": list(_errors(seen, language) if names else _errors_without_names(seen, language)),
        "commands": [
            {
                "at": one.given_at,
                "what": _text(name_of_command(one.command), language),
                "who": _who(one.who, language),
                "answer": _text(one.answer, language),
            }
            for one in seen.commands
        ],
        "ended": seen.has_ended,
        "closing": _closing(seen, language) if seen.has_ended else None,
        "can_list": bool(totals.count(State.REJECTED) + totals.refused) and run.purged_at is None,
        "verification": _verification(seen, language),
    }
    return found if names else only(found, SNAPSHOT)


def _changed(counts: Mapping[str, int] | Mapping[State, int], totals: Totals) -> dict[str, object]:
    """How many accepted rows were taken back since or are not as sent, and how many of each state are left."""
    parts = Counter[str]({str(state): counts.get(state, 0) for state in ACCEPTED})
    changed = {"different": totals.different, "undone": totals.taken_back + totals.gone_along}
    for word, rows in changed.items():
        for state in map(str, ACCEPTED):
            moved = min(rows - parts[word], parts[state])
            parts[state], parts[word] = parts[state] - moved, parts[word] + moved
    return {word: {"rows": rows} for word, rows in parts.items()} if any(changed.values()) else {}


def _closing(seen: RunView, language: Language) -> list[tuple[str, str]]:
    """How the run has ended for good, if it has, and the commands to type next, each behind its purpose."""
    lines = [] if seen.is_discarded or seen.run.purged_at else [*next_steps(seen.run, seen.totals)]
    if ended := describe_end(seen.run):
        lines = [("", ended), *lines]
    return [(_text(purpose, language), command) for command, purpose in lines]


def _text(text: str, language: Language, limit: int = SENTENCE) -> str:
    """A sentence for the reader, or a foreign text, without what a browser or a terminal would obey.

    What keeps a number on one line stays: `printable` takes a no-break space for a foreign one.
    """
    return printable(language.render(text).replace(SPACE, JOINT), limit).replace(JOINT, SPACE)


def _who(sender: str | None, language: Language) -> str:
    return _text(name_of_sender(sender or ""), language)


def _sum(totals: Totals, states: Sequence[State]) -> str:
    return format(totals.amount_of(*states), "f")


def _profile(seen: RunView, language: Language) -> Mapping[str, object] | None:
    if (badge := seen.badge) is None:
        return None
    return {"text": _text(badge.sentence, language), "production": badge.production}


def _errors(seen: Moment, language: Language) -> Iterator[Mapping[str, object]]:
    """Kinds of errors: of rows that have them, of input that was refused, and what was sent again since."""

    def place(line: int | None, label: str) -> str:
        shown = printable(label, 60)
        return said("line {line} ({label})", line=line, label=shown) if line else shown

    for state, reason in seen.reasons:
        where, told = place(reason.line, reason.label), _text(reason.example, language, LONGEST)
        if not told:
            text, example = language.render(name_of_outcome(state, reason.kind)), where
        elif reason.items == 1 or reason.example == reason.kind:
            # A text that is the same for all of its rows is told once.
            text, example = told, where
        else:
            text, example = heading(told), said("{row}: {text}", row=where, text=told)
        yield {"text": text, "rows": reason.items, "example": language.render(example)}
    for refused in seen.refusals:
        where, why = place(refused.line, refused.label), _text(refused.example, language, LONGEST)
        # Of a purged run nothing is left to be shown.
        shown = language.render(said("{row}: {text}", row=where, text=why)) if why else ""
        yield {"text": _text(_refused(refused), language, LONGEST), "rows": refused.items, "example": shown}
    found, absent = (sum(getattr(one.look_ups, name) for one in seen.runners) for name in ("found", "absent"))
    if found or absent:
        outcome = said(
            "found in the billing: {found}, not found: {absent}", found=Quantity(found), absent=Quantity(absent)
        )
        text = language.render(said("in doubt, and looked up since"))
        yield {"text": text, "rows": found + absent, "example": language.render(outcome)}
    kinds = {reason.kind for _, reason in seen.reasons}
    for text, rows in seen.live.errors.items() if seen.live else ():
        if kind_of(text) not in kinds:
            yield {"text": _text(text, language), "rows": rows, "example": ""}


def _errors_without_names(seen: Moment, language: Language) -> Iterator[Mapping[str, object]]:
    """The same kinds as far as they are in words of ours; what others have said may name a row."""
    rows = Counter[str]()
    for state, reason in seen.reasons:
        own = heading(blanked(reason.example, numbers=False))
        rows[_text(own or name_of_outcome(state, reason.kind), language)] += reason.items
    for refused in seen.refusals:
        rows[_text(_refused(refused), language, LONGEST)] += refused.items
    for text, number in rows.most_common():
        yield {"text": text, "rows": number, "example": ""}


def _refused(reason: Reason) -> str:
    """What rows that were refused for one reason are counted as: its sentence, without what is of a row."""
    why = blanked(reason.example, numbers=False)
    return said("refused: {why}", why=why) if why else REFUSED


def _verification(seen: Moment, language: Language) -> Mapping[str, object] | None:
    """What was read back of the run last, and whether that is done now; None where nothing can be read back."""
    rows, own, last = seen.totals.count(*ACCEPTED), seen.verifying, seen.verification
    if not rows or seen.run.purged_at is not None:
        return None
    return {
        "read": own.read,
        "rows": rows,
        "command": command_line("verify", seen.run.name),
        "error": _text(own.error, language),
        "differences": [_text(one, language) for one in own.differences],
        "at": last and last.verified_at,
        "who": _who(last.who if last else "", language),
        "is_good": last is not None and last.is_as_sent,
        "lines": [_text(one, language) for one in lines_of(last)] if last else [],
    }


# ---- the runs of a journal, as the page lists them ----------------------------------------------------------------


class RunList:
    """The runs of a journal, those first that need a person, then those that are worked on.

    The rows of a run that nobody works on are counted once, those of others as seldom as that takes long.
    """

    def __init__(self, journal: Journal, known: KnownBillings, *, names: bool = True) -> None:
        self._fleet = FleetJournal(journal)
        self._known = known
        self._names = names
        self._count_after = 0.0
        """When the rows of what is worked on may be counted again, on the clock of the event loop."""
        self._one_at_a_time = anyio.Lock()

    async def look(self, language: CatalogueLanguage, billing: str = "") -> dict[str, object]:
        """The first runs, the number of those that are not listed, and what all come to; of one billing or of all."""
        async with self._one_at_a_time:
            began = anyio.current_time()
            recount = began >= self._count_after
            runs = await self._fleet.look(self._known, recount=recount)
            if recount:
                now = anyio.current_time()
                self._count_after = now + PAUSE * (now - began)
        view = view_of(one for one in runs if billing in ("", one.name))
        sums = list(sums_lines(view, language)) if view.runs else []
        entries = [_entry(one, language, names=self._names) for one in view.runs[:MOST_RUNS]]
        return {
            "runs": entries if self._names else [only(one, LISTED) for one in entries],
            "more": len(view.runs[MOST_RUNS:]),
            "billings": sorted({one.name for one in runs}),
            # The second line has a sum.
            "summary": [_text(line, language, LONGEST) for line in (sums if self._names else sums[:1])],
        }


def _entry(one: RunView, language: Language, *, names: bool) -> dict[str, object]:
    run, totals = one.run, one.totals
    needs = [need.sentence if names else blanked(need.sentence, numbers=True) for need in one.needs]
    return {
        **run_facts(one),
        "source": _text(source_of(run), language, LONGEST),
        "billing": printable(one.name),
        "target": printable(run.target),
        "profile": _profile(one, language),
        "stage_text": language.render(one.stage_text),
        "where": _text(one.where, language, LONGEST),
        "waits_for": _text(one.waits_for, language, LONGEST) if one.waits_for else None,
        "needs": [_text(need, language, LONGEST) for need in needs],
        "begun": run.created_at.isoformat(),
        "asked": totals.count(*TO_SEND),
        "asked_sum": _sum(totals, TO_SEND),
        "accepted": totals.count(*ACCEPTED),
        "accepted_sum": _sum(totals, ACCEPTED),
        "is_held": one.is_held,
    }


# ---- two runs beside each other -----------------------------------------------------------------------------------


def compared(found: Comparison, language: CatalogueLanguage, *, names: bool = True) -> Mapping[str, object]:
    """A comparison for the reader; without `names` nothing of a row, and no sums."""
    errors = Counter[str](), Counter[str]()
    for reason, *items in found.errors:
        text = heading(_text(reason.example if names else blanked(reason.example, numbers=False), language))
        for counted, number in zip(errors, items, strict=True):
            counted[text or language.render(said("no reason given") if names else said("not shown"))] += number
    shown = {
        "runs": [
            {
                "run": one.run.name,
                "job": one.run.job,
                "source": _text(source_of(one.run), language, LONGEST),
                "begun": one.run.created_at,
            }
            for one in found.both
        ],
        "lines": [
            one._replace(name=language.render(one.name)) for one in found.lines if names or one.unit != "money"
        ],
        "errors": [(text, rows, errors[1][text]) for text, rows in errors[0].items()],
        "rows": None if found.rows is None else {name: _rows(getattr(found.rows, name), language) for name in _KINDS},
        "both": found.rows and found.rows.both,
    }
    return shown if names else only(shown, COMPARED)


_KINDS: Final = ("changed", "other_outcome", "only_first", "only_second")
"""Kinds of rows in which two runs differ, in the order in which they are shown."""


def _rows(found: Rows, language: Language) -> Mapping[str, object]:
    first = [
        {
            "line": row.line,
            "label": printable(row.label),
            "state": language.render(name_of_outcome(row.state, row.kind, STATE_NAMES)),
            "amount": None if row.amount is None else format(row.amount, "f"),
            "before": None if before is None or before.amount is None else format(before.amount, "f"),
        }
        for row, before in zip_longest(found.first, found.before)
    ]
    return {"rows": found.rows, "sum": format(found.sum, "f"), "first": first}


# ---- the feed of a page -------------------------------------------------------------------------------------------


class Feed:
    """Follows one run: its latest samples with their ids, which grow, and the facts of the last moment.

    Nothing is kept for a client: one that is slow misses snapshots, and gets the samples of those as history.
    """

    def __init__(self, name: str, journal: Journal, verifier: Verifier | None = None, *, names: bool = True) -> None:
        self.name = name
        self._verifier = verifier
        self._names = names
        self.facts: Moment | None = None
        self.last = 0
        """The id of the last moment, 0 before the first."""
        self.watchers = 0
        self.scope = anyio.CancelScope()
        self._journal = journal
        self._samples: deque[tuple[int, PaceSample]] = deque(maxlen=KEPT)
        self._seen = 0.0
        """When the last sample was written that the run's process has left in the journal."""
        self._changed = anyio.Event()
        self._is_closed = False
        self._is_held = False
        """Whether a process had the run at the last look, if only to read."""
        self._past = b""
        """What was sent of a run that nobody works on, in JSON; "" while somebody does."""
        self._cuts = 0
        self._counted: Counted | None = None
        self._count_after = 0.0
        """When it may be counted again, on the clock of the event loop."""
        self._ends = 0
        """How often somebody has ceased to work on the run: a count that was begun before an end is old."""
        self._last_held: float | None = None
        """When somebody worked on it last, in seconds since 1970, as far as this feed knows."""
        self._trouble = ""
        """Why the last look failed."""
        self._rendered: dict[str, bytes] = {}
        """The last moment in JSON by the language of its readers, rendered once for all of them."""

    # ---- what clients get ----

    async def stream(self, request: web.Request, language: CatalogueLanguage) -> web.StreamResponse:
        """Stream what is seen to a client until that goes, or the feed is closed."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        given = request.headers.get("Last-Event-ID", "")
        seen = int(given) if given.isascii() and given.isdecimal() and len(given) <= _LONGEST_ID else 0
        # A higher one was never given.
        seen, past = seen if seen <= self.last else 0, b""
        # A client may go, or not read.
        with suppress(ConnectionError):
            await response.write(_RETRY)
            while await self.next(seen) and self.facts is not None:
                missed = [sample for number, sample in self._samples if number > seen]
                lines = _event(self.last, "history", _encode({"samples": missed})) if len(missed) > 1 else b""
                seen = self.last
                if self._past and self._past != past:
                    past = self._past
                    lines += _event(seen, "past", past)
                if language.name not in self._rendered:
                    self._rendered[language.name] = _encode(snapshot_of(self.facts, language, names=self._names))
                await response.write(lines + _event(seen, "snapshot", self._rendered[language.name]))
            if self._is_closed:
                command = (command_line if self._names else bare_command)("page", self.name)
                await response.write(_event(seen, "closed", _encode({"command": command})))
        return response

    async def next(self, seen: int) -> bool:
        """Wait for facts that are newer than the id `seen`; False at the end."""
        cuts = self._cuts
        while self.facts is None or self.last <= seen:
            if self._is_closed or self._cuts > cuts:
                return False
            await self._changed.wait()
        return True

    def close(self) -> None:
        """End all streams, once they have sent the last moment."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    # ---- what is seen ----

    async def follow(self) -> None:
        """Look at the run each second until the scope is cancelled; a look that fails is tried again with the next.

        Who looks meanwhile is cut off, comes again, and is told why.
        """
        with self.scope:
            while True:
                try:
                    async with run_alongside(self._count_again):
                        while True:
                            began = anyio.current_time()
                            try:
                                await self.look()
                                self._trouble = ""
                            except (JournalError, CommandRefused) as error:
                                self._cuts += 1
                                self._wake()
                                if str(error) != self._trouble:
                                    log.warning("the page cannot look at the run", run=self.name, why=error)
                                self._trouble = str(error)
                            await anyio.sleep(max(0.0, EVERY - (anyio.current_time() - began)))
                except Exception:  # a fault of the page is no reason to end anything else
                    log.exception("the page has lost a run: a fault of ours, please report it")
                    await anyio.sleep(RECOVERY)

    async def look(self) -> None:
        """Look at the run now. Raises `NoSuchRun` and `JournalError`."""
        journal, before = self._journal, self.facts
        # First: what it has found is not shown before the figures that belong to it.
        verifying = self._verifier.of(self.name) if self._verifier else NOTHING_YET
        run = await journal.run(self.name)
        holder = await journal.holder(run)
        if holder is None and (before is None or self._is_held or run.epoch != before.run.epoch):
            # It has ended, or was killed: what was counted before is old. And so is what was read of it.
            run = await journal.run(self.name)
            self._counted, self._past = None, b""
            self._ends += 1
        self._is_held = holder is not None
        counted = self._counted = self._counted or await self._count(run)
        heard, unheard = await hear(run, journal) if holder else (None, None)
        live, new = heard.status if heard else None, list[PaceSample]()
        # What its process has left since the last look; at first, the samples of fifteen minutes.
        samples = await journal.mailbox.samples(run, self._seen)
        self._seen = samples[-1][0] if samples else self._seen
        with suppress(NotAMessage):
            new = [to_sample(text) for _, text in samples]
        # Nothing may be heard of the run's pace at this moment.
        window, in_flight = (live.window, live.in_flight) if live else (0, 0)
        still = PaceSample(t=time.time(), rate=0.0, window=window, in_flight=in_flight, p50=None, p95=None)
        if holder is not None:
            self._last_held = time.time()
        elif self._last_held is None:
            self._last_held = (await journal.history.last_change(run)).timestamp()
        facts = Moment(
            run=run,
            holder=holder,
            live=live,
            silent=unheard or "",
            runners=await journal.history.runners(run),
            commands=await journal.history.commands(run, size=MOST_COMMANDS),
            **counted._asdict(),
            sample=new[-1] if new else still,
            silent_for=None if holder else max(0.0, time.time() - self._last_held),
            verifying=verifying,
            queued=None if holder or run.ended_at else (await queued_runs(journal)).get(run.name),
        )
        last_runner = facts.last_runner
        only_reads = last_runner is not None and last_runner.purpose == VERIFY
        if holder and only_reads and (ended := replace(facts, holder=None)).has_ended:
            # Who only reads it back does not work on it.
            facts, holder = replace(ended, silent_for=0.0), None
        if holder is not None:
            self._past = b""
        elif not self._past:
            self._past = await self._past_of(facts)
        self.facts = facts
        self._rendered = {}
        last, newest = self.last, self._samples[-1][1].t if self._samples else 0.0
        for one in new or ([facts.sample] if facts.knows_pace else []):
            if one.t > newest:
                # By the clock, so that ids also grow from one process to the next.
                self.last = max(self.last + 1, int(one.t))
                self._samples.append((self.last, one))
        self.last = max(self.last, last + 1)
        self._wake()

    async def _past_of(self, facts: Moment) -> bytes:
        run, history = facts.run, self._journal.history
        spans = await history.sent_by_time(run, MOST_SPANS)
        alive = [at for at, _ in await self._journal.mailbox.samples(run, within=_EVER)]
        told, waits = await history.commands(run), await history.waits(run)
        past = past_of(spans, facts.runners, told, waits, alive, has_ended=facts.has_ended)
        return _encode(past if past is None or self._names else only(past, PAST))

    async def _count(self, run: Run) -> Counted:
        """Count the rows, which is not done again for so long that it leaves the run its time."""
        journal, began = self._journal, anyio.current_time()
        try:
            totals = await journal.totals(run)
            reasons = [
                (state, reason)
                for state in TROUBLE
                if totals.count(state)
                for reason in await journal.reasons(run, state, size=MOST_REASONS)
            ]
            refusals = await journal.refusal_kinds(run, size=MOST_REASONS) if totals.refused else []
            return Counted(totals, reasons, refusals, await journal.history.last_verification(run))
        finally:
            now = anyio.current_time()
            self._count_after = now + max(EVERY, PAUSE * (now - began))

    async def _count_again(self) -> None:
        """Count again and again while somebody works on the run: else no row changes."""
        while True:
            await anyio.sleep(EVERY)
            if self.facts is None or self.facts.holder is None or anyio.current_time() < self._count_after:
                continue
            try:
                ends, counted = self._ends, await self._count(await self._journal.run(self.name))
                if ends == self._ends:
                    self._counted = counted
            except JournalError as error:
                # The next look says it.
                log.debug("the page cannot count the rows of the run", run=self.name, why=error)


def _event(number: int, name: str, data: bytes) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, name.encode(), data)


class Feeds:
    """The feeds of a page: one a run, which follows it while somebody watches."""

    def __init__(
        self, journal: Journal, group: TaskGroup, verify: VerifyRun | None = None, *, names: bool = True
    ) -> None:
        self._journal = journal
        self._group = group
        self.verifier = Verifier(group, verify)
        self._names = names
        self._feeds: dict[str, Feed] = {}

    @asynccontextmanager
    async def watching(self, name: str) -> AsyncIterator[Feed]:
        """The feed of a run, which follows it for as long as the context lasts. Raises `NoSuchRun`."""
        await self._journal.run(name)
        feed = self._feeds.get(name)
        if feed is None:
            feed = self._feeds[name] = Feed(name, self._journal, self.verifier, names=self._names)
            self._group.start_soon(feed.follow)
        feed.watchers += 1
        try:
            yield feed
        finally:
            feed.watchers -= 1
            if not feed.watchers:
                del self._feeds[name]
                feed.scope.cancel()

    async def look(self) -> None:
        """Look at all runs that are watched, once more; one that cannot be looked at keeps its last moment."""
        for feed in list(self._feeds.values()):
            try:
                await feed.look()
            except (JournalError, CommandRefused) as error:
                log.debug("the page cannot look at the run", run=feed.name, why=error)
            except Exception:  # a fault of the page is no reason to change how a run comes out
                log.exception("the page has lost a run: a fault of ours, please report it")

    async def close(self, _: web.Application) -> None:
        for feed in self._feeds.values():
            feed.close()


# ---- the past of a run: what was sent when, and what came between -------------------------------------------------


MOST_MARKS: Final = 100
"""The latest marks on the axis of time."""
LOOKS: Final = frozenset({"verify", "reconcile", "decide", "close", "undo"})
"""What takes a run up and sends nothing of it."""
_PAUSES: Final = {"pause": "paused", "continue": "continued"}
"""Commands that are marked, where they have changed something: of a paused run `pause` does not."""
_WAITS: Final = {BILLING: "away", IN_DOUBT: "doubt"}
"""Waits that are told apart from others."""
_UNPAUSES: Final = frozenset({"continue", "resume"})
"""`continue now=yes` ends a pause too, and so does `resume --unpause`."""


class _Worked(NamedTuple):
    """When a process worked on the run, in seconds since 1970, and what its end was."""

    began: float
    ended: float
    how: str


def past_of(
    spans: Sequence[SentSpan],
    runners: Sequence[Runner],
    commands: Sequence[Command],
    waits: Sequence[Command],
    alive: Sequence[float],
    *,
    has_ended: bool,
) -> Mapping[str, object] | None:
    """What the page draws: points and marks in their order, and figures; None for a run that has sent nothing.

    Sums are decimal text, all others numbers; times are seconds. `alive` are the last moments at which a process has
    said something of the run: one that was killed counts until then, or until the last row that it has sent.
    """
    if (pace := pace_of(spans)) is None:
        return None
    working = [one for one in runners if one.purpose not in LOOKS]
    worked = _worked(spans, working, alive, has_ended=has_ended)
    first, length = spans[0].at, spans[0].seconds
    last = max([spans[-1].at + 1.0, *(one.ended for one in worked)])
    starts = range(first, spans[-1].at + 1, length)
    # The last span may reach beyond the end of the run, and the end lie long after it.
    over = min(float(starts[-1] + length), last)
    still = [*pace.still, *([(over, last)] if last - over >= STILL else [])]
    clipped = [(max(one.began, first), min(one.ended, last)) for one in worked]
    busy = sum(max(end - begin, 0.0) for begin, end in clipped)
    held = sum(max(min(end, to) - max(begin, since), 0.0) for begin, end in clipped for since, to in still)
    return {
        "points": [*_points(spans, starts, [over, last] if over < last else [last])],
        "marks": sorted(_marks(worked, commands, waits))[-MOST_MARKS:],
        "average": pace.average,
        "peak": pace.peak,
        "seconds": max(PEAK, length),
        "worked": busy,
        "held": held,
        "idle": max(last - first - busy, 0.0),
        "repeated": sum(one.calls - one.sent for one in spans),
    }


def _points(spans: Sequence[SentSpan], starts: range, ends: Sequence[float]) -> Iterator[Mapping[str, object]]:
    """A point for each span, also for those without a row; errors and roubles are those since the beginning."""
    by_start: Mapping[float, SentSpan] = {one.at: one for one in spans}
    errors, amount = 0, Decimal(0)
    for at in (*starts, *ends):
        one = by_start.get(at)
        if one is not None:
            errors += one.failed
            amount += one.amount
        yield {"t": at, "rate": one.sent / one.seconds if one else 0.0, "errors": errors, "sum": format(amount, "f")}


def _worked(
    spans: Sequence[SentSpan], runners: Sequence[Runner], alive: Sequence[float], *, has_ended: bool
) -> list[_Worked]:
    found: list[_Worked] = []
    nexts = [one.began_at.timestamp() for one in runners[1:]]
    for runner, then in zip(runners, [*nexts, float("inf")], strict=False):
        began = runner.began_at.timestamp()
        if runner.ended_at is not None:
            how = "ended" if has_ended and runner is runners[-1] else "stopped"
            found.append(_Worked(began, runner.ended_at.timestamp(), how))
        else:
            # What the next one has sent again counts as its own.
            ends = chain((one.at + one.seconds for one in spans), alive)
            found.append(_Worked(began, max([began, *(one for one in ends if one <= then)]), "killed"))
    return found


def _marks(
    worked: Sequence[_Worked], commands: Sequence[Command], waits: Sequence[Command]
) -> Iterator[tuple[float, str]]:
    """What came when, by its moment."""
    for number, one in enumerate(worked):
        yield one.began, "resumed" if number else "begun"
        yield one.ended, one.how
    is_paused = False
    for told in commands:
        word = told.command.partition(" ")[0]
        was_paused, is_paused = is_paused, word == "pause" or (is_paused and word not in _UNPAUSES)
        if word in _PAUSES and is_paused != was_paused:
            yield told.given_at.timestamp(), _PAUSES[word]
    for told in waits:
        yield told.given_at.timestamp(), _WAITS.get(told.command, "waits") if told.answer else "waited"
