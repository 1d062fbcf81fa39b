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

import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from billing.directory.models import LARGEST_ID
from billing.directory.names import NamedObject
from engine.errors import InputRefused, nearest
from engine.job import Source
from engine.sources.detect import open_input
from engine.sources.exported import as_it_was
from engine.sources.sample import Layout
from jobs.access.objects import References, nowhere
from jobs.imports.fields import FieldTable
from jobs.imports.names_there import FOLDER, KINDS, WORDS, NamesThere, noun_of, plain_name, word_of
from jobs.imports.subscriber import FOLDER_ID, PATH, Part, Place, Step, Subscriber, Value, ValueFault, folder_names
from jobs.spec.columns import Column, find
from texts.said import Quantity, Said, advised, any_of, counted, in_lines, said, setting

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


class Matcher:
    """Proposes objects of one kind."""

    def __init__(self, objects: Iterable[NamedObject]) -> None:
        self._by_id = {one.id: one for one in sorted(objects, key=lambda one: one.id)}
        # Most objects differ in their numbers, and are not compared further. A name is compared in two spellings.
        self._by_numbers: defaultdict[frozenset[str], tuple[list[NamedObject], list[str], list[str]]]
        self._by_numbers = defaultdict(lambda: ([], [], []))
        for one in self._by_id.values():
            for numbers, alike, spelled in map(_compared, one.names):
                group = self._by_numbers[numbers]
                group[0].append(one)
                group[1].append(alike)
                group[2].append(spelled)
        # The first name of an object, as the path of a folder, goes before its others.
        self._equal: list[tuple[Callable[[str], str], Mapping[str, Sequence[NamedObject]]]] = []
        for names in (slice(0, 1), slice(1, None)):
            for key in (plain_name, core_of):
                found: defaultdict[str, list[NamedObject]] = defaultdict(list)
                for one in self._by_id.values():
                    for text in filter(None, dict.fromkeys(map(key, one.names[names]))):
                        found[text].append(one)
                self._equal.append((key, found))

    def propose(self, name: str) -> Proposal:
        for key, objects in self._equal:
            if found := objects.get(key(name)):
                if len(found) > 1:
                    return Proposal(Match.SEVERAL, others=tuple(found[:SHOWN]))
                return Proposal(Match.EQUAL, found[0], 100)
        likeness = self._near(name)
        near = [self._by_id[key] for key in sorted(likeness, key=lambda key: (-likeness[key], key))]
        if is_id(text := name.strip()) and (of_id := self._by_id.get(int(text))):
            others = [one for one in near[: SHOWN + 1] if one is not of_id]
            return Proposal(Match.ID, of_id, others=tuple(others[:SHOWN]))
        if not near:
            return Proposal(Match.NONE)
        return Proposal(Match.NEAR, near[0], min(likeness[near[0].id], _MOST), tuple(near[1 : SHOWN + 1]))

    def _near(self, name: str) -> dict[int, int]:
        # Imported here: the import takes as long as the rest of a command, and most propose nothing.
        from rapidfuzz import fuzz, process  # noqa: PLC0415

        if not any(map(str.isalnum, name)):
            return {}
        wanted, *spellings = _compared(name)
        scorers = ((fuzz.ratio, 1.0), (fuzz.token_sort_ratio, 1.0), (fuzz.token_set_ratio, _OF_WORDS))
        best: dict[int, int] = {}
        for numbers, (objects, *names) in self._by_numbers.items():
            # Names of which each has a number that the other lacks have nothing in common.
            if numbers != wanted and not (numbers < wanted or numbers > wanted):
                continue
            share = 1.0 if numbers == wanted else _OF_NUMBERS
            for query, texts in zip(spellings, names, strict=True):
                for scorer, counts in scorers:
                    least = NEAR / (counts * share)
                    for _, ratio, at in process.extract_iter(query, texts, scorer=scorer, score_cutoff=least):
                        key = objects[at].id
                        best[key] = max(int(ratio * counts * share), best.get(key, 0))
        return best


