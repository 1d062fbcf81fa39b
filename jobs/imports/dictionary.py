"""The dictionary of an import: names of the old billing, and the ids that they have in this one.

A table with a row for each name, which a person has checked:

    kind;name;rows;first_line;id;name_here;match;others;checked
    tariff;Домашний 100;1204;2;17;Домашний-100;equal;;
    folder;Ленина 5;88;14;new;Частный сектор/Ленина 5;new;;да
    service;Старая аренда;3;190;none;;;;

One that is to be checked has the names of an input, and proposes what each of them probably means. An equal name is
one that differs in case, spaces, ё, punctuation, or letters that look the same, and in nothing else. A near one is
alike; numbers count more than letters, for "Домашний 50" is not "Домашний 100". A person confirms it.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from billing.directory.models import LARGEST_ID
from billing.directory.names import NamedObject
from engine.errors import InputRefused, nearest
from engine.rows import Source
from engine.sources.detect import open_input
from engine.sources.exported import as_it_was
from engine.sources.raw.sample import Layout
from jobs.access.references import References
from jobs.imports.fields import FieldTable
from jobs.imports.names_there import FOLDER, KINDS, WORDS, NamesThere, noun_of, plain_name, word_of
from jobs.imports.subscriber import PATH, Place, Step, Subscriber, ValueFault, folder_names
from jobs.spec.columns import find
from texts.said import Quantity, any_of, counted, in_lines, said

# ---- how alike names are -------------------------------------------------------------------------------------------


NEAR: Final = 70
"""The least likeness, of 100, at which a name is proposed."""

SHOWN: Final = 3
"""The other objects that a proposal names."""

_TOKEN: Final = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[+%]")
_ALIKE: Final = str.maketrans("авекмнорстухіјѕ", "abekmhopctyxijs")
"""Cyrillic letters in lower case, and the Latin ones that look the same in upper case."""
_SPELLED: Final = str.maketrans(
    dict(zip("абвгдезийклмнопрстуфхцыэ", "abvgdeziyklmnoprstufhcye", strict=True))
    | {"ж": "zh", "ч": "ch", "ш": "sh", "щ": "sch", "ю": "yu", "я": "ya", "ъ": "", "ь": ""}
)
"""Cyrillic letters as they are spelled in Latin ones."""
_MOST: Final = 99
"""The likeness of a near name at most: 100 is that of an equal one."""
_OF_WORDS: Final = 0.8
"""What it counts that all words of a name are among those of the other."""
_OF_NUMBERS: Final = 0.9
"""What it counts that one of two names has a number, or a sign, that the other lacks."""


class Match(StrEnum):
    """How a name was matched, as a dictionary says it."""

    EQUAL = "equal"
    NEAR = "near"
    ID = "id"
    """The name is a number, and an object has it as its id."""
    SEVERAL = "several"
    """Several objects have the name."""
    NEW = "new"
    """There is no such folder: the import creates it."""
    NONE = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a name probably means: the object, if it is one, how likely of 100, and others that are near."""

    match: Match
    found: NamedObject | None = None
    likeness: int = 0
    others: tuple[NamedObject, ...] = ()


@dataclass(frozen=True, slots=True)
class _Words:
    """A name as likeness is measured: with letters that look the same as one, spelled in Latin ones; its numbers."""

    alike: str
    spelled: str
    numbers: frozenset[str]


@dataclass(slots=True)
class _Group:
    """The names that have the same numbers, in both ways in which their words are compared, and whose they are."""

    objects: list[NamedObject] = field(default_factory=list)
    alike: list[str] = field(default_factory=list)
    spelled: list[str] = field(default_factory=list)

    def add(self, one: NamedObject, words: _Words) -> None:
        """Add a name of an object."""
        self.objects.append(one)
        self.alike.append(words.alike)
        self.spelled.append(words.spelled)

    def near(self, wanted: _Words, share: float) -> Iterator[tuple[int, NamedObject]]:
        """The objects whose likeness, of which `share` counts, is that of a near name."""
        # Imported here: the import takes as long as the rest of a command, and most propose nothing.
        from rapidfuzz import fuzz, process  # noqa: PLC0415

        scorers = ((fuzz.ratio, 1.0), (fuzz.token_sort_ratio, 1.0), (fuzz.token_set_ratio, _OF_WORDS))
        for query, names in ((wanted.alike, self.alike), (wanted.spelled, self.spelled)):
            for scorer, counts in scorers:
                least = NEAR / (counts * share)
                for _, likeness, place in process.extract_iter(query, names, scorer=scorer, score_cutoff=least):
                    yield int(likeness * counts * share), self.objects[place]


