"""The numbers that the window holds, in simulated time against the simulated server.

`used` is the share of the server's slots that were at work, so that a lucky draw of short calls counts for nothing.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from statistics import fmean

import pytest

from checkpoints.lease import WindowPace
from engine.pacing.window import InFlight, Window

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


class Server:
    """Slots, a queue and faults in simulated time: what is to happen, in the order in which it does.

    A share `busy` of the calls, and all for which the queue has no room, are refused after `refusal` seconds; of a
    share `lost` the answer never arrives, though the work is done. While `away`, nothing is done and nobody answers.
    """

    def __init__(self, slots: int, seconds: float, scatter: Scatter = alike, *, seed: int = 0) -> None:
        self.now = 0.0
        self.slots = slots
        self.seconds = seconds
        self.queue: int | None = None
        self.busy = 0.0
        self.lost = 0.0
        self.refusal = 0.002
        self.away = False
        self.worked = self.could = 0.0  # seconds that slots have worked, and that they could have
        self._scatter = scatter
        self._draw = random.Random(seed)
        self._working = 0
        self._waiting: deque[Callable[[], None] | None] = deque()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._number), happen))

    def run(self, seconds: float) -> None:
        self.worked = self.could = 0.0
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            moment, _, happen = heapq.heappop(self._events)
            self._wait_until(moment)
            happen()
        self._wait_until(until)

    def _wait_until(self, moment: float) -> None:
        self.worked += min(self._working, self.slots) * (moment - self.now)
        self.could += self.slots * (moment - self.now)
        self.now = moment

    def call(self, answered: Callable[[], None], refused: Callable[[], None]) -> None:
        if self.away:
            return
        full = self.queue is not None and self._working >= self.slots and len(self._waiting) >= self.queue
        if full or self._draw.random() < self.busy:
            self.after(self.refusal, refused)
            return
        self._waiting.append(None if self._draw.random() < self.lost else answered)
        self._work()

    def _work(self) -> None:
        while self._waiting and self._working < self.slots:
            self._working += 1
            self.after(self.seconds * self._scatter(self._draw), partial(self._done, self._waiting.popleft()))

    def _done(self, answered: Callable[[], None] | None) -> None:
        self._working -= 1
        if answered is not None and not self.away:
            answered()
        self._work()


class Client:
    """Keeps as many calls in flight as its window lets it, or `most`; gives a call up after `patience` seconds."""

    def __init__(self, server: Server, window: InFlight, patience: float) -> None:
        self.window = window
        self.most = 1_000_000  # what the application has to send at a time; 0 is a pause
        self.in_flight = 0
        self._server = server
        self._patience = patience
        self.forget()

    def forget(self) -> None:
        """Count anew."""
        self.answers = self.troubles = 0
        self.waited = 0.0
        self.largest = self.window.size

    def go_on(self) -> None:
        while self.in_flight < min(self.window.size, self.most):
            self._call()

    def _call(self) -> None:
        began = self._server.now
        self.in_flight += 1
        ticket = self.window.started(began, self.in_flight)
        ended = False

        def end(trouble: str | None) -> None:
            nonlocal ended
            if ended:
                return
            ended = True
            now = self._server.now
            self.in_flight -= 1
            if trouble is None:
                self.answers += 1
                self.waited += now - began
                self.window.delivered(now, ticket)
            else:
                self.troubles += 1
                self.window.troubled(now, ticket, trouble)
            self.largest = max(self.largest, self.window.size)
            self.go_on()

        self._server.call(lambda: end(None), lambda: end("busy"))
        if self._patience < math.inf:
            self._server.after(self._patience, lambda: end("no answer"))


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a client saw for a while: `used` is the share of the server's slots at work (also for others)."""

    used: float
    rate: float
    latency: float
    troubles: int
    largest: int


class Simulation:
    """A server with clients; the first is the one that is looked at."""

    def __init__(self, slots: int, seconds: float, scatter: Scatter = alike, *, seed: int = 0) -> None:
        self.server = Server(slots, seconds, scatter, seed=seed)
        self.clients: list[Client] = []

    def join(self, window: InFlight, *, patience: float = math.inf) -> None:
        """One more client, from now on."""
        self.clients.append(Client(self.server, window, patience))
        self.clients[-1].go_on()

    def pass_by(self, seconds: float) -> list[Stretch]:
        """Let time go by, and tell what each client saw meanwhile."""
        for client in self.clients:
            client.forget()
        self.server.run(seconds)
        return [
            Stretch(
                used=self.server.worked / self.server.could,
                rate=client.answers / seconds,
                latency=client.waited / client.answers if client.answers else math.inf,
                troubles=client.troubles,
                largest=client.largest,
            )
            for client in self.clients
        ]


