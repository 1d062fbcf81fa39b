"""The dictionary of an import: names of the old billing, and the ids that they have in this one.

A table with a row for each name, which a person has checked:

    kind;name;rows;first_line;id;name_here;match;others;checked
    tariff;Домашний 100;1204;2;17;Домашний-100;equal;;
    folder;Ленина 5;88;14;new;Частный сектор/Ленина 5;new;;да
    service;Старая аренда;3;190;none;;;;
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from billing.directory.models import LARGEST_ID
from engine.errors import InputRefused, nearest
from engine.rows import Row, Source
from engine.sources.detect import open_input
from engine.sources.exported import as_it_was
from engine.sources.raw.sample import Layout
from jobs.access.references import References
from jobs.imports.matching import Match, core_of
from jobs.imports.names_there import FOLDER, WORDS, NamesThere, noun_of, plain_name
from jobs.imports.subscriber import folder_names
from jobs.spec.columns import find
from texts.said import Quantity, any_of, counted, in_lines, said

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
            cells = {name: _cell(row, column.place, defuses=defuses) for name, column in columns.items()}
            if not any(cells.values()):
                continue
            kind = WORDS.get(cells["kind"].casefold())
            if kind is None:
                faults.append(DictionaryFault(row.line, "kind", _unknown_kind(cells["kind"])))
                continue
            own = {name: cells.get(name, "") for name in ("name", "id", "name_here", "match", "checked")}
            yield DictionaryEntry(kind, **own, line=row.line)


def _cell(row: Row, place: int, *, defuses: bool) -> str:
    text = row.cells[place]
    return plain_name(as_it_was(text) if defuses else text)


def _unknown_kind(word: str) -> str:
    return said(
        "there is no kind {word!r}{nearest}; there are: {known}",
        word=word,
        nearest=nearest(word, WORDS),
        known=tuple(WORDS),
    )


def _faults_of(entry: DictionaryEntry, before: DictionaryEntry, *, is_checked: bool) -> Iterator[DictionaryFault]:
    if not entry.name:
        yield DictionaryFault(entry.line, "name", said("it is empty"))
    if entry.id and not is_id(entry.id) and entry.id not in (words := _words_for(entry.kind)):
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


def _words_for(kind: str) -> tuple[str, ...]:
    return (NEW, LEFT_OUT) if kind == FOLDER else (LEFT_OUT,)


# ---- against the billing ----------------------------------------------------------------------------------------


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
            if entry.id in missing:
                reason = said("the billing has no {noun} {id}, or it is deleted", noun=noun_of(kind), id=entry.id)
                faults.append(DictionaryFault(entry.line, "id", reason))
            elif (fault := _other_name(entry, there)) is not None:
                faults.append(fault)
    refuse_faults(dictionary.file, sorted(faults, key=lambda one: one.line or 0))


def _other_name(entry: DictionaryEntry, there: NamesThere) -> DictionaryFault | None:
    found = there.get(entry.kind, int(entry.id))
    if found is None or not entry.name_here:
        return None
    if core_of(entry.name_here) in map(core_of, found.names):
        return None
    reason = said(
        "the {noun} {id} is {name!r} in this billing: correct the id, or empty this cell",
        noun=noun_of(entry.kind),
        id=entry.id,
        name=found.names[0],
    )
    return DictionaryFault(entry.line, "name_here", reason)
