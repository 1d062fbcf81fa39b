"""The judge: what must hold of every schedule, from the billing's ledger, the wire and the journals' files alone.

Each effect of a run is the effect of one of its rows. A run enters, its undo takes back, the undo of that restores;
so of each row there are as many entries as takings back, and one more where the journal says that it stands.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from math import inf
from urllib.parse import quote

from lab.simulation.billing import RECEIPT
from lab.simulation.loop import START
from lab.simulation.network import Fault
from lab.simulation.story import IN_FLIGHT, Entry, World

LOOKS = 0.25  # seconds before a call within which what others have entered need not be seen
OLD_EPOCH = 1.2  # seconds after a taking up within which the process before may still send
READS = 1.0  # seconds before a call within which a number may be given to another subscriber
MEASURED = 2.0  # seconds in which calls are counted for the rate
SPAN = 10.0  # seconds for which what was let through before a change of window and rate may still leave
OPEN = ("pending", "sending", "unknown", "unconfirmed")


def judge(world: World) -> list[str]:
    """What is wrong, a sentence each."""
    entries, found = list(world.entries()), [*_calls(world), *_ends(world), *_as_before(world)]
    if world.load.has_steps:
        found += _steps(world)
    elif not world.load.is_repeatable:
        found += [one for rule in (_once, _undone, _sums, _order, _right, _verdicts) for one in rule(world, entries)]
    return found


def _once(world: World, entries: list[Entry]) -> Iterator[str]:
    """No row's effect twice, and none lost that is called accepted."""
    taken_away = world.taken_away()
    gone = {one.pk for one in taken_away}
    for disk in world.disks:
        for found in disk.all("twice"):
            yield f"row {found['line'] - 1} stands {found['times']} times in {disk.name}"
        stands, in_doubt = disk.rows_that_stand(), {row for _, row in disk.rows_in_doubt()}
        for row in range(1, len(world.table.cells) + 1):
            own, whose = [e for e in entries if e.disk is disk and e.row == row], Counter[object]()
            for entry in own:
                whose[entry.whose] += entry.sign
            total, least = whose.total(), stands[row] if world.load.is_marked else -1
            # A journal that was put back may know less than the billing has, and never more. A run that somebody has
            # ended leaves its rows in doubt to a person. A contract number may be another subscriber's by now.
            may_be_more = disk.was_put_back or row in in_doubt or not world.load.is_marked
            more = sum(entry.effect.pk in gone for entry in own)
            most = more + (max(1, stands[row]) if may_be_more else stands[row])
            if not least <= total <= most or max(whose.values(), default=0) > 1 + more:
                runs = [f"{entry.run} at {entry.effect.moment:.3f}" for entry in own]
                yield f"row {row}: {stands[row]} times in effect in {disk.name}, {total} times in the billing: {runs}"
            if stands[row] and not (world.load.takes_away and taken_away) and row not in {e.row for e in entries}:
                yield f"row {row} is in effect in {disk.name}, and was never entered"
    for row in {entry.row for entry in entries} if world.load.is_marked else ():
        for first, second in pairwise(sorted((e for e in entries if e.row == row), key=lambda e: e.effect.moment)):
            late = second.left - first.effect.moment
            is_other = first.whose != second.whose or first.disk is second.disk or -1 in {first.sign, second.sign}
            is_gone = any(one.pk == first.effect.pk and one.moment <= second.left for one in taken_away)
            is_frozen = world.has_thawed(second.effect.who, second.left - LOOKS, second.left)
            if late > LOOKS and not (is_other or is_gone or is_frozen):
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
            if entry.left > began and not world.has_thawed(entry.effect.who, entry.left - LOOKS, entry.left):
                yield f"row {entry.row} of run {entry.run} was sent {entry.left - began:.3f} s after its undo began"