SLOTS = (2, 4, 8, 16, 32)
SEEDS = range(5)

TO_FIND = 10.0
"""Seconds from a start at two calls in flight, and after the capacity has changed."""


def settled(
    slots: int,
    seconds: float,
    scatter: Scatter = alike,
    *,
    seed: int = 0,
    patience: float = math.inf,
    within: float = TO_FIND,
) -> Simulation:
    """A server with one window that had time to find its limit."""
    simulation = Simulation(slots, seconds, scatter, seed=seed)
    simulation.join(Window(), patience=patience)
    simulation.pass_by(within)
    return simulation


def assert_well_used(simulation: Simulation, stretch: Stretch, least: float = 0.95) -> None:
    own = simulation.server.seconds
    assert stretch.used >= least
    assert stretch.latency < 2 * own


@pytest.mark.parametrize("slots", SLOTS)
@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.3, 1.0])
def test_it_finds_what_the_server_can_do_within_ten_seconds(slots: int, seconds: float) -> None:
    simulation = settled(slots, seconds)
    (alone,) = simulation.pass_by(max(5.0, 50 * seconds))
    assert_well_used(simulation, alone)


@pytest.mark.parametrize("slots", [2, 8])
def test_it_comes_down_from_far_too_many(slots: int) -> None:
    simulation = Simulation(slots, 0.1)
    simulation.join(Window(start=60))
    simulation.pass_by(45.0)
    (alone,) = simulation.pass_by(20.0)
    assert_well_used(simulation, alone)


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("slots", [4, 8, 16, 32])
def test_it_follows_a_capacity_that_halves_and_comes_back(slots: int, seconds: float) -> None:
    simulation = settled(slots, seconds)
    for capacity in (slots // 2, slots, slots // 2, slots):
        simulation.server.slots = capacity
        simulation.pass_by(TO_FIND)
        (alone,) = simulation.pass_by(max(5.0, 50 * seconds))
        assert_well_used(simulation, alone)


@pytest.mark.parametrize(("scatter", "least"), [(uniform, 0.95), (lognormal, 0.93), (exponential, 0.8)])
@pytest.mark.parametrize("slots", SLOTS)
def test_answer_times_that_scatter_are_no_reason_to_do_less(slots: int, scatter: Scatter, least: float) -> None:
    seen = []
    for seed in SEEDS:
        simulation = settled(slots, 0.1, scatter, seed=seed)
        (alone,) = simulation.pass_by(20.0)
        assert alone.used >= least
        assert alone.latency < 2.5 * 0.1
        seen.append(alone)
    assert fmean(alone.used for alone in seen) >= 0.95
    assert fmean(alone.latency for alone in seen) < 2 * 0.1


def shares(simulation: Simulation, seconds: float) -> list[float]:
    seen = simulation.pass_by(seconds)
    return [one.rate / sum(each.rate for each in seen) for one in seen]


@pytest.mark.slow
@pytest.mark.parametrize("slots", SLOTS)
def test_where_answers_scatter_fairness_takes_two_minutes(slots: int) -> None:
    seen = []
    for seed in range(4):
        simulation = settled(slots, 0.1, lognormal, seed=seed)
        simulation.join(Window())
        simulation.pass_by(60.0)
        seen.append(min(shares(simulation, 120.0)))
    assert min(seen) >= 0.3
    assert fmean(seen) >= 1 / 3


@pytest.mark.parametrize(("part", "least", "most"), [(2, 0.5, 2 / 3), (1, 1 / 3, 2 / 3)])
@pytest.mark.parametrize("slots", SLOTS)
def test_beside_a_fixed_load_it_takes_a_fair_part(slots: int, part: int, least: float, most: float) -> None:
    simulation = settled(slots, 0.1)
    simulation.join(InFlight(slots // part))
    simulation.pass_by(20.0)
    ours, _ = shares(simulation, 40.0)
    assert least <= ours <= most + 1e-3


@pytest.mark.parametrize(("share", "least"), [(0.01, 0.93), (0.1, 0.85)])
@pytest.mark.parametrize("slots", SLOTS)
def test_busy_answers_now_and_then_neither_stop_it_nor_make_it_grow(slots: int, share: float, least: float) -> None:
    for scatter in (alike, lognormal):
        simulation = Simulation(slots, 0.1, scatter, seed=slots)
        simulation.server.busy = share
        simulation.join(Window())
        simulation.pass_by(20.0)
        (alone,) = simulation.pass_by(30.0)
        assert alone.troubles > 0
        assert_well_used(simulation, alone, least)


@pytest.mark.parametrize(("share", "patience"), [(0.01, 2.0), (0.1, 0.5)])
@pytest.mark.parametrize("slots", [2, 4, 8, 16])
def test_lost_answers_cost_no_more_than_with_a_fixed_window(slots: int, share: float, patience: float) -> None:
    seen = []
    for window in (Window(), InFlight(slots + slots // 2)):
        simulation = Simulation(slots, 0.1)
        simulation.server.lost = share
        simulation.join(window, patience=patience)
        simulation.pass_by(20.0)
        (alone,) = simulation.pass_by(40.0)
        seen.append(alone)
    ours, fixed = seen
    assert ours.troubles > 0
    assert ours.rate >= 0.8 * fixed.rate
    assert ours.latency < 2 * 0.1
    assert ours.largest <= 3 * slots + 2


@pytest.mark.parametrize("slots", SLOTS)
def test_a_server_that_refuses_what_it_has_no_slot_for_is_kept_busy(slots: int) -> None:
    simulation = Simulation(slots, 0.1)
    simulation.server.queue = 0
    simulation.join(Window())
    simulation.pass_by(20.0)
    (alone,) = simulation.pass_by(40.0)
    assert alone.used >= 0.85
    assert alone.troubles <= 0.25 * (alone.troubles + alone.rate * 40.0)


def test_where_nobody_answers_it_goes_to_the_floor_and_comes_back() -> None:
    simulation = settled(8, 0.1, patience=1.0)
    simulation.server.away = True
    (away,) = simulation.pass_by(30.0)
    assert away.rate < 1
    assert simulation.clients[0].window.size == 1
    simulation.server.away = False
    simulation.pass_by(20.0)
    (back,) = simulation.pass_by(20.0)
    assert_well_used(simulation, back)


def test_a_window_of_one_call_does_not_say_that_it_measures() -> None:
    """It could not be smaller for that."""
    simulation = Simulation(1, 0.1)
    window = Window(cap=1, start=1)
    simulation.join(window)
    said: set[str] = set()
    for _ in range(600):
        simulation.pass_by(0.1)
        said.add(window.why)
    assert said == {"window 1 (finding the server's limit)", "window 1 (at its cap)"}


@pytest.mark.parametrize(("most", "seconds"), [(0, 3600.0), (1, 60.0)])
@pytest.mark.parametrize("scatter", [alike, lognormal])
def test_a_pause_or_a_rate_is_not_taken_for_the_servers_limit(scatter: Scatter, most: int, seconds: float) -> None:
    simulation = settled(32, 0.1, scatter)
    (client,) = simulation.clients
    before = client.window.size
    client.most = most
    simulation.pass_by(seconds)
    client.most = 1000
    client.go_on()
    simulation.pass_by(2.0)
    (after,) = simulation.pass_by(5.0)
    assert_well_used(simulation, after)
    assert client.window.size >= before / 2


def learned(slots: int, scatter: Scatter = alike) -> WindowPace:
    """What a window has learned of a server."""
    first = Window()
    simulation = Simulation(slots, 0.2, scatter, seed=1)
    simulation.join(first)
    simulation.pass_by(30)
    assert first.pace is not None
    return first.pace


@pytest.mark.parametrize("slots", [4, 32])
@pytest.mark.parametrize("scatter", [alike, exponential])
def test_the_next_owner_goes_on_with_what_was_learned(slots: int, scatter: Scatter) -> None:
    window = Window()
    window.go_on(learned(slots, scatter))
    assert slots <= window.size <= 1.6 * slots + 2
    simulation = Simulation(slots, 0.2, scatter, seed=2)
    simulation.join(window)
    # From the first second on, where another one begins with two.
    (alone,) = simulation.pass_by(4)
    assert_well_used(simulation, alone, 0.8)


def test_no_more_is_taken_than_this_owner_allows_and_nothing_where_nothing_is_known() -> None:
    window = Window(cap=5)
    window.go_on(learned(32))
    assert window.size == 5
    assert Window().pace is None
