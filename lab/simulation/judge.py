"""The judge: what must hold of every schedule, from the billing's ledger, the wire and the journals' files alone.

Each effect of a run is the effect of one of its rows. A run enters, its undo takes back, the undo of that restores;
so of each row there are as many entries as takings back, and one more where the journal says that it stands.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from lab.simulation.billing import Effect
from lab.simulation.journal import Disk
from lab.simulation.story import IN_FLIGHT, TakeUp, World

LOOKS = 0.5
"""Seconds before a call within which what others have entered need not be seen."""
OLD_EPOCH = 1.2
"""Seconds after a taking up within which the process before may still send."""
OPEN = ("pending", "sending", "unknown", "unconfirmed")


@dataclass(frozen=True, slots=True)
class Entry:
    """An effect of a row, with the journal and the run that have brought it about; `sign` is -1 for a taking back."""

    effect: Effect
    row: int
    disk: Disk
    run: str
    sign: int
    left: float


def judge(world: World) -> list[str]:
    """What is wrong, a sentence each."""
    entries = list(_entries(world))
    found = [*_calls(world), *_ends(world)]
    if not world.load.is_repeatable:
        found += [
            *_once(world, entries),
            *_undone(world, entries),
            *_sums(world, entries),
            *_order(world, entries),
            *_right(world, entries),
        ]
    return found


def _entries(world: World) -> Iterator[Entry]:
    of_process = {take_up.process.name: take_up for take_up in world.take_ups}
    signs: dict[tuple[str, str], int] = {}
    for disk in world.disks:
        for run in disk.runs():
            signs[disk.name, run["name"]] = -signs[disk.name, run["undone"]] if run["undone"] else 1
    for effect in world.billing.ledger:
        take_up = of_process.get(effect.who)
        if take_up is None or effect.model != world.load.model or effect.what == "saved":
            continue
        row = world.load.row_of(effect)
        sign = signs.get((take_up.disk.name, take_up.run), 1)
        if row is not None:
            yield Entry(effect, row, take_up.disk, take_up.run, sign, effect.left)


def _once(world: World, entries: list[Entry]) -> Iterator[str]:
    """No row's effect twice, and none lost that is called accepted."""
    of_rows = defaultdict[tuple[Disk, int], list[Entry]](list)
    for entry in entries:
        of_rows[entry.disk, entry.row].append(entry)
    for disk in world.disks:
        for found in disk.all("twice"):
            yield f"row {found['line'] - 1} stands {found['times']} times in {disk.name}"
        stands, in_doubt = disk.rows_that_stand(), {row for _, row in disk.rows_in_doubt()}
        for row in range(1, len(world.table.cells) + 1):
            total = sum(entry.sign for entry in of_rows[disk, row])
            least = stands[row] if world.load.is_marked else -1
            # A journal that was put back may know less than the billing has, and never more. A run that somebody has
            # ended leaves its rows in doubt to a person.
            may_be_more = disk.was_put_back or row in in_doubt or not world.load.is_marked
            if not least <= total <= max(may_be_more, stands[row]):
                runs = [f"{entry.run} at {entry.effect.moment:.3f}" for entry in of_rows[disk, row]]
                yield f"row {row}: {stands[row]} times in effect in {disk.name}, {total} times in the billing: {runs}"
            if stands[row] and not any(entry.row == row for entry in entries):
                yield f"row {row} is in effect in {disk.name}, and was never entered"
    for row in {entry.row for entry in entries} if world.load.is_marked else ():
        for first, second in pairwise(sorted((e for e in entries if e.row == row), key=lambda e: e.effect.moment)):
            late = second.left - first.effect.moment
            # A contract number may have become another subscriber's in the meantime.
            same = first.effect.after.get("abonent_id") == second.effect.after.get("abonent_id")
            are_two = same and first.disk is not second.disk and first.sign == second.sign == 1
            if are_two and late > LOOKS and not _was_frozen(world, second.effect.who, second.left):
                yield f"row {row} was sent {late:.3f} s after another journal had entered it"


def _undone(world: World, entries: list[Entry]) -> Iterator[str]:
    """Of a run that is being taken back nothing more is sent."""
    for disk in world.disks:
        undos = {run["undone"]: run["name"] for run in disk.runs() if run["undone"] and run["approved_at"]}
        sent = [e for e in entries if e.disk is disk and e.run in undos]
        for entry in sent if not disk.was_put_back else ():
            began = min(
                (e.effect.moment for e in entries if e.disk is disk and e.run == undos[entry.run]), default=math.inf
            )
            if entry.left > began and not _was_frozen(world, entry.effect.who, entry.left):
                yield f"row {entry.row} of run {entry.run} was sent {entry.left - began:.3f} s after its undo began"


