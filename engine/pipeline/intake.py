"""The intake: freezes the source's rows into the list of items, a page a commit; and its rehearsal for a plan.

Each row is checked against the journal and the billing: it becomes an item, a skipped item, or a refusal.
"""

import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeVar

import anyio
import anyio.to_thread
import structlog
from msgspec.structs import replace

from checkpoints.journal import Journal
from checkpoints.records import EarlierEntry, NewItem, Page, Refusal, Run
from checkpoints.sentences import DUPLICATE, LEFT_OUT
from checkpoints.states import State
from checkpoints.transitions import Judge, whole_rows
from engine.errors import InputRefused, cause_of
from engine.job import STANDARD_INPUT, Effect, Job, Prepared, Row, RowPage, SameKey, until_shown
from engine.pacing.policy import ALL, Policy, policy_with
from engine.pacing.throttle import check_free
from engine.pipeline.backlog import Backlog
from engine.pipeline.foreign_entries import ForeignEntries, asked_for, asks_the_same, entered_by
from engine.pipeline.progress import Progress
from texts.said import advised, in_clauses, reason, said, setting, wording

# ---- pages that are prepared beside each other, and finished in their order ---------------------------------------


OnePage = TypeVar("OnePage")
Ready = TypeVar("Ready")

PREPARED_AT_ONCE: Final = 2
"""Pages in memory where a database is asked: it works on one while this process does on the other.

Through the API alone one page is prepared at a time, as the billing is asked as often as it should be.
"""


async def in_turn(
    read: Callable[[], Awaitable[OnePage | None]],
    prepare: Callable[[OnePage], Awaitable[Ready]],
    finish: Callable[[Ready], Awaitable[None]],
    effect: Effect,
    *,
    alone: bool = False,
) -> None:
    """Read page after page until None, prepare some beside each other, and finish them in their order.

    With `alone` a page is prepared only when the one before it is finished. An error ends it after the pages before
    its own, as if one page were prepared at a time.
    """
    reading, last = anyio.Lock(), anyio.Event()
    last.set()

    async def work() -> None:
        nonlocal last
        while True:
            before, done = last, anyio.Event()
            try:
                async with reading:
                    before, last = last, done
                    page = await read()
                ready = None if page is None else await prepare(page)
            finally:
                await before.wait()
            if ready is not None:
                await finish(ready)
            done.set()
            if page is None:
                return

    try:
        async with anyio.create_task_group() as group:
            for _ in range(PREPARED_AT_ONCE if effect.reads_apart and not alone else 1):
                group.start_soon(work)
    except BaseExceptionGroup as failed:
        raise cause_of(failed) from failed


# ---- the intake ---------------------------------------------------------------------------------------------------


log = structlog.get_logger(__name__)


_NOT_YET_SHOWN: Final = said("waiting for the billing to show what was entered last")

_REPLACES: Final = wording(
    "its account has its balance from {where} of this run, and this row would replace it. Rows of a select are sent "
    "while others are still read: give {flag} or last, and all of them are read first"
)

APART: Final = range(1_000_000, 1_000_000_000, 1_000_000)
"""By how much the numbers of rows are apart from those before, where a later process reads on."""
MOST_APART: Final = 100_000_000_000
"""The number from which on they follow each other all the same: a mark has room for twelve digits."""

LIMIT: Final = "--limit"
"""The flag by which rows after the limit are left out."""


class Repeat(StrEnum):
    """Whether a row that the journal already has may be entered once more."""

    ONCE = "once"
    """Not if any run has entered it; a row entered at another address is refused with a question."""
    PER_BILLING = "per billing"
    """Once for this target: the operator states that other addresses are other billings."""
    AGAIN = "again"
    """Always, in addition to existing entries."""