def core_of(name: str) -> str:
    """The core of a name: equal for names that differ in case, spaces, ё, punctuation and look-alikes alone.

    Numbers stay apart, and a + or % counts: "Старт+" is not "Старт", 1,5 is not 15.
    """
    parts: list[str] = []
    for token in _tokens(name):
        parts += [" ", token] if parts and token[0].isdigit() and parts[-1][-1].isdigit() else [token]
    return "".join(parts).translate(_ALIKE)


def _compared(name: str) -> tuple[frozenset[str], str, str]:
    """The numbers of a name; its words with letters that look the same as one, and spelled in Latin ones."""
    tokens = _tokens(name)
    words = " ".join(tokens)
    numbers = frozenset(token for token in tokens if not token[0].isalpha())
    return numbers, words.translate(_ALIKE), words.translate(_SPELLED)


def _tokens(name: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", name.replace("№", " ")).casefold().replace("ё", "е")
    return [token.replace(",", ".") for token in _TOKEN.findall(plain)]


# ---- the file ------------------------------------------------------------------------------------------------------


COLUMNS: Final = ("kind", "name", "rows", "first_line", "id", "name_here", "match", "others", "checked")
"""The columns of a dictionary; those of `NEEDED` it must have."""
NEEDED: Final = ("kind", "name", "id")

NEW: Final = "new"
"""Stands for the id of a folder that the import creates, whose path is in `name_here`."""
LEFT_OUT: Final = "none"
"""Stands for the id of what is not brought over."""

IN_RUSSIAN: Final[Mapping[str, str]] = {
    "kind": "вид",
    "name": "название",
    "rows": "строк",
    "first_line": "первая_строка",
    "name_here": "название_здесь",
    "match": "совпадение",
    "others": "другие",
    "checked": "проверено",
    "tariff": "тариф",
    "service": "услуга",
    "folder": "папка",
    "operator": "оператор",
    "administrator": "администратор",
    "pool": "пул",
    word_of("SnatPool"): "пул SNAT",
    "attribute": "атрибут",
    Match.EQUAL: "равно",
    Match.NEAR: "похоже",
    Match.SEVERAL: "несколько",
    NEW: "новая",
    LEFT_OUT: "нет",
}
"""The same words in a dictionary for a Russian reader; either are read back, whoever reads them."""
_ENGLISH: Final = {russian.casefold(): english for english, russian in IN_RUSSIAN.items()}

MOST: Final = 100_000
"""Names of a dictionary; all of them are in memory."""

_CONFIRMED: Final = frozenset({"", Match.EQUAL})
"""Matches that nobody has to confirm: a row that a person has filled in, and an equal name."""
_NOT_CHECKED: Final = frozenset({"", "0", "-", "no", "нет", "false", "n", "н"})
_FAULTS_SHOWN: Final = 20
_CSV: Final = ".csv"
_BETWEEN: Final = "; "


class NameStanding(StrEnum):
    """What is still to be done about a name, the most urgent first."""

    OPEN = "open"
    """Nothing is proposed: a person fills in the id."""
    NEAR = "near"
    """A person confirms the proposal."""
    MATCHED = "matched"


@dataclass(frozen=True, slots=True)
class DictionaryEntry:
    """What a name means: `id` is an id of this billing, `NEW`, `LEFT_OUT`, or "" where nobody has said it yet.

    One that is proposed has how often the input has the name, where first, and other objects that are near.
    """

    kind: str
    name: str
    id: str = ""
    name_here: str = ""
    match: str = ""
    checked: str = ""
    line: int | None = None
    rows: int = 0
    first_line: int | None = None
    others: tuple[NamedObject, ...] = ()

    @property
    def is_checked(self) -> bool:
        """Whether a person has confirmed it, where one has to."""
        return self.match.partition(" ")[0] in _CONFIRMED or self.checked.casefold() not in _NOT_CHECKED

    @property
    def path(self) -> str:
        return self.name_here or self.name

    @property
    def standing(self) -> NameStanding:
        if not self.id:
            return NameStanding.OPEN
        return NameStanding.MATCHED if self.is_checked else NameStanding.NEAR

    def cells(self, words: Mapping[str, str]) -> tuple[str | int | None, ...]:
        """Its cells, in the order of `COLUMNS`; `words` are those that its reader has for others."""
        kind, (match, *likeness) = word_of(self.kind), self.match.split(" ")
        how = " ".join((words.get(match, match), *likeness))
        others = _BETWEEN.join(f"{one.id} {one.names[0]}" for one in self.others)
        found = (self.rows, self.first_line, words.get(self.id, self.id), self.name_here, how, others, self.checked)
        return (words.get(kind, kind), self.name, *found)


@dataclass(frozen=True, slots=True)
class Dictionary:
    """The entries of a dictionary by kind and name, the path of its file, and SHA-256 of its bytes."""

    file: str
    digest: str
    entries: Mapping[tuple[str, str], DictionaryEntry]
    kinds: frozenset[str]
    """The kinds that it has entries of: a name of theirs that is not in it has no meaning."""
    titles: Mapping[str, str]
    """Its columns as its first line has them."""

    @property
    def proposals(self) -> list[ValueFault]:
        open_ones = (one for one in self.entries.values() if one.standing is NameStanding.NEAR)
        column = self.titles["checked"]
        return [ValueFault(Place(one.line, column, self.file), one.name, _only_proposed(one)) for one in open_ones]

    def get(self, kind: str, name: str) -> DictionaryEntry | None:
        return self.entries.get((kind, plain_name(name)))


def read_dictionary(path: Path, *, is_checked: bool = True, faults: list[ValueFault] | None = None) -> Dictionary:
    """The dictionary in a file, of any format of an input; used in a worker thread.

    One that `is_checked` has no proposal that nobody has confirmed. Raises `InputRefused` with all faults, each with
    its line and column; with a list of `faults` they are added to it.
    """
    source = open_input(path, Layout())
    refuses, faults = faults is None, [] if faults is None else faults
    entries: dict[tuple[str, str], DictionaryEntry] = {}
    columns = _columns(source)
    titles = {name: columns[name].name if name in columns else name for name in COLUMNS}
    for entry in _entries(source, columns, faults, defuses=path.suffix.casefold() == _CSV):
        before = entries.setdefault((entry.kind, entry.name), entry)
        faults += _faults_of(entry, before, titles, is_checked=is_checked)
        if len(entries) > MOST:
            raise InputRefused("{file}: a dictionary has at most {most} names", file=source.name, most=Quantity(MOST))
    if refuses:
        refuse_entries(source.name, faults)
    return Dictionary(source.name, source.digest, entries, frozenset(kind for kind, _ in entries), titles)


def refuse_entries(file: str, faults: Sequence[ValueFault]) -> None:
    """Raise `InputRefused` with these faults of a dictionary, if there are any."""
    if not faults:
        return
    faults = sorted(faults, key=lambda one: one.place.line or 0)
    shown = [(one.place.line or 0, one.place.column, one.reason) for one in faults[:_FAULTS_SHOWN]]
    lines = [said("line {line}, column {column}: {reason}", line=at, column=of, reason=why) for at, of, why in shown]
    if more := len(faults) - len(lines):
        lines.append(counted("and {n} more", more))
    head = counted("{file}: {n} [entry|entries] of the dictionary [has|have] to be mended:", len(faults), file=file)
    raise InputRefused(in_lines([head, *lines]))


def _columns(source: Source) -> dict[str, Column]:
    """The columns that are there, in either language. Raises `InputRefused` where a needed one is not."""
    named = {name: find(source.header, name) or find(source.header, IN_RUSSIAN.get(name, name)) for name in COLUMNS}
    columns = {name: column for name, column in named.items() if column is not None}
    if missing := [name for name in NEEDED if name not in columns]:
        raise InputRefused(
            "{file} is no dictionary: it has no column {missing}; it has: {there}",
            file=source.name,
            missing=tuple(missing),
            there=", ".join(source.header),
        )
    return columns


def _entries(
    source: Source, columns: Mapping[str, Column], faults: list[ValueFault], *, defuses: bool
) -> Iterator[DictionaryEntry]:
    for page in source.pages(None):
        faults += [ValueFault(Place(one.line, one.column or ""), "", one.reason) for one in page.refusals]
        for row in page.rows:
            texts = {name: row.cells[column.place] for name, column in columns.items()}
            cells = {name: plain_name(as_it_was(text) if defuses else text) for name, text in texts.items()}
            if not any(cells.values()):
                continue
            if (kind := WORDS.get(_in_english(cells["kind"]).casefold())) is not None:
                name, key = cells["name"], _in_english(cells["id"])
                here, match, checked = (cells.get(one, "") for one in ("name_here", "match", "checked"))
                first, *likeness = match.split(" ")
                match = " ".join((_in_english(first), *likeness))
                yield DictionaryEntry(kind, name, key, here, match, checked, row.line)
                continue
            why = said(
                "there is no kind {word!r}{nearest}; there are: {known}",
                word=cells["kind"],
                nearest=nearest(cells["kind"], WORDS),
                known=tuple(WORDS),
            )
            faults.append(ValueFault(Place(row.line, columns["kind"].name), cells["kind"], why))


def _in_english(word: str) -> str:
    return _ENGLISH.get(word.casefold(), word)


def _faults_of(
    entry: DictionaryEntry, before: DictionaryEntry, titles: Mapping[str, str], *, is_checked: bool
) -> Iterator[ValueFault]:
    def fault(column: str, why: str) -> ValueFault:
        return ValueFault(Place(entry.line, titles[column]), "", why)

    if not entry.name:
        yield fault("name", said("it is empty"))
    words = (NEW, LEFT_OUT) if entry.kind == FOLDER else (LEFT_OUT,)
    if entry.id and not is_id(entry.id) and entry.id not in words:
        yield fault("id", said("{text!r} is not an id; write one, or {words}", text=entry.id, words=any_of(words)))
    elif entry.id == NEW and not folder_names(entry.path):
        yield fault("name_here", said("it is no path of a folder"))
    elif before is not entry and (before.id, before.path) != (entry.id, entry.path):
        line = before.line or 0
        yield fault(
            "id",
            said("{name!r} has another id on line {line}: leave one of the two lines", name=entry.name, line=line),
        )
    elif is_checked and entry.standing is NameStanding.NEAR:
        yield fault("checked", _only_proposed(entry))


def _only_proposed(entry: DictionaryEntry) -> Said:
    return said(
        "{name!r}: {proposed} is only proposed: write yes here if it is right, or another id",
        name=entry.name,
        proposed=f"{entry.id} {entry.name_here}".strip(),
    )


def is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_ID)) and 0 < int(text) <= LARGEST_ID


