"""The ZIP archive of a workbook, and the XML in it, read as a stream of elements.

The content is not trusted: a document type is refused, so no entities are expanded; sizes and the parser's memory are
limited.
"""

import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import IO, Final, TypeAlias
from xml.parsers import expat

from engine.errors import InputRefused
from engine.sources.raw.original import Original
from engine.sources.raw.sample import OLE2, ZIP, Sample
from engine.sources.raw.source import LONGEST_CELL
from texts.said import Quantity, said, wording

_CHUNK: Final = 2 * 1024
"""Bytes that are parsed at once: the elements of more would set off the garbage collector again and again."""
_LARGEST_PART: Final = 4 * 1024**3
"""Maximum unpacked size of a part, in bytes: a million rows of fifty columns take less."""
_LARGE_PART: Final = 64 * 1024**2
_BEST_PACKED: Final = 500
"""Maximum compression ratio of a large part: only a ZIP bomb exceeds it."""
_LARGEST_TAG: Final = 2 * 1024**2
"""Maximum length of a tag or a text, in bytes: the parser keeps it in memory."""
_ENCRYPTED: Final = 0x1
_MOST_NAMES: Final = 1000
_MOST_PIECES: Final = 100_000
"""Pieces of one cell: more than these are as good as a cell that is too long."""

_MARK: Final = "EncryptedPackage".encode("utf-16-le")
"""The name of the stream that holds the encrypted workbook, in the container's directory."""
_BLOCK: Final = 1024 * 1024

Attributes = Mapping[str, str]
"""The attributes of an element, by their names as written."""
Tag: TypeAlias = tuple[str, Attributes | None]
"""A tag: with its attributes where it begins, without them where it ends."""
Inner: TypeAlias = Sequence[Tag | str]
"""The content of an element: tags and texts."""
Element: TypeAlias = tuple[str, Attributes | None, Inner | None]
"""A tag, its attributes, and its content; see `Archive.elements`."""


class Archive:
    """The parts of a ZIP archive, listed on first access. Each reading opens the original again."""

    def __init__(self, original: Original) -> None:
        self._original = original
        self.name = original.name

    @cached_property
    def parts(self) -> frozenset[str]:
        """The names of the parts. Raises `InputRefused`."""
        with self._opened() as archive:
            return frozenset(archive.namelist())

    @contextmanager
    def open(self, part: str) -> Iterator[IO[bytes]]:
        """The bytes of a part, unpacked as they are read. Raises `InputRefused`."""
        if part not in self.parts:
            raise InputRefused("{file} is no whole workbook: {part} is missing in it", file=self.name, part=part)
        with self._opened() as archive:
            info = archive.getinfo(part)
            if info.flag_bits & _ENCRYPTED:
                raise locked(self.name)
            self._check_size(info)
            with archive.open(info) as stream:
                yield stream

    def elements(self, part: str, *tags: str, whole: Collection[str] = ()) -> Iterator[Element]:
        """The elements of a part with these tags: each where it begins, and again, without attributes, at its end.

        An element of `whole` comes once, at its end, with its content; with None for it as soon as that is too long.
        Tags are local names, for any prefix; others in the content are "". With nothing to come whole, there are no
        ends. Raises `InputRefused`, with line and column, for invalid XML and for a document type.
        """
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _no_doctype
        found = _gathered(parser, _Tags((*tags, *whole)), whole)
        with self.open(part) as stream:
            try:
                while chunk := stream.read(_CHUNK):
                    parser.Parse(chunk)
                    if stream.tell() - parser.CurrentByteIndex > _LARGEST_TAG:
                        endless = wording("{file} is broken: {part} has a tag without an end")
                        raise InputRefused(endless, file=self.name, part=part)
                    yield from found
                    found.clear()
                parser.Parse(b"", True)  # noqa: FBT003 - expat has no keyword arguments
            except expat.ExpatError as error:
                raise InputRefused(
                    "{file} is broken: line {line}, column {column} of {part}: {error}",
                    file=self.name,
                    line=error.lineno,
                    column=error.offset + 1,
                    part=part,
                    error=expat.ErrorString(error.code),
                ) from error
            except _DoctypeFound as error:
                declares = wording("{file}: {part} declares a document type, which no spreadsheet program does")
                raise InputRefused(declares, file=self.name, part=part) from error

    def starts(self, part: str, *tags: str) -> Iterator[tuple[str, Attributes]]:
        """The tags and attributes of the elements of a part with these tags. Raises `InputRefused`."""
        return ((tag, attributes or {}) for tag, attributes, _ in self.elements(part, *tags))

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with self._original.open() as file, zipfile.ZipFile(file) as archive:
                yield archive
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise InputRefused(
                "{file} is broken, as a file that was not copied whole: {error}. Copy or save it anew",
                file=self.name,
                error=str(error) or said("it ends too early"),
            ) from error

    def _check_size(self, info: zipfile.ZipInfo) -> None:
        packed_well = info.file_size > _BEST_PACKED * max(info.compress_size, 1)
        if info.file_size > _LARGEST_PART or (info.file_size > _LARGE_PART and packed_well):
            raise InputRefused(
                "{file}: {part} in it unpacks from {packed} to {size} bytes, which no table of rows does; save "
                "the rows as CSV UTF-8",
                file=self.name,
                part=info.filename,
                packed=Quantity(info.compress_size),
                size=Quantity(info.file_size),
            )


