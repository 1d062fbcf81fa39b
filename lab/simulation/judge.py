"""The judge: what must hold of every schedule, from the billing's ledger, the wire and the journals' files alone.

Each effect of a run is the effect of one of its rows. A run enters, its undo takes back, the undo of that restores;
so of each row there are as many entries as takings back, and one more where the journal says that it stands.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from math import inf

from lab.simulation.billing import RECEIPT
from lab.simulation.loads import row_of_comment
from lab.simulation.loop import START
from lab.simulation.story import IN_FLIGHT, ROWS, Entry, World

LOOKS = 0.25  # seconds before a call within which what others have entered need not be seen
OLD_EPOCH = 1.2  # seconds after a taking up within which the process before may still send, where it has no lease
READS = 1.0  # seconds before a call in which its number may be given away, or the billing be put back
SLOWLY = 10.5  # the same where calls are disturbed
MEASURED = 2.0  # seconds in which calls are counted for the rate
SPAN = 10.0  # seconds for which what was let through before a change of window and rate may still leave
OPEN = ("pending", "sending", "unknown", "unconfirmed")


def judge(world: World) -> list[str]:
    entries, found = list(world.entries()), [*_calls(world), *_ends(world), *_as_before(world)]
    if world.load.has_steps:
        found += _steps(world)
    elif not world.load.is_repeatable:
        found += [one for rule in RULES for one in rule(world, entries)]
    return found


def _reads(world: World) -> float:
    """The seconds before a call within which what was read for it may have changed."""
    return SLOWLY if world.schedule.trouble or world.schedule.lag else READS


def _put_back(world: World, entries: list[Entry]) -> Iterator[str]:
    """Where the billing was put back, a row counts as entered that it shows, and an undo takes back what it shows."""
    there = {(e.disk, e.run, e.row) for e in entries}
    equal = {world.load.row_of(one) for one in world.billing.ledger if one.who == "somebody"}
    undone = {(disk, run["name"]): (disk, run["undone"]) for disk in world.disks for run in disk.runs()}
    trusted = [one for one in world.disks if world.billing.lost and not one.was_put_back]
    for entry in (one for one in entries if one.sign < 0 and one.disk in trusted):
        disk, run = undone[entry.disk, entry.run]
        # What bears no mark is not told from an equal one.
        is_there = (disk, run, entry.row) in there or not world.load.is_marked or entry.row > ROWS
        if entry.left - _reads(world) > world.billing.put_back_at and not is_there:
            yield f"row {entry.row} of run {run} is taken back, and the billing has lost it before"
    for disk in trusted:
        begun = {one.run: one.moment - START for one in reversed(world.take_ups)}
        for found in disk.all("called_entered"):
            row, at = found["line"] - 1, begun.get(found["name"], 0)
            # What is taken back from then on may have been there, and what is entered from then on is not lost.
            own = (e for e in entries if e.row == row and (e.sign > 0 or e.effect.moment < at))
            if at > world.billing.put_back_at and sum(e.sign for e in own) <= 0 and row not in equal:
                yield f"row {row} is left out of run {found['name']}, and the billing has lost it"
    runs = {one.process.name: (one.disk, one.run) for one in world.take_ups}
    undos = {who: whose for who, run in runs.items() if (whose := undone.get(run)) and whose[1]}
    for effect in (one for one in world.billing.ledger if one.maker not in {"", "before"} and one.who in undos):
        is_own = undos[effect.who] == runs.get(effect.maker)
        # Without a mark, money of the same sum and what names the row are not told from those of others.
        is_alike = not world.load.is_marked and (world.load.op_type or world.load.row_of(effect) is not None)
        # What leaves shortly after that moment may have been looked for before.
        if effect.left - _reads(world) > world.billing.put_back_at and not (is_own or is_alike):
            yield f"{effect.who} has {effect.what} {effect.pk} of {effect.model}, which is another's"


def _once(world: World, entries: list[Entry]) -> Iterator[str]:
    """No row's effect twice, and none lost that is called accepted."""
    taken_away, lost = world.taken_away(world.billing.ledger), list(world.entries(lost=True))
    gone, rows = {one.pk for one in taken_away}, world.rows
    entered = {e.row for e in (*entries, *lost)}
    services = {row_of_comment(one) for one in world.billing.tables["UsersUsluga"].values()}
    services -= {world.load.row_of(one) for one in world.billing.lost}
    restored = {one.pk for one in world.taken_away(world.billing.lost)}
    given = {one.after.get("contract_number") for one in world.billing.ledger}
    begun = {(one.disk, one.run): one.moment - START for one in reversed(world.take_ups)}
    for disk in world.disks:
        for found in disk.all("twice"):
            yield f"row {found['line'] - 1} stands {found['times']} times in {disk.name}"
        stands, in_doubt = disk.rows_that_stand(), {row for _, row in disk.rows_in_doubt()}
        differences = disk.differences()
        for row, (load, cells) in rows.items():
            # What others have made of a row without a mark is seen before its call where one question tells of many.
            is_looked_for = load.is_marked or (load.op_type and world.schedule.by_many)
            own, whose = [e for e in entries if e.disk is disk and e.row == row], Counter[object]()
            for entry in own:
                whose[entry.whose] += entry.sign
            # What the billing has lost: entries, which a person may have entered on top since, and takings back.
            missing = [e for e in lost if e.disk is disk and e.row == row]
            less, again = (sum(e.sign == sign for e in missing) for sign in (1, -1))
            again += sum(entry.effect.pk in restored for entry in own)
            # Looked for before its taking back was lost: without a mark, when its list was made.
            backs = [e.effect.lost for e in missing if e.sign < 0]
            looked = [e.left - _reads(world) if is_looked_for else begun[disk, e.run] for e in own]
            unseen = sum(any(then <= at <= e.left for at in backs) for e, then in zip(own, looked, strict=True))
            # What bears no mark may be found where somebody else has made it, unless it is money.
            is_own = load.is_marked or load.op_type
            total, least = whose.total(), stands[row] - less if is_own else -1
            # A journal that was put back may know less than the billing has, and never more. A run that somebody has
            # ended leaves its rows in doubt to a person. A contract number may be another subscriber's by now: a copy
            # from before its row was read reads it for them, which is not promised to be noticed.
            may_be_more = disk.was_put_back or row in in_doubt or not load.is_marked
            more = sum(entry.effect.pk in gone for entry in own)
            owners = len(whose) if disk.was_put_back and cells[0] in given else 1
            most = more + again + (max(owners, stands[row]) if may_be_more else stands[row])
            if not least <= total <= most or max(whose.values(), default=0) > 1 + more + unseen + differences[row]:
                runs = [f"{entry.run} at {entry.effect.moment:.3f}" for entry in own]
                yield f"row {row}: {stands[row]} times in effect in {disk.name}, {total} times in the billing: {runs}"
            is_gone = load.takes_away and (row - 1) % ROWS + 1 not in services
            if stands[row] and row not in entered and not is_gone:
                yield f"row {row} is in effect in {disk.name}, and was never entered"
    for row in {entry.row for entry in entries if rows[entry.row][0].is_marked}:
        for first, second in pairwise(sorted((e for e in entries if e.row == row), key=lambda e: e.effect.moment)):
            late = second.left - first.effect.moment
            is_other = first.whose != second.whose or first.disk is second.disk or -1 in {first.sign, second.sign}
            is_gone = any(one.pk == first.effect.pk and one.moment <= second.left for one in taken_away)
            is_frozen = world.has_thawed(second.effect.who, second.left - LOOKS, second.left)
            if late > LOOKS and not (is_other or is_gone or is_frozen):
                yield f"row {row} was sent {late:.3f} s after another journal had entered it"


