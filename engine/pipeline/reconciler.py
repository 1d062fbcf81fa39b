"""The reconciler: settles unknown items by looking them up in the billing."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Final, NamedTuple, assert_never, cast

import anyio
import structlog

from checkpoints.journal import Journal
from checkpoints.records import Change, Item, LookUps, Run
from checkpoints.sentences import AS_WANTED
from checkpoints.states import State, states_where
from engine.job import Absent, CannotLook, Different, Effect, Found, Job, LookUpResult, news_of
from engine.pacing.holds import POLL_SECONDS, Stop, StopKind
from engine.pacing.policy import Policy
from engine.pipeline.progress import Progress
from texts.said import Quantity, counted, in_clauses, reason, said, wording

log = structlog.get_logger(__name__)

IN_DOUBT: Final = states_where(in_doubt=True)

_LOOKING_UP: Final = wording("{rows} in doubt: looking them up in {seconds} s")
_GOING_ON: Final = wording("{rows} in doubt: a call may still be under way, going on in {seconds} s")

GAP = 1.0
"""Seconds between two look-ups while the billing has unfinished work."""


class Reconciler:
    """Turns every item in doubt into accepted, pending, rejected or manual, as far as the billing can be read.

    A found effect is accepted at once. A missing effect counts as absent only after the settle delay since the last
    lost call, and when the billing has no unfinished work: before that, it may still appear. What can be repeated is
    not looked up, and as long in doubt: a call that comes late would overtake the next one.
    """

    def __init__(self, run: Run, job: Job, journal: Journal, policy: Policy, progress: Progress, stop: Stop) -> None:
        self._run = run
        self._effect = job.effect
        self._journal = journal
        self._policy = policy
        self._progress = progress
        self._stop = stop
        self._delay = 0.0 if job.effect.only_reads else policy.settle
        self._last_loss = anyio.current_time()
        self._calls_end = self._last_loss + journal.lease_of(run).until_calls_end
        self._awaits_calls = self._calls_end > self._last_loss

    @property
    def until_calls_end(self) -> float:
        """Seconds until no call of an earlier owner is under way; only then the settle delay begins."""
        return max(self._calls_end - anyio.current_time(), 0.0)

    @property
    def until_looked_up(self) -> float:
        """Seconds until rows can be looked up that an earlier owner has left in doubt; 0 where they need not wait."""
        if not (self._awaits_calls or self._effect.repeatable or self._journal.lease_of(self._run).knows_all_calls):
            # Rows that may have been sent unknown to this journal have waited as long.
            return 0.0
        return max(self._calls_end + self._delay - anyio.current_time(), 0.0)

    def lost(self) -> None:
        """Restart the settle delay, because a call was lost."""
        self._last_loss = anyio.current_time()

    async def settle(self) -> None:
        """Settle all unknown items; they stay unknown if a stop is requested or the billing's work does not end.

        Raises `LookUpFailed` if the billing cannot be read.
        """
        unknown = self._progress.in_doubt
        if not unknown:
            return
        met: Counter[State] = Counter()
        try:
            await self._wait_for_earlier_calls(unknown)
            await self._look_until_settled(met)
        finally:
            self._progress.hold(None)
        if met[State.PENDING]:
            # On a screen this stands for the lines of the rows, of which there can be thousands.
            log.warning("not in the billing, sent again", rows=met[State.PENDING])
        if met:
            log.info("settled what was unknown", **{str(state): count for state, count in met.items()})

    async def _look_until_settled(self, met: Counter[State]) -> None:
        """Look up the items until the billing has no unfinished work; `met` counts their new states."""
        patience = self._policy.drain_patience

        async def look() -> UnfinishedWork | None:
            met_now, unfinished_work = await self._settle_all()
            met.update(met_now)
            if unfinished_work is None:
                return None
            left = self._progress.in_doubt
            return UnfinishedWork(
                counted(
                    "{n} row[s] [is|are] in doubt and cannot be settled: {why}, after {seconds} s of waiting. "
                    "Resume the run when the billing has caught up",
                    left,
                    why=unfinished_work,
                    seconds=Quantity(round(patience)),
                ),
                said(
                    "{rows} in doubt: waiting for the billing to catch up ({why})",
                    rows=Quantity(left),
                    why=unfinished_work,
                ),
            )

        await wait_for_stacks(look, patience, self._progress, self._stop)

    async def look_again(self) -> dict[int, LookUpResult]:
        """Look up manual items once more, as a person may have corrected the billing since.

        Items that are now found equal become accepted. The others stay manual: returns their look-up results, by
        item_id. Raises `LookUpFailed`.
        """
        left: dict[int, LookUpResult] = {}
        async for page in self._journal.each_page(self._run, {State.MANUAL}, size=self._policy.page):
            sightings = await look_up(self._effect, self._run, page, self._journal)
            mended = [
                found_again(item, sighting)
                for item in page
                if isinstance(sighting := sightings.get(item.item_id), Found)
            ]
            await self._record(page, mended)
            await self._note(mended)
            still = {key: sighting for key, sighting in sightings.items() if not isinstance(sighting, Found)}
            await self._keep_seen(page, still)
            left |= still
        return left

    async def _wait_for_earlier_calls(self, unknown: int) -> None:
        """Wait until no call can be under way of an owner that was frozen or cut off, and not ended in order.

        Then the settle delay begins, or what can be repeated is sent again and nothing overtakes it.
        """
        if not self._awaits_calls:
            return

        await count_down(
            self._calls_end,
            self._progress,
            self._stop,
            lambda seconds: said(
                "{rows} in doubt: the process that sent them was not ended in order; looking them up in {seconds} s",
                rows=Quantity(unknown),
                seconds=Quantity(seconds),
            ),
        )
        self._last_loss = max(self._last_loss, self._calls_end)
        if not self.until_calls_end:
            self._awaits_calls = False
            await self._journal.history.note_calls_ended(self._run)

    async def _wait_for_last_call(self) -> None:
        """Wait for the settle delay, as a call whose answer was lost may still have its effect."""
        words = _GOING_ON if self._effect.repeatable else _LOOKING_UP
        await count_down(
            self._last_loss + self._delay,
            self._progress,
            self._stop,
            lambda seconds: said(words, rows=Quantity(self._progress.in_doubt), seconds=Quantity(seconds)),
        )

    async def _settle_all(self) -> tuple[Counter[State], str | None]:
        """Look up all unknown items once; returns the counts by new state, and the unfinished work in the way.

        The unfinished work is read *before* the look-up: otherwise both would miss an entry that is processed in
        between. A row whose answer has come into doubt meanwhile is in one of the pages: it has a delay of its own.
        """
        met: Counter[State] = Counter()
        unfinished_work: str | None = None
        async for page in self._journal.each_page(self._run, IN_DOUBT, size=self._policy.page):
            await self._wait_for_last_call()
            if self._stop.requested:
                break
            if self._effect.repeatable:
                await self._record(page, [self._to_repeat(item) for item in page])
                continue
            reason = await self._effect.unfinished_work(page)
            sightings = await look_up(self._effect, self._run, page, self._journal)
            if reason is not None:
                absent = {key for key, sighting in sightings.items() if isinstance(sighting, Absent)}
                sightings = {key: sighting for key, sighting in sightings.items() if key not in absent}
                unfinished_work = reason if absent else unfinished_work
            met += await self._settle_page(page, sightings)
        return met, unfinished_work

    def _to_repeat(self, item: Item) -> Change:
        """The change of an item that is sent again, or was refused, and may have had its effect all the same."""
        state = State.REJECTED if item.state is State.UNCONFIRMED else State.PENDING
        return Change(item.item_id, state, message=item.message, unproven=not self._effect.only_reads)

    async def _settle_page(self, page: Sequence[Item], sightings: Mapping[int, LookUpResult]) -> Counter[State]:
        changes = [_settled(item, sightings[item.item_id]) for item in page if item.item_id in sightings]
        await self._record(page, changes)
        # Only now: what nobody has been shown as a question must not count as seen.
        await self._keep_seen(page, sightings)
        await self._note(changes)
        for item, change in zip((one for one in page if one.item_id in sightings), changes, strict=True):
            if change.state is State.MANUAL:
                log.warning("a person has to decide", item=item.number, label=item.label, why=change.message)
            elif change.state is State.REJECTED:
                log.warning("rejected, and not in the billing", item=item.number, label=item.label, why=item.message)
            elif change.state is State.PENDING:
                log.info("not in the billing, sent again", item=item.number, label=item.label, why=item.message)
        return Counter(change.state for change in changes)

    async def _keep_seen(self, page: Sequence[Item], sightings: Mapping[int, LookUpResult]) -> None:
        """Keep what the person who decides is shown, besides what was known when he last did."""
        shown = {
            item.item_id: tuple(dict.fromkeys((*item.seen, *sighting.seen)))
            for item in page
            if isinstance(sighting := sightings.get(item.item_id), Different | CannotLook) and sighting.seen
        }
        if shown:
            await self._journal.note_seen(self._run, shown)

    async def _note(self, changes: Sequence[Change]) -> None:
        """Add what the look-ups of a page have come to; one that stays rejected counts with its reason alone."""
        met = Counter(change.state for change in changes)
        if look_ups := LookUps(met[State.ACCEPTED], met[State.PENDING], met[State.MANUAL]):
            await self._journal.history.note_look_ups(self._run, look_ups)

    async def _record(self, items: Sequence[Item], changes: Sequence[Change]) -> None:
        # The journal writes the changes even if this task is cancelled: count them in any case.
        with anyio.CancelScope(shield=True):
            await self._journal.record(self._run, changes)
            self._progress.recorded(items, changes)


async def count_down(ends: float, progress: Progress, stop: Stop, left: Callable[[int], str]) -> None:
    """Hold the run until the time `ends` or a stop; `left` tells the seconds until then."""
    while (wait := ends - anyio.current_time()) > 0 and not stop.requested:
        progress.hold(left(ceil(wait)))
        await stop.sleep(min(wait, POLL_SECONDS))


class UnfinishedWork(NamedTuple):
    """Unfinished work of the billing: the reason of a stop after too long a wait, and the reason of the hold."""

    end: str
    hold: str


async def wait_for_stacks(
    look: Callable[[], Awaitable[UnfinishedWork | None]], patience: float, progress: Progress, stop: Stop
) -> bool:
    """Call `look` until the billing has no unfinished work; False if a stop comes first.

    After `patience` seconds the run is stopped.
    """
    deadline = anyio.current_time() + patience
    while not stop.requested:
        unfinished_work = await look()
        if unfinished_work is None:
            return True
        if anyio.current_time() > deadline:
            stop.request(StopKind.SYSTEM, unfinished_work.end)
        progress.hold(unfinished_work.hold)
        await stop.sleep(GAP)
    return False


UNPROVEN: Final = said("found without a mark when its outcome was looked up: it may be somebody else's")
"""The note on a row that is accepted and unproven."""


async def look_up(effect: Effect, run: Run, items: Sequence[Item], journal: Journal) -> dict[int, LookUpResult]:
    """What look-ups show of `items` that nobody has decided on, with the runs that have made what has no mark.

    Raises `LookUpFailed`.
    """
    found = await effect.look_up(run, items)
    return await credit([(item, found[item.item_id]) for item in items if item.item_id in found], run, journal)


async def credit(results: Sequence[tuple[Item, LookUpResult]], run: Run, journal: Journal) -> dict[int, LookUpResult]:
    """The results by item_id, less what a person has decided on, with the runs that have made what has no mark."""
    sightings = {item.item_id: news_of(item, result) for item, result in results}
    unmarked = [
        (item_id, one.answer)
        for item_id, one in sightings.items()
        if isinstance(one, Found) and not one.marked and one.answer is not None and one.answer.isdecimal()
    ]
    if unmarked:
        for item_id, other in (await journal.made_by_others(run, unmarked)).items():
            sightings[item_id] = replace(cast("Found", sightings[item_id]), by=other)
    return sightings


def found_again(item: Item, found: Found) -> Change:
    """The change of an item whose effect was found after its call, or after what may have been its call.

    It is unproven unless its mark or the answer to its call has named it.
    """
    if found.by:
        return Change(item.item_id, State.SKIPPED, answer=found.answer, message=already_there(found))
    known = found.note
    if item.state is State.UNCONFIRMED:
        known = said("rejected, and found in the billing all the same: {message}", message=item.message or "")
    if found.marked or (item.answer is not None and item.answer == found.answer):
        return Change(item.item_id, State.ACCEPTED, answer=found.answer, message=known)
    note = UNPROVEN if known is None else in_clauses([UNPROVEN, known])
    return Change(item.item_id, State.ACCEPTED, answer=found.answer, message=note, unproven=True)


def already_there(found: Found) -> str:
    """Why a row is skipped whose effect somebody else has brought about."""
    if found.by:
        return reason(
            "already as wanted: run {run} has made it (id {id})", AS_WANTED, run=found.by, id=found.answer or ""
        )
    if found.answer is None:
        return reason("already as wanted: somebody else has done it since the list was made", AS_WANTED)
    return reason(
        "already as wanted: somebody else has made it since the list was made (id {id})", AS_WANTED, id=found.answer
    )


def _settled(item: Item, sighting: LookUpResult) -> Change:
    match sighting:
        case Found():
            return found_again(item, sighting)
        case Absent() if item.state is State.UNCONFIRMED:
            return Change(item.item_id, State.REJECTED, message=item.message)
        case Absent():
            why = said("looked up and not there: {message}", message=item.message or "")
            return Change(item.item_id, State.PENDING, message=why)
        case Different(text) | CannotLook(text):
            return Change(item.item_id, State.MANUAL, message=text)
        case _:
            assert_never(sighting)
