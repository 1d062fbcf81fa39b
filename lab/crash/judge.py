"""The verdict on a round: rules over what the journal has of each row, and what the billing's ledger has.

The books are read once nothing works on journal and billing any more. The rest is a pure function of them: no
process, no file, no clock. Each rule yields what it finds wrong, and counts in the tally what it sees of each row.
The books of a load, of an import and of each billing of a fleet are judged by the same rules, where they apply.
"""

import csv
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import accumulate, groupby
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

import anyio.to_thread
import msgspec

from billing.database.database import Database
from billing.database.dsn import Dsn
from checkpoints.journal import open_journal
from checkpoints.journal_file import JournalAddress
from checkpoints.records import Item
from checkpoints.states import State, may_follow
from jobs.access.payload import payload_of
from jobs.imports.subscriber import Step
from lab.crash.load import (
    NAME,
    RequestedImport,
    RequestedLoad,
    change,
    folder_key,
    live_content,
    money_text,
    step_key,
)
from lab.crash.observer import Observer, Traces
from lab.crash.plan import ExperimentPlan, RoundPlan, Target, What
from lab.crash.program import ExitCode
from lab.crash.trials import OPERATIONS, By, Trial, Wanted, sql
from lab.mock.connection import MockConnection, roubles
from lab.mock.faults import WRONG
from texts.said import counted, said

_MARK: Final = re.compile(r"\[cm ([a-z0-9]+)/([0-9]+)\]")
"""The mark of run and row in a comment, as the documentation has it."""
_SET: Final = frozenset({Step.TARIFF, Step.THRESHOLD, Step.LIMIT})
"""Steps that set a field: sent again, they have the same effect."""
OF_IMPORTS: Final = Trial("import", "", "", (), once=True)


# ---- the evidence -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BookRow:
    """An item of the journal: a row of a load, or the step of a subscriber, where `needs` are the keys before it.

    Its effects are told by its `name`: its mark, or its subject. `wanted` is its amount, or the text that the billing
    shall have. What is `unproven` may be somebody else's, as the program says. Of acts on it, a copy of the journal
    has `forgotten` that it was sent, it was `racing` with another journal, and a stranger has `touched` it: True
    where it must not be sent since.
    """

    key: str
    name: object
    subject: object
    wanted: Wanted
    state: State
    attempts: int
    unproven: bool = False
    forgotten: bool = False
    racing: bool = False
    step: str = ""
    needs: tuple[str, ...] = ()
    message: str = ""
    touched: bool | None = None

    @property
    def has_effect(self) -> bool:
        """Whether the billing has what it asks for, as the journal says; a step may be left out for that."""
        return self.state.in_effect or (bool(self.step) and self.state is State.SKIPPED)


@dataclass(frozen=True, slots=True)
class Effect:
    """An entry of the ledger with its request, or what an import has created or set; `name` is that of its row."""

    model: str
    request: int
    name: object
    subject: object
    value: Wanted | None


@dataclass(slots=True)
class CallSeen:
    """A call that came to a billing from a worker: a write or not, when it came and was answered.

    What came while the billing was busy may have come as `early` as it last looked. All in seconds of the wall clock.
    """

    worker: str
    is_write: bool
    early: float
    came: float
    ended: float = float("inf")


@dataclass(frozen=True, slots=True)
class TakeUp:
    """A process of the machine `host` has taken a run up, at a time of the server's clock, in seconds."""

    run_id: int
    epoch: int
    host: str
    process: int
    at: float


@dataclass(frozen=True, slots=True)
class Dealt:
    """An act on a fleet, from `at` to `until` of the wall clock; `hit` are the runs of the processes it hit."""

    blow: What
    reach: Target
    host: str
    at: float
    until: float
    hit: frozenset[int] = frozenset()

    @property
    def must_be_taken_over(self) -> bool:
        """Whether others have to notice that nobody works on the runs that it hit."""
        return self.blow is What.KILL or (self.blow is What.FREEZE and self.reach is Target.ALL)