class _DoctypeFound(Exception):
    """Raised at a document type, before its entities are declared."""


def _no_doctype(*_: object) -> None:
    raise _DoctypeFound


class _Tags(dict[str, tuple[Tag, Tag]]):
    """The beginnings and ends of tags, by names with any prefix; those that are not wanted are named ""."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__({name: ((name, {}), (name, None)) for name in (*names, "")})

    def __missing__(self, name: str) -> tuple[Tag, Tag]:
        both = self[name.rpartition(":")[2]] if ":" in name else self[""]
        if len(self) < _MOST_NAMES:
            self[name] = both
        return both


def _gathered(parser: expat.XMLParserType, tags: _Tags, whole: Collection[str]) -> list[Element]:
    found: list[Element] = []
    tag, opened = "", dict[str, str]()
    inner: list[Tag | str] = []
    depth = length = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal tag, opened, inner, depth, length
        begins = tags[name][0]
        if depth:
            depth += 1
            inner.append((begins[0], attributes) if attributes else begins)
            if len(inner) > _MOST_PIECES:
                give_up()
        elif begins[0] in whole:
            tag, opened, inner, depth, length = begins[0], attributes, [], 1, 0
        elif begins[0]:
            found.append((begins[0], attributes, ()))

    def end(name: str) -> None:
        nonlocal depth
        if depth > 1:
            depth -= 1
            inner.append(tags[name][1])
        elif depth:
            depth = 0
            found.append((tag, opened, inner))
        elif ended := tags[name][1][0]:
            found.append((ended, None, ()))

    def text(data: str) -> None:
        nonlocal length
        if depth:
            inner.append(data)
            length += len(data)
            if length > LONGEST_CELL:
                give_up()

    def give_up() -> None:
        nonlocal length
        found.append((tag, opened, None))
        inner.clear()
        length = 0

    parser.StartElementHandler = start
    parser.EndElementHandler = end if whole else None
    parser.CharacterDataHandler = text if whole else None
    return found


# ---- archives that are not readable workbooks ----------------------------------------------------------------------


def refuse_locked(sample: Sample) -> None:
    """Refuse the container of an encrypted workbook. Raises `InputRefused`, also when it cannot be read."""
    if not sample.start.startswith(OLE2):
        return
    before = b""
    with sample.original.open() as file:
        while block := file.read(_BLOCK):
            if _MARK in before + block:
                raise locked(sample.name)
            before = block[-len(_MARK) :]


def locked(name: str) -> InputRefused:
    return InputRefused("{file} is behind a password: save it without one", file=name)


def archive_of(sample: Sample) -> Archive | None:
    """The input as an archive, None if it is none."""
    return Archive(sample.original) if sample.start.startswith(ZIP) else None


def refuse_archive(sample: Sample) -> None:
    """Refuse an archive that is not a workbook. Raises `InputRefused`."""
    if sample.start.startswith(ZIP):
        raise InputRefused("{file} is a ZIP archive and no workbook: unpack it first", file=sample.name)
