"""The precedence of items: one that needs others goes on only when these are in effect, and the billing shows them.

    backlog ──▶ all that it needs is there ──▶ completed from their answers ──▶ claims
                  │ not yet        │ refused           │ not to be had in this pass
                  ▼                ▼                   ▼
                it waits, with   rejected, without   left for a later pass,
                its lane         a call              with its lane

Journal and billing are asked in bulk. What waits is looked at again in pages, by one task: soon at first, then
less often, and at once when the outcome of a needed item is recorded. Nothing of it is written down: after a
kill it follows from journal and billing.

Items wait only for items with a lower number, which the pass has read before them. So they never wait for each other,
and a backlog that is full of waiting items empties.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final, TypeAlias

import anyio
import msgspec
import structlog

from checkpoints.journal import Journal
from checkpoints.records import Change, Item, Run
from checkpoints.sentences import NOT_SENT
from checkpoints.states import State
from checkpoints.transitions import NO_PAYLOADS
from engine.errors import EngineError, InputRefused, LookUpDelayed
from engine.job import ALL_BEFORE, Effect
from engine.pacing.breaker import Breaker
from engine.pacing.holds import StopKind
from engine.pipeline.backlog import Backlog
from engine.pipeline.progress import LivePolicy
from engine.pipeline.witness import LONGEST_ASKING
from texts.said import Quantity, Said, advised, counted, in_clauses, reason, said, text_of, wording

log = structlog.get_logger(__name__)

MOST_SEEN: Final = 10_000
"""Maximum number of items of which it is remembered that the billing shows them; then they are asked for again."""

PAGE: Final = 200
"""Maximum number of items looked at in one go. With the API alone that is a call each, and all wait for it."""

GAP: Final = 1.0
"""Seconds until the API is asked again for an item that the billing does not show; at first."""

GAP_TOGETHER: Final = 0.2
"""The same where one query tells of many items."""

LONGEST_GAP: Final = 5.0
"""Maximum seconds until it is asked again, and until an item that waits for an outcome is looked at again."""

SLOWER: Final = 1.5
"""Ratio of two gaps, one after the other."""

_UNDECIDED: Final = wording("a person has to decide on {what} first ({export})")
_NOT_YET: Final = wording("{what} is not sent yet")

_Key: TypeAlias = str | int
"""The key of a needed item; a number stands for all items before it."""


@dataclass(frozen=True, slots=True)
class _Later:
    """What keeps an item from being sent now: it is looked at again when `due`, or when the key has an outcome."""

    due: float
    key: str = ""


@dataclass(frozen=True, slots=True)
class _Left:
    """What keeps an item from being sent in this pass."""

    why: Said


@dataclass(slots=True)
class _Unseen:
    """An accepted item that the billing does not show: since when, and when it is asked again.

    `verdict` is what becomes of those that need it, once it was waited for long enough.
    """

    since: float
    due: float
    gap: float
    verdict: Said | _Left | None = None


class Precedence:
    """Lets items pass when all that they need is in effect and visible.

    `refused` counts the items of this pass that were rejected because something that they need was refused.
    """

    def __init__(
        self, run: Run, effect: Effect, journal: Journal, backlog: Backlog, breaker: Breaker, steering: LivePolicy
    ) -> None:
        self._run = run
        self._effect = effect
        self._journal = journal
        self._backlog = backlog
        self._breaker = breaker
        self._patience = steering.policy.drain_patience
        self._gap = GAP_TOGETHER if effect.looks_together else GAP
        self._progress = steering.progress
        self._stop = steering.stopping
        self._seen: dict[str, float] = {}
        """When the billing has shown an item, by its key."""
        self._unseen: dict[int, _Unseen] = {}
        self._last_seen = -inf
        self._shown_until = ""
        """When the journal was told of the last item that the billing shows."""
        self._sends = False
        self._waits: dict[int, tuple[float, Item]] = {}
        """The items that wait, and when each is looked at again."""
        self._by_key: defaultdict[str, set[int]] = defaultdict(set)
        self._passed: dict[int, bool] = {}
        """Items that go on, and whether they were completed."""
        self._obstacles: dict[str, Said] = {}
        self._next_poll = -inf
        self._bell = anyio.Event()
        self.refused = 0

    # ---- for the sending ----

    def begin(self) -> None:
        self.refused = 0
        self._obstacles.clear()
        self._passed.clear()
        self._by_key.clear()

    async def sift(self, items: Sequence[Item]) -> list[Item]:
        """Those of `items` that go on now; the others wait, are rejected, or left for a later pass."""
        going = {item.item_id: item for item in items if item.item_id in self._passed}
        # The billing is asked beside the sending, for many at once.
        new = await self._look([item for item in items if item.item_id not in going], ask=False)
        going |= {item.item_id: item for item in new}
        return [going[item.item_id] for item in items if item.item_id in going]

    def completed(self, items: Sequence[Item]) -> Mapping[int, str]:
        """The payloads of those of `items` that were completed, to be kept with their claim."""
        self._sends = True
        if not self._passed:
            return NO_PAYLOADS
        return {item.item_id: item.payload for item in items if self._passed.pop(item.item_id, False)}

    async def shows(self, item: Item) -> bool:
        """Whether the billing shows all that `item` needs, whose call leaves now. Raises `LookUpFailed`.

        It is asked anew where that was long ago: it may have been put back from its backup since.
        """
        # Of each call that leaves: nothing is called here that need not be.
        keys, oldest = dict.fromkeys(self._effect.needs(item)), anyio.current_time() - LONGEST_ASKING
        keys.pop(ALL_BEFORE, None)
        if keys.keys() <= self._seen.keys() and min(map(self._seen.__getitem__, keys), default=inf) >= oldest:
            return True
        found = await self._find(keys)
        await self._ask([one for one in found.values() if one.state is State.ACCEPTED], since=oldest)
        return all(self._judge(item, key, found.get(key), is_stuck=False) is None for key in keys)

    def left(self, pending: int) -> Said | None:
        """The stop message if items were left in this pass, of `pending` ones in all; None otherwise."""
        if not self._obstacles:
            return None
        return counted(
            "{n} row[s] [is|are] left pending, for [it waits|they wait] for others: {reasons}. {resume} goes on "
            "with [it|them]",
            pending,
            reasons=in_clauses([*self._obstacles.values()]),
            resume=advised("resume", self._run.name),
        )

    @property
    def waits_for_person(self) -> bool:
        """Whether only a person's decisions are waited for, by what was left in this pass."""
        return _UNDECIDED in self._obstacles and self._obstacles.keys() <= {_UNDECIDED, _NOT_YET}

    # ---- for the recorder ----

    def heed(self, items: Iterable[Item]) -> None:
        """Look at once at the items that wait for these, whose outcome is recorded."""
        for item in items:
            for waiting in self._by_key.pop(item.key, ()):
                if waiting in self._waits:
                    self._waits[waiting] = -inf, self._waits[waiting][1]
                    self._bell.set()

    def doubt(self, items: Sequence[Item]) -> None:
        if items:
            self._seen.clear()

    # ---- the poll ----

    async def watch(self) -> None:
        """Look again and again at what waits, while nothing holds the run; runs beside the workers."""
        while not self._stop.requested:
            while True:
                self._bell = anyio.Event()
                moment = min((due for due, _ in self._waits.values()), default=inf)
                left = (moment if moment == -inf else max(moment, self._next_poll)) - anyio.current_time()
                if left <= 0:
                    break
                with anyio.move_on_after(left):
                    await self._bell.wait()
            if self._progress.holds:
                await self._progress.holds.lifted()
                self._restart_patience()
                continue
            try:
                now = anyio.current_time()
                due = [item for moment, item in self._waits.values() if moment <= now]
                for first in range(0, len(due), PAGE):
                    for item in await self._look(due[first : first + PAGE], ask=True):
                        del self._waits[item.item_id]
                        self._backlog.go_on(item)
            except LookUpDelayed as error:
                self._breaker.look_up_failed(text_of(error))
                await self._breaker.let_through()
                self._restart_patience()
            except EngineError as error:
                self._stop.request(
                    StopKind.SYSTEM,
                    said("whether the billing shows what rows need cannot be seen: {error}", error=error),
                )
            self._next_poll = anyio.current_time() + self._gap

    def _restart_patience(self) -> None:
        for unseen in self._unseen.values():
            unseen.since, unseen.verdict = anyio.current_time(), None

    # ---- a look at items ----

    async def _look(self, items: Sequence[Item], *, ask: bool) -> list[Item]:
        """Those that go on, completed; the others wait, are rejected or left. Raises `LookUpFailed`.

        Only with `ask` the billing is asked; without, what is not known to be visible is waited for.
        """
        if not items:
            return []
        if len(self._seen) > MOST_SEEN:
            self._seen.clear()
        needs = {
            item.item_id: [item.number if key == ALL_BEFORE else key for key in self._effect.needs(item)]
            for item in items
        }
        found, stuck = await self._needed({key for needed in needs.values() for key in needed})
        if ask:
            await self._ask([one for one in found.values() if one.state is State.ACCEPTED])
        going: list[Item] = []
        refused: list[tuple[Item, Said]] = []
        for item in items:
            own = {key: found.get(key) for key in needs[item.item_id]}
            judged = [self._judge(item, key, needed, is_stuck=key in stuck) for key, needed in own.items()]
            kept = self._follow(item, judged)
            if kept is None:
                try:
                    payload = self._effect.fill(item, {one.key: one for one in own.values() if one is not None})
                except InputRefused as error:
                    kept = reason("not sent: {why}", NOT_SENT, why=error)
                else:
                    self._passed[item.item_id] = changed = payload != item.payload
                    going.append(msgspec.structs.replace(item, payload=payload) if changed else item)
            if isinstance(kept, Said):
                refused.append((item, kept))
        if not refused:
            return going
        items = [item for item, _ in refused]
        changes = [Change(item.item_id, State.REJECTED, message=why) for item, why in refused]
        # The journal writes the changes even if this task is cancelled: count them in any case.
        with anyio.CancelScope(shield=True):
            await self._journal.record(self._run, changes)
            self._progress.recorded(items, changes)
        self.refused += len(refused)
        for item, why in refused:
            self._waits.pop(item.item_id, None)
            self._backlog.finish(item)
            log.warning(str(State.REJECTED), item=item.number, label=item.label, why=why)
        self.heed(items)
        return going

    def _follow(self, item: Item, judged: Sequence[Said | _Left | _Later | None]) -> Said | _Left | _Later | None:
        """What keeps an item, if anything does: a refusal comes before an obstacle, that before a wait."""
        if not any(judged):
            return None
        if refusal := next((one for one in judged if isinstance(one, Said)), None):
            return refusal
        if left := next((one for one in judged if isinstance(one, _Left)), None):
            self._waits.pop(item.item_id, None)
            self._obstacles.setdefault(left.why.template, left.why)
            self._backlog.leave(item)
            log.info("left for a later pass", item=item.number, label=item.label, why=left.why)
            return left
        waits = [one for one in judged if isinstance(one, _Later)]
        self._waits[item.item_id] = max(one.due for one in waits), item
        for key in (one.key for one in waits if one.key):
            self._by_key[key].add(item.item_id)
        self._backlog.wait(item)
        self._bell.set()
        return waits[0]

    async def _needed(self, keys: Collection[_Key]) -> tuple[dict[_Key, Item], set[_Key]]:
        """The needed items by key, and the keys of those that will not be sent in this pass.

        The backlog holds the lane of an item that will be sent. An outcome recorded since the item was read has freed
        the lane as well, so it is read once more.
        """
        found = await self._find(keys)
        suspects = {key: one.item_id for key, one in found.items() if self._is_not_held(one)}
        again = await self._find(suspects) if suspects else {}
        stuck = {key for key, one in again.items() if one.item_id == suspects[key] and self._is_not_held(one)}
        return {key: one for key, one in found.items() if key not in suspects} | again, stuck

    def _is_not_held(self, item: Item) -> bool:
        return item.state.to_send and not self._backlog.holds(item.lane)

    async def _find(self, keys: Collection[_Key]) -> dict[_Key, Item]:
        """The items by key; for a number the last one before it that is not settled.

        The last one, for it is likely to be settled last: an item is not looked at again for each of those before it.
        """
        named = [key for key in keys if isinstance(key, str)]
        found: dict[_Key, Item] = {}
        if named:
            found = {one.key: one for one in await self._journal.items_by_key(self._run, named)}
        for number in (key for key in keys if isinstance(key, int)):
            for last in await self._journal.last_unsettled(self._run, number):
                found[number] = last
        return found

    async def _ask(self, accepted: Sequence[Item], since: float = -inf) -> None:
        """Ask the billing which of these it shows; those are left out that it has shown `since` or not shown lately.

        Raises `LookUpFailed`.
        """
        now = anyio.current_time()
        unseen = self._unseen
        asked = [
            one
            for one in {one.item_id: one for one in accepted}.values()
            if self._seen.get(one.key, -inf) <= since
            and (one.item_id not in unseen or unseen[one.item_id].due <= now)
        ]
        if not asked:
            return
        shown = await self._effect.visible(self._run, asked)
        for one in (one for one in asked if one.item_id in shown):
            unseen.pop(one.item_id, None)
            if one.key not in self._seen:
                self._last_seen = now
            self._seen[one.key] = now
            self._shown_until = max(self._shown_until, one.changed_at)
        for one in (one for one in asked if one.item_id not in shown):
            self._seen.pop(one.key, None)
            before = unseen.get(one.item_id) or _Unseen(now, now, self._gap / SLOWER)
            gap = min(before.gap * SLOWER, LONGEST_GAP)
            verdict = await self._give_up(one) if now - before.since > self._patience else None
            unseen[one.item_id] = _Unseen(before.since, now + gap, gap, verdict)

    async def _give_up(self, unseen: Item) -> Said | _Left:
        """What becomes of those that need an item which the billing has not shown for so long.

        It counts as lost if the billing shows what it has accepted later, or shows nothing new at all of what earlier
        processes have sent, and has no unfinished work of it. A billing that shows nothing new of what this one has
        sent stops the run. Raises `LookUpFailed`.
        """
        name, seconds = self._effect.name_of(unseen), Quantity(round(self._patience))
        is_silent = anyio.current_time() - self._last_seen > self._patience
        is_lost = unseen.changed_at < self._shown_until or (is_silent and not self._sends)
        if is_lost and await self._effect.unfinished_work([unseen]) is None:
            return reason(
                "not sent: the billing had accepted {what}, and does not show it after {seconds} s: perhaps it was "
                "put back from its backup. Do the same once more by a new run, which goes by what is there then",
                NOT_SENT,
                what=name,
                seconds=seconds,
            )
        if is_silent:
            self._stop.request(
                StopKind.SYSTEM,
                said(
                    "for {seconds} s the billing has shown nothing of what rows wait for, such as {what}. {resume} "
                    "goes on when it has caught up",
                    seconds=seconds,
                    what=name,
                    resume=advised("resume", self._run.name),
                ),
            )
        return _Left(said("the billing does not show {what} after {seconds} s", what=name, seconds=seconds))

    # ---- what becomes of an item ----

    def _judge(self, item: Item, key: _Key, needed: Item | None, *, is_stuck: bool) -> Said | _Left | _Later | None:
        """What keeps an item from being sent, of one that it needs; None for nothing, a sentence for a refusal."""
        if needed is None:
            unknown = reason("not sent: what it needs is no row of this run", NOT_SENT)
            return unknown if isinstance(key, str) else None
        state = needed.state
        if state is State.ACCEPTED and needed.key not in self._seen:
            unseen = self._unseen.get(needed.item_id)
            return _Later(-inf) if unseen is None else unseen.verdict or _Later(unseen.due)
        if state.settled and not state.rejected:
            return None
        name = self._effect.name_of(needed)
        if state.rejected:
            # Of several in a row the first one is named.
            before = needed.message
            own = reason("not sent: {what} was rejected", NOT_SENT, what=name)
            return before if isinstance(before, Said) and before.template == own.template else own
        if state is State.MANUAL:
            export = advised("export", self._run.name, ("state", State.MANUAL))
            return _Left(said(_UNDECIDED, what=name, export=export))
        if state.in_doubt:
            return _Left(said("it is not known yet what became of {what}", what=name))
        if is_stuck or needed.number > item.number or needed.lane == item.lane:
            return _Left(said(_NOT_YET, what=name))
        return _Later(anyio.current_time() + LONGEST_GAP, needed.key)
