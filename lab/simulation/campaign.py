"""A campaign: schedules one after the other, what they have reached, and what is wrong, each by its seed."""

import gc
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from subprocess import PIPE
from typing import IO, Final
from urllib.parse import unquote_plus

import msgspec

from lab.simulation.claims import Claim, note
from lab.simulation.fleet import Blow, draw_fleet
from lab.simulation.judge import judge
from lab.simulation.network import ARRIVES, Fault
from lab.simulation.story import Kind, Schedule, Then, World, draw, play

WIRED: Final = 4
"""Of so many schedules one goes over the program's own wire, the others directly."""
FLEET: Final = 1_000_000
"""The seed from which on one of so many as above is of a fleet, and over its wires in half of the cases."""
BY_MANY: Final = 60_000_000
"""The seed from which on one of so many as above asks the billing for many rows by one question."""
BACKUPS: Final = 70_000_000
"""The seed from which on a billing may be put back from its backup, and a later file of the same rows be entered."""
REVERSALS: Final = 80_000_000
"""The seed from which on operations may be taken back by storno, and the billing be put back meanwhile."""
CHUNK: Final = 10
"""Schedules that a process plays before it says what they have come to."""
ENOUGH: Final = 2000
"""Schedules of a campaign that has to come to every situation."""

CLAIMS: Final[tuple[str, ...]] = tuple(str(one) for kinds in (Claim, Kind, Fault, Then, Blow) for one in kinds)
"""What a campaign has to reach."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A schedule with something wrong: as it was drawn, and with the fewest events that still show it."""

    seed: int
    problems: tuple[str, ...]
    events: int
    """How many are left."""
    story: tuple[tuple[float, str, str], ...]


@dataclass(slots=True)
class Campaign:
    """What is known of a campaign so far, or what a part of it has come to; `seconds` are of the processor."""

    schedules: int = 0
    seconds: float = 0.0
    reached: dict[str, int] = field(default_factory=dict)
    """In how many schedules it came to what."""
    violations: list[Violation] = field(default_factory=list)

    @property
    def per_minute(self) -> float:
        return self.schedules / self.seconds * 60 if self.seconds else 0.0

    @property
    def not_reached(self) -> list[str]:
        return [one for one in CLAIMS if one not in self.reached]

    @property
    def is_proof(self) -> bool:
        """Whether nothing is wrong, and nothing was left out: a small campaign need not come to everything."""
        return not self.violations and (self.schedules < ENOUGH or not self.not_reached)

    def add(self, part: "Campaign") -> None:
        self.schedules += part.schedules
        self.seconds += part.seconds
        self.reached = dict(Counter(self.reached) + Counter(part.reached))
        self.violations += part.violations

    def as_object(self) -> Mapping[str, object]:
        return {
            "schedules": self.schedules,
            "per_minute": round(self.per_minute),
            "violations": [asdict(one) for one in self.violations],
            "reached": dict(sorted(self.reached.items())),
            "not_reached": self.not_reached,
        }


def drawn(seed: int) -> Schedule:
    if seed >= FLEET and seed % WIRED == 1:
        return draw_fleet(seed)
    by_many = seed >= BY_MANY and seed % WIRED == 2  # noqa: PLR2004
    return draw(seed, wire=seed % WIRED == 0, by_many=by_many, backups=seed >= BACKUPS, reversals=seed >= REVERSALS)


def run(campaign: Campaign, seeds: range, seconds: float = math.inf, processes: int | None = None) -> None:
    """Play the schedules of the seeds, for so long at most, into the campaign; it can be read meanwhile.

    Each of the processes, by default one a core, has every so-many-th chunk of the seeds: what the campaign comes to
    does not depend on how many there are.
    """
    chunks = [seeds[begin : begin + CHUNK] for begin in range(0, len(seeds), CHUNK)]
    processes = min(processes or len(os.sched_getaffinity(0)), len(chunks))
    until = time.monotonic() + seconds
    if processes <= 1:
        for part in _parts(chunks, until):
            campaign.add(part)
        return
    with ExitStack() as stack:
        pipes = [stack.enter_context(_elsewhere(chunks[first::processes], until)) for first in range(processes)]
        for turn in range(len(chunks)):
            line = pipes[turn % processes].readline()
            if not line and time.monotonic() < until:
                raise RuntimeError("a process of the simulation has ended before its time")
            if not line:
                break
            campaign.add(msgspec.json.decode(line, type=Campaign))


def _parts(chunks: Sequence[range], until: float) -> Iterator[Campaign]:
    """What the schedules of each chunk come to.

    Memory is collected between schedules alone: what is collected within one would end in the middle of a step.
    """
    collects = gc.isenabled()
    gc.disable()
    gc.collect()
    gc.freeze()
    try:
        for chunk in chunks:
            if time.monotonic() >= until:
                return
            started = time.process_time()
            reached, violations = Counter[str](), []
            for seed in chunk:
                schedule = drawn(seed)
                world, problems = play(schedule, judge)
                note(world)
                reached.update({str(what) for what in world.reached})
                if problems:
                    violations.append(shrunk(schedule, world, problems)[0])
                del world
                gc.collect()
                # What is left was imported on the way, or is kept for ever: it need not be looked through each time.
                gc.freeze()
            yield Campaign(len(chunk), time.process_time() - started, reached, violations)
    finally:
        gc.unfreeze()
        if collects:
            gc.enable()


@contextmanager
def _elsewhere(chunks: Sequence[range], until: float) -> Iterator[IO[bytes]]:
    """A process that plays chunks: its pipe, with a line for each. Raises `RuntimeError` where it fails."""
    wanted = msgspec.json.encode([[(one.start, one.stop) for one in chunks], until if until < math.inf else None])
    # A group of its own: Ctrl-C is heard here, which ends it; it ends by itself where nobody reads its pipe.
    with subprocess.Popen(  # noqa: S603 - this very module
        [sys.executable, "-P", "-m", __name__], stdin=PIPE, stdout=PIPE, process_group=0
    ) as process:
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        try:
            with process.stdin as pipe:
                pipe.write(wanted)
            yield process.stdout
        finally:
            process.kill()


def _work() -> None:
    """Play the chunks that stand on standard input, as long as somebody reads what they come to."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    chunks, until = msgspec.json.decode(sys.stdin.buffer.read(), type=tuple[list[tuple[int, int]], float | None])
    for part in _parts([range(*one) for one in chunks], math.inf if until is None else until):
        sys.stdout.buffer.write(msgspec.json.encode(part) + b"\n")
        sys.stdout.buffer.flush()


def shrunk(schedule: Schedule, world: World, problems: list[str]) -> tuple[Violation, Schedule]:
    """The violation of a schedule, and the fewest events and ways that still show one of its kind."""
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
    story = tuple(
        (at, who, unquote_plus(what)[:170] if what.startswith(ARRIVES) else what)
        for at, who, what in world.loop.story
    )
    return Violation(schedule.seed, tuple(problems), len(schedule.events), story), schedule


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


if __name__ == "__main__":
    _work()
