"""The job of an import: rows of a table become subscribers, and these the items of their steps; a trial run's sample.

main table + joined tables ──▶ SubscriberReader ──▶ names become ids ──▶ InputChecks ──▶ SubscriberSteps ──▶ items

The files beside the table are part of a run's identity, and have to be the same when its rows are read on. A run
whose rows are all read needs none of them.

The sample of a trial run are few rows that have together all that the whole table has. They are chosen greedily: the
next one is that which adds most of what no chosen row has, the first of several. The table is read once before.
Memory does not grow with it: of rows that have the same traits one is kept, and of more than `MOST` different ones
only those that have a trait of their own.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import cache, cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import anyio
import anyio.from_thread
import anyio.to_thread

from checkpoints.records import Item
from engine.errors import InputRefused
from engine.job import DerivedSource, LastLine, Prepared, Row, RowPage, Source
from engine.sources.detect import open_input
from engine.sources.sample import Layout
from jobs.access.gateway import Gateway
from jobs.access.objects import References, replaces_balance
from jobs.access.payload import decode_payload, payload_of
from jobs.effects.reverse import way_that_sends
from jobs.effects.subscriber_plan import FolderTree
from jobs.effects.subscriber_steps import SubscriberSteps
from jobs.imports.column_map import STEP_OF_TABLE, TABLE_OF_STEP, ColumnMap, read_map
from jobs.imports.dictionary import (
    LISTED,
    Dictionary,
    NameLookup,
    faults_there,
    read_dictionary,
    refuse_entries,
)
from jobs.imports.fields import SEVERAL, FieldTable, part_key, untried_fields
from jobs.imports.input_checks import InputChecks
from jobs.imports.names_there import FOLDER as KIND_OF_FOLDERS
from jobs.imports.names_there import NamesThere, noun_of, plain_name, read_names
from jobs.imports.subscriber import (
    FOLDER_ID,
    OF_ALL_ROWS,
    PATH,
    STEP_NAMES,
    Judged,
    Part,
    Place,
    Stage,
    Step,
    Subscriber,
    Value,
    ValueFault,
)
from jobs.imports.tables import BALANCE, JoinedTables, SubscriberReader, TableColumns
from jobs.job import BillingJob
from jobs.rows.input import Input, KeyColumns, Selected, open_rows, refuse_changed
from jobs.spec.columns import Assigned, Column
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import JobSpec
from jobs.spec.words import ALIKE, DICTIONARY, FOLDER, MAP, SAMPLE, TABLES, YES
from texts.said import Quantity, Said, counted, enumerated, in_lines, said, setting, text_of, wording

# ---- the sample of a trial run ------------------------------------------------------------------------------------


BY_SAMPLE: Final = "--sample"
"""The reason for rows left out, as the journal keeps it."""

MOST: Final = 100_000
"""Different traits that are kept apart, and mixtures of them; a table has some thousand."""

_NAMED: Final = 5
"""Traits of a sort that a note names."""
_KIND_OF_ROW: Final = "row"
_Numbers: TypeAlias = tuple[int, ...]

Judge: TypeAlias = Callable[[Sequence[Row]], Sequence[Judged]]
"""What rows are, once they were read: those with faults are not chosen."""


class Trait(NamedTuple):
    """What a row can have and a sample should: its sort (a kind of reference, or `_KIND_OF_ROW`), and which."""

    sort: str
    text: str


@dataclass(frozen=True, slots=True)
class SampleFacts:
    """What a sample came to: the lines of its rows, and how much of each sort of trait they have.

    `needed` is the number of rows that would have everything; `faulty` rows were not chosen from.
    """

    lines: frozenset[int]
    rows: int
    faulty: int
    needed: int
    all: Counter[str]
    covered: Counter[str]
    missing: tuple[Trait, ...]

    @property
    def notes(self) -> tuple[Said, ...]:
        sorts = (
            said(
                "{sort}: {covered} of {all}",
                sort=said("kind of row") if sort == _KIND_OF_ROW else noun_of(sort),
                covered=Quantity(self.covered[sort]),
                all=Quantity(number),
            )
            for sort, number in self.all.items()
        )
        told = [
            counted(
                "a sample of {n} row[s] out of {rows}: {sorts}",
                len(self.lines),
                rows=Quantity(self.rows),
                sorts=enumerated(sorts),
            )
        ]
        by_sort: defaultdict[str, list[Trait]] = defaultdict(list)
        for one in self.missing:
            by_sort[one.sort].append(one)
        shown = [one for one in self.missing if one in by_sort[one.sort][:_NAMED]]
        if shown:
            absent = said(
                "not in the sample: {traits}{more}; {flag} has everything",
                traits=enumerated(
                    one.text
                    if one.sort == _KIND_OF_ROW
                    else said("{noun} {name!r}", noun=noun_of(one.sort), name=one.text)
                    for one in shown
                ),
                more=said(" and more") if len(shown) < len(self.missing) else "",
                flag=setting("sample", str(self.needed)),
            )
            told.append(absent)
        if self.faulty:
            told += [counted("{n} row[s] [has|have] faults and [is|are] not chosen from", self.faulty)]
        return tuple(told)


class RowSample:
    """Chooses `size` rows. It is a stage as well, the first one: it sees the names before they become ids."""

    def __init__(self, size: int, fields: FieldTable) -> None:
        self._size = size
        self._references = {
            **fields.references,
            (Step.FOLDER, PATH): KIND_OF_FOLDERS,
            (Step.FOLDER, FOLDER_ID): KIND_OF_FOLDERS,
        }
        self._traits: dict[Trait, int] = {}
        self._seen: dict[int, _Numbers] = {}

    def __call__(self, subscriber: Subscriber) -> tuple[Subscriber, Sequence[ValueFault]]:
        if (line := subscriber.row.line) is not None:
            traits = traits_of(subscriber, self._references)
            known = (one for one in traits if one in self._traits or len(self._traits) < MOST)
            self._seen[line] = tuple(sorted({self._traits.setdefault(one, len(self._traits)) for one in known}))
        return subscriber, ()

    def choose(self, source: Source, judge: Judge) -> SampleFacts:
        """Read all rows, and choose; used in a worker thread. Raises `InputRefused`."""
        rows = faulty = 0
        there: set[int] = set()
        # Of rows that have the same traits the first stands for all. Others only fill up the sample.
        firsts: dict[_Numbers, int] = {}
        others: list[int] = []
        for page in source.pages(None):
            rows += len(page.rows) + len(page.refusals)
            faulty += len(page.refusals)
            for one in judge(page.rows):
                if (line := one.subscriber.row.line) is None:
                    raise InputRefused(
                        "{file}: its rows have no lines, so no sample can be chosen: leave {flag} out",
                        file=source.name,
                        flag=setting("sample"),
                    )
                if one.faults:
                    faulty += 1
                    continue
                numbers = self._seen.get(line, ())
                if len(firsts) < MOST or not there.issuperset(numbers):
                    firsts.setdefault(numbers, line)
                there.update(numbers)
                if len(others) < 2 * self._size:
                    others.append(line)
            self._seen.clear()
        chosen = [*_greedy(firsts)]
        lines = {line for line, _ in chosen[: self._size]}
        covered = {number for _, numbers in chosen[: self._size] for number in numbers}
        further = (line for line in dict.fromkeys((*firsts.values(), *others)) if line not in lines)
        lines.update(islice(further, self._size - len(lines)))
        # A trait of faulty rows alone is none of the sample's.
        traits = [one for one, number in self._traits.items() if number in there]
        missing = tuple(one for one in traits if self._traits[one] not in covered)
        everything = Counter(one.sort for one in traits)
        has = everything - Counter(one.sort for one in missing)
        return SampleFacts(frozenset(lines), rows, faulty, len(chosen), everything, has, missing)


class Sampled(DerivedSource):
    """The rows of a sample; the others are counted as left out, also those that cannot be read."""

    __slots__ = ("_chosen",)

    def __init__(self, inner: Source, choose: Callable[[], SampleFacts]) -> None:
        super().__init__(inner)
        self._chosen = cache(choose)

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._inner.notes, *self._chosen().notes)

    def pages(self, after: str | None) -> Iterator[RowPage]:
        lines = self._chosen().lines
        for page in self._inner.pages(after):
            rows = tuple(row for row in page.rows if row.line in lines)
            left = len(page.rows) - len(rows) + len(page.refusals)
            left_out = Counter(page.left_out) + Counter({BY_SAMPLE: left})
            yield RowPage(rows, (), page.cursor, dict(left_out))


def in_folder(folder: str, *, is_id: bool) -> Stage:
    """The stage that puts every subscriber into one folder, given by its id or by its path."""
    part = Part(Step.FOLDER, {FOLDER_ID if is_id else PATH: Value(folder)})

    def put(subscriber: Subscriber) -> tuple[Subscriber, Sequence[ValueFault]]:
        others = (one for one in subscriber.parts if one.step is not Step.FOLDER)
        return replace(subscriber, parts=(part, *others)), ()

    return put


# ---- what a row has ---------------------------------------------------------------------------------------------


_COUNTS: Final = (wording("without {step}"), wording("with {step}"), wording("with several of: {step}"))
_SIGNS: Final[Mapping[str, Said]] = {
    "+": said("opening balance above zero"),
    "-": said("opening balance below zero"),
    "0": said("opening balance of zero"),
    "": said("opening balance that is no number"),
}


def traits_of(subscriber: Subscriber, references: Mapping[tuple[Step, str], str]) -> Iterator[Trait]:
    for part in subscriber.parts:
        for name, value in part.values.items():
            if kind := references.get((part.step, name)):
                yield Trait(kind, plain_name(value.text))
            elif part.step is Step.BALANCE:
                try:
                    amount = Decimal(value.text)
                    sign = "+" if amount > 0 else "-" if amount < 0 else "0"
                except InvalidOperation:
                    sign = ""
                yield Trait(_KIND_OF_ROW, _SIGNS[sign])
            else:
                yield _of_row(part.step, name)
    for step in Step:
        if step is not Step.SUBSCRIBER:
            yield _of_row(step, min(len(subscriber.of(step)), 2))


@cache
def _of_row(step: Step, what: str | int) -> Trait:
    """That a row has a field of a step, or none, one or several of it."""
    if isinstance(what, int):
        return Trait(_KIND_OF_ROW, said(_COUNTS[what], step=STEP_NAMES[step]))
    return Trait(_KIND_OF_ROW, said("{step} with {field}", step=STEP_NAMES[step], field=what))


# ---- choosing ---------------------------------------------------------------------------------------------------


def _greedy(firsts: Mapping[_Numbers, int]) -> Iterator[tuple[int, _Numbers]]:
    """The lines in the order in which they add most, each with what it adds, until nothing is left to add.

    What a row adds only falls while others are chosen. So a pass that takes every row which adds as much as the best
    one can takes the rows of a greedy choice, and what is left of the others is all that the next pass reads.
    """
    covered: set[int] = set()
    left = [(line, numbers) for numbers, line in firsts.items()]
    while best := max((len(numbers) for _, numbers in left), default=0):
        passed, left = left, []
        for line, numbers in passed:
            adds = tuple(number for number in numbers if number not in covered)
            if len(adds) == best:
                covered.update(adds)
                yield line, adds
            elif adds:
                left.append((line, adds))


# ---- the job ------------------------------------------------------------------------------------------------------


_NAMES_TOLD: Final = 20
"""Names without an id that are told at once; each of them is told with its rows."""

UNDOCUMENTED: Final = frozenset({"Abonents", "Users"})
"""The models of which nothing public says that `objects.create` takes them [?]."""


class ImportJob(BillingJob):
    """A job whose rows are subscribers of a table; each row makes several items, its steps.

    One that `only_checks` goes on where an import would be refused, as if that were mended: it names the `refusals`,
    the faults of its dictionary, and its `proposals` that nobody has confirmed.
    """

    effect: SubscriberSteps
    only_checks = False

    def __init__(
        self, gateway: Gateway, kind: JobSpec, parameters: Mapping[str, str], rows: Input, effect: SubscriberSteps
    ) -> None:
        super().__init__(kind.name, gateway, effect)
        self._kind = kind
        self._parameters = parameters
        self._rows = rows
        self._stages: list[Stage] = []
        self._lookup: NameLookup | None = None
        self._checks: InputChecks | None = None
        self._doubtful: ValueFault | None = None
        self._stays = False
        self.refusals: list[str] = []
        self.entry_faults: list[ValueFault] = []
        self.proposals: Sequence[ValueFault] = ()
        self._one_at_a_time = anyio.Lock()

    # ---- the tables ----

    @cached_property
    def _reader(self) -> SubscriberReader:
        """The reader of the tables. Raises `InputRefused`."""
        for one in self._kind.parameters:
            if one.reads_file and (path := self._parameters.get(one.name)):
                refuse_changed(one.name, Path(path), self._parameters.get(one.digest_name))
        if not self._rows.file:
            raise InputRefused(said("an import reads a table: name its file, or - for standard input"))
        main = open_rows(self._gateway, self._rows, {}, own=None, says_all=False)
        return SubscriberReader(main, self._map, self._stages, self._gateway.vault, goes_on=self.only_checks)

    @cached_property
    def source(self) -> Source:
        """The main table. Raises `InputRefused` where it, or a file beside it, is missing or has changed."""
        reader, rows = self._reader, self._rows
        source = reader.source
        if rows.limit or rows.only or rows.exclude:
            keys = KeyColumns(None, reader.columns.number.columns[0].place)
            source = Selected(source, keys, self._gateway, limit=rows.limit, only=rows.only, exclude=rows.exclude)
        if self._parameters.get(SAMPLE):
            source = Sampled(source, partial(self._choose, reader, source))
        return source

    @cached_property
    def _map(self) -> ColumnMap:
        """The map with what was given beside it. Raises `InputRefused`."""
        file = self._parameters.get(MAP)
        tables = {STEP_OF_TABLE[name]: path for name in TABLES if (path := self._parameters.get(name))}
        columns = read_map(Path(file)) if file else ColumnMap()
        return columns.with_tables(tables).with_pairs(self._rows.mapping)

    def _choose(self, reader: SubscriberReader, source: Source) -> SampleFacts:
        """Choose the rows of the sample; used in a worker thread. Raises `InputRefused` and `LookUpFailed`."""
        checks = anyio.from_thread.run(self._ready)
        judge_one = anyio.from_thread.run(checks.survey)
        sample = RowSample(int(self._parameters[SAMPLE]), self._map.fields)

        def judge(rows: Sequence[Row]) -> list[Judged]:
            judged = reader.examine(rows, only_seen=True)
            for one in judged:
                judge_one(one)
            return judged

        # It notes what each row has, and names before they become ids.
        self._stages.insert(0, sample)
        try:
            return sample.choose(source, judge)
        finally:
            self._stages.remove(sample)

    # ---- reading ----

    async def _ready(self) -> InputChecks:
        """The checks of the rows, once the names of the billing are read. Raises `InputRefused`, `LookUpFailed`."""
        async with self._one_at_a_time:
            if self._checks is None:
                reader = await anyio.to_thread.run_sync(lambda: self._reader)
                names = await read_names(self._gateway)
                self.effect.folders = FolderTree(names)
                dictionary = await self._dictionary(names)
                if folder := self._parameters.get(FOLDER):
                    self._stages.append(in_folder(folder, is_id=folder.isdecimal()))
                self._lookup = NameLookup(dictionary, self._map.fields, names, self._rows.file, self._read_by())
                self._stages.append(self._lookup)
                alike = self._parameters.get(ALIKE) == YES
                checks = InputChecks(self._gateway, reader, self._map.fields, alike=alike)
                await self._check_map(checks, self._lookup, names)
                self._checks = checks
        return self._checks

    async def _dictionary(self, names: NamesThere) -> Dictionary | None:
        """The dictionary, its ids checked against the billing. Raises `InputRefused` and `LookUpFailed`."""
        path = self._parameters.get(DICTIONARY)
        if not path:
            return None
        faults: list[ValueFault] = []
        read = partial(read_dictionary, Path(path), is_checked=not self.only_checks, faults=faults)
        dictionary = await anyio.to_thread.run_sync(read)
        faults += await faults_there(dictionary, names, References(self._gateway))
        if not self.only_checks:
            refuse_entries(dictionary.file, faults)
        self.entry_faults = [replace(one, place=replace(one.place, table=dictionary.file)) for one in faults]
        self.proposals = dictionary.proposals
        return dictionary

    def _read_by(self) -> list[tuple[str, str]]:
        """The settings that say to `dictionary` how this input is read."""
        given = {MAP: self._parameters.get(MAP), **{name: self._parameters.get(name) for name in TABLES}}
        settings = [(name, path) for name, path in given.items() if path]
        return settings + [(MAP, f"{name}={column}") for name, column in self._rows.mapping.items()]

    async def _check_map(self, checks: InputChecks, lookup: NameLookup, names: NamesThere) -> None:
        """Check what the map says of all rows: columns that fit, and constants. Raises as `_ready`."""
        tables, faults = self._reader.all_columns, list[str]()
        for fault in (one for table in tables for one in table.faults):
            listed = tuple(f"{one.id} {one.names[0]}" for one in names.live(fault.kind)[:LISTED])
            why = fault.why
            faults.append(said("{why}; the billing has: {listed}", why=why, listed=listed) if listed else why)
        # Folders by their path are found, or created.
        constants = [one for table in tables for one in table.used if one.rule.value and one.step is not Step.FOLDER]
        parts = [Part(one.step, {one.name: Value(one.rule.value or "")}) for one in constants]
        for one, wrong in zip(constants, await checks.check_constants(parts, lookup), strict=True):
            faults += [
                said("{where}: {field}: {why}", where=one.rule.where, field=one.name, why=fault.reason)
                for fault in wrong
            ]
        self._refuse(*faults)

    def _refuse(self, *faults: str) -> None:
        """Raise `InputRefused` with these faults of the whole input, or keep them for who only checks."""
        if faults and not self.only_checks:
            raise InputRefused(in_lines(faults))
        self.refusals += faults

    async def judge(self, rows: Sequence[Row]) -> list[Judged]:
        """The subscribers of rows with all that is found of them. Raises `InputRefused` and `LookUpFailed`."""
        judged = await (await self._ready()).judge(rows)
        if self.only_checks:
            for one in judged:
                # A constant has no place in the row.
                one.faults = [replace(it, reason=OF_ALL_ROWS) if it.place == Place() else it for it in one.faults]
            await self._try_plan([one for one in judged if not one.faults])
        return judged

    async def _try_plan(self, judged: Sequence[Judged]) -> None:
        """Add the faults for which the plan would refuse these subscribers. Raises `LookUpFailed`."""
        needed = {
            step: {part_key(step, name) for name, one in self._map.fields.of_step(step).items() if one.required}
            for step in SEVERAL
        }
        subscribers = []
        for subscriber in (one.subscriber for one in judged):
            # A needed field that has no column yet is told once, and not with each row.
            whole = (part for part in subscriber.parts if part.values.keys() >= needed.get(part.step, set()))
            subscribers.append(replace(subscriber, parts=tuple(whole)))
        try:
            planned = await self.effect.plan_subscribers(subscribers)
        except InputRefused as error:
            if (why := text_of(error)) not in self.refusals:
                self.refusals.append(why)
            return
        refused = {(one.line, one.row): one for one in planned.refusals}
        for one in judged:
            if refusal := refused.get((one.subscriber.row.line, one.subscriber.row.cells)):
                place = Place(refusal.line, refusal.column or "")
                one.faults.append(ValueFault(place, "", refusal.reason))

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        judged = await self.judge(rows)
        for one in judged:
            self._doubtful = self._doubtful or next(iter(one.warnings), None)
        refused = [one.refusal() for one in judged if one.faults]
        planned = await self.effect.plan_subscribers([one.subscriber for one in judged if not one.faults])
        sent = [decode_payload(one.payload) for one in planned.items if one.skip_reason is None]
        balances = [one for one in sent if one.step == Step.BALANCE]
        self._stays = self._stays or any(way_that_sends(self._gateway, one) is None for one in balances)
        refusals = sorted((*refused, *planned.refusals), key=lambda one: one.line or 0)
        return Prepared(planned.items, tuple(refusals))

    # ---- what is told of it ----

    async def check(self) -> None:
        """Raise `InputRefused` for fields that this billing lacks, and for a folder that is not there.

        Raises `VaultLocked` for passwords that could not be kept.
        """
        reader = await anyio.to_thread.run_sync(lambda: self._reader)
        database = self._gateway.database
        schema = None if database is None else await self._gateway.read(lambda base: base.schema)
        self._refuse(*await anyio.to_thread.run_sync(reader.absent_fields, schema, self._gateway.profile))
        reader.require_key()
        folder = self._parameters.get(FOLDER, "")
        if folder.isdecimal() and await References(self._gateway).missing("Folder", {folder}):
            gone = said("{name}: the billing has no folder {id}, or it is deleted", name=FOLDER, id=folder)
            if not self.only_checks:
                raise ParameterRefused(gone)
            self.refusals.append(gone)

    def assumptions(self, items: Sequence[Item]) -> Sequence[str]:
        """What the balances rest on, and the fields of new objects that no probe has tried."""
        created: dict[str, list[str]] = {}
        for payload in map(payload_of, items):
            if payload.model in UNDOCUMENTED and payload.creates:
                created.setdefault(payload.model, []).extend((*payload.steps[0].arguments, *payload.fills))
        return (*super().assumptions(items), *untried_fields(created, self._gateway.profile))

    def assigned(self, header: Sequence[str]) -> Assigned:
        """The columns of a header by the fields that they hold; rows are not read. Raises `InputRefused`.

        None for a map that is there no more: a run whose rows are all read does not need it.
        """
        file = self._parameters.get(MAP)
        if file and not Path(file).exists():
            return super().assigned(header)
        return TableColumns(said("the input"), header, self._map).assigned

    @property
    def joined(self) -> JoinedTables:
        """The tables beside the main one. Raises `InputRefused`."""
        return self._reader.tables

    @property
    def unended(self) -> tuple[LastLine, ...]:
        dictionary = self._parameters.get(DICTIONARY)
        of_names = open_input(Path(dictionary), Layout()).unended if dictionary else ()
        return (*super().unended, *of_names)

    def column_notes(self, with_money: Sequence[str]) -> list[Said]:
        """What may have been forgotten in the main table, of whose unused columns some look `with_money`."""
        columns = self._reader.columns
        notes = [
            said(
                "no {step} is made of {titles}, as no column is {field}: say which one is with {map}, or that none "
                "is with {none}",
                step=STEP_NAMES[step],
                titles=titles,
                field=field,
                map=setting("map", f"{field}=COLUMN"),
                none=setting("map", f"{field}="),
            )
            for step, (field, titles) in columns.lacking.items()
        ]
        balance = columns.once.get(BALANCE)
        if not with_money or (balance is None and BALANCE in self._map.once):
            return notes
        if balance is not None:
            used = said(
                "{titles}: this looks like money, and is not used; the opening balance is {used}",
                titles=tuple(with_money),
                used=tuple(one.name for one in balance.columns) or (balance.rule.value or "",),
            )
        else:
            used = said(
                "{titles}: this looks like money, and no opening balance is entered: say which column has it with "
                "{map}, or that none has with {none}",
                titles=tuple(with_money),
                map=setting("map", f"{BALANCE}=COLUMN"),
                none=setting("map", f"{BALANCE}="),
            )
        return [*notes, used]

    @property
    def unused(self) -> list[Column]:
        """The columns of the main table that nothing uses. Raises `InputRefused`."""
        return self._reader.columns.unused

    @property
    def way_out(self) -> Said | None:
        """What to type where names have no id, None where all have one."""
        return self._lookup.way_out if self._lookup else None

    @property
    def rows_seen(self) -> int:
        return self._checks.rows_seen if self._checks else 0

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What could not be checked of the rows read so far, a sentence each."""
        return self._checks.notes if self._checks else ()

    @property
    def cautions(self) -> tuple[str, ...]:
        """What could not be checked of the rows read so far, and the first value that may be wrong."""
        notes = [*self.effect.cautions, *self.unchecked, *(self.column_notes(()) if self._checks else ())]
        if self._lookup:
            notes += self._lookup.notes[:_NAMES_TOLD]
            notes += [way_out] if (way_out := self.way_out) else []
        if self._stays:
            notes.append(
                said(
                    "an undo cannot take back the opening balances of this run, and leaves their subscribers where "
                    "they are: it needs the billing's database when they are entered, or a probe that has seen "
                    "storno work"
                )
            )
        if self._doubtful is not None:
            place = self._doubtful.place
            notes.append(
                said(
                    "line {line}, column {column}: {reason}. {flag} lists all values that are to be looked at",
                    line=place.line or 0,
                    column=place.column,
                    reason=self._doubtful.reason,
                    flag=setting("check"),
                )
            )
        return tuple(notes)

    @property
    def replaces(self) -> Callable[[str], bool] | None:
        return replaces_balance(self._gateway.profile)


def with_files_of_map(parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameters with the tables that the map file names, where none is given. Raises `InputRefused`."""
    file = parameters.get(MAP)
    if not file:
        return dict(parameters)
    tables = {TABLE_OF_STEP[step]: one.file for step, one in read_map(Path(file)).tables.items() if one.file}
    return {**parameters, **{name: path for name, path in tables.items() if not parameters.get(name)}}
