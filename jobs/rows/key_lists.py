"""Key lists of `--only` and `--exclude`: typed with commas, or a file.

A file has one key a line, or is a table in any format of an input, with a column of contract numbers, ids, logins or
ids of accounts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine.errors import InputRefused
from engine.rows import LastLine, Source
from engine.sources.detect import open_input
from engine.sources.raw.original import FileOnDisk
from engine.sources.raw.sample import Layout
from jobs.spec.columns import Column, locate
from texts.remedies import Remedy
from texts.said import Quantity, any_of

MOST: Final = 100_000
"""Keys of one list; all of them are in memory while the rows are read."""

_MOST: Final = Quantity(MOST)
_IDS: Final = ("abonent_id", "user_id")
_OTHERS: Final = ("contract_number", "login")
_BARE: Final = "key"
_NO_ALIASES: Final[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True)
class KeyList:
    """A list of keys in the parameters of a run: the typed `text`, or a `file` with its SHA-256."""

    text: str = ""
    file: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a list, in order: `ids`, `others` (contract numbers, logins), or `either` of the two."""

    all: tuple[str, ...]
    ids: frozenset[str] = field(default_factory=frozenset)
    others: frozenset[str] = field(default_factory=frozenset)
    either: frozenset[str] = field(default_factory=frozenset)


def key_list(typed: str, folder: Path) -> KeyList:
    """The list that was typed: a file if `folder` has one of that name, or else keys. Raises `InputRefused`."""
    path = folder / typed
    if typed and path.is_file():
        return KeyList(file=str(path), digest=FileOnDisk(path).digest)
    return KeyList(text=typed)


def read_keys(given: KeyList, flag: Remedy) -> Keys:
    """The keys of a list; `flag` is the setting that gave it.

    Raises `InputRefused` for a list without keys or with too many, and for a file that cannot be read or has changed.
    """
    if given.file:
        keys = _of_file(Path(given.file), given.digest, flag)
    else:
        typed = _distinct((part.strip() for part in given.text.split(",")), flag)
        keys = Keys(typed, either=frozenset(typed))
    if not keys.all:
        raise InputRefused("{flag}: there is no key in {given}", flag=flag, given=given.file or repr(given.text))
    return keys


def unended_of(given: KeyList) -> tuple[LastLine, ...]:
    """The last line of a file of keys, where it may have been cut to another key. Raises `InputRefused`."""
    if not given.file:
        return ()
    try:
        return open_input(Path(given.file), Layout(columns=(_BARE,))).unended
    except InputRefused:
        return open_input(Path(given.file), Layout()).unended


def _of_file(path: Path, digest: str, flag: Remedy) -> Keys:
    if FileOnDisk(path).digest != digest:
        raise InputRefused(
            "{flag}: {file} has changed since the run began with it. Put the old file back and resume, or start "
            "a new run",
            flag=flag,
            file=path,
        )
    bare = _bare(path, flag)
    if bare is not None:
        return Keys(bare, either=frozenset(bare))
    source = open_input(path, Layout())
    names = dict.fromkeys((*_OTHERS, *_IDS), _NO_ALIASES)
    found = {name: column for name, column in _located(source, names).items() if column is not None}
    if not found:
        raise InputRefused(
            "{flag}: {file} has no column of keys, as {names}; it has: {there}",
            flag=flag,
            file=path,
            names=any_of(list(names)),
            there=", ".join(source.header),
        )
    # If both are there, the contract number is the key, because people prefer it to an id.
    name = next(name for name in names if name in found)
    keys = _distinct(_column(source, found[name]), flag)
    return Keys(keys, **{"ids" if name in _IDS else "others": frozenset(keys)})


def _bare(path: Path, flag: Remedy) -> tuple[str, ...] | None:
    """One key a line; None for a table."""
    source = open_input(path, Layout(columns=(_BARE,)))
    try:
        pages = source.pages(None)
        first = next(pages, None)
    except InputRefused:
        # JSON lines name their columns themselves; any other fault is reported when the table is read.
        return None
    if first is None or first.refusals or not first.rows or _is_title(first.rows[0].cells[0]):
        return None
    return _distinct(_column(source, Column(_BARE, 0)), flag)


def _is_title(cell: str) -> bool:
    found = locate("", (cell,), dict.fromkeys((*_OTHERS, *_IDS), _NO_ALIASES), {})
    return any(column is not None for column in found.values())


def _located(source: Source, names: dict[str, tuple[str, ...]]) -> dict[str, Column | None]:
    return locate(source.name, source.header, names, {})


def _column(source: Source, column: Column) -> Iterator[str]:
    for page in source.pages(None):
        for refusal in page.refusals:
            raise InputRefused(
                "{file}, line {line}: {reason}", file=source.name, line=refusal.line or 0, reason=refusal.reason
            )
        yield from map(column.of, page.rows)


def _distinct(keys: Iterator[str], flag: Remedy) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for key in keys:
        if key:
            found[key] = None
        if len(found) > MOST:
            raise InputRefused(
                "{flag}: there are more than {most} keys, and so many are not taken", flag=flag, most=_MOST
            )
    return tuple(found)