@dataclass(frozen=True, slots=True)
class Since:
    """The load behind which a delta comes: of its rows only the difference to what is entered is sent.

    What is entered of a row is what its last entry asked for in all. Runs that are `aside` have entered on top of
    others, and are no part of it. `runs` are the load and all deltas that belong to it: what these have entered is
    never new. Of other runs an operation that nothing tells from a further one is none of the load.
    """

    aside: frozenset[str] = frozenset()
    runs: frozenset[str] = frozenset()

    async def differences(
        self, job: Job, items: Sequence[NewItem], earlier: Journal, target: str, own: str = ""
    ) -> Prepared:
        """The items, with the difference where another sum is entered; unchanged and new ones stay as they are."""
        if not (sendable := [item for item in items if item.skip_reason is None]):
            return Prepared(tuple(items), ())
        none_of = {own, *self.aside}
        twins = dict(zip((item.key for item in sendable), await earlier.twins(job.name, sendable), strict=True))
        entries: list[NewItem | Refusal] = []
        for item in items:
            found = twins.get(item.key, ()) if item.skip_reason is None else ()
            entered = [one for one in found if one.target == target and one.run not in none_of]
            if entered and job.effect.same_key(item.payload) is SameKey.DOUBT:
                entered = [one for one in entered if one.run in self.runs]
            entries.append(self._difference(item, entered[-1], job.effect) if entered else item)
        return Prepared.of(entries)

    def _difference(self, item: NewItem, last: EarlierEntry, effect: Effect) -> NewItem | Refusal:
        if not last.state.settled or asks_the_same(item, last):
            return item
        if last.is_purged or (before := asked_for(last)[0]) is None:
            why = said(
                "run {run} has entered this row, and how much is purged: the difference is not known. Enter it by "
                "hand",
                run=last.run,
            )
            return _refused(item, why)
        return effect.difference(item, before)


