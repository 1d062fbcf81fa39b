"""Rows, pages of rows, and the interface of their sources."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from checkpoints.records import Refusal
from texts.said import said

STANDARD_INPUT: Final = said("standard input")
"""The source name of piped rows."""

STDIN: Final = "-"
"""The file argument that means standard input."""

FAULTS: Final = "carbon_faults"
"""The column that a check adds to a table, and the sheet that it puts beside it; neither is of the input."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a source. `line` counts from 1 in a file, the header included; None for a source without lines.

    `truths` are the 0-based indexes of cells that hold a boolean, not the text "true" or "false".
    """

    line: int | None
    cells: tuple[str, ...]
    truths: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class RowPage:
    """Rows in order; `refusals` are unreadable rows; `cursor` is where the next page begins.

    `left_out` counts the input rows that flags leave out, by flag.
    """

    rows: tuple[Row, ...]
    refusals: tuple[Refusal, ...]
    cursor: str
    left_out: Mapping[str, int] = field(default_factory=dict)


class LastLine(NamedTuple):
    """The last line of a text, without an end that all others have: it may have been cut."""

    file: str
    text: str


class Source(ABC):
    """A source of rows, page by page. Used from a worker thread, one call at a time."""

    __slots__ = ()

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the source as recorded and shown: a path, or a description of the query."""

    @property
    def digest(self) -> str:
        """SHA-256 of a file's bytes, "" for a source whose rows may change between two readings."""
        return ""

    @property
    @abstractmethod
    def header(self) -> tuple[str, ...]:
        """The column names of the input."""

    @property
    def is_read_whole(self) -> bool:
        """Whether the whole source must be read and valid before anything is sent (True for a file)."""
        return True

    @property
    def limit(self) -> int:
        """Maximum number of rows to send, from the start of the input; 0 for all."""
        return 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on detected reading options, a few words each. Raises `InputRefused`."""
        return ()

    @property
    def unended(self) -> tuple[LastLine, ...]:
        """The last lines of its texts that may have been cut. Raises `InputRefused`."""
        return ()

    @abstractmethod
    def pages(self, after: str | None) -> Iterator[RowPage]:
        """The pages after the cursor `after`, from the start for None.

        Raises `InputRefused` when the input as a whole is not usable.
        """


def _of_inner(name: str) -> Any:  # noqa: ANN401 - of any type
    return property(lambda source: getattr(source._inner, name))  # noqa: SLF001 - its own class


class DerivedSource(Source):
    """A source made of another one: all that it does not state itself is what the other one states."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Source) -> None:
        self._inner = inner

    name = _of_inner("name")
    digest = _of_inner("digest")
    header = _of_inner("header")
    is_read_whole = _of_inner("is_read_whole")
    limit = _of_inner("limit")
    notes = _of_inner("notes")
    unended = _of_inner("unended")