async def faults_there(dictionary: Dictionary, there: NamesThere, references: References) -> list[ValueFault]:
    """The faults of a dictionary in this billing: ids that are not there, or have another name than stands beside.

    The name shows that the dictionary was made for another billing, or before somebody has changed this one. Raises
    `LookUpFailed`.
    """
    by_kind: defaultdict[str, list[DictionaryEntry]] = defaultdict(list)
    for entry in dictionary.entries.values():
        if is_id(entry.id):
            by_kind[entry.kind].append(entry)
    faults: list[ValueFault] = []
    for kind, entries in by_kind.items():
        missing = await references.missing(kind, {entry.id for entry in entries})
        for entry in entries:
            found = there.get(kind, int(entry.id))
            if entry.id in missing:
                faults.append(
                    ValueFault(Place(entry.line, dictionary.titles["id"]), entry.id, nowhere(kind, entry.id))
                )
            elif found and entry.name_here and core_of(entry.name_here) not in map(core_of, found.names):
                why = said(
                    "the {noun} {id} is {name!r} in this billing: correct the id, or empty this cell",
                    noun=noun_of(kind),
                    id=entry.id,
                    name=found.names[0],
                )
                faults.append(ValueFault(Place(entry.line, dictionary.titles["name_here"]), entry.name_here, why))
    return faults