@dataclass(frozen=True, slots=True)
class TakeOver:
    """A run that was taken over after an act: how long after it, and how long it may take."""

    billing: str
    after: What
    reach: Target
    seconds: float
    longest: float


@dataclass(frozen=True, slots=True)
class Sending:
    """How a fleet has sent to one billing; `offences` are what the journal shows itself to be wrong with it."""

    plan: RoundPlan
    calls: Sequence[CallSeen]
    take_ups: Sequence[TakeUp]
    offences: Sequence[str]
    take_overs: Sequence[TakeOver]


@dataclass(frozen=True, slots=True)
class Books:
    """The complete final state of a load, of which `requested` is the input.

    `frozen` is the journal's own number and sum of rows over all states; `entered` are those of operations in the
    billing's table, None for a job that creates none. `ends` are the billing's final values by key, None for a job
    whose ledger has them. `steps` counts every step of an item from one state to another. `verified` is the exit code
    of `verify`, None where it was not typed; it must have `named` what two journals have entered. `others` are runs
    of other journals with the same input. With `other_balances` the billing adds where the load assumes that it sets,
    which it must detect. `misled` says that a proxy has called effects refused; an `undone` run was taken back.

    Of an import, `refused` counts the rows that the journal has refused, `balances` are those of new subscribers by
    their numbers, and `orphans` counts rows without their parent by table.
    """

    trial: Trial
    requested: RequestedLoad
    rows: Sequence[BookRow] = ()
    effects: Sequence[Effect] = ()
    steps: Mapping[tuple[str, str], int] = field(default_factory=dict)
    verified: int | None = None
    frozen: tuple[int, Decimal] = (0, Decimal(0))
    entered: tuple[int, Decimal] | None = None
    ends: Mapping[str, Wanted] | None = None
    others: Collection[str] = ()
    other_balances: bool = False
    named: bool = False
    misled: bool = False
    undone: bool = False
    refused: int = 0
    balances: Mapping[str, Decimal] = field(default_factory=dict)
    orphans: Mapping[str, int] = field(default_factory=dict)

    @property
    def imported(self) -> RequestedImport | None:
        return self.requested.imported

    @property
    def by_name(self) -> Mapping[object, Sequence[Effect]]:
        found: defaultdict[object, list[Effect]] = defaultdict(list)
        for effect in self.effects:
            found[effect.name].append(effect)
        return found

    def is_foreign(self, effect: Effect) -> bool:
        return isinstance(effect.name, tuple) and effect.name[0] in self.others

    @property
    def doubled(self) -> Sequence[BookRow]:
        own = {effect.name for effect in self.effects}
        theirs = {effect.subject for effect in self.effects if self.is_foreign(effect)}
        return [row for row in self.rows if row.name in own and row.subject in theirs]


# ---- reading it ---------------------------------------------------------------------------------------------------


async def read_journal(
    journal: Path | JournalAddress,
    trial: Trial,
    requested: RequestedLoad,
    traces: Traces,
    *,
    run: str = "",
    target: str = "",
    made_up: Mapping[str, str] = MappingProxyType({}),
) -> Books:
    """What a journal, on which nothing works any more, has of a run: of a name, or on the billing at an address.

    The values of `made_up` keys were generated by the billing.
    """
    async with open_journal(journal) as opened:
        found = [one for one in await opened.runs() if one.name == run or one.target == target]
        if not found:
            return Books(trial, requested)
        (known,) = found
        items = [item async for page in opened.each_page(known, frozenset(State)) for item in page]
        totals = await opened.totals(known)
    # Of an import a stranger has a subscriber in his hands, with all that belongs to it.
    numbers = {key.partition("/")[0]: must_not for key, must_not in traces.touched.items()}

    def row_of(item: Item) -> BookRow:
        key, wanted = item.key, requested.wanted.get(item.key, "")
        forgotten, racing = key in traces.forgotten, key in traces.racing
        row = BookRow(key, key, key, wanted, item.state, item.attempts, item.unproven, forgotten, racing)
        if requested.imported is not None:
            step, touched = payload_of(item), numbers.get(key.partition("/")[0])
            return replace(row, step=step.step, needs=step.needs, message=item.message or "", touched=touched)
        subject = requested.objects.get(key, 0)
        return replace(
            row,
            name=(known.name, item.number) if trial.by is By.MARK else subject,
            subject=subject,
            wanted=made_up.get(key, wanted if item.amount is None else item.amount),
            unproven=item.unproven and item.state.in_effect,
            touched=traces.touched.get(key),
        )

    rows, frozen = [row_of(item) for item in items], (totals.frozen, totals.amount)
    return Books(trial, requested, rows, frozen=frozen, refused=totals.refused, others=traces.others)


