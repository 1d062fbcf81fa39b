"""The sums of a run: what became of each row of its input, in rows and in roubles, to the kopeck; and the tally.

    file = entered + refused before sending + rejected + skipped + merged + open + left out

Each row counts once: a corrected one as the row that took its place, and the money of a merged one with the row that
carries it. All that shows sums of a run takes them from here: its report, the report of a campaign, their check.

The tally of an import has what its table asks for beside what the billing has, by folder, tariff and operator. The
table's side is in the journal: each row has a subscriber step with its groups, whatever became of it. The billing's
side are the live subscribers of the folders that the table names and, of rows that name none, those with their
contract numbers. Both are read page by page; in memory are sums a group, names of the billing, and a bounded number
of extra subscribers.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from decimal import Decimal
from enum import StrEnum
from functools import partial
from types import MappingProxyType
from typing import Final, TypeAlias

from msgspec.structs import replace

from billing.directory.subscribers import FolderMember, members_by_numbers, page_of_folders
from billing.money import AmountError, parse_amount
from checkpoints.journal import Journal
from checkpoints.records import Item, Refusal, Run, Totals
from checkpoints.rows import LaneCounts
from checkpoints.sentences import DIFFERENT, DUPLICATE, NOTHING_STANDS, PART_OF_SUM
from checkpoints.states import State, states_where
from checkpoints.tally import (
    MAX_EXTRA,
    NOTHING,
    ExtraSubscriber,
    ImportTally,
    Subtotal,
    TallyGroup,
    TallyKind,
    arranged,
)
from engine.errors import InputRefused
from engine.job import Row
from jobs.access.gateway import Gateway
from jobs.access.objects import find_by, newest
from jobs.access.payload import OP_TYPE, payload_of
from jobs.effects.creatable_models import CREATABLE_MODELS, since_opening
from jobs.imports.column_map import TABLE_OF_STEP, ColumnMap
from jobs.imports.names_there import NamesThere, read_names
from jobs.imports.subscriber import LANE, Step
from jobs.imports.tables import TableColumns, balance_of_row
from jobs.rows.input import input_of_parameters, job_parameters
from jobs.spec.columns import locate
from jobs.spec.entries import OPERATIONS
from jobs.spec.parameters import row_key
from jobs.spec.spec import JobSpec, Special
from jobs.spec.words import IMPORT, MAP, RUN, SINCE, UNDO

AMOUNT: Final = "amount"
"""The name of the amount among the parameters of the jobs."""


class Effect(StrEnum):
    """What the rows of a run do to the billing."""

    ENTERS = "enters"
    TAKES_BACK = "takes_back"
    RESTORES = "restores"
    """An undo of an undo: what it enters again was counted as entered once."""
    READS = "reads"


@dataclass(frozen=True, slots=True)
class Subscribers:
    """The rows of the table of an import: each is a subscriber with several steps."""

    known: LaneCounts = field(default_factory=LaneCounts)
    refused: int = 0
    left_out: int = 0

    @property
    def complete(self) -> int:
        known = self.known
        return known.all - known.open - known.rejected - known.left_alone

    @property
    def all(self) -> int:
        return self.known.all + self.refused + self.left_out

    def __add__(self, other: "Subscribers") -> "Subscribers":
        known = LaneCounts(
            *(getattr(self.known, one.name) + getattr(other.known, one.name) for one in fields(LaneCounts))
        )
        return Subscribers(known, self.refused + other.refused, self.left_out + other.left_out)


@dataclass(frozen=True, slots=True)
class RunSums:
    """The sums of a run: rows by state, and those that never became part of it.

    Skipped rows do not include the `merged` ones, whose own amounts are those of `merged`, and are in the sums of the
    rows that carry them; the `held_back` ones are rejected, and were never sent. `left_out` rows were not read, so
    nobody knows their amounts. The amounts of an undo are what it takes back, below zero where that was entered above
    zero. `undone` is what other runs have taken back since of all that, and not restored; its rows are counted as
    those of `done`. Of the others `missing` is what the billing did not show as it was sent when it was read back
    last, with what was sent for them. `skipped` are the rows in that state by the code of their reason, as far as the
    journal has it.
    Of a delta they are differences: a row that it skips asks for none, and what a refused one asks for is not known.
    Of an import all of that is said of opening balances; its rows are its `subscribers`. The rows of its undo are
    steps, which take `subscribers` back.
    """

    effect: Effect
    has_money: bool
    states: Mapping[State, Subtotal]
    merged: Subtotal = NOTHING
    refused: Subtotal = NOTHING
    left_out: int = 0
    corrected: int = 0
    subscribers: Subscribers | None = None
    undone: Subtotal = NOTHING
    held_back: Subtotal = NOTHING
    missing: Subtotal = NOTHING
    skipped: Mapping[str, Subtotal] = field(default_factory=dict)

    def of(self, *states: State) -> Subtotal:
        return sum((self.states.get(state, NOTHING) for state in states), NOTHING)

    @property
    def in_effect(self) -> Subtotal:
        return self.of(*states_where(in_effect=True))

    @property
    def whole(self) -> Subtotal:
        """All rows of the input that are known with their amounts: the sum of all that became of them."""
        return sum(self.states.values(), self.refused + Subtotal(self.merged.rows + self.left_out))

    @property
    def asked(self) -> Subtotal:
        """All rows of the input, or subscribers, and their amount."""
        whole = self.whole
        return whole if self.subscribers is None else replace(whole, rows=self.subscribers.all)

    @property
    def settled(self) -> Subtotal:
        """The skipped and merged rows that ask for nothing more: not what differs, nor what an undo leaves alone."""
        undoes = self.effect in {Effect.TAKES_BACK, Effect.RESTORES}
        left = [
            one for kind, one in self.skipped.items() if (kind not in NOTHING_STANDS if undoes else kind == DIFFERENT)
        ]
        return self.of(State.SKIPPED) + Subtotal(self.merged.rows) - sum(left, NOTHING)

    @property
    def not_done(self) -> Subtotal:
        """The rows that ask for something which is not done; the amounts of `unreadable` ones are in no sum."""
        asked = self.whole if self.subscribers else self.asked
        unread = self.refused.unreadable + (self.left_out if self.has_money else 0)
        return replace(asked - self.in_effect - self.settled, unreadable=unread)

    @property
    def done(self) -> Subtotal:
        """The rows that the billing has accepted, or subscribers with all their steps, and their amount."""
        done = self.in_effect
        return done if self.subscribers is None else replace(done, rows=self.subscribers.complete)

    @property
    def standing(self) -> Subtotal:
        """What the billing has now of all that: what is done, less what was undone since or is seen to be missing."""
        left = self.done - self.undone - self.missing
        # Of an import also subscribers can be taken back that were not complete.
        return replace(left, rows=max(left.rows, 0))

    @property
    def is_gone(self) -> bool:
        """Whether all that it has done was undone since."""
        return self.undone.rows > 0 and not self.standing.rows

    @property
    def entered(self) -> Subtotal:
        """What the run has entered: nothing where it takes back, restores or reads."""
        return self.done if self.effect is Effect.ENTERS else NOTHING

    @property
    def taken_back(self) -> Subtotal:
        """What an undo has taken back; what an undo of it has restored counts below zero."""
        rows = {Effect.TAKES_BACK: self.done.rows, Effect.RESTORES: -self.done.rows}.get(self.effect)
        return NOTHING if rows is None else Subtotal(rows, -self.done.amount)


def sums_object(sums: RunSums) -> Mapping[str, object]:
    """The sums for scripts; amounts are plain decimals, and None where a run has no money."""

    def part(one: Subtotal) -> Mapping[str, object]:
        return {"rows": one.rows, "amount": format(one.amount, "f") if sums.has_money else None}

    people = sums.subscribers
    return {
        "effect": sums.effect,
        "file": {**part(sums.asked), "amounts_unreadable": sums.asked.unreadable},
        "entered": part(sums.entered),
        "taken_back": part(sums.taken_back),
        "undone_since": part(sums.undone),
        "standing": part(sums.standing),
        "states": {str(state): part(one) for state, one in sums.states.items() if one.rows},
        "merged": part(sums.merged),
        "refused": {**part(sums.refused), "amounts_unreadable": sums.refused.unreadable},
        "left_out": sums.left_out,
        "corrected": sums.corrected,
        "subscribers": people
        and {
            "complete": people.complete,
            "with_rejected_steps": people.known.rejected,
            "different": people.known.left_alone,
            "not_settled": people.known.open,
            "refused": people.refused,
            "left_out": people.left_out,
        },
    }


def sum_over(runs: Sequence[RunSums], part: Callable[[RunSums], Subtotal]) -> Subtotal:
    return sum(map(part, runs), NOTHING)


async def sums_of(run: Run, journal: Journal, spec: JobSpec | None) -> RunSums:
    """The sums of a run as the journal has them; `spec` is the kind of its job, where that is known.

    Raises `JournalError`.
    """
    totals = await journal.totals(run)
    if run.job == IMPORT and run.purged_at is None:
        return await _of_import(run, totals, journal)
    has_money = any(totals.amounts.values()) or bool(totals.merged) or (spec is not None and enters_money(spec))
    skipped = Subtotal(totals.merged)
    states = {state: Subtotal(rows, totals.amounts[state]) for state, rows in totals.counts.items()}
    if State.SKIPPED in states:
        states[State.SKIPPED] -= skipped
    corrected = states.pop(State.REPLACED, NOTHING).rows
    refused = Subtotal(totals.refused, unreadable=totals.refused if has_money else 0)
    if has_money and totals.refused and run.purged_at is None and SINCE not in run.parameters:
        refused = NOTHING
        async for *_, amount in each_refused(run, journal, spec):
            refused += Subtotal(1, amount or Decimal(0), amount is None)
    return RunSums(
        await effect_of_run(run, journal, spec),
        has_money,
        states,
        Subtotal(totals.merged, totals.merged_amount),
        refused,
        sum(totals.left_out.values()),
        corrected,
        await _taken_back_by(run, journal) if run.job == UNDO and run.purged_at is None else None,
        Subtotal(totals.taken_back, totals.sum_taken_back),
        totals.held_back,
        NOTHING if run.job == UNDO else Subtotal(totals.different, totals.not_as_sent),
        await _skipped(run, totals, journal),
    )


async def _skipped(run: Run, totals: Totals, journal: Journal) -> Mapping[str, Subtotal]:
    """The skipped rows by the code of their reason; an unchanged row of a delta asks for no difference."""
    reasons = await journal.reasons(run, State.SKIPPED, size=1000) if totals.count(State.SKIPPED) else ()
    amounts = 0 if SINCE in run.parameters else 1
    return {one.kind: Subtotal(one.items, amounts * one.amount) for one in reasons if one.kind != PART_OF_SUM}


async def _taken_back_by(undo: Run, journal: Journal) -> Subscribers | None:
    """The subscribers that an undo of an import takes back; None for any other undo."""
    own = [one for one in await journal.step_counts(undo) if one.step == Step.SUBSCRIBER]
    known = LaneCounts(
        all=sum(one.items for one in own),
        open=sum(one.items for one in own if not one.state.settled),
        rejected=sum(one.items for one in own if one.state is State.REJECTED),
        left_alone=sum(one.items for one in own if one.state is State.SKIPPED),
    )
    return Subscribers(known) if own else None


async def _of_import(run: Run, totals: Totals, journal: Journal) -> RunSums:
    states: dict[State, Subtotal] = {}
    skipped: dict[str, Subtotal] = {}
    undone = NOTHING
    for one in await journal.step_counts(run):
        if one.step == Step.BALANCE:
            states[one.state] = states.get(one.state, NOTHING) + Subtotal(one.items, one.amount)
            if one.state is State.SKIPPED:
                skipped[one.kind] = skipped.get(one.kind, NOTHING) + Subtotal(one.items, one.amount)
            undone += Subtotal(0, one.sum_taken_back)
        elif one.step == Step.SUBSCRIBER:
            undone += Subtotal(one.taken_back)
    refused = NOTHING
    async for *_, amount in each_refused(run, journal, None):
        # A row may have no opening balance.
        refused += Subtotal(int(amount != 0), amount or Decimal(0), amount is None)
    left_out, people = sum(totals.left_out.values()), await journal.lane_counts(run, LANE, DIFFERENT)
    return RunSums(
        Effect.ENTERS,
        bool(states) or bool(refused.rows),
        states,
        refused=refused,
        subscribers=Subscribers(people, totals.refused, left_out),
        undone=undone,
        missing=Subtotal(people.unread if totals.different else 0, totals.not_as_sent),
        skipped=skipped,
    )


async def effect_of_run(run: Run, journal: Journal, spec: JobSpec | None) -> Effect:
    """What the rows of a run do to the billing; of an undo it follows from what it takes back."""
    effect = Effect.READS if spec is not None and not spec.writes else Effect.ENTERS
    while run.job == UNDO:
        effect = Effect.RESTORES if effect is Effect.TAKES_BACK else Effect.TAKES_BACK
        run = await journal.run(run.parameters[RUN])
    return effect


def enters_money(spec: JobSpec) -> bool:
    """Whether each row of a job enters a sum, also where none of a run has become part of it."""
    model = CREATABLE_MODELS.get(spec.model)
    return spec.special is Special.PAYMENT or bool(spec.comment and model and model.amount)


# ---- the amounts of refused rows ---------------------------------------------------------------------------------

_CellReader: TypeAlias = Callable[[Sequence[str]], Decimal | None]
"""Reads the amount of a row from its cells. Raises `AmountError`."""


async def each_refused(
    run: Run, journal: Journal, spec: JobSpec | None, after: int = 0
) -> AsyncIterator[tuple[int, Refusal, Decimal | None]]:
    """The refused rows of the input behind this id, each with its own and its amount; None where it cannot be read.

    The journal has only their cells, and the amount may be what is wrong with them. Of an undo, whose rows name those
    of the run that it takes back, it is what would have been taken back. The same journal gives the same amounts: no
    file beside it is read.
    """
    taken = await journal.run(run.parameters[RUN]) if run.job == UNDO else None
    read: _CellReader = (lambda _: None) if taken else await _cell_reader(run, journal, spec)
    while page := await journal.refusals(run, after=after):
        after = page[-1][0]
        numbers = [int(one.row[1]) if one.row[1:] else 0 for _, one in page] if taken else []
        entered = await journal.amounts_of_rows(taken, numbers) if taken else {}
        for place, (refusal_id, refusal) in enumerate(page):
            amount = None
            if taken:
                carried = entered[numbers[place]].carries if numbers[place] in entered else None
                amount = None if carried is None else -carried
            # A cell too many or too few shifts all others.
            elif refusal.row and len(refusal.row) == len(run.header):
                with suppress(AmountError):
                    amount = read(refusal.row)
            yield refusal_id, refusal, amount


async def _cell_reader(run: Run, journal: Journal, spec: JobSpec | None) -> _CellReader:
    given = input_of_parameters(run.parameters).mapping
    if run.job == IMPORT and run.parameters.get(MAP):
        return await _balance_of_map_file(run, journal)
    if run.job == IMPORT:
        # The opening balance in a row of the table, by its titles and the columns that were given.
        tables = {step: run.parameters.get(name, "") for step, name in TABLE_OF_STEP.items()}
        try:
            columns = TableColumns(run.source, run.header, ColumnMap().with_tables(tables).with_pairs(given))
        except InputRefused:
            return lambda _: None
        return lambda cells: parse_amount(balance_of_row(columns, Row(None, tuple(cells))) or "0")
    if spec is None:
        return lambda _: None
    wanted = {one.name: one.columns or () for one in spec.parameters if one.name == AMOUNT}
    taken = {title.strip() for name, title in given.items() if name != AMOUNT}
    try:
        mapping = {name: title for name, title in given.items() if name == AMOUNT}
        column = locate(run.source, run.header, wanted, mapping).get(AMOUNT)
    except InputRefused:
        # Several columns fit.
        column = None
    if column is not None and column.name not in taken:
        place = column.place
        return lambda cells: parse_amount(cells[place])
    for_all = job_parameters(run.parameters).get(AMOUNT, "")
    return lambda _: parse_amount(for_all)


async def _balance_of_map_file(run: Run, journal: Journal) -> _CellReader:
    """The same where a map file says it, which may be gone: by the column that has the balances of the other rows.

    Of several such columns all have to say the same.
    """
    known: list[tuple[Sequence[str], Decimal]] = []
    async for page in journal.each_page(run, frozenset(State)):
        persons = ((item.row, payload_of(item).groups.get(_BALANCE)) for item in page)
        known += [(row, Decimal(text)) for row, text in persons if text and len(row) == len(run.header)]
        if len(known) >= _ENOUGH:
            break
    columns = [
        (place, sign)
        for place in range(len(run.header) if known else 0)
        for sign in (1, -1)
        if all(_said_in(row[place], sign) == balance for row, balance in known)
    ]

    def balance(cells: Sequence[str]) -> Decimal | None:
        said_there = {_said_in(cells[place], sign) for place, sign in columns}
        return said_there.pop() if len(said_there) == 1 else None

    return balance


_ENOUGH: Final = 1_000
"""Rows whose balances tell the column."""


def _said_in(cell: str, sign: int) -> Decimal | None:
    """The amount in a cell; an empty one says nothing of an opening balance."""
    try:
        return sign * parse_amount(cell) if cell.strip() else Decimal(0)
    except AmountError:
        return None


# ---- the tally of an import ---------------------------------------------------------------------------------------


PAGE: Final = 2_000
"""Subscribers of the billing that are read at a time."""

_BALANCE: Final = "balance"
"""The group of a subscriber step that holds the opening balance of its row."""

_PARTS: Final = ("file", "billing", "not_entered", "moved", "extra")
_COUNTED: Final = frozenset(State) - {State.REPLACED}
_REFERENCES: Final[Mapping[TallyKind, str]] = MappingProxyType(
    {TallyKind.FOLDER: "Folder", TallyKind.TARIFF: "Tarif", TallyKind.OPERATOR: "Operator"}
)
"""The names of the kinds among the references of the billing."""


async def tally_of(run: Run, gateway: Gateway, journal: Journal) -> ImportTally:
    """The tally of an import as the billing is now. Raises `LookUpFailed`, also without a database."""
    sums = _Sums()
    await _add_table(run, journal, sums)
    names = await read_names(gateway, tuple(_REFERENCES.values()))
    sums.number_folders(names)
    await _add_billing(run, gateway, journal, sums)
    groups = list(sums.groups(names))
    return ImportTally(
        arranged(groups),
        sum(one.is_different for one in groups),
        (await journal.totals(run)).refused,
        sums.extra,
        tuple(sums.first_extra),
    )


@dataclass(slots=True)
class _Sums:
    """The parts of all groups, by their names in `TallyGroup`.

    The key of a folder is its id or, until the folders are numbered, its path.
    """

    parts: defaultdict[tuple[TallyKind, str, str], Subtotal] = field(default_factory=lambda: defaultdict(Subtotal))
    made: dict[str, str] = field(default_factory=dict)
    """The ids of folders that the run has made, by the keys of their items."""
    extra: int = 0
    first_extra: list[ExtraSubscriber] = field(default_factory=list)

    def add(self, kind: TallyKind, key: str, part: str, balance: Decimal | None, subscribers: int = 1) -> None:
        self.parts[kind, key, part] += Subtotal(subscribers, balance or Decimal(0))

    def keys(self, kind: TallyKind) -> list[str]:
        return list(dict.fromkeys(key for of, key, _ in self.parts if of is kind))

    def number_folders(self, names: NamesThere) -> None:
        """Give the folders that are named by a path their ids, as far as they are there."""
        for kind, path, part in list(self.parts):
            if kind is TallyKind.FOLDER and path and not path.isdecimal():
                named = names.named(_REFERENCES[kind], path)
                known = str(named[0].id) if len(named) == 1 else path
                number = self.made.get(row_key((Step.FOLDER, path)), known)
                if number != path:
                    self.parts[kind, number, part] += self.parts.pop((kind, path, part))

    def groups(self, names: NamesThere) -> Iterator[TallyGroup]:
        for kind in TallyKind:
            keys = self.keys(kind)
            if any(key and self.parts.get((kind, key, "file")) for key in keys):
                for key in keys:
                    found = names.get(_REFERENCES[kind], int(key)) if key.isdecimal() else None
                    file, billing, lost, moved, extra = (
                        self.parts.get((kind, key, part), NOTHING) for part in _PARTS
                    )
                    yield TallyGroup(kind, key, found.names[0] if found else "", file, billing, lost, moved, extra)


# ---- the table, as the journal has it ---------------------------------------------------------------------------


async def _add_table(run: Run, journal: Journal, sums: _Sums) -> None:
    lane, groups = "", MappingProxyType[str, str]({})
    async for page in journal.each_page(run, _COUNTED):
        for item in page:
            payload = payload_of(item)
            is_entered = item.state.in_effect or (item.state is State.SKIPPED and not _differs(item))
            match payload.step:
                case Step.FOLDER if item.state.in_effect and item.answer:
                    sums.made[item.key] = item.answer
                case Step.SUBSCRIBER if not (item.state is State.SKIPPED and item.kind == DUPLICATE):
                    # The other steps of the row are behind it.
                    lane, groups = item.lane, MappingProxyType(payload.groups)
                    for kind in TallyKind:
                        sums.add(kind, groups.get(kind, ""), "file", _stated(groups))
                        if not (is_entered or _differs(item)):
                            sums.add(kind, groups.get(kind, ""), "not_entered", None)
                case Step.BALANCE if item.lane == lane and not is_entered:
                    for kind in TallyKind:
                        sums.add(kind, groups.get(kind, ""), "not_entered", _stated(groups), 0)
                case _:
                    pass


def _differs(item: Item) -> bool:
    """Whether a step has left what was there as it was: a subscriber is there all the same, its balance is not."""
    return item.kind == DIFFERENT


def _stated(groups: Mapping[str, str]) -> Decimal | None:
    """The opening balance of a row, None if it has none."""
    return Decimal(groups[_BALANCE]) if groups.get(_BALANCE) else None


# ---- the billing ------------------------------------------------------------------------------------------------


async def _add_billing(run: Run, gateway: Gateway, journal: Journal, sums: _Sums) -> None:
    keys, after = sums.keys(TallyKind.FOLDER), 0
    folders = frozenset(int(key) for key in keys if key.isdecimal())
    while page := await gateway.read(partial(page_of_folders, folders=folders, after=after, size=PAGE)):
        after = page[-1].id
        await _add_page(page, run, gateway, journal, sums, of_folders=True)
    if "" not in keys:
        return
    async for items in journal.each_page(run, _COUNTED):
        # The subscribers of rows that name no folder, wherever the billing has put them.
        payloads = [(item, payload_of(item)) for item in items]
        numbers = {
            item.lane.removeprefix(LANE)
            for item, payload in payloads
            if payload.step == Step.SUBSCRIBER and not payload.groups.get(TallyKind.FOLDER)
        }
        if numbers:
            page = await gateway.read(partial(members_by_numbers, numbers=numbers))
            await _add_page(page, run, gateway, journal, sums, of_folders=False)


async def _add_page(
    page: Sequence[FolderMember], run: Run, gateway: Gateway, journal: Journal, sums: _Sums, *, of_folders: bool
) -> None:
    keys = [_key(one, step) for one in page for step in (Step.SUBSCRIBER, Step.BALANCE)]
    items = {one.key: one for one in await journal.items_by_key(run, keys)}
    known: list[tuple[FolderMember, Mapping[str, str], Decimal]] = []
    for one in page:
        item = items.get(_key(one, Step.SUBSCRIBER))
        if item is None or item.state is State.REPLACED:
            sums.add(TallyKind.FOLDER, str(one.folder or ""), "extra", one.balance)
            sums.extra += 1
            if len(sums.first_extra) < MAX_EXTRA:
                extra = ExtraSubscriber(one.id, one.contract_number, one.name, one.folder, one.balance)
                sums.first_extra.append(extra)
            continue
        own = payload_of(item).groups
        if of_folders is bool(own.get(TallyKind.FOLDER)):
            stated = _stated(own)
            # By how much its balance is another one than its row says.
            known.append((one, own, Decimal(0) if stated is None else one.balance - stated))
    entries = {member.id: items.get(_key(member, Step.BALANCE)) for member, _, gap in known if gap}
    latest = await newest(gateway, entries) if entries else {}
    # What an earlier run has entered is told by the operations themselves.
    skipped = [
        one for one, entry in entries.items() if entry and entry.state is State.SKIPPED and not _differs(entry)
    ]
    model = CREATABLE_MODELS[OPERATIONS]
    asked = (
        await find_by(gateway, OPERATIONS, "abonent_id", skipped, model.fields((model.amount, OP_TYPE)))
        if skipped
        else {}
    )
    for member, groups, gap in known:
        entry, was_moved = entries.get(member.id), False
        if entry and member.id in asked:
            opening, since = since_opening(asked[member.id])
            was_moved = bool(since and opening and Decimal(opening.values[model.amount] or 0) == _stated(groups))
            was_moved = was_moved or latest[member.id] > (payload_of(entry).newest or latest[member.id])
        elif entry and entry.answer and entry.answer.isdecimal():
            was_moved = latest[member.id] > int(entry.answer)
        there = {
            TallyKind.FOLDER: member.folder,
            TallyKind.TARIFF: member.tariff,
            TallyKind.OPERATOR: member.operator,
        }
        for kind, key in there.items():
            # What a row does not say of its subscriber is not compared.
            group = str(key or "") if groups.get(kind) else ""
            sums.add(kind, group, "billing", None if _stated(groups) is None else member.balance)
            if was_moved:
                sums.add(kind, group, "moved", gap)


def _key(one: FolderMember, step: Step) -> str:
    return row_key((one.contract_number, step, ""))
