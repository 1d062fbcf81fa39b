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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final, assert_never

import anyio
import structlog

from checkpoints.journal import Journal
from checkpoints.records import Change, Item, Run
from checkpoints.states import State
from checkpoints.transitions import NO_PAYLOADS
from engine.errors import EngineError, LookUpDelayed
from engine.job import Effect
from engine.pacing.breaker import Breaker
from engine.pacing.holds import StopKind
from engine.pipeline.backlog import Backlog
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.needs import GAP, Left, Needs, Obstacle, Refused, Verdict, Waits
from texts.remedies import Remedy
from texts.said import Quantity, Said, counted, in_clauses, said, text_of

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
        changes = [Change(item.item_id, State.REJECTED, message=reason) for item, reason in refused]
        # The journal writes the changes even if this task is cancelled: count them in any case.
        with anyio.CancelScope(shield=True):
            await self._journal.record(self._run, changes)
            self._progress.recorded(items, changes)
        self.refused += len(refused)
        for item, reason in refused:
            self._forget(item)
            self._backlog.finish(item)
            log.warning(str(State.REJECTED), item=item.number, label=item.label, why=reason)
        self.heed(items)