def _sums(world: World, entries: list[Entry]) -> Iterator[str]:
    """What a journal says it has entered is what the billing has of it, to the kopeck."""
    if not world.load.has_money:
        return
    if any(disk.was_put_back for disk in world.disks):
        return
    for disk in world.disks:
        in_doubt = disk.rows_in_doubt()
        for run in disk.runs():
            own = (e for e in entries if e.run == run["name"] and e.disk is disk)
            sums = (Decimal(e.effect.after["op_summa"]) for e in own if (e.run, e.row) not in in_doubt)
            found = sum(sums, Decimal(0))
            if found != disk.sum_of(run["name"]):
                yield f"run {run['name']}: {disk.sum_of(run['name'])} roubles in {disk.name}, {found} in the billing"


def _order(world: World, entries: list[Entry]) -> Iterator[str]:
    """The rows of an account are entered in the order of the list."""
    for disk in world.disks:
        lanes = disk.lanes()
        found = defaultdict[tuple[str, str], list[int]](list)
        for entry in entries:
            if entry.disk is disk and (lane := lanes.get((entry.run, entry.row))):
                found[entry.run, lane].append(entry.row)
        for (run, lane), rows in found.items():
            if rows != sorted(rows) and not disk.was_put_back:
                yield f"run {run} has entered rows {rows} of {lane} in this order"


def _right(world: World, entries: list[Entry]) -> Iterator[str]:
    """Each entry has the type of its load, and is of the subscriber who has the number of its row."""
    if world.load.op_type:
        for entry in entries:
            if entry.effect.after["op_type_id"] != world.load.op_type:
                yield f"row {entry.row} was entered with type {entry.effect.after['op_type_id']}"
    if world.load.header[0] == "contract_number":
        changes = [one for one in world.billing.ledger if "contract_number" in one.after and one.what == "saved"]
        undos = {run["name"] for disk in world.disks for run in disk.runs() if run["undone"]}
        for entry in (one for one in entries if one.run not in undos):
            number, who = world.table.cells[entry.row - 1][0], entry.effect.after["abonent_id"]
            has = who == int(number)
            was = has
            for change in changes:
                if change.pk == who and change.moment <= entry.left:
                    has = change.after["contract_number"] == number
                    was = was if change.moment < entry.left - LOOKS else was or has
                    was = has if change.moment < entry.left - LOOKS else was
            if not (has or was) and not _was_frozen(world, entry.effect.who, entry.left):
                yield f"row {entry.row} for number {number} was entered for subscriber {who}, who has another one"


def _calls(world: World) -> Iterator[str]:
    """Nothing is sent under an old epoch, and never more than the window allows."""
    taken = defaultdict[tuple[str, str], list[tuple[float, str]]](list)
    own = dict[str, TakeUp]()
    for take_up in world.take_ups:
        taken[take_up.disk.name, take_up.run].append((take_up.moment, take_up.process.name))
        own[take_up.process.name] = take_up
    in_flight = defaultdict[str, list[float]](list)
    late = Counter[str]()
    for call in world.network.calls:
        if call.process.name not in own or not call.writes:
            continue
        take_up = own[call.process.name]
        name = call.process.name
        now = [end for end in in_flight[name] if end > call.left] + [call.ended or 1e18]
        in_flight[name] = now
        if len(now) > IN_FLIGHT:
            yield f"{len(now)} calls of {name} in flight"
        later = [
            moment for moment, who in taken[take_up.disk.name, take_up.run] if moment > take_up.moment and who != name
        ]
        if later and call.left > later[0] + OLD_EPOCH:
            late[name] += 1
            if late[name] > IN_FLIGHT or not _was_frozen(world, name, call.left):
                yield f"{name} sends {call.left - later[0]:.3f} s after its run was taken over"


def _was_frozen(world: World, who: str, moment: float) -> bool:
    return any(process.name == who and thawed <= moment < thawed + LOOKS for process, thawed in world.frozen)


def _ends(world: World) -> Iterator[str]:
    """Each row is accepted, refused with a reason, or with a person."""
    for disk in world.disks:
        for run in disk.runs():
            left = sum(disk.states(run["name"]).get(state, 0) for state in OPEN)
            if left and run["approved_at"] and not run["ended_at"]:
                yield f"run {run['name']} in {disk.name} has {left} rows left"
