"""The backlog: which pending items go next; and the claims: items that are claimed, on their way to the gate.

The backlog reads the frozen list a page at a time, lets one item a lane be under way, and brings items back when
their time has come. It holds a bounded number of them, however long the list. What it hands out is claimed in the
journal, a group a commit, and waits in `Claims` for a worker.
"""

import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Container, Sequence
from math import inf

import anyio

from checkpoints.records import Item
from engine.pacing.retries import RetryBudget

ReadPage = Callable[[int], Awaitable[Sequence[Item]]]
"""The next pending items after the given number, by number; none when there are no more at present."""

MOST_HELD = 5000
"""Items kept aside for a busy lane or a later time, beyond which no further page is read."""


class Backlog:
    """Hands out the pending items of a pass over the list, in order as far as lanes and waits allow.

    A lane is kept from the handing out of an item until `finish`; an item that goes again keeps its lane, so the
    rows of one account stay in order. Behind an item whose fate is unknown its lane stays shut for the rest of the
    pass; behind one that is in `left_out` it is shut in every pass. What goes again waits for its time, and for the
    `retries` of the whole run. When a pass is over, `begin` begins the next. `passed_over` counts the items of this
    pass that are in `left_out`, and `behind` those that a shut lane keeps back.
    """

    def __init__(
        self,
        read_page: ReadPage,
        retries: RetryBudget,
        *,
        intake_ended: bool,
        left_out: Container[int] = frozenset(),
    ) -> None:
        self._read_page = read_page
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
        self._held = 0
        self._out = 0
        self._closed = False
        self._waits = False
        self._changed = anyio.Event()

    def begin(self, most: int | None = None) -> None:
        """Begin another pass, over the first `most` items of the list that may go now; None for all."""
        self._left = inf if most is None else most
        self._after = 0
        self._unread = True
        self._page.clear()
        self._shut.clear()
        self.passed_over = 0
        self.behind = 0

    # ---- what comes in ----

    def more(self) -> None:
        """The intake has frozen another page."""
        self._unread = True
        self._changed.set()

    def end_intake(self) -> None:
        """The list is complete."""
        self._intake_ended = True
        self.more()

    def finish(self, item: Item) -> None:
        """`item` needs no further call: its lane is free."""
        self._out -= 1
        waiting = self._lanes[item.lane]
        if waiting:
            self._held -= 1
            self._ready.append(waiting.popleft())
        else:
            del self._lanes[item.lane]
        self._changed.set()

    def again(self, item: Item, delay: float) -> None:
        """`item` goes again after `delay` seconds."""
        self._out -= 1
        self._held += 1
        heapq.heappush(self._later, (anyio.current_time() + delay, item.number, item))
        self._changed.set()

    def shut(self, item: Item) -> None:
        """Nothing of `item`'s lane may go in this pass: `item` is not done, and the order would be lost."""
        self._out -= 1
        self._held -= len(self._lanes.pop(item.lane))
        self._shut.add(item.lane)
        self._changed.set()

    def shut_lane(self, lane: str) -> None:
        """Nothing more of a lane may go in this pass: an item of it that was done is in doubt."""
        if waiting := self._lanes.get(lane):
            self._held -= len(waiting)
            waiting.clear()
        self._shut.add(lane)
        self._changed.set()

    def close(self) -> None:
        """Hand out nothing more; what is waiting stays pending in the journal."""
        self._closed = True
        self._changed.set()

    # ---- what goes out ----

    async def take(self, most: int) -> list[Item]:
        """Up to `most` items that may go now, at least one; an empty list when the pass is over or closed."""
        while not self._closed:
            self._changed = anyio.Event()
            if group := self._ready_now(most):
                self._out += len(group)
                return group
            if self._unread and self._left and self._held < MOST_HELD:
                await self._read()
            elif self._over:
                return []
            else:
                await self._wait()
        return []

    @property
    def why(self) -> str:
        """What keeps further items back, "" when nothing does or nothing is left but those that are out."""
        if not self._waits:
            return ""
        if self._later:
            due = self._later[0][0] <= anyio.current_time()
            return "retry budget" if due else "retries"
        if self._held:
            return "account locks"
        return "" if self._intake_ended or not self._left else "source"

    @property
    def _over(self) -> bool:
        list_goes_on = self._left and (self._unread or not self._intake_ended or self._page)
        return not (list_goes_on or self._out or self._held or self._ready)

    async def _read(self) -> None:
        self._unread = False
        page = await self._read_page(self._after)
        if page:
            self._unread = True
            self._after = page[-1].number
            self._page.extend(page)

    async def _wait(self) -> None:
        now = anyio.current_time()
        due = inf
        if self._later:
            due = max(self._later[0][0] - now, self.retries.wait(now))
        self._waits = True
        with anyio.move_on_after(max(0.0, due)):
            await self._changed.wait()
        self._waits = False

    def _ready_now(self, most: int) -> list[Item]:
        group: list[Item] = []
        now = anyio.current_time()
        while len(group) < most:
            if self._later and self._later[0][0] <= now and self.retries.take(now):
                self._held -= 1
                group.append(heapq.heappop(self._later)[2])
            elif self._ready:
                group.append(self._ready.popleft())
            elif self._page and self._left and self._held < MOST_HELD:
                self._queue(self._page.popleft(), group)
            else:
                break
        return group

    def _queue(self, item: Item, group: list[Item]) -> None:
        """Put an item that is new to the pass where it belongs."""
        if item.lane in self._shut:
            self.behind += 1
            return
        if item.item_id in self._left_out:
            self.passed_over += 1
            self._shut.add(item.lane)
            return
        self._left -= 1
        waiting = self._lanes.get(item.lane)
        if waiting is None:
            self._lanes[item.lane] = deque()
            group.append(item)
        else:
            self._held += 1
            waiting.append(item)


class Claims:
    """Items that were claimed and have not yet passed the gate. `size` tells how many may be, and may change.

    They come in groups: a further one is asked for when half of the places are empty, so that no worker waits for a
    commit.
    """

    def __init__(self, size: Callable[[], int]) -> None:
        self._size = size
        self._items: deque[Item] = deque()
        self._idle: deque[anyio.Event] = deque()
        self._emptied: anyio.Event | None = None
        self._closed = False
        self.waiting = 0

    async def room(self) -> int:
        """Wait until half of the places are empty; how many are. Returns at once after `close`."""
        while self.waiting > self._size() // 2 and not self._closed:
            self._emptied = anyio.Event()
            await self._emptied.wait()
        self._emptied = None
        return max(self._size() - self.waiting, 1)

    @property
    def full(self) -> bool:
        """Whether somebody waits for room."""
        return self._emptied is not None

    def put(self, items: Sequence[Item]) -> None:
        """These are claimed."""
        self.waiting += len(items)
        self._items.extend(items)
        for _ in range(min(len(items), len(self._idle))):
            self._idle.popleft().set()

    async def next(self) -> Item:
        """The next item, for a worker that brings it to the gate."""
        while not self._items:
            called = anyio.Event()
            self._idle.append(called)
            await called.wait()
        return self._items.popleft()

    def passed(self) -> None:
        """An item has left the gate: its call begins, or it was given back."""
        self.waiting -= 1
        self.look()

    def look(self) -> None:
        """There may be room now."""
        if self._emptied is not None and self.waiting <= self._size() // 2:
            self._emptied.set()

    def close(self) -> None:
        """Let nobody wait for room any longer."""
        self._closed = True
        if self._emptied is not None:
            self._emptied.set()
