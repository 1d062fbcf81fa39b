"""What a campaign has to come to: the situations that docs/reliability.md speaks of, each a *claim*.

They are seen from outside, in the journals' files, the calls and the billing's ledger, at the end of a schedule. A
campaign that is large and has not come to one of them has proven nothing about it.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from lab.simulation.journal import Death, Disk
from lab.simulation.loop import START
from lab.simulation.network import Fault, Sent
from lab.simulation.story import IN_FLIGHT, World

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


def note(world: World) -> None:
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
    for claim in (Claim.STOPPED_UNDONE, Claim.UNDO_UNDONE, Claim.PERSON):
        if found[claim.name.lower()]:
            yield claim
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
