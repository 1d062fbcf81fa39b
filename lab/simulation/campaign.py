"""A campaign: schedules one after the other, what they have reached, and what is wrong, each by its seed.

What a campaign has to come to are *claims*: the situations that docs/reliability.md speaks of. They are seen from
outside, in the journals' files, the calls and the billing's ledger, at the end of a schedule. A campaign that is
large and has not come to one of them has proven nothing about it.
"""

import gc
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from subprocess import PIPE
from typing import IO, Final
from urllib.parse import unquote_plus

import msgspec

from lab.simulation.fleet import Blow, draw_fleet
from lab.simulation.journal import Death, Disk
from lab.simulation.judge import judge
from lab.simulation.loop import START
from lab.simulation.network import ARRIVES, Fault, Sent
from lab.simulation.story import (
    IN_FLIGHT,
    Kind,
    Schedule,
    Then,
    World,
    draw,
    play,
    with_backups,
    with_reversals,
    with_second,
)

# ---- claims -------------------------------------------------------------------------------------------------------


HEARD: Final = 0.5
"""Seconds within which the outcome of an answer is committed, or soon will be."""
NO_TRIES: Final = re.compile(r"ends with [1-9]\d* rows left\. (|one of the first \d+ rows was tried .*)", re.DOTALL)
"""How a command ends that nobody has stopped, and that has left rows."""
LOST: Final = frozenset(Fault) - {Fault.BUSY, Fault.QUEUED, Fault.TWICE, Fault.TOO_MANY_AFTER}
"""Faults after which nobody knows what has become of a call."""


class Claim(StrEnum):
    """A situation; its value is the name that docs/reliability.md uses."""

    IN_LIST = "killed while the list is made"
    BEFORE_SEND = "killed between intent and send"
    IN_FLIGHT = "killed with a call under way"
    BEFORE_RECORD = "killed between call and record"
    BEFORE_COMMIT = "killed while a write waits for its commit"
    IN_UNDO = "killed in an undo"
    COMMIT_FAILS = "a commit fails"
    RESTORED = "a copy is put back that knows less than the billing"
    LATE = "an effect after its caller has given up"
    LOOKED_UP_FIRST = "a look-up before the effect has come out of the stacks"
    LOOK_FAILS = "a look-up fails"
    OTHER_JOURNAL = "another journal between list and call"
    SOMEBODY = "somebody between list and call"
    TAKEN_OVER = "taken over while a write waits"
    WOKEN = "frozen, taken over, and awake again"
    FULL_WINDOW = "the window is full"
    STOPPED_UNDONE = "the undo of a stopped run"
    UNDO_UNDONE = "the undo of an undo"
    NO_TRIES = "a row out of tries"
    PERSON = "a row left to a person"
    LOST = "what was entered is lost with the backup"
    THERE_AGAIN = "what was taken back is there again"
    ID_AGAIN = "an id is given again"
    OWED_AGAIN = "what was lost is entered once more"
    REVERSED = "an operation is reversed by storno"
    LOST_IN_UNDO = "an undo works when the billing is put back"
    SET_OVER = "an opening balance is refused over what an earlier run has entered"
    RESTORED_SERVICE = "a load comes again after the undo of a deletion has restored its services"


def _note(world: World) -> None:
    """Note what a schedule has come to, at its end."""
    world.reached.update(set(_reached(world)))


def _reached(world: World) -> Iterator[Claim]:
    calls = defaultdict[str, list[Sent]](list)
    for call in world.network.calls:
        calls[call.process.name].append(call)
    for disk in world.disks:
        yield from _in_file(disk)
        for death in disk.deaths:
            yield from _at_death(death, [one for one in calls[death.process.name] if one.writes])
    for who, own in calls.items():
        yield from _in_calls(own)
        yield from _between(world, who, [one for one in own if one.writes])
    if any(NO_TRIES.fullmatch(what) for _, _, what in world.loop.story):
        yield Claim.NO_TRIES
    if any(one.what == "reversed" for one in world.billing.ledger):
        yield Claim.REVERSED
    if world.billing.lost:
        yield from _put_back(world)
        undos = {(disk, run["name"]) for disk in world.disks for run in disk.runs() if run["undone"]}
        for one in world.take_ups:
            last = max((call.left for call in calls[one.process.name] if call.writes), default=0.0)
            if (one.disk, one.run) in undos and one.moment < world.billing.put_back_at + START < last:
                yield Claim.LOST_IN_UNDO
    for process, thawed, _ in world.frozen:
        mine = [one for one in world.take_ups if one.process is process][-1:]
        others = [one for one in world.take_ups for own in mine if (one.disk, one.run) == (own.disk, own.run)]
        if any(mine[0].moment < one.moment < thawed + START <= process.died for one in others):
            yield Claim.WOKEN


def _put_back(world: World) -> Iterator[Claim]:
    lost, entries = list(world.entries(lost=True)), list(world.entries())
    if any(one.sign > 0 for one in lost):
        yield Claim.LOST
    if any(one.sign < 0 for one in lost):
        yield Claim.THERE_AGAIN
    ids = {(one.model, one.pk) for one in world.billing.lost if one.who != "somebody" and one.what == "created"}
    if any((one.model, one.pk) in ids and one.what == "created" for one in world.billing.ledger):
        yield Claim.ID_AGAIN
    rows = {(one.disk, one.row) for one in lost if one.sign > 0}
    if any((one.disk, one.row) in rows and one.effect.moment > world.billing.put_back_at for one in entries):
        yield Claim.OWED_AGAIN


