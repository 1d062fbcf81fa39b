"""The claims: items whose intent is durable, on their way to the workers, as many as the window asks for."""

from collections import deque
from collections.abc import Callable, Sequence

import anyio

from checkpoints.records import Item


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