async def read_books(
    plan: ExperimentPlan, requested: RequestedLoad, observer: Observer, billing: Path, run: str, verified: int
) -> Books:
    """The books of a finished load; no process may work on journal or billing any more."""
    trial = plan.trial or OF_IMPORTS
    made_up: Mapping[str, str] = {}
    if trial.file and (path := billing.with_name(trial.file)).exists():
        # From the job's own file; the first column is the key.
        lines = csv.reader(path.read_text(encoding="utf-8-sig").splitlines(), delimiter=";")
        made_up = {trial.key(cells[0]): cells[-1] for cells in lines}
    books = replace(
        await read_journal(observer.path, trial, requested, observer.traces, run=run, made_up=made_up),
        steps=observer.steps(),
        verified=verified,
        other_balances=plan.other_balances,
        misled=plan.proxy is not None and any(kind in WRONG for kind in plan.proxy.shares),
    )
    return await anyio.to_thread.run_sync(_with_billing, books, billing)


def _with_billing(books: Books, billing: Path) -> Books:
    trial, requested = books.trial, books.requested
    with Database(Dsn(str(billing))) as database:
        if requested.imported is not None:
            effects, balances = _held(database, requested.imported.last)
            orphans = {table.strip(): count for table, count in database.query(sql("orphans")) if count}
            return replace(books, effects=effects, balances=balances, orphans=orphans)
        books = replace(books, effects=list(_effects(database, trial)))
        # Counted and summed in the table of the billing too, where it creates some.
        if trial.model == OPERATIONS and trial.sets is None:
            ((count, scaled),) = database.query(sql("entered_operations"), {"before": requested.last})
            books = replace(books, entered=(count, roubles(scaled)))
    if not trial.ends and trial.sets is None:
        return books
    with closing(MockConnection(Dsn(str(billing)))) as connection:
        return replace(books, ends=trial.ends_in(connection, requested.objects))


def mark_in(text: object) -> tuple[str, int] | None:
    """The last mark of run and row in a comment."""
    marks = _MARK.findall(str(text or ""))
    return (marks[-1][0], int(marks[-1][1])) if marks else None


def _effects(database: Database, trial: Trial) -> Iterator[Effect]:
    for model, request, subject, key, what in database.query(sql("effects")):
        written = msgspec.json.decode(what, type=dict[str, object])
        value = written.get(trial.entered)
        entered: Wanted | None = None
        if isinstance(value, str | int | float):
            if trial.kind and written.get("op_type_id") != trial.kind:
                entered = said("{value} as type {type}", value=str(value), type=str(written.get("op_type_id")))
            elif trial.is_money:
                entered = Decimal(str(value))
            else:
                entered = str(int(value) if isinstance(value, bool) else value)
        whose = key if trial.by is By.OBJECT else subject
        name = mark_in(written.get("descr") or written.get("comment")) if trial.by is By.MARK else whose
        yield Effect(model, request, name, whose, entered)


def strangers_have(billing: Path) -> int:
    """How many objects of strangers stand; those of their subscribers are removed, for all else to be compared."""
    with Database(Dsn(str(billing))) as database:
        ((found,),) = database.query(sql("stranger_has"), {"name": NAME})
    change(str(billing), [("stranger_leaves_users", {}), ("stranger_leaves_abonents", {})])
    return int(found)