class Intake:
    """Freezes the rest of a run's rows, from the end of its last frozen page.

    With `since` it freezes the differences to what is entered already. `foreign` judges foreign entries; by default
    it asks the journal into which the rows are frozen. The pipeline's witness judges by it too.

    With a limit on the source, rows after the last one to be sent are only counted, neither judged nor refused.
    Skipped and refused rows do not count towards the limit.

    `least_free` gives the bytes that must be free on the journal's disk
    before each page, so that no input, however little it is packed into, can fill the disk.

    Raises `InputRefused` if the input as a whole is not usable, or is no longer the one that the run began with, and
    `DiskFull`.
    """

    def __init__(
        self,
        run: Run,
        job: Job,
        journal: Journal,
        progress: Progress,
        *,
        enter: Repeat = Repeat.ONCE,
        since: Since | None = None,
        foreign: ForeignEntries | None = None,
        least_free: Callable[[], int] = lambda: 0,
    ) -> None:
        self._run = run
        self._since = since
        self._job = job
        self._journal = journal
        self._progress = progress
        self._least_free = least_free
        again, load = enter is Repeat.AGAIN, since.runs if since else ()
        self.foreign = foreign or ForeignEntries(job, journal, run.target, again=again, own=run.name, load=load)
        self._enter = enter
        self._is_plan = self.foreign.earlier is not journal
        self._judge = judge_for(run, job.effect, Repeat.AGAIN if self._is_plan else enter, self.foreign.load)

    async def freeze_all(self, listener: Backlog | None = None) -> None:
        source = self._job.source
        if await anyio.to_thread.run_sync(lambda: source.digest) != self._run.source_digest:
            if source.name == STANDARD_INPUT:
                raise InputRefused(
                    "{file} has other rows than those that run {run} began with and did not read to their end. Pipe "
                    "the same rows in again and resume, or start a new run with these",
                    file=source.name,
                    run=self._run.name,
                )
            raise InputRefused(
                "{file} is no longer the file that run {run} began with, and was not read to its end then. Put the "
                "old file back and resume, or start a new run with the new one",
                file=source.name,
                run=self._run.name,
            )
        room = limit = source.limit
        if limit and self._job.effect.has_steps:
            room -= (await self._journal.lane_counts(self._run)).lines
        elif limit:
            totals = await self._journal.totals(self._run)
            room -= totals.frozen - totals.count(State.SKIPPED)
        pages = source.pages(self._run.cursor)
        above = await self._numbers_above()

        def next_page() -> RowPage | None:
            # Read once there is room for it.
            check_free(self._journal.path, self._least_free())
            return next(pages, None)

        async def prepare(read: RowPage) -> Page:
            if limit:
                prepared, unreadable, left_out = await self._limited(read, room)
            else:
                prepared = await self._prepared(read.rows)
                unreadable, left_out = read.refusals, read.left_out
            return Page(prepared.items, (*unreadable, *prepared.refusals), read.cursor, left_out, above)

        async def finish(page: Page) -> None:
            nonlocal room
            if self._run.approved_at is not None:
                page = await self._without_replacing(page)
            # The journal writes the page even if this task is cancelled: count it in any case.
            with anyio.CancelScope(shield=True):
                judged = await self._journal.freeze(self._run, page, self._judge)
                items = [entry for entry in judged if isinstance(entry, NewItem)]
                self._progress.frozen(items, len(judged) - len(items) + len(page.refusals))
            room -= self._rows_of(judged)
            if listener:
                listener.more()

        # What a limit leaves out of a page is known only when the page before it is frozen.
        await in_turn(
            lambda: anyio.to_thread.run_sync(next_page), prepare, finish, self._job.effect, alone=bool(limit)
        )
        await self._journal.end_intake(self._run)
        self._progress.intake_ended = True
        log.info("all rows are read and saved")
        if listener:
            listener.end_intake()

    async def _numbers_above(self) -> int:
        """The number above which this process numbers rows; 0 for those that follow the last one.

        A copy of the journal that is put back does not know how far the newer one has read. Rows that are entered
        there are refused here, and if the next ones got their numbers, a mark would name two rows.
        """
        if self._run.epoch <= 1 or self._journal.lease_of(self._run).knows_all_calls:
            return 0
        last = await self._journal.last_number(self._run)
        return last + secrets.choice(APART) if last < MOST_APART else 0

    def _rows_of(self, judged: Sequence[NewItem | Refusal]) -> int:
        sent = [one.line for one in judged if isinstance(one, NewItem) and one.skip_reason is None]
        return len(set(sent)) if self._job.effect.has_steps else len(sent)

    async def _prepared(self, rows: Sequence[Row]) -> Prepared:
        """The prepared rows. A row is gone only for a look that begins after the settle delay since its answer."""
        began, prepared, left = anyio.current_time(), await self._judged(rows), 0.0
        if prepared.gone_at:
            left = until_shown(prepared.gone_at, policy_with(Policy(), self._run.policy, ALL).settle)
        # The answers may have come long after the questions.
        if not prepared.gone_at or left + anyio.current_time() - began <= 0:
            return prepared
        is_streamed = self._run.approved_at is not None
        if not is_streamed:
            self._progress.hold(_NOT_YET_SHOWN)
        await anyio.sleep(max(left, 0.0))
        if not is_streamed:
            self._progress.hold(None)
        return await self._judged(rows)

    async def _judged(self, rows: Sequence[Row]) -> Prepared:
        """Items and refusals of these rows, after the check for foreign entries."""
        run, job, earlier = self._run, self._job, self.foreign.earlier
        prepared = await job.prepare(rows)
        refused = prepared.refusals
        if self._since is not None:
            prepared = await self._since.differences(job, prepared.items, earlier, run.target, run.name)
            refused = (*refused, *prepared.refusals)
        judged, gone_at = await self.foreign.judge(prepared.items, is_streamed=run.approved_at is not None)
        found = Prepared.of(whole_rows(prepared.items, judged))
        effect, refused = job.effect, (*refused, *found.refusals)
        if self._is_plan and self._enter is not Repeat.AGAIN:
            # As the journal of a run judges them when they are frozen.
            judged = [
                against_earlier(item, twins, run.target, self._enter, effect, self.foreign.load)
                if twins and not (item.is_difference or effect.may_repeat(item.payload))
                else item
                for item, twins in zip(found.items, await earlier.twins(job.name, found.items), strict=True)
            ]
            found = Prepared.of(whole_rows(found.items, judged))
            refused = (*refused, *found.refusals)
        return Prepared(found.items, refused, max(prepared.gone_at, gone_at))

    async def _limited(self, page: RowPage, room: int) -> tuple[Prepared, tuple[Refusal, ...], Mapping[str, int]]:
        """The prepared first rows of a page, up to `room` to be sent, with their refusals and the rows left out.

        Which rows are to be sent is known only after they are judged. So rows are taken in batches: twice as many
        while there is room, half as many when a batch has too many.
        """
        taken, done, sent, size = Prepared((), ()), 0, 0, max(room, 1)
        while sent < room and done < len(page.rows):
            batch = page.rows[done : done + size]
            more = await self._prepared(batch)
            together = Prepared((*taken.items, *more.items), (*taken.refusals, *more.refusals))
            judged = await self._journal.judged(self._run, together.items, self._judge)
            count = self._rows_of(whole_rows(together.items, judged))
            if count >= room and len(batch) > room - sent:
                # Too many rows, or rows after the last one to be sent.
                size = max(len(batch) // 2, room - sent)
                continue
            taken, done, sent, size = together, done + len(batch), count, 2 * size
        behind = len(page.rows) - done
        unreadable = page.refusals
        if sent >= room:
            # Those before the last row that was taken; none if lines are unknown.
            last = (page.rows[done - 1].line if done else None) or 0
            unreadable = tuple(one for one in unreadable if one.line and one.line < last)
        behind += len(page.refusals) - len(unreadable)
        left_out = Counter(page.left_out) + Counter({LIMIT: behind})
        return taken, unreadable, left_out

    async def _without_replacing(self, page: Page) -> Page:
        """Refuse items that would replace an earlier row of their account, as that row may be sent by now."""
        if (replaces := self._job.replaces) is None:
            return page
        replacing = {item.key for item in page.items if item.skip_reason is None and replaces(item.payload)}
        lanes = {item.lane for item in page.items if item.key in replacing}
        first = await self._journal.first_in_lanes(self._run, lanes) if lanes else {}
        owners = {lane: (key, said("row {number}", number=number)) for lane, (number, key) in first.items()}
        entries: list[NewItem | Refusal] = []
        flag = setting("shared-accounts", "sum")
        for item in page.items:
            if item.key not in replacing:
                entries.append(item)
                continue
            here = said("the row before it") if item.line is None else said("line {line}", line=item.line)
            key, where = owners.setdefault(item.lane, (item.key, here))
            # The same key again is judged as a duplicate.
            entries.append(item if key == item.key else _refused(item, said(_REPLACES, where=where, flag=flag)))
        sifted = Prepared.of(entries)
        return replace(page, items=sifted.items, refusals=(*page.refusals, *sifted.refusals))


def judge_for(run: Run, effect: Effect, enter: Repeat, load: Collection[str] = ()) -> Judge:
    """The judge of a run's items against the journal's; `load` are those to which a delta enters the differences."""
    # Nobody is shown the rows that are sent while others are read, so a doubt about one is not sent.
    is_streamed = run.approved_at is not None and run.frozen_at is None

    def judge(item: NewItem, twins: Sequence[EarlierEntry]) -> NewItem | Refusal:
        if not twins and not (is_streamed and item.note):
            return item
        own = next((twin for twin in twins if twin.run == run.name), None)
        if own is not None:
            judged = _against_same_input(item, own, effect)
            if run.approved_at is not None and isinstance(judged, Refusal):
                # The earlier row may be in the billing by now.
                stays = said("{why}; that row of the run's input stays, this one is left out", why=judged.reason)
                return replace(judged, reason=stays)
            return judged
        if enter is Repeat.AGAIN or item.is_difference or effect.may_repeat(item.payload):
            return item
        judged = against_earlier(item, twins, run.target, enter, effect, load)
        if is_streamed and isinstance(judged, NewItem) and judged.note:
            advice = said("If it is meant to be entered on top, run with {flag}", flag=setting("again"))
            return _refused(judged, said("{why}. {advice}", why=judged.note, advice=advice))
        return judged

    return judge


def _against_same_input(item: NewItem, twin: EarlierEntry, effect: Effect) -> NewItem | Refusal:
    where = said("line {line}", line=twin.line) if twin.line else said("an earlier row")
    if not asks_the_same(item, twin):
        why = said(
            "contradicts {where}: the same key with {there} there and {here} here",
            where=where,
            there=_asked(twin),
            here=_asked(item),
        )
        return Refusal(item.line, None, item.label, why, item.row, conflict=item.key)
    if item.amount is not None:
        why = reason("a duplicate in the input: the same key and amount as {where}", DUPLICATE, where=where)
    elif item.wanted:
        why = reason("a duplicate in the input: the same key and values as {where}", DUPLICATE, where=where)
    else:
        why = reason("a duplicate in the input: the same key as {where}", DUPLICATE, where=where)
    same = SameKey.ENTERED if item.undoes else effect.same_key(item.payload)
    if same is SameKey.DOUBT:
        why = said("{why}, and neither a document nor a date tells whether this is another one", why=why)
    # Money that adds up may be meant twice: that is for a person to say.
    return replace(item, skip_reason=why) if same is SameKey.ENTERED else _refused(item, why)


def against_earlier(
    item: NewItem, twins: Sequence[EarlierEntry], target: str, repeat: Repeat, effect: Effect, load: Collection[str]
) -> NewItem | Refusal:
    """Judge a row for `target` that is not entered again against the items of earlier runs with the same key.

    What the runs of a delta's `load` have entered is entered, whatever else tells the row from a further one.
    """
    here = [twin for twin in twins if twin.target == target]
    for twin in here:
        if not twin.state.settled:
            why = said(
                "run {run} has this row as {state}: take that run to its end first, {command}",
                run=twin.run,
                state=said(twin.state.value),
                command=advised("reconcile" if twin.state is State.MANUAL else "resume", twin.run),
            )
            return _refused(item, why)
    if effect.is_for_new(item.payload):
        # What was entered with its key was entered for an object that the billing has no more.
        twins, here = [twin for twin in twins if twin.target != target], []
    of_load = [twin for twin in here if twin.run in load]
    for twin in of_load or here:
        if not asks_the_same(item, twin):
            continue
        same = SameKey.ENTERED if item.undoes or of_load else effect.same_key(item.payload)
        if same is SameKey.ENTERED:
            return replace(item, skip_reason=entered_by(twin))
        run, when = twin.run, datetime.fromisoformat(twin.entered_at)
        if same is SameKey.LEFT_OUT:
            why = reason("left out, entered by an earlier run: {run}, {when}", LEFT_OUT, run=run, when=when)
            return replace(item, skip_reason=why)
        why = said(
            "looks as if entered already: by run {run}, {when}, and neither a document nor a date tells whether "
            "this is another one",
            run=run,
            when=when,
        )
        return replace(item, note=in_clauses([item.note, why]) if item.note else why)
    if here:
        twin = here[-1]
        why = said(
            "run {run} has entered {entered} for this key on {day}; the input says {asked}: if it is to be entered "
            "all the same, run with {flag}",
            run=twin.run,
            entered=_asked(twin),
            day=date.fromisoformat(twin.entered_at[:10]),
            asked=_asked(item),
            flag=setting("again"),
        )
        if effect.adds_up and not item.undoes and not twin.is_purged:
            since = setting("since", twin.run)
            why = said("{why}; of a later export {since} enters the difference", why=why, since=since)
        return _refused(item, why)
    if twins and repeat is Repeat.ONCE:
        twin = twins[-1]
        why = said(
            "run {run} has this row at {there}, and this one is for {here}: if that is the same billing, give "
            "{same}; if it is another one, run with {another}",
            run=twin.run,
            there=twin.target,
            here=target,
            same=setting("api-url", twin.target),
            another=setting("another-billing"),
        )
        return _refused(item, why)
    return item


def _asked(one: NewItem | EarlierEntry) -> Decimal | str:
    amount, wanted = asked_for(one)
    return amount if amount is not None else wanted or said("nothing further")


def _refused(item: NewItem, reason: str) -> Refusal:
    return Refusal(item.line, None, item.label, reason, item.row)
