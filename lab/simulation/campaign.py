"""A campaign: schedules one after the other, what they have reached, and what is wrong, each by its seed."""

import gc
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from lab.simulation.fleet import Blow, draw_fleet
from lab.simulation.judge import judge
from lab.simulation.network import Fault
from lab.simulation.story import Kind, Schedule, Then, World, draw, play

WIRED: Final = 4
"""Of so many schedules one goes over the program's own wire, the others directly."""
FLEET: Final = 1_000_000
"""The seed from which on one of so many as above is of a fleet, and over its wires in half of the cases."""
KEPT: Final = 20
"""Schedules after which memory is cleared; what they leave is in circles."""

CLAIMS: Final[tuple[str, ...]] = tuple(str(one) for kinds in (Kind, Fault, Then, Blow) for one in kinds)
"""What a campaign has to reach."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A schedule with something wrong: as it was drawn, and with the fewest events that still show it."""

    seed: int
    problems: tuple[str, ...]
    schedule: Schedule
    story: tuple[tuple[float, str, str], ...]


@dataclass(slots=True)
class Campaign:
    """What is known of a campaign so far; `seconds` are of the processor."""

    schedules: int = 0
    seconds: float = 0.0
    reached: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)

    @property
    def per_minute(self) -> float:
        """Schedules a minute of one core."""
        return self.schedules / self.seconds * 60 if self.seconds else 0.0

    @property
    def not_reached(self) -> list[str]:
        """What no schedule has come to."""
        return [one for one in CLAIMS if not self.reached[one]]

    def as_object(self) -> Mapping[str, object]:
        """For JSON."""
        return {
            "schedules": self.schedules,
            "per_minute": round(self.per_minute),
            "violations": [
                {"seed": one.seed, "problems": one.problems, "events": len(one.schedule.events), "story": one.story}
                for one in self.violations
            ],
            "reached": dict(sorted(self.reached.items())),
            "not_reached": self.not_reached,
        }


def drawn(seed: int) -> Schedule:
    """The schedule of a seed."""
    if seed >= FLEET and seed % WIRED == 1:
        return draw_fleet(seed)
    return draw(seed, wire=seed % WIRED == 0)


def run(campaign: Campaign, seeds: range, seconds: float = math.inf) -> None:
    """Play the schedules of the seeds, for so long at most, into the campaign; it can be read meanwhile."""
    began = time.monotonic()
    with _steady_memory() as clear:
        for number, seed in enumerate(seeds):
            if time.monotonic() - began >= seconds:
                return
            started = time.process_time()
            schedule = drawn(seed)
            world, problems = play(schedule, judge)
            campaign.reached += Counter({str(what): 1 for what in world.reached})
            campaign.schedules += 1
            if problems:
                campaign.violations.append(shrunk(schedule, world, problems))
            clear(number)
            campaign.seconds += time.process_time() - started


def shrunk(schedule: Schedule, world: World, problems: list[str]) -> Violation:
    """The violation of a schedule, with the fewest events and ways that still show one of its kind."""
    kind = _kind(problems[0])

    def still(less: Schedule) -> bool:
        nonlocal schedule, world, problems
        now, found = play(less, judge)
        if not any(_kind(one) == kind for one in found):
            return False
        schedule, world, problems = less, now, [one for one in found if _kind(one) == kind]
        return True

    for simpler in ({"trouble": 0.0}, {"lag": 0.0}, {"wire": False}):
        still(replace(schedule, **simpler))
    while any(still(one) for one in _with_less(schedule)):
        pass
    story = tuple((at, who, what) for at, who, what in world.loop.story)
    return Violation(schedule.seed, tuple(problems), schedule, story)


def _with_less(schedule: Schedule) -> Iterator[Schedule]:
    """The schedule without one of its events, or without the last thing that is done."""
    for place in range(len(schedule.events)):
        yield replace(schedule, events=(*schedule.events[:place], *schedule.events[place + 1 :]))
    if schedule.then:
        yield replace(schedule, then=schedule.then[:-1])


def _kind(problem: str) -> str:
    """What a problem is, without its numbers and names."""
    return "".join(letter for letter in problem.partition(":")[0] if not letter.isdigit())[:24]


def as_table(violation: Violation) -> list[str]:
    """The story of a violation, a line each: time, process, event."""
    return [f"{at:10.3f}  {who:8} {what}" for at, who, what in violation.story]


@contextmanager
def _steady_memory() -> Iterator[Callable[[int], None]]:
    """Collect between schedules alone: what is collected within one would end in the middle of a step."""

    def clear(number: int) -> None:
        if number % KEPT == 0:
            gc.collect()

    collects = gc.isenabled()
    gc.disable()
    try:
        yield clear
    finally:
        if collects:
            gc.enable()