def _sums(world: World, entries: list[Entry]) -> Iterator[str]:
    """What a journal says it has entered is what the billing has of it, to the kopeck."""
    if not world.load.has_money or any(disk.was_put_back for disk in world.disks):
        return
    gone = {one.pk for one in world.taken_away()}
    for disk in world.disks:
        own = [
            entry for entry in entries if entry.disk is disk and (entry.run, entry.row) not in disk.rows_in_doubt()
        ]
        for run in disk.runs():
            sums = [(Decimal(e.effect.after["op_summa"]), e.effect.pk in gone) for e in own if e.run == run["name"]]
            found = sum((one for one, _ in sums), Decimal(0))
            # What somebody has reversed before it was looked up is entered again.
            if disk.sum_of(run["name"]) not in {found, found - sum(one for one, is_gone in sums if is_gone)}:
                yield f"run {run['name']}: {disk.sum_of(run['name'])} roubles in {disk.name}, {found} in the billing"


def _order(world: World, entries: list[Entry]) -> Iterator[str]:
    """The rows of an account are entered in the order of the list."""
    for disk in (one for one in world.disks if not one.was_put_back):
        lanes, found = disk.lanes(), defaultdict[tuple[str, str], list[int]](list)
        for entry in (one for one in entries if one.disk is disk):
            found[entry.run, lanes.get((entry.run, entry.row), "")].append(entry.row)
        for (run, lane), rows in found.items():
            if lane and rows != sorted(rows):
                yield f"run {run} has entered rows {rows} of {lane} in this order"


def _right(world: World, entries: list[Entry]) -> Iterator[str]:
    """Each entry has the type of its load, and is of the subscriber who has the number of its row."""
    undos = {run["name"] for disk in world.disks for run in disk.runs() if run["undone"]}
    for entry in entries:
        if world.load.op_type and entry.effect.after["op_type_id"] != world.load.op_type:
            yield f"row {entry.row} was entered with type {entry.effect.after['op_type_id']}"
        number = world.table.cells[entry.row - 1][0]
        given = [one for one in world.billing.ledger if one.after.get("contract_number") == number]
        if entry.run in undos or not given:
            continue
        began = [(0.0, int(number)), *((one.moment, one.pk) for one in given)]
        ended = [*(one.moment for one in given), inf]
        read = min(entry.left - READS, _read_at(world, entry, number))
        has = {pk for (at, pk), end in zip(began, ended, strict=True) if at <= entry.left and read <= end}
        if entry.whose not in has and not world.has_thawed(entry.effect.who, read, entry.left):
            yield f"row {entry.row} for number {number} was entered for subscriber {entry.whose}, who has another one"


def _read_at(world: World, entry: Entry, number: str) -> float:
    """When its process has read whose a number is, where the row was looked for again and again after that."""
    of_number, of_row = (quote(words, ":").encode() for words in (f'"{number}"', f'"abonent_id":"{entry.whose}"'))
    asked = [one for one in world.network.calls if one.process.name == entry.effect.who and not one.writes]
    before = [one for one in asked if one.left - START <= entry.left]
    read = max((one.ended - START for one in before if of_number in one.form and one.ended), default=inf)
    looks = [one.left - START for one in before if of_row in one.form and one.left - START >= read]
    return read if len(looks) > 1 else inf


def _steps(world: World) -> Iterator[str]:
    """Of an import each step has its effect once, and what the journal has is there."""
    disk, tables = world.disks[0], world.billing.tables
    if len(world.disks) > 1 or disk.was_put_back:
        return
    for model, name in (("Abonents", "name"), ("Users", "login")):
        for value, times in Counter(one[name] for one in tables[model].values() if not one["deleted"]).items():
            if times > 1:
                yield f"{value} is {times} times in {model}"
    ours, others = {take_up.process.name for take_up in world.take_ups}, world.billing.ledger
    made = [(one.model, one.pk) for one in others if one.who in ours and one.what == "created"]
    there, stands = sum(pk in tables[model] for model, pk in made), disk.rows_that_stand().total()
    if there != stands and not disk.rows_in_doubt() and all(one.who != "somebody" for one in others):
        yield f"{stands} steps are in effect in {disk.name}, and {there} in the billing"