# ---- a dictionary that is to be checked ----------------------------------------------------------------------------


MOST_USED: Final = 20_000
"""Different names of one kind; all of them are in memory, and a person is to check them."""


@dataclass(slots=True)
class UsedName:
    """A name of the input: where it stands first, in how many values, and the line of the last row that has it."""

    kind: str
    name: str
    place: Place
    rows: int = 0
    last: int = 0
    splits: bool = False
    """Whether it may be several names in one cell."""
    split: str = ""
    """At what the map splits its cell, "" for none."""
    code: str = ""
    """That of its first fault."""


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
        for field_, value in subscriber.values(self._references):
            kind, name = self._references[field_], plain_name(value.text)
            if not name or (value.place.line is None and is_id(value.text)):
                continue
            if (kind, name) not in self._used:
                self._counts[kind] += 1
                if self._counts[kind] > MOST_USED:
                    raise InputRefused(
                        "the column {column} has more than {most} different values: does it name the {noun} of a "
                        "row? Say with a map which column does",
                        column=value.place.column,
                        most=Quantity(MOST_USED),
                        noun=noun_of(kind),
                    )
            self._used.setdefault((kind, name), UsedName(kind, name, value.place, split=value.split)).rows += 1
        return subscriber, ()

    @property
    def names(self) -> Sequence[UsedName]:
        return tuple(self._used.values())

    def several(self, there: NamesThere) -> Iterator[Said]:
        """What to say of the columns of services that have several in one cell, by the first such cell a sign."""
        told: set[tuple[str, str]] = set()
        for one in (one for one in self._used.values() if one.kind == "Usluga" and one.place.line is not None):
            separator = separator_of(one.name, partial(_is_one, self._used, there, one.kind))
            if separator and (one.place.column, separator) not in told:
                told.add((one.place.column, separator))
                yield several_services(one.name, one.place.column, separator, one.split)


