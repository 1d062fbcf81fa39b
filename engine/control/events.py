"""Server-sent events of a run: a sample a second, kept for fifteen minutes for those who come late.

    event: history    {"samples": […]}   what the client has not seen, once
    event: snapshot   …                  the facts of this moment, once a second

Ids grow. A client that comes again names the last one it has seen in `Last-Event-ID`, as browsers do by themselves.
"""

from collections import deque
from collections.abc import Callable, Iterable
from itertools import dropwhile
from typing import Final, Generic, TypeVar

import anyio
from aiohttp import web

from engine.control.messages import to_json
from engine.statistics import PaceSample

KEPT: Final = 15 * 60
"""Samples that are kept: one a second."""

_LONGEST_ID: Final = 15
"""Digits."""

_RETRY: Final = b"retry: 1000\n\n"
"""Milliseconds after which a browser that was cut off comes again."""

Facts = TypeVar("Facts")


class Timeline(Generic[Facts]):
    """The latest samples of a run with their ids, and the facts of the last moment; streams wait for the next one.

    Nothing is kept for a client: one that is slow misses snapshots, and gets the samples of those as history.
    """

    def __init__(self) -> None:
        self.last = 0
        """The id of the last moment, 0 before the first."""
        self.facts: Facts | None = None
        self._samples: deque[tuple[int, PaceSample]] = deque(maxlen=KEPT)
        self._changed = anyio.Event()
        self._is_closed = False
        self._cuts = 0

    def add(self, samples: Iterable[PaceSample], facts: Facts) -> None:
        """Add a moment with the samples that are new, if there are any, and wake those who wait for it."""
        newest = self._samples[-1][1].t if self._samples else 0.0
        last = self.last
        for sample in samples:
            if sample.t > newest:
                # By the clock, so that ids also grow from one process to the next.
                self.last = max(self.last + 1, int(sample.t))
                self._samples.append((self.last, sample))
        self.last = max(self.last, last + 1)
        self.facts = facts
        self._wake()

    def close(self) -> None:
        """End all streams, once they have sent the last moment."""
        self._is_closed = True
        self._wake()

    def cut_off(self) -> None:
        """End the streams of this moment; who comes again is streamed to as before."""
        self._cuts += 1
        self._wake()

    def after(self, seen: int) -> list[PaceSample]:
        """The samples that are newer than the id `seen`."""
        return [sample for _, sample in dropwhile(lambda one: one[0] <= seen, self._samples)]

    async def next(self, seen: int) -> bool:
        """Wait for facts that are newer than the id `seen`; False at the end."""
        cuts = self._cuts
        while self.facts is None or self.last <= seen:
            if self._is_closed or self._cuts > cuts:
                return False
            await self._changed.wait()
        return True

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


async def stream(
    request: web.Request, timeline: Timeline[Facts], render: Callable[[Facts], bytes]
) -> web.StreamResponse:
    """Stream a timeline to a client until that goes, or the timeline is closed."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    seen = _last_seen(request, timeline.last)
    try:
        await response.write(_RETRY)
        while await timeline.next(seen):
            missed, last, facts = timeline.after(seen), timeline.last, timeline.facts
            assert facts is not None, "there is a moment"  # noqa: S101 - for mypy
            lines = b""
            if len(missed) > 1:
                lines = _event(last, "history", to_json({"samples": missed}))
            await response.write(lines + _event(last, "snapshot", render(facts)))
            seen = last
    except ConnectionError:
        # It has gone, or did not read.
        pass
    return response


def _event(number: int, name: str, data: bytes) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, name.encode(), data)


def _last_seen(request: web.Request, last: int) -> int:
    """The id that the client has seen last; 0 for none, and for one that was never given."""
    seen = to_id(request.headers.get("Last-Event-ID", ""))
    return seen if seen <= last else 0


def to_id(text: str) -> int:
    """The id that a client names; 0 for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _LONGEST_ID else 0
