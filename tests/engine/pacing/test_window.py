"""The numbers that the window holds, in simulated time against the simulated server.

`used` is the share of the server's slots that were at work, so that a lucky draw of short calls counts for nothing.
"""

import math
from statistics import fmean

import pytest

from checkpoints.pace import WindowPace
from engine.pacing.window import FixedWindow, Window
from tests.engine.simulated_server import (
    Scatter,
    Simulation,
    Stretch,
    alike,
    exponential,
    lognormal,
    uniform,
)

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


# ---- alone on a server whose answers take equal times ----


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


# ---- alone on a server whose answers scatter ----


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


# ---- with others on the server ----


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


# ---- troubles ----


@pytest.mark.parametrize(("share", "patience"), [(0.01, 2.0), (0.1, 0.5)])
@pytest.mark.parametrize("slots", [2, 4, 8, 16])
def test_answers_that_get_lost_cost_no_more_than_with_a_fixed_window(
    slots: int, share: float, patience: float
) -> None:
    seen = []
    for window in (Window(), FixedWindow(slots + slots // 2)):
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


# ---- an application that has less to send ----


def pause(simulation: Simulation) -> None:
    simulation.clients[0].most = 0
    simulation.pass_by(3600.0)


# ---- what another owner of the billing goes on with ----


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
