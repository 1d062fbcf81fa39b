"""Whether what items need is there: asked of the journal and of the billing, in bulk.

An item goes on when each item that it needs is in effect, and the billing shows it. Of items that are not there yet,
some will be in this pass, others will not, and of those that were refused nothing will come.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from typing import Final, TypeAlias

import anyio
import msgspec

from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from checkpoints.sentences import NOT_SENT
from checkpoints.states import State
from engine.errors import InputRefused
from engine.job import ALL_BEFORE, Effect
from engine.pipeline.backlog import Backlog
from texts.said import Said, reason

MOST_SEEN: Final = 10_000
"""Maximum number of items of which it is remembered that the billing shows them; then they are asked for again."""

GAP: Final = 1.0
"""Seconds until the billing is asked again for an item that it does not show; at first."""

LONGEST_GAP: Final = 5.0
"""Maximum seconds until it is asked again, and until an item that waits for an outcome is looked at again."""

SLOWER: Final = 1.25
"""Ratio of two gaps, one after the other."""


class Obstacle(Enum):
    """Why what an item needs cannot be had in this pass."""

    MANUAL = auto()
    """A person has to decide on it."""
    UNKNOWN = auto()
    """It is looked up after this pass."""
    UNSENT = auto()
    """It is left for a later pass itself, or out of tries."""
    UNSEEN = auto()
    """The billing has accepted it long ago and does not show it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The item is rejected, for this reason."""

    reason: Said


@dataclass(frozen=True, slots=True)
class Waits:
    """The item is looked at again at the time `due`; `keys` are those of needed items without an outcome yet."""

    due: float
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Left:
    """The item is left for a later pass; `what` is the item in its way."""

    obstacle: Obstacle
    what: str


Verdict: TypeAlias = Item | Refused | Waits | Left
"""What becomes of an item; an item is sent, with its completed payload."""


_Key: TypeAlias = str | int
"""The key of a needed item; a number stands for all items before it."""


def _key(need: str, item: Item) -> _Key:
    return item.number if need == ALL_BEFORE else need


@dataclass(slots=True)
class _Unseen:
    """An accepted item that the billing does not show: since when, and when it is asked again."""

    since: float
    due: float
    gap: float = GAP


class Needs:
    """Judges items by what they need. What the billing does not show within `patience` seconds is an obstacle."""

    def __init__(self, run: Run, effect: Effect, journal: Journal, backlog: Backlog, patience: float) -> None:
        self._run = run
        self._effect = effect
        self._journal = journal
        self._backlog = backlog
        self._patience = patience
        self._seen: set[int] = set()
        self._unseen: dict[int, _Unseen] = {}
        self._last_seen = -inf

    @property
    def nothing_shows(self) -> bool:
        """Whether the billing has shown no needed item for longer than the patience."""
        return anyio.current_time() - self._last_seen > self._patience

    def restart_patience(self) -> None:
        """Count the time of what the billing does not show anew, as it may have stood still meanwhile."""
        for unseen in self._unseen.values():
            unseen.since = anyio.current_time()

    def doubt(self, items: Sequence[Item]) -> None:
        """Forget that the billing shows these: their answers have come into doubt."""
        for item in items:
            self._seen.discard(item.item_id)

    async def verdicts(self, items: Sequence[Item], *, ask: bool) -> dict[int, Verdict]:
        """What becomes of these items, by item_id; only with `ask` the billing is asked.

        Without, an item waits for what is not known to be visible, and is due at once. Raises `LookUpFailed`.
        """
        if len(self._seen) > MOST_SEEN:
            self._seen.clear()
        needs = {item.item_id: [_key(key, item) for key in self._effect.needs(item)] for item in items}
        keys = {key for needed in needs.values() for key in needed}
        if not keys:
            return {item.item_id: item for item in items}
        found, stuck = await self._needed(keys)
        if ask:
            await self._ask([one for one in found.values() if one.state is State.ACCEPTED])
        return {item.item_id: self._verdict(item, needs[item.item_id], found, stuck) for item in items}

    # ---- what is there of the needed items ----

    async def _needed(self, keys: Collection[_Key]) -> tuple[dict[_Key, Item], set[_Key]]:
        """The needed items by key, and the keys of those that will not be sent in this pass.

        The backlog holds the lane of an item that will be sent. An outcome recorded since the item was read has freed
        the lane as well, so it is read once more.
        """
        found = await self._find(keys)
        suspects = {key: one for key, one in found.items() if self._is_not_held(one)}
        if not suspects:
            return found, set()
        again = await self._find(suspects)
        stuck = {key for key, one in again.items() if one.item_id == suspects[key].item_id and self._is_not_held(one)}
        return {key: one for key, one in found.items() if key not in suspects} | again, stuck

    def _is_not_held(self, item: Item) -> bool:
        return item.state.to_send and not self._backlog.holds(item.lane)

    async def _find(self, keys: Collection[_Key]) -> dict[_Key, Item]:
        """The items by key; for a number the last one before it that is not settled.

        The last one, for it is likely to be settled last: an item is not looked at again for each of those before it.
        """
        named = [key for key in keys if isinstance(key, str)]
        found: dict[_Key, Item] = {one.key: one for one in await self._journal.items_by_key(self._run, named)}
        for number in (key for key in keys if isinstance(key, int)):
            for last in await self._journal.last_unsettled(self._run, number):
                found[number] = last
        return found

    async def _ask(self, accepted: Sequence[Item]) -> None:
        """Ask the billing which of these it shows; those that it has not shown lately are left out.

        Raises `LookUpFailed`.
        """
        now = anyio.current_time()
        asked = [one for one in accepted if one.item_id not in self._seen and self._is_due(one, now)]
        if not asked:
            return
        shown = await self._effect.visible(self._run, asked)
        for one in asked:
            before = self._unseen.pop(one.item_id, None)
            if one.item_id in shown:
                self._seen.add(one.item_id)
                self._last_seen = now
            elif before is None:
                self._unseen[one.item_id] = _Unseen(now, now + GAP)
            else:
                gap = min(before.gap * SLOWER, LONGEST_GAP)
                self._unseen[one.item_id] = _Unseen(before.since, now + gap, gap)

    def _is_due(self, item: Item, now: float) -> bool:
        unseen = self._unseen.get(item.item_id)
        return unseen is None or unseen.due <= now

    # ---- what becomes of an item ----

    def _verdict(
        self, item: Item, needs: Sequence[_Key], found: Mapping[_Key, Item], stuck: Collection[_Key]
    ) -> Verdict:
        """What becomes of an item with these needs: a refusal comes before an obstacle, that before a wait."""
        judged = [self._judge(item, key, found.get(key), is_stuck=key in stuck) for key in needs]
        if refused := next((one for one in judged if isinstance(one, Refused)), None):
            return refused
        if left := next((one for one in judged if isinstance(one, Left)), None):
            return left
        if waits := [one for one in judged if isinstance(one, Waits)]:
            return Waits(max(one.due for one in waits), tuple(key for one in waits for key in one.keys))
        return self._complete(item, {key: found[key] for key in needs if isinstance(key, str)})

    def _judge(self, item: Item, key: _Key, needed: Item | None, *, is_stuck: bool) -> Refused | Left | Waits | None:
        """What keeps an item from being sent, of one that it needs; None for nothing."""
        if needed is None:
            unknown = reason("not sent: what it needs is no row of this run", NOT_SENT)
            return Refused(unknown) if isinstance(key, str) else None
        if needed.state.rejected:
            return Refused(_reason(needed, self._effect.name_of(needed)))
        if obstacle := self._obstacle(item, needed, is_stuck=is_stuck):
            return Left(obstacle, self._effect.name_of(needed))
        if needed.state.to_send:
            return Waits(anyio.current_time() + LONGEST_GAP, (needed.key,))
        return self._wait_to_see(needed) if needed.state is State.ACCEPTED else None

    def _wait_to_see(self, needed: Item) -> Waits | None:
        if needed.item_id in self._seen:
            return None
        unseen = self._unseen.get(needed.item_id)
        return Waits(-inf if unseen is None else unseen.due)

    def _obstacle(self, item: Item, needed: Item, *, is_stuck: bool) -> Obstacle | None:
        """Why a needed item will not be in effect and visible in this pass, None if it may."""
        if needed.state is State.MANUAL:
            return Obstacle.MANUAL
        if needed.state.in_doubt:
            return Obstacle.UNKNOWN
        if needed.state.to_send and (is_stuck or needed.number > item.number or needed.lane == item.lane):
            return Obstacle.UNSENT
        unseen = self._unseen.get(needed.item_id)
        is_late = unseen is not None and anyio.current_time() - unseen.since > self._patience
        return Obstacle.UNSEEN if is_late else None

    def _complete(self, item: Item, needed: Mapping[str, Item]) -> Item | Refused:
        try:
            payload = self._effect.fill(item, needed)
        except InputRefused as error:
            return Refused(reason("not sent: {why}", NOT_SENT, why=error))
        return item if payload == item.payload else msgspec.structs.replace(item, payload=payload)


def _refusal(what: str) -> Said:
    return reason("not sent: {what} was refused", NOT_SENT, what=what)


def _reason(refused: Item, name: str) -> Said:
    """Why an item is rejected that needs a refused one; of several in a row, the first one is named."""
    before = refused.message
    return before if isinstance(before, Said) and before.template == _refusal("").template else _refusal(name)
