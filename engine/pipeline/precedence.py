"""The precedence of items: one that needs others goes on only when these are in effect, and the billing shows them.

    backlog ──▶ all that it needs is there ──▶ completed from their answers ──▶ claims
                  │ not yet        │ refused           │ not to be had in this pass
                  ▼                ▼                   ▼
                it waits, with   rejected, without   left for a later pass,
                its lane         a call              with its lane

What waits is looked at again in pages, by one task: every second at first, then less often, and at once when the
outcome of a needed item is recorded. Nothing of it is written down: after a kill it follows from journal and billing.

Items wait only for items with a lower number, which the pass has read before them. So they never wait for each other,
and a backlog that is full of waiting items empties.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from typing import Final, TypeAlias, assert_never

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
from engine.pipeline.live_policy import LivePolicy
from texts.remedies import Remedy
from texts.said import Quantity, Said, counted, in_clauses, reason, said, text_of

# ---- whether what items need is there -----------------------------------------------------------------------------
# Asked of the journal and of the billing, in bulk.
#
# An item goes on when each item that it needs is in effect, and the billing shows it. Of items that are not there
# yet, some will be in this pass, others will not, and of those that were refused nothing will come.


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


# ---- the precedence of items --------------------------------------------------------------------------------------


log = structlog.get_logger(__name__)

PAGE: Final = 200
"""Maximum number of items looked at in one go. With the API alone that is a call each, and all wait for it."""


@dataclass(slots=True)
class _Wait:
    """An item that waits, for the outcomes of these keys among others, and when it is looked at again."""

    item: Item
    keys: tuple[str, ...]
    due: float


class Precedence:
    """Lets items pass when all that they need is in effect and visible.

    `refused` counts the items of this pass that were rejected because something that they need was refused.
    """

    def __init__(
        self, run: Run, effect: Effect, journal: Journal, backlog: Backlog, breaker: Breaker, steering: LivePolicy
    ) -> None:
        self._run = run
        self._journal = journal
        self._backlog = backlog
        self._breaker = breaker
        self._policy = steering.policy
        self._progress = steering.progress
        self._stop = steering.stopping
        self._needs = Needs(run, effect, journal, backlog, steering.policy.drain_patience)
        self._waits: dict[int, _Wait] = {}
        self._by_key: defaultdict[str, set[int]] = defaultdict(set)
        self._recorded_while: list[set[str]] = []
        self._passed: set[int] = set()
        self._completed: set[int] = set()
        self._obstacles: dict[Obstacle, str] = {}
        self._next_poll = -inf
        self._bell = anyio.Event()
        self.refused = 0

    # ---- for the sending ----

    def begin(self) -> None:
        """Begin another pass."""
        self.refused = 0
        self._obstacles.clear()

    async def sift(self, items: Sequence[Item]) -> list[Item]:
        """Those of `items` that go on now; the others wait, are rejected, or left for a later pass."""
        new = [item for item in items if item.item_id not in self._passed]
        # The billing is asked beside the sending, for many at once.
        verdicts = await self._look(new, ask=False)
        self._passed.difference_update(item.item_id for item in items)
        return await self._follow([(item, verdicts.get(item.item_id, item)) for item in items])

    def completed(self, items: Sequence[Item]) -> Mapping[int, str]:
        """The payloads of those of `items` that were completed, to be kept with their claim."""
        if not self._completed:
            return NO_PAYLOADS
        payloads = {item.item_id: item.payload for item in items if item.item_id in self._completed}
        self._completed.difference_update(payloads)
        return payloads

    def left(self, pending: int) -> Said | None:
        """The stop message if items were left in this pass, of `pending` ones in all; None otherwise."""
        if not self._obstacles:
            return None
        reasons = [self._in_words(obstacle, what) for obstacle, what in self._obstacles.items()]
        return counted(
            "{n} row is left pending, for it waits for others: {reasons}. {resume} goes on with it",
            "{n} rows are left pending, for they wait for others: {reasons}. {resume} goes on with them",
            pending,
            reasons=in_clauses(reasons),
            resume=Remedy("resume", self._run.name),
        )

    def _in_words(self, obstacle: Obstacle, what: str) -> Said:
        """An obstacle, by the first item of which it was met."""
        match obstacle:
            case Obstacle.MANUAL:
                export = Remedy("export", self._run.name, (("state", State.MANUAL),))
                return said("a person has to decide on {what} first ({export})", what=what, export=export)
            case Obstacle.UNKNOWN:
                return said("it is not known yet what became of {what}", what=what)
            case Obstacle.UNSENT:
                return said("{what} is not sent yet", what=what)
            case Obstacle.UNSEEN:
                seconds = Quantity(round(self._policy.drain_patience))
                return said("the billing does not show {what} after {seconds} s", what=what, seconds=seconds)
            case _:
                assert_never(obstacle)

    # ---- for the recorder ----

    def heed(self, items: Iterable[Item]) -> None:
        """Look at once at the items that wait for these, whose outcome is recorded."""
        for item in items:
            for recorded in self._recorded_while:
                recorded.add(item.key)
            for waiting in self._by_key.get(item.key, ()):
                self._waits[waiting].due = -inf
                self._bell.set()

    def doubt(self, items: Sequence[Item]) -> None:
        """Take note that the answers of these have come into doubt."""
        self._needs.doubt(items)

    # ---- the poll ----

    async def watch(self) -> None:
        """Look again and again at what waits, while nothing holds the run; runs beside the workers."""
        while not self._stop.requested:
            await self._until_due()
            if self._progress.holds:
                await self._progress.holds.lifted()
                self._needs.restart_patience()
                continue
            try:
                await self._poll()
            except LookUpDelayed as error:
                self._breaker.look_up_failed(text_of(error))
                await self._breaker.let_through()
                self._needs.restart_patience()
            except EngineError as error:
                self._stop.request(
                    StopKind.SYSTEM,
                    said("whether the billing shows what rows need cannot be seen: {error}", error=error),
                )
            self._next_poll = anyio.current_time() + GAP

    async def _until_due(self) -> None:
        """Wait until an item is to be looked at."""
        while True:
            self._bell = anyio.Event()
            due = min((wait.due for wait in self._waits.values()), default=inf)
            left = (due if due == -inf else max(due, self._next_poll)) - anyio.current_time()
            if left <= 0:
                return
            with anyio.move_on_after(left):
                await self._bell.wait()

    async def _poll(self) -> None:
        """Look at all that is due, a page at a time. Raises `LookUpFailed`."""
        now = anyio.current_time()
        due = [wait for wait in self._waits.values() if wait.due <= now]
        for first in range(0, len(due), PAGE):
            page = due[first : first + PAGE]
            items = [wait.item for wait in page]
            verdicts = await self._look(items, ask=True)
            for item in await self._follow([(item, verdicts[item.item_id]) for item in items]):
                self._forget(item)
                self._passed.add(item.item_id)
                self._backlog.go_on(item)

    async def _look(self, items: Sequence[Item], *, ask: bool) -> Mapping[int, Verdict]:
        """What becomes of these items, by item_id. Raises `LookUpFailed`.

        An outcome that is recorded meanwhile may have been missed: what waits for it is looked at again at once.
        """
        if not items:
            return {}
        recorded: set[str] = set()
        self._recorded_while.append(recorded)
        try:
            verdicts = await self._needs.verdicts(items, ask=ask)
        finally:
            self._recorded_while = [one for one in self._recorded_while if one is not recorded]
        for item_id, verdict in verdicts.items():
            if isinstance(verdict, Waits) and not recorded.isdisjoint(verdict.keys):
                verdicts[item_id] = Waits(-inf, verdict.keys)
        return verdicts

    # ---- what follows ----

    async def _follow(self, verdicts: Sequence[tuple[Item, Verdict]]) -> list[Item]:
        """Do what the verdicts say; returns the items that go on."""
        going: list[Item] = []
        refused: list[tuple[Item, Said]] = []
        for item, verdict in verdicts:
            match verdict:
                case Item():
                    if verdict is not item:
                        self._completed.add(item.item_id)
                    going.append(verdict)
                case Refused(reason):
                    refused.append((item, reason))
                case Waits(due, keys):
                    self._put_off(_Wait(item, keys, due))
                case Left(obstacle, what):
                    self._leave(item, obstacle, what)
                case _:
                    assert_never(verdict)
        if refused:
            await self._reject(refused)
        return going

    def _put_off(self, wait: _Wait) -> None:
        """Let an item wait."""
        if self._forget(wait.item) is None:
            self._backlog.wait(wait.item)
        self._bell.set()
        self._waits[wait.item.item_id] = wait
        for key in wait.keys:
            self._by_key[key].add(wait.item.item_id)

    def _forget(self, item: Item) -> _Wait | None:
        """Take an item out of those that wait; returns how it has waited, None if it did not."""
        wait = self._waits.pop(item.item_id, None)
        if wait is not None:
            for key in wait.keys:
                self._by_key[key].discard(item.item_id)
                if not self._by_key[key]:
                    del self._by_key[key]
        return wait

    def _leave(self, item: Item, obstacle: Obstacle, what: str) -> None:
        """Leave an item for a later pass. A billing that shows nothing at all any more stops the run."""
        self._forget(item)
        self._obstacles.setdefault(obstacle, what)
        self._backlog.leave(item)
        log.info("left for a later pass", item=item.number, label=item.label, waits_for=what, why=obstacle.name)
        if obstacle is Obstacle.UNSEEN and self._needs.nothing_shows:
            self._stop.request(
                StopKind.SYSTEM,
                said(
                    "for {seconds} s the billing has shown nothing of what rows wait for, such as {what}. {resume} "
                    "goes on when it has caught up",
                    seconds=Quantity(round(self._policy.drain_patience)),
                    what=what,
                    resume=Remedy("resume", self._run.name),
                ),
            )

    async def _reject(self, refused: Sequence[tuple[Item, Said]]) -> None:
        """Record items as rejected of which nothing was sent."""
        items = [item for item, _ in refused]
        changes = [Change(item.item_id, State.REJECTED, message=why) for item, why in refused]
        # The journal writes the changes even if this task is cancelled: count them in any case.
        with anyio.CancelScope(shield=True):
            await self._journal.record(self._run, changes)
            self._progress.recorded(items, changes)
        self.refused += len(refused)
        for item, why in refused:
            self._forget(item)
            self._backlog.finish(item)
            log.warning(str(State.REJECTED), item=item.number, label=item.label, why=why)
        self.heed(items)