def changed_tables(billing: Path, requested: RequestedImport) -> list[str]:
    """The tables that differ from what they were before an import; the billing is stopped."""
    return [table for table, digest in live_content(billing).items() if digest != requested.content[table]]


def _held(database: Database, last: int) -> tuple[list[Effect], dict[str, Decimal]]:
    """What new subscribers and folders have, those with an id above `last`, by the keys of the steps of an import.

    And the balances of these subscribers. Read from the tables themselves: the ledger tells what has been done, and
    not what is there. What is there twice has two rows.
    """
    folders = {key: (parent, name or "") for key, parent, name in database.query(sql("folders"))}

    def path(folder: int | None) -> tuple[str, ...]:
        parent, name = folders.get(folder or 0, (None, ""))
        return (*path(parent), name) if folder in folders else ()

    held = [Effect("", 0, own, own, "") for key in folders if key > last for own in [folder_key(path(key))]]
    balances: dict[str, Decimal] = {}
    for number, step, detail, text, money in database.query(sql("held"), {"last": last}):
        if step == "money":
            balances[number] = roubles(int(money))
            continue
        value = (text or "").rstrip() if money is None else money_text(roubles(int(money)))
        if step == Step.SUBSCRIBER:
            value = value.replace("{folder}", "/".join(path(int(detail or 0))))
        key = step_key(number or "", step, "" if step == Step.SUBSCRIBER else detail or "")
        held.append(Effect("", 0, key, key, value))
    return held, balances


# ---- the verdict ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault and the key that it concerns, "" for the whole round."""

    key: str
    what: str

    @property
    def text(self) -> str:
        return said("{key}: {what}", key=self.key, what=self.what) if self.key else self.what


Tally: TypeAlias = Counter[str]
"""Counts of rows by their effect, and of the look-ups on the way.

`once` counts rows with their effect as wanted, `asked` rows left to a person, `twice` rows with a forbidden second
effect, `lost` rows without the effect that they should have, and `repeated` rows with an allowed second effect;
`foreign` effects that are of no row, or that are not allowed.
"""
Found: TypeAlias = Iterator[str | tuple[str, str]]
"""What a rule finds wrong, each behind its key if it has one."""
Rule: TypeAlias = Callable[[Books, Tally], Found]


def judge(books: Books) -> tuple[Tally, list[Problem]]:
    tally = Counter(
        rejected=sum(row.state is State.REJECTED for row in books.rows),
        attempts=sum(row.attempts for row in books.rows),
        unknown=sum(count for (_, target), count in books.steps.items() if target == State.UNKNOWN),
        found=books.steps.get((State.UNKNOWN, State.ACCEPTED), 0),
    )
    rules = (_repeated,) if books.undone else _OF_IMPORTS if books.imported else _OF_LOADS
    found = [one for rule in rules for one in rule(books, tally)]
    return tally, [Problem("", one) if isinstance(one, str) else Problem(*one) for one in found]


def judge_undone(ended: int, changed: Sequence[str]) -> list[Problem]:
    """Judge an import that was taken back: its exit code, and the tables that differ from what they were."""
    problems = [Problem("", said("{table} is not as it was before the import", table=table)) for table in changed]
    if ended != ExitCode.DONE:
        problems.append(Problem("", said("undo ended with {exit}", exit=ended)))
    return problems


def judge_refusal(column: str, exit_code: int, output: str, effects: int) -> list[Problem]:
    """Judge a load that must not begin, for a column: its end, its output, and effects in the ledger."""
    is_named = all(name in " ".join(output.split()) for name in column.split("."))
    if exit_code == ExitCode.REFUSED and is_named and not effects:
        return []
    what = said(
        "{column}: the load had to be refused for it; {effects} effects, ended with {exit}: {answer}",
        column=column,
        effects=effects,
        exit=exit_code,
        answer=output,
    )
    return [Problem("", what)]


# ---- the rules --------------------------------------------------------------------------------------------------


