"""A server and its clients in simulated time: what a window is tested against.

The server works on as many calls at a time as it has slots, in the order in which they came; the others wait. How
long it works on a call scatters as it is told to. Whatever happens is an event in a heap, nothing waits for a real
clock, and equal seeds give equal runs.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count

from engine.pacing.window import InFlight

Scatter = Callable[[random.Random], float]
"""A service time, relative to their mean."""


def alike(_: random.Random) -> float:
    return 1.0


def uniform(draw: random.Random) -> float:
    return draw.uniform(0.5, 1.5)


def exponential(draw: random.Random) -> float:
    return draw.expovariate(1.0)


def lognormal(draw: random.Random, sigma: float = 0.5) -> float:
    return draw.lognormvariate(-sigma * sigma / 2, sigma)


class Events:
    """Simulated time: what is to happen, in the order in which it does."""

    def __init__(self) -> None:
        self.now = 0.0
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._waiting, (self.now + seconds, next(self._number), happen))

    def run(self, until: float) -> None:
        while self._waiting and self._waiting[0][0] <= until:
            self.now, _, happen = heapq.heappop(self._waiting)
            happen()
        self.now = until


class Server:
    """Slots, a queue, and faults.

    A share `busy` of the calls, and all for which the queue has no room, are refused after `refusal` seconds; of a
    share `lost` the answer never arrives, though the work is done. While `away`, nothing is done and nobody answers.
    """

    def __init__(
        self, events: Events, slots: int, seconds: float, scatter: Scatter = alike, *, seed: int = 0
    ) -> None:
        self.seconds = seconds
        self.queue: int | None = None
        self.busy = 0.0
        self.lost = 0.0
        self.refusal = 0.002
        self.away = False
        self._events = events
        self._slots = slots
        self._scatter = scatter
        self._draw = random.Random(seed)
        self._working = 0
        self._waiting: deque[Callable[[], None] | None] = deque()
        self._since = 0.0
        self._worked = 0.0
        self._could = 0.0

    @property
    def slots(self) -> int:
        return self._slots

    @slots.setter
    def slots(self, slots: int) -> None:
        self._account()
        self._slots = slots
        self._work()

    @property
    def worked(self) -> tuple[float, float]:
        """Seconds that slots have worked so far, and that they could have."""
        self._account()
        return self._worked, self._could

    def call(self, answered: Callable[[], None], refused: Callable[[], None]) -> None:
        if self.away:
            return
        full = self.queue is not None and self._working >= self._slots and len(self._waiting) >= self.queue
        if full or self._draw.random() < self.busy:
            self._events.after(self.refusal, refused)
            return
        self._waiting.append(None if self._draw.random() < self.lost else answered)
        self._work()

    def _work(self) -> None:
        while self._waiting and self._working < self._slots:
            answered = self._waiting.popleft()
            self._account()
            self._working += 1
            self._events.after(self.seconds * self._scatter(self._draw), partial(self._done, answered))

    def _done(self, answered: Callable[[], None] | None) -> None:
        self._account()
        self._working -= 1
        if answered is not None and not self.away:
            answered()
        self._work()

    def _account(self) -> None:
        elapsed = self._events.now - self._since
        self._worked += min(self._working, self._slots) * elapsed
        self._could += self._slots * elapsed
        self._since = self._events.now


class Client:
    """Keeps as many calls in flight as its window lets it, or `most`.

    `clock` is what its clock shows when the simulation begins. A call is given up after `patience` seconds.
    """

    def __init__(
        self, events: Events, server: Server, window: InFlight, *, patience: float = math.inf, clock: float = 0.0
    ) -> None:
        self.window = window
        self.in_flight = 0
        self.answers = 0
        self.waited = 0.0
        self.troubles = 0
        self.largest = 0
        self.smallest = 0
        self._most = 1_000_000
        self._events = events
        self._server = server
        self._patience = patience
        self._clock = clock

    @property
    def most(self) -> int:
        """What the application has to send at a time; 0 is a pause."""
        return self._most

    @most.setter
    def most(self, most: int) -> None:
        self._most = most
        self.go_on()

    def go_on(self) -> None:
        while self.in_flight < min(self.window.size, self._most):
            self._call()

    def forget(self) -> None:
        """Count anew."""
        self.answers = self.troubles = 0
        self.waited = 0.0
        self.largest = self.smallest = self.window.size

    def _call(self) -> None:
        began = self._events.now
        self.in_flight += 1
        ticket = self.window.started(self._clock + began, self.in_flight)
        ended = False

        def end(trouble: str | None) -> None:
            nonlocal ended
            if ended:
                return
            ended = True
            now = self._events.now
            self.in_flight -= 1
            if trouble is None:
                self.answers += 1
                self.waited += now - began
                self.window.delivered(self._clock + now, ticket)
            else:
                self.troubles += 1
                self.window.troubled(self._clock + now, ticket, trouble)
            self.largest = max(self.largest, self.window.size)
            self.smallest = min(self.smallest, self.window.size)
            self.go_on()

        self._server.call(lambda: end(None), lambda: end("busy"))
        if self._patience < math.inf:
            self._events.after(self._patience, lambda: end("no answer"))


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a client saw for a while: `used` is the share of the server's slots at work (also for others)."""

    used: float
    rate: float
    latency: float
    troubles: int
    largest: int
    smallest: int


class Simulation:
    """A server with clients; the first is the one that is looked at."""

    def __init__(self, slots: int, seconds: float, scatter: Scatter = alike, *, seed: int = 0) -> None:
        self.events = Events()
        self.server = Server(self.events, slots, seconds, scatter, seed=seed)
        self.clients: list[Client] = []

    def join(self, window: InFlight, *, patience: float = math.inf, clock: float = 0.0) -> Client:
        """One more client, from now on."""
        client = Client(self.events, self.server, window, patience=patience, clock=clock)
        self.clients.append(client)
        client.forget()
        client.go_on()
        return client

    def pass_by(self, seconds: float) -> list[Stretch]:
        """Let time go by, and tell what each client saw meanwhile."""
        worked, could = self.server.worked
        for client in self.clients:
            client.forget()
        self.events.run(self.events.now + seconds)
        worked, could = self.server.worked[0] - worked, self.server.worked[1] - could
        return [
            Stretch(
                used=worked / could,
                rate=client.answers / seconds,
                latency=client.waited / client.answers if client.answers else math.inf,
                troubles=client.troubles,
                largest=client.largest,
                smallest=client.smallest,
            )
            for client in self.clients
        ]
