"""A billing of a fleet: in memory, on a port of its own, with faults, and with what it measures of its callers.

The mock of `lab.mock` is a whole billing over a real Firebird, one a process. A fleet needs a dozen at once that cost
next to nothing. A write has its effect even when its caller has gone meanwhile. The port counts by itself how many
writes are in flight, from their last byte to their answer, and how many come within a second.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Final

from lab.crash.proxy import WRITES, End, Interference, Proxy, ProxyFault
from lab.mock.port import LOOPBACK
from lab.simulation.billing import Billing

WORKER: Final = "X-Lab-Worker"
"""The header by which a billing knows whose settings a call was made with."""
_WORKER: Final = re.compile(rb"(?im)^%s:\s*(\S+)" % WORKER.encode())
_LOOK: Final = 0.005


@dataclass(frozen=True, slots=True)
class AnswerTraits:
    """How a billing answers: seconds of a write, the share of writes that each fault hits, seconds of a silence."""

    latency: float
    faults: Mapping[ProxyFault, float]
    silence: float


@dataclass(slots=True)
class Turn:
    """The writes of one worker without another's between them: their number, and when the first and the last came."""

    worker: str
    first: float
    last: float
    writes: int = 1


@dataclass(slots=True)
class CallerCounts:
    """What a billing has measured of its callers.

    `most_in_flight` is the largest number of writes at one time; `most_writes` and `most_reads` are the largest
    numbers that came within a second for certain. `turns` are the workers whose writes came one after the other.
    """

    writes: int = 0
    reads: int = 0
    most_in_flight: int = 0
    most_writes: int = 0
    most_reads: int = 0
    turns: list[Turn] = field(default_factory=list)


@asynccontextmanager
async def looking() -> AsyncIterator[Callable[[], float]]:
    """Tells when this process last looked for what has come, in the loop's time."""
    last = asyncio.get_running_loop().time()

    async def look() -> None:
        nonlocal last
        while True:
            last = asyncio.get_running_loop().time()
            await asyncio.sleep(_LOOK)

    task = asyncio.create_task(look())
    try:
        yield lambda: last
    finally:
        task.cancel()


class FleetBilling(Proxy):
    """A billing of so many subscribers, each with an account of its own, on a port that the kernel gives."""

    def __init__(self, subscribers: int, traits: AnswerTraits, draw: Random, looks: Callable[[], float]) -> None:
        super().__init__(0, 0, Interference(0, {}))
        began = time.monotonic()
        # It has no zone.
        self.memory = Billing(lambda: time.monotonic() - began, began=datetime.now())  # noqa: DTZ005
        self.subscribers = [
            self.memory.add(
                "Abonents", account_id=self.memory.add("AdminAccounts"), contract_number=f"Д-{1000 + number}"
            )
            for number in range(subscribers)
        ]
        self.measured = CallerCounts()
        self.silence = traits.silence
        self.traits = traits
        self._draw = draw
        self._looks = looks
        self._in_flight = 0
        self._came: dict[bool, deque[float]] = {True: deque(), False: deque()}

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def entered(self) -> int:
        return len(self.memory.tables["FinanceOperations"])

    @property
    def ledger(self) -> list[tuple[int, Decimal]]:
        """The sums that were entered, each behind its subscriber."""
        entered = self.memory.tables["FinanceOperations"].values()
        return [(int(one["abonent_id"]), Decimal(str(one["op_summa"]))) for one in entered]

    def measure(self) -> None:
        self.measured = CallerCounts(most_in_flight=self._in_flight)

    def draw(self, request: bytes) -> ProxyFault | None:
        """The fault of a write, None for none."""
        if not WRITES.search(request):
            return None
        place = self._draw.random()
        for fault, share in () if self.is_calm else self.traits.faults.items():
            if place < share:
                return fault
            place -= share
        return None

    async def connect(self) -> End:
        return _Memory(self)

    async def pass_on(self, request: bytes, fault: ProxyFault | None, client: End, behind: End) -> bytes:
        """Measure a request while it is under way."""
        is_write, measured = bool(WRITES.search(request)), self.measured
        now, looked = asyncio.get_running_loop().time(), self._looks()
        # What comes while this process is busy may have come as early as it last looked.
        came = self._came[is_write]
        came.append(min(now, looked))
        while came[0] <= now - 1.0:
            came.popleft()
        if not is_write:
            measured.reads += 1
            measured.most_reads = max(measured.most_reads, len(came))
            return await super().pass_on(request, fault, client, behind)
        found, moment = _WORKER.search(request), time.time() - max(now - looked, 0.0)
        worker = found[1].decode() if found else ""
        measured.writes += 1
        self._in_flight += 1
        measured.most_in_flight = max(measured.most_in_flight, self._in_flight)
        measured.most_writes = max(measured.most_writes, len(came))
        if measured.turns and measured.turns[-1].worker == worker:
            measured.turns[-1].last = moment
            measured.turns[-1].writes += 1
        else:
            measured.turns.append(Turn(worker, moment, moment))
        try:
            return await super().pass_on(request, fault, client, behind)
        finally:
            self._in_flight -= 1


class _Memory(End):
    """An end of a connection to a billing in memory."""

    def __init__(self, billing: FleetBilling) -> None:
        self._billing = billing
        self._asked = b""

    is_over = False

    def send(self, message: bytes) -> None:
        self._asked = message

    async def receive(self, copy: End | None = None) -> bytes:
        """Carry the request out, and give the answer."""
        head, _, body = self._asked.partition(b"\r\n\r\n")
        if WRITES.search(body):
            await asyncio.sleep(self._billing.traits.latency)
        answer = self._billing.memory.answer(head.split(b" ", 2)[1].decode(), body, "load")
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
            len(answer),
            answer,
        )
        if copy is not None:
            copy.send(answer)
        return answer

    def close(self, *, with_reset: bool = False) -> None:
        """Nothing is open."""