def _inputs(books: Books, _: Tally) -> Found:
    """Each row of the input was frozen once, and nothing else."""
    seen, wanted = Counter(row.key for row in books.rows), books.requested.wanted
    for key in wanted.keys() - seen.keys():
        yield key, said("stands in the input and was never frozen")
    for key, times in seen.items():
        if key not in wanted:
            yield key, said("was frozen and does not stand in the input")
        elif times > 1:
            yield key, said("was frozen {times} times", times=times)


def _rows(books: Books, tally: Tally) -> Found:
    """Each row by itself: its state, the number of its effects, and their value."""
    effects = books.by_name
    settled = {row.subject for row in books.rows if row.state.in_effect}
    for row in books.rows:
        own = effects.get(row.name, ())
        fate = _fate(books, row, own, is_excused=row.subject in settled)
        if fate in {"once", "asked"}:
            tally[fate] += 1
            tally["repeated"] += fate == "once" and len(own) > 1
        elif fate:
            tally["twice"] += books.trial.once and len(own) > 1 and (row.has_effect or not row.state.settled)
            tally["lost"] += row.has_effect and not own
            yield row.key, fate


def _fate(books: Books, row: BookRow, own: Sequence[Effect], *, is_excused: bool) -> str:
    """What is wrong with a row that has these effects; else what it counts as, "" for nothing."""
    times, state, once = _times(own), row.state, books.trial.once
    is_touched = row.touched is not None
    if books.imported:
        if is_touched and not own and not state.settled:
            return "asked"
        may_be_his = row.step != Step.SUBSCRIBER or row.unproven or state is State.SKIPPED
        if is_touched and not own and row.has_effect and may_be_his:
            return ""
    elif (state is State.MANUAL and (books.trial.may_ask or is_touched) and len(own) <= 1) or (
        is_touched and row.unproven and not own
    ):
        return "asked"
    if not state.settled:
        return said("left {state}, with {times}", state=state, times=times)
    if not row.has_effect:
        # A repeatable call is sent again when its answer was lost: the first one may have had its effect and the
        # second be refused, also where a copy of the journal that was put back knows only of the second. Two rows on
        # one account are also a single subject in the ledger.
        repeated = row.attempts > 1 or row.forgotten or is_excused or books.misled
        excused = row.step in _SET if books.imported else not once and repeated
        return said("is {state} and had its effect: {times}", state=state, times=times) if own and not excused else ""
    if not own:
        return said("is {state} and had no effect", state=state)
    if once and len(own) > 1:
        return said("had its effect {times}", times=times)
    return _wrong_value(books, row, own[0]) or "once"


def _wrong_value(books: Books, row: BookRow, effect: Effect) -> str:
    wanted, there = str(row.wanted), effect.value
    if books.trial.once and effect.subject != row.subject:
        return said(
            "was entered for {subject}, request {request}", subject=str(effect.subject), request=effect.request
        )
    if books.trial.once and there != row.wanted:
        return said("asked for {wanted}, entered {value}", wanted=wanted, value=str(there))
    there = row.wanted if books.ends is None else books.ends.get(row.key)
    if there != row.wanted:
        return said("asked for {wanted}, the billing has {value}", wanted=wanted, value=str(there))
    return ""


def _times(effects: Sequence[Effect]) -> str:
    if not effects:
        return said("no effect")
    told = tuple(said("request {request}", request=one.request) if one.request else str(one.value) for one in effects)
    return counted("{n} time[s] ({effects})", len(told), effects=told)


def _strays(books: Books, tally: Tally) -> Found:
    """Effects without a row of the saved list."""
    names = {row.name for row in books.rows}
    for effect in books.effects:
        if effect.model == books.trial.model and (effect.name in names or books.is_foreign(effect)):
            continue
        tally["foreign"] += 1
        if books.imported:
            there = said("is in the billing, and no row asks for it: {value}", value=str(effect.value))
        else:
            there = said(
                "request {request} on {model} is of no row of the frozen list",
                request=effect.request,
                model=effect.model,
            )
        yield str(effect.subject), there