def _second(world: World, entries: list[Entry]) -> Iterator[str]:
    """What one load has entered, the other does not replace without a word, and it does not come to stand twice."""
    if len(world.turns) == 1:
        return
    by_word = {(disk, run["name"]) for disk in world.disks for run in disk.runs() if run["enter"]}
    mine, gone = {one.effect.pk: one for one in entries}, {one.pk for one in world.taken_away(world.billing.ledger)}
    # What somebody has reversed does not count, with what takes it back; and where an id is given again the list does
    # not know that the billing was put back.
    unsure = gone | {one.pk for one in world.billing.lost} - mine.keys()
    for entry in (one for one in entries if one.sign > 0 and one.effect.over and (one.disk, one.run) not in by_word):
        came = [mine[pk].effect for pk in entry.effect.over if pk in mine]
        since = entry.left - _reads(world)
        shown, sums = (
            sum(Decimal(one.after["op_summa"]) for one in came if one.moment < until) for until in (since, inf)
        )
        is_sure = unsure.isdisjoint(entry.effect.over) and not since < world.billing.put_back_at <= entry.left
        if shown and sums and is_sure:
            yield f"row {entry.row} of run {entry.run} has set a balance over {sums} of another run"
    begun = [one.moment - START for one in world.take_ups]
    stands, taken_back = world.disks[0].rows_that_stand(), {e.effect.pk: e.row - ROWS for e in entries if e.sign < 0}
    seen: dict[int | None, float] = {None: inf}
    for effect in world.billing.ledger:
        if effect.what == "created" and effect.pk in world.billing.tables["UsersUsluga"]:
            row = row_of_comment(effect.after)
            if effect.left - _reads(world) > max(seen.get(row, inf), world.billing.put_back_at):
                yield f"the service of row {row} is connected twice"
            seen.setdefault(row, effect.moment)
            # What is in the stacks when a list is made is not seen.
            is_unseen = any(effect.left < moment < effect.moment + _reads(world) for moment in begun)
            is_over = row and row == taken_back.get(effect.pk) and not stands[row]
            if is_over and not (is_unseen or world.billing.lost):
                yield f"the service of row {row} is restored, and its load is taken back"