class Matcher:
    """Proposes objects of one kind."""

    def __init__(self, objects: Iterable[NamedObject]) -> None:
        self._objects = sorted(objects, key=lambda one: one.id)
        self._by_id = {one.id: one for one in self._objects}
        # Most objects differ in their numbers, and are not compared further.
        self._by_numbers: defaultdict[frozenset[str], _Group] = defaultdict(_Group)
        for one in self._objects:
            for words in map(_words, one.names):
                self._by_numbers[words.numbers].add(one, words)
        # The first name of an object, as the path of a folder, goes before its others.
        self._equal = [
            _index(self._objects, key, names)
            for names in (slice(0, 1), slice(1, None))
            for key in (plain_name, core_of)
        ]

    def propose(self, name: str) -> Proposal:
        """The proposal for a name."""
        for keys, key in zip(self._equal, (plain_name, core_of) * 2, strict=True):
            if found := keys.get(key(name)):
                if len(found) > 1:
                    return Proposal(Match.SEVERAL, others=tuple(found[:SHOWN]))
                return Proposal(Match.EQUAL, found[0], 100)
        near = self._near(name)
        if is_id(text := name.strip()) and (of_id := self._by_id.get(int(text))):
            others = [one for _, one in near if one is not of_id]
            return Proposal(Match.ID, of_id, others=tuple(others[:SHOWN]))
        if not near:
            return Proposal(Match.NONE)
        (likeness, best), *rest = near
        return Proposal(Match.NEAR, best, min(likeness, _MOST), tuple(one for _, one in rest[:SHOWN]))

    def _near(self, name: str) -> list[tuple[int, NamedObject]]:
        """The objects that are near, the nearest first."""
        if not any(map(str.isalnum, name)):
            return []
        wanted = _words(name)
        best: dict[int, int] = {}
        for numbers, group in self._by_numbers.items():
            if share := _share_of(wanted.numbers, numbers):
                for likeness, one in group.near(wanted, share):
                    best[one.id] = max(likeness, best.get(one.id, 0))
        nearest = sorted(best, key=lambda key: (-best[key], key))[: SHOWN + 1]
        return [(best[key], self._by_id[key]) for key in nearest]


def _index(
    objects: Iterable[NamedObject], key: Callable[[str], str], names: slice
) -> Mapping[str, Sequence[NamedObject]]:
    found: defaultdict[str, list[NamedObject]] = defaultdict(list)
    for one in objects:
        for text in dict.fromkeys(map(key, one.names[names])):
            if text:
                found[text].append(one)
    return found


def core_of(name: str) -> str:
    """The core of a name: equal for names that differ in case, spaces, ё, punctuation and look-alikes alone.

    Numbers stay apart, and a + or % counts: "Старт+" is not "Старт", 1,5 is not 15.
    """
    parts: list[str] = []
    for token in _tokens(name):
        parts += [" ", token] if parts and token[0].isdigit() and parts[-1][-1].isdigit() else [token]
    return "".join(parts).translate(_ALIKE)


def _words(name: str) -> _Words:
    tokens = _tokens(name)
    words = " ".join(tokens)
    numbers = frozenset(token for token in tokens if not token[0].isalpha())
    return _Words(words.translate(_ALIKE), words.translate(_SPELLED), numbers)