def _others(books: Books, tally: Tally) -> Found:
    """What was sent although a stranger has overtaken it, and rows that two journals have entered.

    Only what was being sent may be entered twice, and has to be named.
    """
    effects = books.by_name
    for row in books.rows:
        if row.touched and row.name in effects:
            tally["foreign"] += 1
            yield row.key, said("was sent over what somebody else has done since the list was made")
    for row in books.doubled:
        if not row.racing:
            tally["twice"] += 1
            yield row.key, said("was entered by another journal as well, long before it was sent")
        elif not books.named:
            yield row.key, said("was entered by another journal as well, and verify does not say it")


def _repeated(books: Books, tally: Tally) -> Found:
    """Rows with two effects, where rows are told by their marks."""
    effects = books.by_name
    for row in books.rows if books.trial.once and books.trial.by is By.MARK else ():
        own = effects.get(row.name, ())
        if len(own) > 1:
            tally["twice"] += 1
            yield row.key, said("had its effect {times}", times=_times(own))


def _sums(books: Books, _: Tally) -> Found:
    requested, (frozen, total) = len(books.requested.wanted), books.frozen
    if frozen != len(books.rows) or frozen != requested:
        yield said("{requested} rows asked, {frozen} in the sum of all states", requested=requested, frozen=frozen)
    if books.entered is None:
        return
    wanted = sum_of(books.requested.wanted.values())
    if total != wanted:
        yield said("asked for {asked}, the journal's states add up to {sum}", asked=wanted, sum=total)
    foreign = [effect for effect in books.effects if books.is_foreign(effect)]
    operations, total = books.entered
    operations, total = operations - len(foreign), total - sum_of(effect.value for effect in foreign)
    there = {effect.subject for effect in books.effects if not books.is_foreign(effect)}
    # A payment whose answer was lost may have been made, although it is left to a person.
    accepted = [
        row.wanted
        for row in books.rows
        if row.state.in_effect
        or (row.state is State.MANUAL and (books.trial.may_ask or row.touched is not None) and row.subject in there)
    ]
    if operations != len(accepted):
        yield said(
            "{accepted} rows accepted, {operations} operations in the billing",
            accepted=len(accepted),
            operations=operations,
        )
    if total != sum_of(accepted):
        yield said("accepted {sum}, in the billing {total}", sum=sum_of(accepted), total=total)


def sum_of(values: Iterable[Wanted | None]) -> Decimal:
    return sum((value for value in values if isinstance(value, Decimal)), Decimal(0))


def _verified(books: Books, _: Tally) -> Found:
    unsettled = [row for row in books.rows if not row.state.settled]
    if books.verified is None or (books.imported and any(row.touched is not None for row in unsettled)):
        # Where steps of a touched subscriber wait for a person, others wait for them.
        return
    entered = any(row.state.in_effect for row in books.rows)
    different = books.doubled or (books.other_balances and entered)
    expected = ExitCode.DONE
    if different or any(row.state is State.REJECTED for row in books.rows):
        expected = ExitCode.REJECTED
    if (books.trial.unreadable and entered) or unsettled:
        expected = ExitCode.UNDECIDED
    if books.verified != expected:
        yield said("verify ended with {verified}", verified=books.verified)


def _steps(books: Books, _: Tally) -> Found:
    """Only allowed steps, and as many intents as the rows count attempts."""
    for source, target in books.steps:
        if not may_follow(State(source), State(target)):
            yield said("an item went from {source} to {target}", source=source, target=target)
    attempts, claims = sum(row.attempts for row in books.rows), books.steps.get((State.PENDING, State.SENDING), 0)
    if attempts != claims:
        yield said("{attempts} attempts in the journal, {claims} intents seen", attempts=attempts, claims=claims)