def _undone(world: World, entries: list[Entry]) -> Iterator[str]:
    """Of a run that is being taken back nothing more is sent."""
    for disk in (one for one in world.disks if not one.was_put_back):
        own = [entry for entry in entries if entry.disk is disk]
        for undo in (run for run in disk.runs() if run["undone"] and run["approved_at"]):
            began = min((entry.effect.moment for entry in own if entry.run == undo["name"]), default=inf)
            for entry in (one for one in own if one.run == undo["undone"] and one.left > began):
                if not world.has_thawed(entry.effect.who, entry.left - LOOKS, entry.left):
                    yield f"row {entry.row} of run {entry.run} was sent {entry.left - began:.3f} s after its undo"


def _order(world: World, entries: list[Entry]) -> Iterator[str]:
    """The rows of an account are entered in the order of the list, but for a frozen process's last call."""
    for disk in (one for one in world.disks if not one.was_put_back):
        sent, found = disk.sent(), defaultdict[tuple[str, str], list[int]](list)
        own = [e for e in entries if e.disk is disk and not world.has_thawed(e.effect.who, e.left - LOOKS, e.left)]
        # What the billing had lost is entered after rows that it has kept.
        lost = {(e.run, e.row) for e in world.entries(lost=True)}
        for entry in (one for one in own if (one.run, one.row) not in lost):
            if (entry.run, entry.row) in sent:
                found[entry.run, sent[entry.run, entry.row]["lane"]].append(entry.row)
        for (run, lane), rows in found.items():
            if lane and rows != sorted(rows):
                yield f"run {run} has entered rows {rows} of {lane} in this order"