def _in_file(disk: Disk) -> Iterator[Claim]:
    (found,) = disk.all("reached")
    yield from (claim for claim in Claim if claim.name.lower() in found.keys() and found[claim.name.lower()])  # noqa: SIM118 - of SQLite
    if disk.failed:
        yield Claim.COMMIT_FAILS
    if disk.forgot:
        yield Claim.RESTORED
    if disk.too_late:
        yield Claim.TAKEN_OVER


def _at_death(death: Death, calls: list[Sent]) -> Iterator[Claim]:
    died = death.process.died
    sending = sum(run["sending"] for run in death.runs.values())
    under_way = sum(one.ended is None or one.ended >= died for one in calls)
    heard = sum(one.ended is not None and died - HEARD < one.ended < died for one in calls)
    if any(not run["frozen_at"] for run in death.runs.values()):
        yield Claim.IN_LIST
    if sending > under_way + heard:
        yield Claim.BEFORE_SEND
    if sending and under_way:
        yield Claim.IN_FLIGHT
    if heard and sending > under_way:
        yield Claim.BEFORE_RECORD
    if death.had_orders:
        yield Claim.BEFORE_COMMIT
    if any(run["undone"] and run["open"] for run in death.runs.values()):
        yield Claim.IN_UNDO


def _in_calls(own: list[Sent]) -> Iterator[Claim]:
    lost = min((one.left for one in own if one.writes and one.fault in LOST), default=math.inf)
    ends: list[float] = []
    for call in own:
        if call.writes and call.arrived is not None and call.ended is not None and call.arrived > call.ended:
            yield Claim.LATE
        elif not call.writes and call.left > lost:
            if call.waiting:
                yield Claim.LOOKED_UP_FIRST
            if call.fault in LOST:
                yield Claim.LOOK_FAILS
        if call.writes:
            ends = [end for end in ends if end > call.left] + [call.ended or math.inf]
            if len(ends) == IN_FLIGHT:
                yield Claim.FULL_WINDOW


def _between(world: World, who: str, own: list[Sent]) -> Iterator[Claim]:
    """Who else has entered something while a process sends."""
    of_process = {one.process.name: one.disk for one in world.take_ups}
    disk = of_process.get(who)
    for effect in world.billing.ledger if own and disk else ():
        if own[0].left < effect.moment + START < own[-1].left:
            if effect.who == "somebody":
                yield Claim.SOMEBODY
            elif of_process.get(effect.who, disk) is not disk:
                yield Claim.OTHER_JOURNAL


# ---- campaigns ----------------------------------------------------------------------------------------------------


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
SECONDS: Final = 90_000_000
"""The seed from which on a second load of another kind may come after the first."""
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
    schedule = draw(seed, wire=seed % WIRED == 0, by_many=seed >= BY_MANY and seed % WIRED == 2)  # noqa: PLR2004
    for since, changed in ((BACKUPS, with_backups), (REVERSALS, with_reversals), (SECONDS, with_second)):
        schedule = changed(schedule) if seed >= since else schedule
    return schedule


def run(campaign: Campaign, seeds: range, seconds: float = math.inf, processes: int | None = None) -> None:
    """Play the schedules of the seeds, for so long at most, into the campaign; it can be read meanwhile.

    Each of the processes, by default one a core, has every so-many-th chunk of the seeds: what the campaign comes to
    does not depend on how many there are.
    """
    chunks = _chunks(seeds)
    processes = min(processes or len(os.sched_getaffinity(0)), len(chunks))
    until = time.monotonic() + seconds
    if processes <= 1:
        for part in _parts(chunks, until):
            campaign.add(part)
        return
    with ExitStack() as stack:
        pipes = [stack.enter_context(_elsewhere(seeds, first, processes, until)) for first in range(processes)]
        for turn in range(len(chunks)):
            line = pipes[turn % processes].readline()
            if not line and time.monotonic() < until:
                raise RuntimeError("a process of the simulation has ended before its time")
            if not line:
                break
            campaign.add(msgspec.json.decode(line, type=Campaign))


def _chunks(seeds: range) -> list[range]:
    return [seeds[begin : begin + CHUNK] for begin in range(0, len(seeds), CHUNK)]


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
                _note(world)
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
def _elsewhere(seeds: range, first: int, processes: int, until: float) -> Iterator[IO[bytes]]:
    """A process that plays every so-many-th chunk: its pipe, with a line for each."""
    # A group of its own: Ctrl-C is heard here, which ends it; it ends by itself where nobody reads its pipe.
    command = [sys.executable, "-P", "-m", __name__, *map(str, (until, seeds.start, seeds.stop, first, processes))]
    with subprocess.Popen(command, stdout=PIPE, process_group=0) as process:  # noqa: S603 - this very module
        assert process.stdout is not None  # noqa: S101
        try:
            yield process.stdout
        finally:
            process.kill()


def _work() -> None:
    """Play the chunks that the command line names, as long as somebody reads what they come to."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    start, stop, first, processes = map(int, sys.argv[2:])
    for part in _parts(_chunks(range(start, stop))[first::processes], float(sys.argv[1])):
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