def _as_before(world: World) -> Iterator[str]:
    """Where nobody else has changed anything, what stands is there, and what was undone is as before."""
    disk, tables = world.disks[0], world.billing.tables["AdminAccounts"]
    others = any(one.who == "somebody" and "deleted" not in one.after for one in world.billing.ledger)
    # A refusal of a proxy is believed of what may be set again; the value may be there all the same.
    is_blurred = world.load.is_repeatable and world.reached[Fault.BAD_REQUEST_AFTER]
    is_alone = len(world.disks) == 1 and not (others or disk.was_put_back or disk.rows_in_doubt())
    if not (world.load.has_money or world.load.is_repeatable) or is_blurred or not is_alone:
        return
    wanted = dict.fromkeys(tables, Decimal(0)) if world.load.is_repeatable else dict(world.before)
    for row in disk.rows_that_stand().elements():
        account, amount = int(world.table.cells[row - 1][0]), Decimal(world.table.cells[row - 1][1])
        wanted[account] = amount + (wanted[account] if world.load.op_type == RECEIPT else 0)
    for account, there in tables.items():
        found = Decimal(there["limit_warning"]) if world.load.is_repeatable else world.billing.balance(account)
        if found != wanted[account]:
            yield f"account {account} has {found}, and it should have {wanted[account]}"


def _calls(world: World) -> Iterator[str]:
    """Nothing is sent under an old epoch, and never more than the window allows."""
    taken = defaultdict[tuple[str, str], list[tuple[float, str]]](list)
    own = {take_up.process.name: take_up for take_up in world.take_ups}
    for take_up in world.take_ups:
        taken[take_up.disk.name, take_up.run].append((take_up.moment, take_up.process.name))
    in_flight, sent = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    late = Counter[str]()
    for call in world.network.calls:
        if call.process.name not in own or not call.writes:
            continue
        take_up, name = own[call.process.name], call.process.name
        in_flight[name] = now = [end for end in in_flight[name] if end > call.left] + [call.ended or inf]
        sent[name] = [moment for moment in sent[name] if moment > call.left - MEASURED] + [call.left]
        most, rate = world.in_force(name, call.left - SPAN, call.left)
        # What had passed the gate when the process was frozen leaves when it goes on.
        if len(now) > most and not world.has_thawed(name, call.left - START - SPAN, call.left - START):
            yield f"{len(now)} calls of {name} in flight, and {most} may be"
        if rate is not None and len(sent[name]) > rate * MEASURED + IN_FLIGHT + 1:
            yield f"{len(sent[name])} calls of {name} in {MEASURED} s, and {rate} a second may be"
        others = taken[take_up.disk.name, take_up.run]
        later = next((moment for moment, who in others if moment > take_up.moment and who != name), inf)
        if call.left > later + OLD_EPOCH:
            late[name] += 1
            if late[name] > 1 or not world.has_thawed(name, call.left - START - LOOKS, call.left - START):
                yield f"{name} sends {call.left - later:.3f} s after its run was taken over"


def _verdicts(world: World, entries: list[Entry]) -> Iterator[str]:
    """What `verify` says of a run is what the ledger has of it, less what somebody has reversed."""
    for one in world.verdicts if world.load.is_marked else ():
        mine = {e.effect.pk: e.effect.moment for e in entries if e.run == one.run and e.disk is one.disk}
        there = {pk for pk, moment in mine.items() if moment <= one.ended}
        there -= {e.pk for e in world.taken_away() if e.moment < one.began}
        if one.said.as_wanted > len(there):
            yield f"verify has {one.said.as_wanted} rows of {one.run} as wanted, and {len(there)} are there"
        is_late = one.disk.was_put_back or any(moment >= one.began for moment in mine.values())
        others = len(world.disks) > 1 or any(effect.who == "somebody" for effect in world.billing.ledger)
        if one.said.different and not (others or is_late):
            yield f"verify has {one.said.different} rows of {one.run} that differ, and nobody has changed any"


def _ends(world: World) -> Iterator[str]:
    """Each row is accepted, refused with a reason, or with a person."""
    for disk in world.disks:
        for run in (one for one in disk.runs() if one["approved_at"] and not one["ended_at"]):
            left = sum(disk.states(run["name"]).get(state, 0) for state in OPEN)
            if left and not world.waits_for_person(disk, run["name"]):
                yield f"run {run['name']} in {disk.name} has {left} rows left"