def _right(world: World, entries: list[Entry]) -> Iterator[str]:
    """Each entry has type and sum as the journal says, and is of the subscriber who has the number of its row."""
    sent, rows = {disk: disk.sent() for disk in world.disks}, world.rows
    undos = {run["name"] for disk in world.disks for run in disk.runs() if run["undone"]}
    given = {one.after.get("contract_number") for one in world.billing.ledger}
    for entry in entries:
        load, (number, *_) = rows[entry.row]
        if load.op_type and entry.effect.after["op_type_id"] != load.op_type:
            yield f"row {entry.row} was entered with type {entry.effect.after['op_type_id']}"
        row = sent[entry.disk].get((entry.run, entry.row))
        if row and row["amount"] and Decimal(row["amount"]) != (found := Decimal(entry.effect.after["op_summa"])):
            yield f"row {entry.row} of run {entry.run} has {row['amount']} in the journal, and {found} in the billing"
        read = entry.left - _reads(world)
        if entry.run in undos or number not in given or entry.whose in world.billing.had(number, read, entry.left):
            continue
        if not world.has_thawed(entry.effect.who, read, entry.left):
            yield f"row {entry.row} for number {number} was entered for subscriber {entry.whose}, who has another one"


def _steps(world: World) -> Iterator[str]:
    """Of an import each step has its effect once, where its row says, and what the journal has is there."""
    disk, tables = world.disks[0], world.billing.tables
    if len(world.disks) > 1 or disk.was_put_back:
        return
    ours, others = {take_up.process.name for take_up in world.take_ups}, world.billing.ledger
    made = [one for one in others if one.who in ours and one.what == "created" and one.pk in tables[one.model]]
    there, stands = len(made), disk.rows_that_stand().total()
    # What leaves shortly after the billing was put back may need what was seen before.
    lost = {one.lost for one in world.billing.lost}
    sure = [one for one in made if not any(0 <= one.left - at <= _reads(world) for at in lost)]
    named = [(one, str(one.after.get("login") or one.after["name"])) for one in sure]
    for (model, name), times in Counter((one.model, name) for one, name in named).items():
        if times > 1:
            yield f"{name} is {times} times in {model}"
    within: dict[str, str] = {}
    for number, name, path, login in world.table.cells:
        outer, _, folder = path.partition("/")
        within |= {folder: outer, name: folder, login: number}
    for one, name in named:
        whose = one.after.get("abonent_id", one.after.get("parent_id"))
        found = tables["Abonents"].get(int(whose or 0), {})
        if within.get(name) not in {None, found.get("name"), found.get("contract_number")}:
            yield f"{name} is given to {whose} of Abonents, which is {found.get('name')}"
    is_known = not (disk.rows_in_doubt() or world.billing.lost)
    if there != stands and is_known and all(one.who != "somebody" for one in others):
        yield f"{stands} steps are in effect in {disk.name}, and {there} in the billing"


def _as_before(world: World) -> Iterator[str]:
    """Where nobody else has changed anything, what stands is there, and what was undone is as before."""
    disk, tables = world.disks[0], world.billing.tables["AdminAccounts"]
    others = any(one.who == "somebody" and "deleted" not in one.after for one in world.billing.ledger)
    is_quiet = not (others or world.billing.lost or disk.was_put_back or disk.rows_in_doubt())
    if not (world.load.op_type or world.load.is_repeatable) or len(world.disks) > 1 or not is_quiet:
        return
    wanted = dict.fromkeys(tables, Decimal(0)) if world.load.is_repeatable else dict(world.before)
    rows, moments = world.rows, {one.row: one.effect.moment for one in world.entries() if one.sign > 0}
    for row, source in sorted(disk.sources_that_stand(), key=lambda one: moments.get(one[0], 0.0)):
        load, (whose, value, *_) = rows[row]
        if source in world.files:
            table = world.files[source]
            whose, value, *_ = table.cells[table.numbers.index(row)]
        # A later file has the whole sum of a row.
        on_top = wanted if load.op_type == RECEIPT else world.before if load.adds else {}
        wanted[int(whose)] = Decimal(value) + on_top.get(int(whose), 0)
    perhaps = [rows[row][1] for row in disk.rows_perhaps()]
    either = {(int(account), value) for account, amount, *_ in perhaps for value in (Decimal(0), Decimal(amount))}
    for account, there in tables.items():
        found = Decimal(there["limit_warning"]) if world.load.is_repeatable else world.billing.balance(account)
        if found != wanted[account] and (account, found) not in either:
            yield f"account {account} has {found}, and it should have {wanted[account]}"