def _is_one(used: Collection[tuple[str, str]], there: NamesThere, kind: str, name: str) -> bool:
    return (kind, name) in used or bool(there.named(kind, name))


@dataclass(frozen=True, slots=True)
class ProposedDictionary:
    """The entries of a dictionary to be checked: by kind, what is still to be done first."""

    rows: Sequence[DictionaryEntry] = field(default_factory=tuple)

    def count(self, standing: NameStanding, kind: str | None = None) -> int:
        return sum(row.standing is standing and kind in {None, row.kind} for row in self.rows)

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(kind for kind in KINDS if any(row.kind == kind for row in self.rows))


def propose(used: Collection[UsedName], there: NamesThere, old: Dictionary | None = None) -> ProposedDictionary:
    """The dictionary for the names of an input.

    What a person has decided in the `old` one stays as it is, also of names that this input does not have.
    """
    entries = {} if old is None else dict(old.entries)
    matchers = {kind: Matcher(there.live(kind)) for kind in KINDS if there.knows(kind)}
    rows: list[DictionaryEntry] = []
    names = {(one.kind, one.name) for one in used}
    for one in used:
        decided = entries.pop((one.kind, one.name), None)
        entry = DictionaryEntry(one.kind, one.name, rows=one.rows, first_line=one.place.line)
        if decided is not None and decided.id and decided.is_checked:
            entry = replace(decided, rows=one.rows, first_line=one.place.line)
        elif (matcher := matchers.get(one.kind)) is not None:
            proposal = matcher.propose(one.name)
            match, found = proposal.match, proposal.found
            is_one = partial(_is_one, names, there, one.kind)
            if one.kind == "Usluga" and match is Match.NEAR and separator_of(one.name, is_one):
                # Several services in one cell are like one of them, and it would stand for all.
                match, found = Match.NONE, None
            entry = replace(entry, match=match, others=proposal.others)
            if found is not None:
                how = f"{match} {proposal.likeness}" if match is Match.NEAR else str(match)
                entry = replace(entry, id=str(found.id), name_here=found.names[0], match=how)
            elif one.kind == FOLDER and match is Match.NONE:
                entry = replace(entry, id=NEW, name_here=one.name, match=Match.NEW)
        rows.append(entry)
    rows += [replace(entry, line=None) for entry in entries.values()]
    urgent = list(NameStanding)
    return ProposedDictionary(
        sorted(rows, key=lambda row: (KINDS.index(row.kind), urgent.index(row.standing), -row.rows, row.name))
    )


