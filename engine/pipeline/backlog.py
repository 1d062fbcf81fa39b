"""The backlog: the pending items in the order of sending; and the claims: claimed items on their way to the gate.

The backlog reads the frozen list a page at a time, allows one item a lane under way, and hands out retries when they
are due. It holds a bounded number of items, for a list of any length. Items that it hands out are claimed in the
journal, a group a commit, and wait in `Claims` for a worker.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Container, Sequence
from math import inf

import anyio

from checkpoints.records import Item
from engine.pacing.breaker import RetryBudget
from texts.said import said

ReadPage = Callable[[int], Awaitable[Sequence[Item]]]
"""Reads the next pending items after the given number, in order; none if there are no more at present."""

MOST_HELD = 5000
"""Maximum number of items that wait for a busy lane or a retry; at this number no further page is read."""

MOST_HELD_OF_STEPS = 20_000
"""The same for items that need one another: some seven of a lane, which wait for the billing to show each of them."""


class Backlog:
    """Hands out the pending items of a pass over the list, in order as far as lanes and waits allow.

    An item holds its lane from `take` until `finish`, also between its retries, so that the rows of one account stay
    in order. An item whose outcome is unknown shuts its lane for the rest of the pass; an item in `left_out` shuts it
    in every pass. A retry waits until it is due, and for the retry budget `retries`. An item that was handed out may
    be made to `wait`, with its lane, until it is to `go_on`. `begin` begins the next pass. `passed_over` counts the
    items of this pass that are in `left_out`, `behind` those held back by a shut lane. At most `most_held` are held.
    """

    def __init__(
        self,
        read_page: ReadPage,
        retries: RetryBudget,
        *,
        intake_ended: bool,
        left_out: Container[int] = frozenset(),
        most_held: int = MOST_HELD,
    ) -> None:
        self._read_page = read_page
        self._most_held = most_held
        self.retries = retries
        self.passed_over = 0
        self.behind = 0
        self._left_out = left_out
        self._left = inf
        self._after = 0
        self._unread = True
        self._intake_ended = intake_ended
        self._page: deque[Item] = deque()
        self._ready: deque[Item] = deque()
        self._later: list[tuple[float, int, Item]] = []
        self._lanes: dict[str, deque[Item]] = {}
        self._shut: set[str] = set()
        self._waiting: set[int] = set()
        self._held = 0
        self._out = 0
        self._closed = False
        self._waits = False
        self._changed = anyio.Event()

    def begin(self, most: int | None = None) -> None:
        """Begin another pass over the first `most` items of the list that may be sent now; None for all."""
        self._left = inf if most is None else most
        self._after = 0
        self._unread = True
        self._page.clear()
        self._shut.clear()
        self.passed_over = 0
        self.behind = 0

    def end(self) -> None:
        self._left = 0
        self._changed.set()

    # ---- what comes in ----

    def more(self) -> None:
        """Read on, as the intake has frozen another page."""
        self._unread = True
        self._changed.set()

    def end_intake(self) -> None:
        self._intake_ended = True
        self.more()

    def finish(self, item: Item) -> None:
        """Free the lane of `item`, which needs no further call."""
        self._waiting.discard(item.item_id)
        self._out -= 1
        waiting = self._lanes[item.lane]
        if waiting:
            self._held -= 1
            self._ready.append(waiting.popleft())
        else:
            del self._lanes[item.lane]
        self._changed.set()

    def again(self, item: Item, delay: float) -> None:
        self._out -= 1
        self._held += 1
        heapq.heappush(self._later, (anyio.current_time() + delay, item.number, item))
        self._changed.set()

    def retry_now(self) -> int:
        """Make all retries due, for which only the retry budget counts then; returns how many have waited."""
        now = anyio.current_time()
        waiting = sum(due > now for due, _, _ in self._later)
        self._later = sorted((min(due, now), number, item) for due, number, item in self._later)
        self._changed.set()
        return waiting

    def shut(self, item: Item) -> None:
        """Shut the lane of `item` for this pass: `item` is not done, and later rows must not overtake it."""
        self._waiting.discard(item.item_id)
        self._out -= 1
        self._held -= len(self._lanes.pop(item.lane))
        self._shut.add(item.lane)
        self._changed.set()

    def wait(self, item: Item) -> None:
        """Hold an item that was handed out, and its lane, until it is to go on, is finished or shut."""
        self._waiting.add(item.item_id)
        self._changed.set()

    def go_on(self, item: Item) -> None:
        self._waiting.discard(item.item_id)
        self._out -= 1
        self._ready.append(item)
        self._changed.set()

    def leave(self, item: Item) -> None:
        """Shut the lane of `item`, which needs what is not to be had in this pass; other items take its place."""
        self._left += 1 + len(self._lanes[item.lane])
        self.shut(item)

    def holds(self, lane: str) -> bool:
        return lane in self._lanes

    def shut_lane(self, lane: str) -> None:
        if waiting := self._lanes.get(lane):
            self._held -= len(waiting)
            waiting.clear()
        self._shut.add(lane)
        self._changed.set()

    def close(self) -> None:
        self._closed = True
        self._changed.set()

    # ---- what goes out ----

    async def take(self, most: int) -> list[Item]:
        """Wait for up to `most` items that may be sent now; an empty list when the pass is over or closed."""
        while not self._closed:
            self._changed = anyio.Event()
            if group := self._ready_now(most):
                self._out += len(group)
                return group
            if self._unread and self._left and self._has_room:
                self._unread = False
                if page := await self._read_page(self._after):
                    self._unread = True
                    self._after = page[-1].number
                    self._page.extend(page)
                continue
            list_goes_on = self._left and (self._unread or not self._intake_ended or self._page)
            if not (list_goes_on or self._out or self._held or self._ready):
                break
            now = anyio.current_time()
            due = max(self._later[0][0] - now, self.retries.wait(now)) if self._later else inf
            self._waits = True
            with anyio.move_on_after(max(0.0, due)):
                await self._changed.wait()
            self._waits = False
        return []

    @property
    def why(self) -> str:
        if not self._waits:
            return ""
        if self._later:
            due = self._later[0][0] <= anyio.current_time()
            return said("retry budget") if due else said("retries")
        if self._waiting:
            return said("steps that the billing does not show yet")
        if self._held:
            return said("account locks")
        return "" if self._intake_ended or not self._left else said("source")

    @property
    def _has_room(self) -> bool:
        return self._held + len(self._waiting) < self._most_held

    def _ready_now(self, most: int) -> list[Item]:
        group: list[Item] = []
        now = anyio.current_time()
        while len(group) < most:
            if self._later and self._later[0][0] <= now and self.retries.take(now):
                self._held -= 1
                group.append(heapq.heappop(self._later)[2])
            elif self._ready:
                group.append(self._ready.popleft())
            elif self._page and self._left and self._has_room:
                item = self._page.popleft()
                if item.lane in self._shut:
                    self.behind += 1
                elif item.item_id in self._left_out:
                    self.passed_over += 1
                    self._shut.add(item.lane)
                else:
                    self._left -= 1
                    if item.lane in self._lanes:
                        self._held += 1
                        self._lanes[item.lane].append(item)
                    else:
                        self._lanes[item.lane] = deque()
                        group.append(item)
            else:
                break
        return group


class Claims:
    """Claimed items that have not passed the gate yet. `size` gives their maximum number, which may change.

    They come in groups: the next group is claimed when half of the places are empty, so that no worker waits for a
    commit.
    """

    def __init__(self, size: Callable[[], int]) -> None:
        self._size = size
        self._items: deque[Item] = deque()
        self._idle: deque[asyncio.Event] = deque()
        self._emptied: anyio.Event | None = None
        self._closed = False
        self.waiting = 0

    async def room(self) -> int:
        """Wait until half of the places are empty; returns their number. Returns at once after `close`."""
        while self.waiting > self._size() // 2 and not self._closed:
            self._emptied = anyio.Event()
            await self._emptied.wait()
        self._emptied = None
        return max(self._size() - self.waiting, 1)

    @property
    def full(self) -> bool:
        return self._emptied is not None

    def put(self, items: Sequence[Item]) -> None:
        self.waiting += len(items)
        self._items.extend(items)
        for _ in range(min(len(items), len(self._idle))):
            self._idle.popleft().set()

    async def next(self) -> Item:
        while not self._items:
            # Made for most calls of a quick billing; anyio's own event costs ten times as much.
            called = asyncio.Event()
            self._idle.append(called)
            await called.wait()
        return self._items.popleft()

    def passed(self) -> None:
        self.waiting -= 1
        self.look()

    def look(self) -> None:
        if self._emptied is not None and self.waiting <= self._size() // 2:
            self._emptied.set()

    def close(self) -> None:
        self._closed = True
        if self._emptied is not None:
            self._emptied.set()
