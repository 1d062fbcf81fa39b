"""The sample of a trial run: few rows that have together all that the whole table has.

Rows are chosen greedily: the next one is that which adds most of what no chosen row has, the first of several. The
table is read once before. Memory does not grow with it: of rows that have the same traits one is kept, and of more
than `MOST` different ones only those that have a trait of their own.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import cache
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from engine.errors import InputRefused
from engine.job import DerivedSource, Row, RowPage, Source
from jobs.imports.fields import FieldTable
from jobs.imports.names_there import FOLDER, noun_of, plain_name
from jobs.imports.subscriber import (
    FOLDER_ID,
    PATH,
    STEP_NAMES,
    Judged,
    Part,
    Stage,
    Step,
    Subscriber,
    Value,
    ValueFault,
)
from texts.remedies import setting
from texts.said import Quantity, Said, counted, enumerated, said, wording

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
        self._references = {**fields.references, (Step.FOLDER, PATH): FOLDER, (Step.FOLDER, FOLDER_ID): FOLDER}
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
            yield replace(page, rows=rows, refusals=(), left_out=dict(left_out))


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
