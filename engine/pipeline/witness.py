"""The witness: looks up each row's effect in the billing before its call leaves.

A journal can be lost, copied, restored and aliased; the billing cannot. A restored copy has rows as pending that were
sent since, under the same marks. So a row that must not be repeated is looked up before its first call in this
process, and a row that is found is accepted with a note instead of being sent again. What is found without a mark
before the first call of a row is somebody else's: the row is skipped.

Another journal may send the same rows at the same time, and people enter by hand. So the same look shows what has
come since the list was made: an entry with a mark of a run that this journal does not know refuses the row, an equal
entry without a mark is left to a person (`foreign_entries.py`). Between the look and the call somebody may still
enter the row: a look is at most a quarter of a second old.

    a run that is taken up:  settle delay ──▶ stacks drained ──▶ all pending rows looked up, a page at a time
                             (not where the journal is seen to know each call that has left)
    every row that is sent:  looked up with its claim group, or just before its call where a question tells of one,
                             and once more, with all that wait beside it, if it waits for longer than `FRESH`
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from math import inf
from typing import Final, TypeAlias, TypeVar, assert_never

import anyio
import msgspec
import structlog

from checkpoints.journal import Journal
from checkpoints.records import Item, LookUps, Run
from checkpoints.sentences import NOT_IN_EFFECT, held_back
from checkpoints.states import State
from engine.errors import LookUpFailed
from engine.evidence import Accepted, AlreadyThere, Lost, RowRefused, Seen, Undecided
from engine.job import (
    NOT_THERE,
    Absent,
    BeforeImageMode,
    CannotLook,
    Different,
    Entries,
    Found,
    Job,
    LookedFor,
    LookUpResult,
)
from engine.outcomes import decide
from engine.pipeline.foreign_entries import ForeignEntries, set_by_later_runs
from engine.pipeline.progress import LivePolicy
from engine.pipeline.reconciler import (
    UnfinishedWork,
    already_there,
    count_down,
    credit,
    found_again,
    wait_for_stacks,
)
from texts.said import Quantity, counted, in_clauses, kind_of, said

log = structlog.get_logger(__name__)

Told = TypeVar("Told")

_TellsOf: TypeAlias = dict[int, tuple[float, Item, Told | None]]
"""What is told of items whose calls wait, by item_id, and since when; None is nothing that keeps the call back."""
_Asks: TypeAlias = Callable[[Sequence[Item]], Awaitable[Mapping[int, Told]]]

READING_COUNTS: Final = 1.0
"""Seconds for which a reading counts as current."""

LONGEST_ASKING: Final = 10.0
"""Seconds of all questions before a call after which the row is not sent, however slowly the billing answers."""

ARRIVED: Final = said("found in the billing before it was sent: an earlier call of it had arrived")
"""The note on a row whose effect was in the billing before its call: a call that was late, or of a newer journal."""

FRESH: Final = 0.25
"""Seconds for which a look ahead counts: what others enter in them is not seen."""


class Witness:
    """Looks up effects that the journal may not know of, and reads what else may have changed before a call leaves.

    It looks nothing up for a job whose effects cannot be recognised.

    Items up to number `known` were in the journal before this process: another copy of it may have sent them.
    `foreign` judges what others have entered. `trusted` turns all look-ups off, for an operator who states that the
    journal is the only one.
    """

    def __init__(
        self,
        run: Run,
        job: Job,
        journal: Journal,
        steering: LivePolicy,
        *,
        foreign: ForeignEntries,
        known: int = 0,
        trusted: bool = False,
    ) -> None:
        self._run = run
        self._job = job
        self._effect = job.effect
        self._journal = journal
        self._policy = steering.policy
        self._progress = steering.progress
        self._stop = steering.stopping
        self._foreign = foreign
        self._known = known
        self._trusted = trusted
        self._together = not trusted and job.effect.looks_together
        self._began = anyio.current_time()
        self._ahead: _TellsOf[Seen] = {}
        self._images_read: dict[int, float] = {}
        self._overtaken: _TellsOf[str] = {}
        self._looking = anyio.Lock()
        self._takes: dict[float, float] = {}
        """Seconds of the last answer, by the seconds for which it counts."""

    @property
    def wants_whole_list(self) -> bool:
        """Whether all rows must be frozen before the first is sent: rows of an earlier process are looked up."""
        return bool(self._known) and not self._trusted and self._effect.looked_for is not LookedFor.NEVER

    # ---- at taking up ----

    async def take_up(self) -> None:
        """Look up items that were pending before this process: found ones become accepted, different ones unknown.

        First it waits until no call can be under way that this journal does not know, as when it was restored,
        neither on the wire nor in the stacks. Raises `LookUpFailed` if the billing cannot be read.
        """
        if not self.wants_whole_list or not await self._pending(0):
            return
        try:
            if not self._journal.lease_of(self._run).knows_all_calls:
                await self.wait_for_earlier_calls()
            after = 0
            while self._together and not self._stop.requested and (page := await self._pending(after)):
                after = page[-1].number
                if looked_for := [item for item in page if self._effect.looks_for(item) is not LookedFor.NEVER]:
                    await self._settle(await self._drained(looked_for))
        finally:
            self._progress.hold(None)

    async def _pending(self, after: int) -> list[Item]:
        page = await self._journal.items(self._run, {State.PENDING}, after=after, size=self._policy.page)
        return [item for item in page if item.number <= self._known]

    async def wait_for_earlier_calls(self) -> None:
        """Wait for the settle delay, as a call of an earlier process may still have its effect."""
        await count_down(
            self._began + self._policy.settle,
            self._progress,
            self._stop,
            lambda seconds: said(
                "a call of an earlier process may still be under way: going on in {seconds} s",
                seconds=Quantity(seconds),
            ),
        )

    async def _drained(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return `items` once the stacks have been seen empty of each; none if a stop comes first."""
        waiting, patience = items, self._policy.drain_patience

        async def look() -> UnfinishedWork | None:
            nonlocal waiting
            waiting, why = await self._effect.worked_on(waiting)
            if not waiting:
                return None
            return UnfinishedWork(
                counted(
                    "whether {n} row[s] [is|are] in the billing already cannot be seen: {why}, after {seconds} s of "
                    "waiting. Resume the run when the billing has caught up",
                    len(waiting),
                    why=why,
                    seconds=Quantity(round(patience)),
                ),
                said("looking for rows that are in the billing already: {why}", why=why),
            )

        drained = await wait_for_stacks(look, patience, self._progress, self._stop)
        return items if drained else ()

    async def _settle(self, items: Sequence[Item]) -> None:
        seen = await self._seen_of(items)
        changes = [
            decide(evidence).change_of(item) for item in items if (evidence := seen.get(item.item_id)) is not None
        ]
        if not changes:
            return
        # The journal writes the changes even if this task is cancelled: count them in any case.
        with anyio.CancelScope(shield=True):
            await self._journal.claim(self._run, [change.item_id for change in changes])
            await self._journal.record(self._run, changes)
            self._progress.recorded(items, changes)
        await self._journal.history.note_look_ups(self._run, LookUps(found=len(changes)))
        log.warning("another journal, or a newer copy of this one, has sent rows of the run", found=len(changes))

    # ---- before each call ----

    async def ahead(self, items: Sequence[Item]) -> list[Item]:
        """Ask all that has to be known of items before their claim, as far as one query tells of many.

        Returns them with their present before-images.
        """
        asked = [*items]
        now = anyio.current_time()
        try:
            if self._effect.keeps is BeforeImageMode.TOGETHER:
                asked = await self._renewed(asked)
                self._images_read.update((item.item_id, now) for item in asked)
            looked_for = [item for item in asked if self._together and self._must_look(item)]
            if looked_for and not self._asks_alone(FRESH):
                self._ahead |= await self._asked(looked_for, FRESH, self._seen_of)
            if self._effect.looks_together and not self._asks_alone(READING_COUNTS):
                self._overtaken |= await self._asked(asked, READING_COUNTS, self._outdated)
        except LookUpFailed as error:
            # It is asked again before each call, and an error is reported then.
            log.info("cannot ask ahead what has to be known before calls leave", why=error)
        return asked

    async def before_image(self, item: Item) -> Item:
        """Renew the before-image of `item`, whose call leaves now. Raises `LookUpFailed`.

        It is in the journal before the call leaves: after a kill at any instant, each item has the value that its
        call overwrites or has overwritten. A change between the last reading and the effect of the call is not seen,
        because the billing has no compare-and-set call.
        """
        if self._effect.keeps is BeforeImageMode.NOTHING:
            return item
        if anyio.current_time() - self._images_read.pop(item.item_id, -inf) > READING_COUNTS:
            (item,) = await self._renewed([item])
        return item

    async def overtaken(self, item: Item) -> AlreadyThere | RowRefused | None:
        """Why `item` is not sent, if its subscriber, say, is another one since the list was made.

        What is not in effect any more is not taken back. Raises `LookUpFailed`.
        """
        if self._effect.looks_together:
            why = await self._told_of(item, self._overtaken, READING_COUNTS, self._outdated)
        else:
            why = (await self._outdated([item])).get(item.item_id)
        if why is None:
            return None
        return AlreadyThere(why) if kind_of(why) in NOT_IN_EFFECT else RowRefused(held_back(why))

    async def at_call(self, item: Item) -> Seen | None:
        """Look up `item`, whose call would leave now; None if it is to be sent. Raises `LookUpFailed`."""
        if item.item_id not in self._ahead and not self._must_look(item):
            return None
        if not self._together:
            return (await self._seen_of([item])).get(item.item_id)
        return await self._told_of(item, self._ahead, FRESH, self._seen_of)

    async def _told_of(self, item: Item, told: _TellsOf[Told], counts: float, ask: _Asks[Told]) -> Told | None:
        """What is told of `item`, asked anew where that is older than it counts. Raises `LookUpFailed`."""
        if (held := told.get(item.item_id)) is not None and anyio.current_time() - held[0] <= counts:
            del told[item.item_id]
            return held[2]
        if self._asks_alone(counts):
            told.pop(item.item_id, None)
            return (await self._asked([item], counts, ask))[item.item_id][2]
        try:
            async with self._looking:
                held = told.get(item.item_id)
                if held is None or anyio.current_time() - held[0] > counts:
                    told[item.item_id] = (-inf, item, None)
                    # One query for all that wait: they have waited for as long. Some calls leave meanwhile.
                    anew = await self._asked([one for _, one, _ in told.values()], counts, ask)
                    told.update((key, one) for key, one in anew.items() if key in told)
            return told[item.item_id][2]
        finally:
            told.pop(item.item_id, None)

    def _asks_alone(self, counts: float) -> bool:
        """Whether an answer takes longer than it counts, and costs calls their places: rows ask side by side then."""
        return self._takes.get(counts, 0.0) > counts and not self._effect.reads_apart

    async def _asked(self, items: Sequence[Item], counts: float, ask: _Asks[Told]) -> _TellsOf[Told]:
        now = anyio.current_time()
        answers = await ask(items)
        self._takes[counts] = anyio.current_time() - now
        return {item.item_id: (now, item, answers.get(item.item_id)) for item in items}

    async def _outdated(self, items: Sequence[Item]) -> Mapping[int, str]:
        return {**await self._job.outdated(self._run, items), **await self._set_since(items)}

    async def _set_since(self, items: Sequence[Item]) -> Mapping[int, str]:
        """Which of these items, left by an earlier process, set what a later run of the journal has set since."""
        asked = [item for item in items if item.number <= self._known] if self._effect.overwrites else ()
        setting = [item for item in asked if self._effect.sets(item.payload)]
        return {
            item.item_id: said(
                "run {run} has set the same since this list was made, and this row would overwrite it: to set it all "
                "the same, load the row by a new run",
                run=one.run,
            )
            for item, one in await set_by_later_runs(self._run, setting, self._effect, self._journal)
        }

    def _must_look(self, item: Item) -> bool:
        if self._trusted:
            return False
        looked_for = self._effect.looks_for(item)
        if looked_for is LookedFor.WHEN_TAKEN_UP:
            return not self._together and item.number <= self._known
        return looked_for is LookedFor.ALWAYS

    async def _seen_of(self, items: Sequence[Item]) -> dict[int, Seen]:
        """What the billing shows of items, by item_id; items to be sent are left out. Raises `LookUpFailed`."""
        looks = await self._job.look(self._run, items, self._mates)
        looked_at = [(item, looks.get(item.item_id, NOT_THERE)) for item in items]
        own = [(item, look.own) for item, look in looked_at if not isinstance(look.own, Absent)]
        sightings = await credit(own, self._run, self._journal) if own else {}
        seen: dict[int, Seen] = {}
        absent: list[tuple[Item, Entries]] = []
        for item, look in looked_at:
            sighting = sightings.get(item.item_id)
            if sighting is not None and (evidence := self._evidence(item, sighting)):
                seen[item.item_id] = evidence
            else:
                absent.append((item, look.entries))
        judged = await self._foreign.judge_at_call(absent)
        # What a person is asked about counts as known from then on: only a newer entry asks again.
        asked = {
            item.item_id: entries.payload
            for item, entries in absent
            if isinstance(judged.get(item.item_id), Undecided) and entries.payload
        }
        if asked:
            await self._journal.keep(self._run, asked)
        return seen | judged

    async def _renewed(self, items: Sequence[Item]) -> list[Item]:
        payloads = await self._effect.renew_before_images(items, self._mates)
        if payloads:
            await self._journal.keep(self._run, payloads)
        return [
            msgspec.structs.replace(item, payload=payloads[item.item_id]) if item.item_id in payloads else item
            for item in items
        ]

    async def _mates(self, lanes: Collection[str]) -> Sequence[Item]:
        return await self._journal.lane_mates(self._run, lanes)

    def _evidence(self, item: Item, sighting: LookUpResult) -> Seen | None:
        """The evidence of a look-up before the call.

        What has a mark was sent from another copy of the journal; a different effect of it is left to the reconciler,
        then to a person. What has none is somebody else's, unless an earlier call of the row may have made it.
        """
        first_call = item.number > self._known and not item.attempts
        match sighting:
            case Found(answer, by=other, marked=False) if other or first_call:
                return AlreadyThere(already_there(sighting), answer)
            case Different(text, marked=False) if first_call:
                return RowRefused(
                    held_back(said("there already since the list was made, and different: {why}", why=text))
                )
            case Found(answer, marked=False):
                change = found_again(item, sighting)
                return Accepted(answer, change.message, unproven=change.unproven)
            case Found(answer, note):
                return Accepted(answer, ARRIVED if note is None else in_clauses([ARRIVED, note]))
            case Different(text) | CannotLook(text):
                return Lost(said("before it was sent: {why}", why=text))
            case Absent():
                return None
            case _:
                assert_never(sighting)
