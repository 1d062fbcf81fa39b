"""The ZIP archive of a workbook, and the XML in it, read as streams.

The content is not trusted: a document type is refused, so no entities are expanded; sizes and the parser's memory are
limited.
"""

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Final, NoReturn, Protocol, TypeVar
from xml.parsers import expat

from engine.errors import InputRefused
from engine.sources.raw.fault_places import OLE2, ZIP
from engine.sources.raw.original import Original
from engine.sources.raw.sample import Sample
from texts.said import Quantity, said

_CHUNK: Final = 64 * 1024
_LARGEST_PART: Final = 4 * 1024**3
"""Maximum unpacked size of a part, in bytes: a million rows of fifty columns take less."""
_LARGE_PART: Final = 64 * 1024**2
_BEST_PACKED: Final = 500
"""Maximum compression ratio of a large part: only a ZIP bomb exceeds it."""
_LARGEST_TAG: Final = 2 * 1024**2
"""Maximum length of a tag or a text, in bytes: the parser keeps it in memory."""
_ENCRYPTED: Final = 0x1
_MOST_NAMES: Final = 1000

_MARK: Final = "EncryptedPackage".encode("utf-16-le")
"""The name of the stream that holds the encrypted workbook, in the container's directory."""
_BLOCK: Final = 1024 * 1024

Attributes = Mapping[str, str]
"""The attributes of an element, by their names as written."""
T = TypeVar("T")


class Elements(Protocol):
    """A handler of the elements of a part; `done` ends the reading early."""

    done: bool

    def start(self, name: str, attributes: Attributes, /) -> None:
        """Handle the start of an element."""
        ...

    @property
    def end(self) -> Callable[[str], None] | None:
        """The handler of element ends; None for no calls."""
        ...

    @property
    def text(self) -> Callable[[str], None] | None:
        """The handler of text between tags, in pieces; None for no calls."""
        ...


class ByLocalName(dict[str, T]):
    """A mapping by the local name of an element or attribute, for any namespace prefix."""

    def __missing__(self, name: str) -> T:
        """The value of the name without its prefix, cached for the full name."""
        value = self[name.rpartition(":")[2]] if ":" in name else self[""]
        if len(self) < _MOST_NAMES:
            self[name] = value
        return value


def tags(*names: str) -> ByLocalName[str]:
    """A mapping to the local names of these elements, for any prefix; "" for all others."""
    return ByLocalName({name: name for name in (*names, "")})


class Archive:
    """The parts of a ZIP archive, listed on first access. Each reading opens the original again."""

    __slots__ = ("_original", "_parts")

    def __init__(self, original: Original) -> None:
        self._original = original
        self._parts: frozenset[str] | None = None

    @property
    def name(self) -> str:
        """The name of the original."""
        return self._original.name

    @property
    def parts(self) -> frozenset[str]:
        """The names of the parts. Raises `InputRefused`."""
        if self._parts is None:
            with self._opened() as archive:
                self._parts = frozenset(archive.namelist())
        return self._parts

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

    def parse(self, part: str, elements: Elements) -> Iterator[None]:
        """Parse a part as XML, step by step; between the steps the results of `elements` can be taken.

        Raises `InputRefused`, with line and column, for invalid XML and for a document type.
        """
        parser = _parser(elements)
        with self.open(part) as stream:
            try:
                while chunk := stream.read(_CHUNK):
                    parser.Parse(chunk)
                    if stream.tell() - parser.CurrentByteIndex > _LARGEST_TAG:
                        raise InputRefused(
                            "{file} is broken: {part} has a tag without an end", file=self.name, part=part
                        )
                    yield
                    if elements.done:
                        return
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
                raise InputRefused(
                    "{file}: {part} declares a document type, which no spreadsheet program does",
                    file=self.name,
                    part=part,
                ) from error
            yield

    def parse_whole(self, part: str, elements: Elements) -> None:
        """Parse a part to its end, or until `elements` has what it needs. Raises `InputRefused`."""
        for _ in self.parse(part, elements):
            pass

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


def _parser(elements: Elements) -> expat.XMLParserType:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _no_doctype
    parser.StartElementHandler = elements.start
    parser.EndElementHandler = elements.end
    parser.CharacterDataHandler = elements.text
    return parser


# ---- archives that are not readable workbooks ----------------------------------------------------------------------


def is_archive(sample: Sample) -> bool:
    """Whether an input is a ZIP archive, as workbooks are."""
    return sample.start.startswith(ZIP)


def refuse_archive(sample: Sample) -> NoReturn:
    """Refuse an archive that is not a workbook. Raises `InputRefused`."""
    raise InputRefused("{file} is a ZIP archive and no workbook: unpack it first", file=sample.name)


def is_locked(sample: Sample) -> bool:
    """Whether an input is the container of an encrypted workbook. Raises `InputRefused` when it cannot be read."""
    if not sample.start.startswith(OLE2):
        return False
    before = b""
    with sample.original.open() as file:
        while block := file.read(_BLOCK):
            if _MARK in before + block:
                return True
            before = block[-len(_MARK) :]
    return False


def refuse_locked(sample: Sample) -> NoReturn:
    """Refuse an encrypted workbook. Raises `InputRefused`."""
    raise locked(sample.name)


def locked(name: str) -> InputRefused:
    """The refusal of an encrypted workbook."""
    return InputRefused("{file} is behind a password: save it without one", file=name)
