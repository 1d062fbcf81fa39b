"""A dictionary that is to be checked: the names that an input has, and what each of them probably means."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from billing.directory.names import NamedObject
from engine.errors import InputRefused
from jobs.imports.dictionary import COLUMNS, NEW, Dictionary, DictionaryEntry, is_id
from jobs.imports.fields import FieldTable
from jobs.imports.matching import Match, Matcher, Proposal
from jobs.imports.names_there import FOLDER, KINDS, NamesThere, noun_of, plain_name, word_of
from jobs.imports.subscriber import PATH, Place, Step, Subscriber, ValueFault
from texts.said import Quantity

MOST: Final = 20_000
"""Different names of one kind; all of them are in memory, and a person is to check them."""

_BETWEEN: Final = "; "


@dataclass(slots=True)
class UsedName:
    """A name of the input: in how many values it stands, and where first."""

    kind: str
    name: str
    place: Place
    rows: int = 0


class NamesUsed:
    """Collects the names of an input, as a stage of its reading.

    A number that a map gives for all rows is an id of this billing, and no name.
    """

    def __init__(self, fields: FieldTable) -> None:
        self._references = {**fields.references, (Step.FOLDER, PATH): FOLDER}
        self._used: dict[tuple[str, str], UsedName] = {}
        self._counts: Counter[str] = Counter()

    def __call__(self, subscriber: Subscriber) -> tuple[Subscriber, Sequence[ValueFault]]:
        """The subscriber as it is. Raises `InputRefused` where a column has too many different names."""
        for part in subscriber.parts:
            for key, value in part.values.items():
                kind = self._references.get((part.step, key))
                is_given = value.place.line is None and is_id(value.text)
                if kind and not is_given and (name := plain_name(value.text)):
                    self._take(kind, name, value.place)
        return subscriber, ()

    def _take(self, kind: str, name: str, place: Place) -> None:
        used = self._used.get((kind, name))
        if used is None:
            self._counts[kind] += 1
            if self._counts[kind] > MOST:
                raise InputRefused(
                    "the column {column} has more than {most} different values: does it name the {noun} of a "
                    "row? Say with a map which column does",
                    column=place.column,
                    most=Quantity(MOST),
                    noun=noun_of(kind),
                )
            used = self._used[kind, name] = UsedName(kind, name, place)
        used.rows += 1

    @property
    def names(self) -> Sequence[UsedName]:
        """The names so far, in the order of their first use."""
        return tuple(self._used.values())


class NameStanding(StrEnum):
    """What is still to be done about a name, the most urgent first."""

    OPEN = "open"
    """Nothing is proposed: a person fills in the id."""
    NEAR = "near"
    """A person confirms the proposal."""
    MATCHED = "matched"


@dataclass(frozen=True, slots=True)
class DictionaryRow:
    """A row of a dictionary: the entry, how often the input has the name and where first, and other objects."""

    entry: DictionaryEntry
    rows: int = 0
    first_line: int | None = None
    others: tuple[NamedObject, ...] = ()

    @property
    def standing(self) -> NameStanding:
        """What is still to be done about it."""
        if not self.entry.id:
            return NameStanding.OPEN
        return NameStanding.MATCHED if self.entry.is_checked else NameStanding.NEAR

    @property
    def cells(self) -> tuple[str | int | None, ...]:
        """Its cells, in the order of `COLUMNS`."""
        entry = self.entry
        cells: dict[str, str | int | None] = {
            "kind": word_of(entry.kind),
            "name": entry.name,
            "rows": self.rows,
            "first_line": self.first_line,
            "id": entry.id,
            "name_here": entry.name_here,
            "match": entry.match,
            "others": _BETWEEN.join(f"{one.id} {one.names[0]}" for one in self.others),
            "checked": entry.checked,
        }
        return tuple(cells[name] for name in COLUMNS)


@dataclass(frozen=True, slots=True)
class ProposedDictionary:
    """The rows of a dictionary to be checked: by kind, what is still to be done first."""

    rows: Sequence[DictionaryRow] = field(default_factory=tuple)

    def count(self, standing: NameStanding, kind: str | None = None) -> int:
        """The number of names, of all kinds or of one."""
        return sum(row.standing is standing and kind in {None, row.entry.kind} for row in self.rows)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that it has names of."""
        there = {row.entry.kind for row in self.rows}
        return tuple(kind for kind in KINDS if kind in there)


def propose(used: Collection[UsedName], there: NamesThere, old: Dictionary | None = None) -> ProposedDictionary:
    """The dictionary for the names of an input.

    What a person has decided in the `old` one stays as it is, also of names that this input does not have.
    """
    entries = {} if old is None else old.entries
    matchers = {kind: Matcher(there.live(kind)) for kind in KINDS if there.knows(kind)}
    rows = [_row(one, entries.get((one.kind, one.name)), matchers) for one in used]
    names = {(one.kind, one.name) for one in used}
    rows += [DictionaryRow(replace(entry, line=None)) for key, entry in entries.items() if key not in names]
    return ProposedDictionary(tuple(sorted(rows, key=_order)))


def _row(used: UsedName, old: DictionaryEntry | None, matchers: Mapping[str, Matcher]) -> DictionaryRow:
    line = used.place.line
    if old is not None and old.id and old.is_checked:
        return DictionaryRow(old, used.rows, line)
    matcher = matchers.get(used.kind)
    if matcher is None:
        return DictionaryRow(DictionaryEntry(used.kind, used.name), used.rows, line)
    found = matcher.propose(used.name)
    return DictionaryRow(_entry(used, found), used.rows, line, found.others)


def _entry(used: UsedName, found: Proposal) -> DictionaryEntry:
    kind, name = used.kind, used.name
    if found.found is not None:
        match = f"{found.match} {found.likeness}" if found.match is Match.NEAR else str(found.match)
        return DictionaryEntry(kind, name, str(found.found.id), found.found.names[0], match)
    if kind == FOLDER and found.match is Match.NONE:
        return DictionaryEntry(kind, name, NEW, name, Match.NEW)
    return DictionaryEntry(kind, name, match=found.match)


def _order(row: DictionaryRow) -> tuple[int, int, int, str]:
    return KINDS.index(row.entry.kind), list(NameStanding).index(row.standing), -row.rows, row.entry.name


def unknown_kinds(proposed: ProposedDictionary, there: NamesThere) -> Iterator[str]:
    """The kinds of the dictionary whose names this billing does not tell."""
    return (kind for kind in proposed.kinds if not there.knows(kind))