def _calls(world: World) -> Iterator[str]:
    """Nothing is sent under an old epoch, and never more than the window allows."""
    later = {
        mine.process.name: min((one.moment for one in world.take_ups if one.follows(mine)), default=inf)
        for mine in world.take_ups
    }
    in_flight, sent = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    late: dict[str, float] = {}
    for call in (one for one in world.network.calls if one.process.name in later and one.writes):
        name, left = call.process.name, call.left - START
        in_flight[name] = now = [end for end in in_flight[name] if end > call.left] + [call.ended or inf]
        sent[name] = [moment for moment in sent[name] if moment > call.left - MEASURED] + [call.left]
        most, rate = world.in_force(name, call.left - SPAN, call.left)
        # What had passed the gate when the process was frozen leaves when it goes on.
        if len(now) > most and not world.has_thawed(name, left - SPAN, left):
            yield f"{len(now)} calls of {name} in flight, and {most} may be"
        if rate is not None and len(sent[name]) > rate * MEASURED + IN_FLIGHT + 1:
            yield f"{len(sent[name])} calls of {name} in {MEASURED} s, and {rate} a second may be"
        if call.left > later[name] + max(OLD_EPOCH, world.schedule.lease):
            # One call, which was at its turn when the process was frozen, each time that it goes on.
            if left - late.get(name, -inf) <= LOOKS or not world.has_thawed(name, left - LOOKS, left):
                yield f"{name} sends {call.left - later[name]:.3f} s after its run was taken over"
            late[name] = left


def _verdicts(world: World, entries: list[Entry]) -> Iterator[str]:
    """What `verify` says of a run is what the ledger has of it, less what somebody has reversed."""
    for one in world.verdicts:
        lost = world.entries(lost=True) if world.billing.put_back_at > one.began else ()
        mine = {e.effect.pk: e.effect.moment for e in (*entries, *lost) if e.run == one.run and e.disk is one.disk}
        there = {pk for pk, moment in mine.items() if moment <= one.ended}
        there -= {e.pk for e in world.taken_away(world.billing.ledger) if e.moment < one.began}
        if one.said.as_wanted > len(there):
            yield f"verify has {one.said.as_wanted} rows of {one.run} as wanted, and {len(there)} are there"
        is_late = one.disk.was_put_back or any(moment >= one.began for moment in mine.values())
        others = max(len(world.disks), len(world.turns)) > 1 or any(
            effect.who == "somebody" for effect in world.billing.ledger
        )
        # Of what an undo has taken back that was stopped, the answers may be lost.
        taken_back = sum(e.sign < 0 and e.disk is one.disk and e.effect.moment <= one.ended for e in entries)
        if one.said.different > taken_back and not (others or is_late or world.billing.lost):
            yield f"verify has {one.said.different} rows of {one.run} that differ, and nobody has changed any"


def _ends(world: World) -> Iterator[str]:
    """Each row is accepted, refused with a reason, or with a person."""
    for disk in world.disks:
        for run in (one for one in disk.runs() if one["approved_at"] and not one["ended_at"]):
            left = sum(disk.states(run["name"]).get(state, 0) for state in OPEN)
            if left and not world.waits_for_person(disk, run["name"]):
                yield f"run {run['name']} in {disk.name} has {left} rows left"


RULES = (_once, _second, _put_back, _undone, _order, _right, _verdicts)