def _tokens(name: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", name.replace("№", " ")).casefold().replace("ё", "е")
    return [token.replace(",", ".") for token in _TOKEN.findall(plain)]


def _share_of(one: frozenset[str], other: frozenset[str]) -> float:
    """What the likeness of two names counts by their numbers: nothing where each has one that the other lacks."""
    if one == other:
        return 1
    return _OF_NUMBERS if one < other or one > other else 0


# ---- the file ------------------------------------------------------------------------------------------------------


COLUMNS: Final = ("kind", "name", "rows", "first_line", "id", "name_here", "match", "others", "checked")
"""The columns of a dictionary; those of `NEEDED` it must have."""
NEEDED: Final = ("kind", "name", "id")

NEW: Final = "new"
"""Stands for the id of a folder that the import creates, whose path is in `name_here`."""
LEFT_OUT: Final = "none"
"""Stands for the id of what is not brought over."""

MOST: Final = 100_000
"""Names of a dictionary; all of them are in memory."""

_CONFIRMED: Final = frozenset({"", Match.EQUAL})
"""Matches that nobody has to confirm: a row that a person has filled in, and an equal name."""
_NOT_CHECKED: Final = frozenset({"", "0", "-", "no", "нет", "false", "n", "н"})
_FAULTS_SHOWN: Final = 20
_CSV: Final = ".csv"


@dataclass(frozen=True, slots=True)
class DictionaryEntry:
    """What a name means: `id` is an id of this billing, `NEW`, `LEFT_OUT`, or "" where nobody has said it yet."""

    kind: str
    name: str
    id: str = ""
    name_here: str = ""
    match: str = ""
    checked: str = ""
    line: int | None = None

    @property
    def is_checked(self) -> bool:
        """Whether a person has confirmed it, where one has to."""
        return self.match.partition(" ")[0] in _CONFIRMED or self.checked.casefold() not in _NOT_CHECKED

    @property
    def path(self) -> str:
        """The path of a folder that is to be created."""
        return self.name_here or self.name


class DictionaryFault(NamedTuple):
    """A fault of a dictionary: its line, its column, and what is wrong."""

    line: int | None
    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class Dictionary:
    """The entries of a dictionary by kind and name, the path of its file, and SHA-256 of its bytes."""

    file: str
    digest: str
    entries: Mapping[tuple[str, str], DictionaryEntry]
    kinds: frozenset[str]
    """The kinds that it has entries of: a name of theirs that is not in it has no meaning."""

    def get(self, kind: str, name: str) -> DictionaryEntry | None:
        """The entry of a name, None without one."""
        return self.entries.get((kind, plain_name(name)))


def read_dictionary(path: Path, *, is_checked: bool = True) -> Dictionary:
    """The dictionary in a file, of any format of an input; used in a worker thread.

    One that `is_checked` has no proposal that nobody has confirmed. Raises `InputRefused` with all faults, each with
    its line and column.
    """
    source = open_input(path, Layout())
    faults: list[DictionaryFault] = []
    entries: dict[tuple[str, str], DictionaryEntry] = {}
    for entry in _entries(source, faults, defuses=path.suffix.casefold() == _CSV):
        before = entries.setdefault((entry.kind, entry.name), entry)
        faults += _faults_of(entry, before, is_checked=is_checked)
        if len(entries) > MOST:
            raise InputRefused("{file}: a dictionary has at most {most} names", file=source.name, most=Quantity(MOST))
    refuse_faults(source.name, faults)
    return Dictionary(source.name, source.digest, entries, frozenset(kind for kind, _ in entries))


def refuse_faults(file: str, faults: Sequence[DictionaryFault]) -> None:
    """Raise `InputRefused` if there are faults, with the first of them."""
    if not faults:
        return
    lines = [
        said("line {line}, column {column}: {reason}", line=one.line or 0, column=one.column, reason=one.reason)
        for one in faults[:_FAULTS_SHOWN]
    ]
    if more := len(faults) - len(lines):
        lines.append(counted("and {n} more", "and {n} more", more))
    head = counted(
        "{file}: {n} entry of the dictionary has to be mended:",
        "{file}: {n} entries of the dictionary have to be mended:",
        len(faults),
        file=file,
    )
    raise InputRefused(in_lines([head, *lines]))


def _entries(source: Source, faults: list[DictionaryFault], *, defuses: bool) -> Iterator[DictionaryEntry]:
    columns = {name: column for name in COLUMNS if (column := find(source.header, name)) is not None}
    if missing := [name for name in NEEDED if name not in columns]:
        raise InputRefused(
            "{file} is no dictionary: it has no column {missing}; it has: {there}",
            file=source.name,
            missing=tuple(missing),
            there=", ".join(source.header),
        )
    for page in source.pages(None):
        faults += [DictionaryFault(one.line, one.column or "", one.reason) for one in page.refusals]
        for row in page.rows:
            texts = {name: row.cells[column.place] for name, column in columns.items()}
            cells = {name: plain_name(as_it_was(text) if defuses else text) for name, text in texts.items()}
            if not any(cells.values()):
                continue
            kind = WORDS.get(cells["kind"].casefold())
            if kind is None:
                reason = said(
                    "there is no kind {word!r}{nearest}; there are: {known}",
                    word=cells["kind"],
                    nearest=nearest(cells["kind"], WORDS),
                    known=tuple(WORDS),
                )
                faults.append(DictionaryFault(row.line, "kind", reason))
                continue
            own = {name: cells.get(name, "") for name in ("name", "id", "name_here", "match", "checked")}
            yield DictionaryEntry(kind, **own, line=row.line)


def _faults_of(entry: DictionaryEntry, before: DictionaryEntry, *, is_checked: bool) -> Iterator[DictionaryFault]:
    if not entry.name:
        yield DictionaryFault(entry.line, "name", said("it is empty"))
    words = (NEW, LEFT_OUT) if entry.kind == FOLDER else (LEFT_OUT,)
    if entry.id and not is_id(entry.id) and entry.id not in words:
        reason = said("{text!r} is not an id; write one, or {words}", text=entry.id, words=any_of(words))
        yield DictionaryFault(entry.line, "id", reason)
    elif entry.id == NEW and not folder_names(entry.path):
        yield DictionaryFault(entry.line, "name_here", said("it is no path of a folder"))
    elif before is not entry and (before.id, before.path) != (entry.id, entry.path):
        reason = said(
            "{name!r} has another id on line {line}: leave one of the two lines",
            name=entry.name,
            line=before.line or 0,
        )
        yield DictionaryFault(entry.line, "id", reason)
    elif is_checked and entry.id and not entry.is_checked:
        reason = said(
            "{name!r} is only a proposal ({match}): write yes here if it is right, or another id",
            name=entry.name,
            match=entry.match,
        )
        yield DictionaryFault(entry.line, "checked", reason)


def is_id(text: str) -> bool:
    """Whether a text is an id that an object can have."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_ID))):
        return False
    return 0 < int(text) <= LARGEST_ID


# ---- against the billing -------------------------------------------------------------------------------------------


async def check_dictionary(dictionary: Dictionary, there: NamesThere, references: References) -> None:
    """Check the ids against the billing: each is there, and has the name that stands beside it.

    The name shows that the dictionary was made for another billing, or before somebody has changed this one. Raises
    `InputRefused` with all faults, and `LookUpFailed`.
    """
    by_kind: defaultdict[str, list[DictionaryEntry]] = defaultdict(list)
    for entry in dictionary.entries.values():
        if is_id(entry.id):
            by_kind[entry.kind].append(entry)
    faults: list[DictionaryFault] = []
    for kind, entries in by_kind.items():
        missing = await references.missing(kind, {entry.id for entry in entries})
        for entry in entries:
            found = there.get(kind, int(entry.id))
            if entry.id in missing:
                reason = said("the billing has no {noun} {id}, or it is deleted", noun=noun_of(kind), id=entry.id)
                faults.append(DictionaryFault(entry.line, "id", reason))
            elif found and entry.name_here and core_of(entry.name_here) not in map(core_of, found.names):
                reason = said(
                    "the {noun} {id} is {name!r} in this billing: correct the id, or empty this cell",
                    noun=noun_of(kind),
                    id=entry.id,
                    name=found.names[0],
                )
                faults.append(DictionaryFault(entry.line, "name_here", reason))
    refuse_faults(dictionary.file, sorted(faults, key=lambda one: one.line or 0))


# ---- a dictionary that is to be checked ----------------------------------------------------------------------------


MOST_USED: Final = 20_000
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
            if self._counts[kind] > MOST_USED:
                raise InputRefused(
                    "the column {column} has more than {most} different values: does it name the {noun} of a "
                    "row? Say with a map which column does",
                    column=place.column,
                    most=Quantity(MOST_USED),
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
    entry = DictionaryEntry(used.kind, used.name)
    if (matcher := matchers.get(used.kind)) is None:
        return DictionaryRow(entry, used.rows, line)
    proposal = matcher.propose(used.name)
    match, found = proposal.match, proposal.found
    if found is not None:
        how = f"{match} {proposal.likeness}" if match is Match.NEAR else str(match)
        entry = replace(entry, id=str(found.id), name_here=found.names[0], match=how)
    elif used.kind == FOLDER and match is Match.NONE:
        entry = replace(entry, id=NEW, name_here=used.name, match=Match.NEW)
    else:
        entry = replace(entry, match=match)
    return DictionaryRow(entry, used.rows, line, proposal.others)


def _order(row: DictionaryRow) -> tuple[int, int, int, str]:
    return KINDS.index(row.entry.kind), list(NameStanding).index(row.standing), -row.rows, row.entry.name


def unknown_kinds(proposed: ProposedDictionary, there: NamesThere) -> Iterator[str]:
    """The kinds of the dictionary whose names this billing does not tell."""
    return (kind for kind in proposed.kinds if not there.knows(kind))