# ---- the stage that turns names into ids --------------------------------------------------------------------------


_NO_ID: Final = "no-id"
_OPEN_ID: Final = "open-id"
_OTHER_NAME: Final = "other-name"
_SEVERAL: Final = "several"
"""The codes of faults of names without an id: nobody has said it, it is open, is another one's name, is several."""

LISTED: Final = 20
"""Names of the billing that a reason lists."""

_SEPARATORS: Final = ",;|/+"

REMEMBERED: Final = 1_000
"""Names without a meaning that are remembered with their first line; of others only that there are some."""

_SUBJECTS: Final[Mapping[Step, str]] = {Step.TARIFF: "Tarif", Step.SERVICE: "Usluga", Step.ATTRIBUTE: "Attribute"}
"""What a step is about: without it there is nothing to do."""


def separator_of(name: str, is_name: Callable[[str], bool]) -> str:
    """What separates several names in one cell, "" where it is one: half of them at least have to be names."""
    for sign in _SEPARATORS:
        names = [plain for one in name.split(sign) if (plain := plain_name(one))]
        if len(names) > 1 and 2 * sum(map(is_name, names)) >= len(names):
            return sign
    return ""


def several_services(name: str, column: str, separator: str, split: str) -> Said:
    """What to say of several services in one cell of a column, which a map may `split` at another sign already."""
    if split:
        return said(
            "{name!r} is several services in one cell, and the map splits this column at {split!r}: write {split!r} "
            "for {separator!r} in the table",
            name=name,
            split=split,
            separator=separator,
        )
    quoted = (json.dumps(one, ensure_ascii=False) for one in (column, separator))
    return said(
        "{name!r} is several services in one cell. In a map file ({flag}), this under [[service]] splits it: {rule}",
        name=name,
        flag=setting("map", "FILE.toml"),
        rule="usluga_id = {{ column = {}, split = {} }}".format(*quoted),
    )