def _import_totals(books: Books, _: Tally) -> Found:
    """Each new subscriber's balance, to the kopeck; faulty rows are refused, and none lacks its parent."""
    faulty = books.imported.faulty if books.imported else 0
    if books.refused != faulty:
        yield said("faulty rows: {faulty}; refused: {refused}", faulty=faulty, refused=books.refused)
    for table, count in books.orphans.items():
        yield counted("{n} row[s] of {table} [is|are] without [its|their] subscriber or folder", count, table=table)
    has_effect = {row.key: row.wanted for row in books.rows if row.has_effect}
    for number, there in books.balances.items():
        wanted = Decimal(str(has_effect.get(step_key(number, Step.BALANCE), 0)))
        if there != wanted:
            sums = {"there": money_text(there), "wanted": money_text(wanted)}
            yield number, said("the balance is {there}, and {wanted} was entered", **sums)


def _rejections(books: Books, _: Tally) -> Found:
    """What is rejected was refused by the billing, as it was told to, or needs what was."""
    rejected = {row.key for row in books.rows if row.state is State.REJECTED}
    refusals = [text.casefold() for text in books.imported.refusals] if books.imported else []
    for row in books.rows:
        if row.key not in rejected or not rejected.isdisjoint(row.needs) or row.touched is not None:
            continue
        if not any(text in row.message.casefold() for text in refusals):
            yield row.key, said("is rejected, and nothing is wrong with it: {message}", message=row.message)


# ---- what fleets have besides --------------------------------------------------------------------------------------


def judge_sending(sent: Sending) -> list[Problem]:
    return [Problem("", one) for rule in (_pace, _epochs, _taken_over) for one in rule(sent)]


def _pace(sent: Sending) -> Iterator[str]:
    """Never more calls at once, or within a second, than the run allows."""
    plan, writes = sent.plan, [call for call in sent.calls if call.is_write]
    steps = sorted([(call.came, 1) for call in writes] + [(call.ended, -1) for call in writes])
    most = max(accumulate(step for _, step in steps), default=0)
    if most > plan.in_flight:
        yield f"{most} writes were in flight at once, and {plan.in_flight} is the limit"
    # So many calls as may be in flight can be anywhere between the pacing and the billing.
    limit = plan.rate + plan.in_flight + 1
    for kind, some in (("writes", writes), ("reading calls", [call for call in sent.calls if not call.is_write])):
        early = [call.early for call in some]
        most = max((place - bisect_right(early, call.came - 1.0) for place, call in enumerate(some, 1)), default=0)
        if most > limit:
            yield f"{most} {kind} came within a second, and {plan.rate} is the limit"


def _epochs(sent: Sending) -> Iterator[str]:
    """No worker writes after another has taken over from it: later than its lease, or after that one's writes."""
    before = "", -1
    for worker, some in groupby((call for call in sent.calls if call.is_write), attrgetter("worker")):
        moments = [call.early for call in some]
        own = [up for up in sent.take_ups if up.host == worker and up.at <= moments[-1]]
        epoch = max((up.epoch for up in own if up.at <= moments[0]), default=0)
        last = max((up.epoch for up in own), default=0)
        later = [up for up in sent.take_ups if up.epoch > last and up.at + sent.plan.lease < moments[-1]]
        if later:
            after = f"{moments[-1] - later[0].at:.1f} s after {later[0].host} had taken over"
            yield f"{worker} wrote {after}, and its lease was one of {sent.plan.lease:g} s"
        if epoch <= before[1]:
            after = f"came after {before[0]} had written (epoch {before[1]})"
            yield f"{len(moments)} writes of {worker} (epoch {epoch}) {after}"
        else:
            before = worker, epoch
    yield from sent.offences


def _taken_over(sent: Sending) -> Iterator[str]:
    """Others go on with the runs of processes that were killed or frozen, and soon."""
    for late in sent.take_overs:
        if late.seconds > late.longest:
            how = f"{late.after} ({late.reach}), later than {late.longest:g} s"
            yield f"taken over {late.seconds:.1f} s after the {how}"


_OF_BOTH: Final[tuple[Rule, ...]] = (_rows, _strays, _inputs, _steps, _verified)
_OF_LOADS: Final[tuple[Rule, ...]] = (*_OF_BOTH, _others, _sums)
_OF_IMPORTS: Final[tuple[Rule, ...]] = (*_OF_BOTH, _import_totals, _rejections)