class NameLookup:
    """Turns the names of a subscriber into ids, by the dictionary and, to tell names from ids, by the billing.

    A number that is no name of the dictionary is an id where the dictionary has nothing of its kind, or where the map
    gives it for all rows. A name that the map gives for all rows is that of this billing, if the dictionary has
    nothing of it. A folder without a dictionary, or one that is given for all rows and not in it, keeps its path: it
    is found in the billing, or created. A dictionary of this `table` is written by what it is `read_by`.
    """

    def __init__(
        self,
        dictionary: Dictionary | None,
        fields: FieldTable,
        there: NamesThere,
        table: str = "FILE",
        read_by: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._dictionary = dictionary
        self._file = file = dictionary.file if dictionary else "dictionary.csv"
        completes = (("dictionary", file), ("output", file), ("force", "")) if dictionary else (("output", file),)
        self._writes = advised("dictionary", table, *read_by, *completes)
        self._meant: dict[tuple[str, str], str | Said] = {}
        self._kinds = dictionary.kinds if dictionary else frozenset()
        self._references = fields.references
        self._there = there
        self._unknown: dict[tuple[str, str], UsedName] = {}
        self._has_more = False

    def __call__(self, subscriber: Subscriber) -> tuple[Subscriber, Sequence[ValueFault]]:
        faults: list[ValueFault] = []
        parts: list[Part] = []
        for part in subscriber.parts:
            read = self._folder if part.step is Step.FOLDER else self._part
            if (made := read(part, subscriber.row.line or 0, faults)) is not None:
                parts.append(made)
        return replace(subscriber, parts=tuple(parts)), faults

    @property
    def notes(self) -> tuple[str, ...]:
        told = [
            counted(
                "{noun} {name!r} has no id: {n} row[s], [the first ]on line {line}",
                one.rows,
                noun=noun_of(one.kind),
                name=one.name,
                line=one.place.line or 0,
            )
            for one in self._unlisted
        ]
        more = [said("more names have no id: each is told with its row")] if self._has_more else []
        return (*told, *more)

    @property
    def way_out(self) -> Said | None:
        """What to type where names have no id, None where all have one."""
        if not self._unlisted:
            return None
        return said(
            "a dictionary gives names their ids: {command} writes it, with what it proposes, a person checks it, and "
            "{flag} gives it to the import",
            command=self._writes,
            flag=setting("dictionary", self._file),
        )

    @property
    def _unlisted(self) -> list[UsedName]:
        """The names without an id that a dictionary would give one."""
        return [
            one
            for one in self._unknown.values()
            if not (one.splits and separator_of(one.name, partial(self._is_name, one.kind)))
        ]

    # ---- a part: None where what it is about is not brought over ----

    def _part(self, part: Part, line: int, faults: list[ValueFault]) -> Part | None:
        values = dict(part.values)
        for name, value in part.values.items():
            kind = self._references.get((part.step, name))
            if not kind:
                continue
            is_split = part.step is Step.SERVICE and kind == _SUBJECTS[part.step]
            key = self._id(kind, value, line, faults, splits=is_split)
            if key != LEFT_OUT:
                values[name] = replace(value, text=key)
            elif _SUBJECTS.get(part.step) == kind:
                return None
            else:
                del values[name]
        return replace(part, values=values)

    def _folder(self, part: Part, line: int, faults: list[ValueFault]) -> Part | None:
        value = part.values.get(PATH) or part.values.get(FOLDER_ID)
        if value is None:
            return part
        entry = self._dictionary.get(FOLDER, value.text) if self._dictionary else None
        others = {key: one for key, one in part.values.items() if key not in {PATH, FOLDER_ID}}
        if entry is not None and entry.id == NEW:
            return replace(part, values={**others, PATH: replace(value, text=entry.path)})
        is_given = entry is None and value.place.line is None
        if PATH in part.values and (is_given or FOLDER not in self._kinds):
            if is_id(value.text) and self._there.get(FOLDER, int(value.text)) is not None:
                faults.append(self._fault(FOLDER, value, _ambiguous(FOLDER, value.text), line, _OTHER_NAME))
            return part
        key = self._id(FOLDER, value, line, faults)
        return None if key == LEFT_OUT else replace(part, values={**others, FOLDER_ID: replace(value, text=key)})

    # ---- a value ----

    def _id(self, kind: str, value: Value, line: int, faults: list[ValueFault], *, splits: bool = False) -> str:
        """The id of a name, or `LEFT_OUT`; the name itself where it has none, with a fault.

        One that `splits` may be several names in one cell.
        """
        name, code = plain_name(value.text), _NO_ID
        entry = self._dictionary.get(kind, name) if self._dictionary else None
        if entry is not None and entry.id:
            return entry.id
        if entry is None and is_id(name) and (value.place.line is None or kind not in self._kinds):
            if all(one.id == int(name) for one in self._there.named(kind, name)):
                return name
            why, code = _ambiguous(kind, name), _OTHER_NAME
        elif entry is None and value.place.line is None:
            meant = self._of_billing(kind, name)
            if not isinstance(meant, Said):
                return meant
            why = meant
        elif splits and (separator := separator_of(name, partial(self._is_name, kind))):
            why = several_services(name, value.place.column, separator, value.split)
            faults.append(value.fault(why, f"{_SEVERAL} {separator}"))
            return name
        elif self._dictionary is None:
            why = said(
                "{name!r} is no id of a {noun}: a dictionary says which it is, given with {flag}",
                name=name,
                noun=noun_of(kind),
                flag=setting("dictionary", "FILE"),
            )
        elif entry is not None and entry.line is not None:
            code = _OPEN_ID
            why = said(
                "the {noun} {name!r} has no id in {file}, line {line}: fill it in",
                noun=noun_of(kind),
                name=name,
                file=self._dictionary.file,
                line=entry.line,
            )
        else:
            why = said(
                "the {noun} {name!r} is not in {file}: add it there; {command} does so",
                noun=noun_of(kind),
                name=name,
                file=self._dictionary.file,
                command=self._writes,
            )
        faults.append(self._fault(kind, value, why, line, code, splits=splits))
        return name

    def _of_billing(self, kind: str, name: str) -> str | Said:
        """The id of the object of the billing that has the name, or why it has none."""
        if (kind, name) not in self._meant:
            noun = noun_of(kind)
            found = Matcher(self._there.live(kind)).propose(name)
            named = {str(one.id): one.names[0] for one in self._there.live(kind)}
            listed = tuple(f"{key} {one}" for key, one in sorted(named.items(), key=lambda one: one[1])[:LISTED])
            if found.match is Match.EQUAL and found.found is not None:
                self._meant[kind, name] = str(found.found.id)
            elif not self._there.knows(kind):
                self._meant[kind, name] = said(
                    "{name!r} is no id of a {noun}, and the billing does not tell its names: give the id",
                    name=name,
                    noun=noun,
                )
            elif found.match is Match.SEVERAL:
                self._meant[kind, name] = said(
                    "{noun} {name!r} is the name of several, with the ids {ids}: give the id that is meant",
                    noun=noun,
                    name=name,
                    ids=tuple(str(one.id) for one in found.others),
                )
            else:
                self._meant[kind, name] = said(
                    "the billing has no {noun} {name!r}{nearest}; it has: {listed}",
                    noun=noun,
                    name=name,
                    nearest=nearest(name, named.values()),
                    listed=listed,
                )
        return self._meant[kind, name]

    def _is_name(self, kind: str, name: str) -> bool:
        """Whether a text is a name of the dictionary, of the billing, or of a whole cell of this input."""
        in_dictionary = self._dictionary is not None and self._dictionary.get(kind, name) is not None
        return in_dictionary or (kind, name) in self._unknown or bool(self._there.named(kind, name))

    def _fault(self, kind: str, value: Value, why: Said, line: int, code: str, *, splits: bool = False) -> ValueFault:
        """The fault of a name in a row: in full at its first use, with the line of that at the others.

        A table is read more than once, in order; a row counts once.
        """
        name = plain_name(value.text)
        known = self._unknown.get((kind, name))
        if known is None and len(self._unknown) < REMEMBERED:
            known = UsedName(kind, name, value.place, splits=splits, code=code)
            self._unknown[kind, name] = known
        if known is None:
            self._has_more = True
            return value.fault(why, code)
        if line > known.last:
            known.rows += 1
            known.last = line
        if known.place != value.place:
            why = said(
                "the {noun} {name!r} has no id, as on line {line}",
                noun=noun_of(kind),
                name=name,
                line=known.place.line or 0,
            )
        return value.fault(why, known.code)


def _ambiguous(kind: str, number: str) -> Said:
    return said(
        "{number} can be the id of a {noun}, and it is the name of another one: say in a dictionary which is meant",
        number=repr(number),
        noun=noun_of(kind),
    )
