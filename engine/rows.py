"""Rows, pages of them, and where they come from."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from checkpoints.records import Refusal

STANDARD_INPUT: Final = "standard input"
"""The name of rows that are piped in."""

STDIN: Final = "-"
"""What people type for standard input, in the place of a file."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a source. `line` counts from 1 in a file, the header being line 1; None where there are no lines.

    `truths` are the places, counted from 0, of the cells that hold true or false and no text of these words.
    """

    line: int | None
    cells: tuple[str, ...]
    truths: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class RowPage:
    """Some rows, in order; `refusals` are those that could not even be read; `cursor` is where to go on.

    `left_out` counts the rows that the input has and the run was told to leave out, by which flag.
    """

    rows: tuple[Row, ...]
    refusals: tuple[Refusal, ...]
    cursor: str
    left_out: Mapping[str, int] = field(default_factory=dict)


class Source(ABC):
    """Rows, page by page. Used from a worker thread, one call at a time, never from two at once."""

    __slots__ = ()

    @property
    @abstractmethod
    def name(self) -> str:
        """What the rows come from, as recorded and shown: a path, or the query in words."""

    @property
    def digest(self) -> str:
        """SHA-256 of a file's bytes, "" where the rows may change between two readings."""
        return ""

    @property
    @abstractmethod
    def header(self) -> tuple[str, ...]:
        """The names of the columns, as the input has them."""

    @property
    def is_read_whole(self) -> bool:
        """Whether all of it must have been read and found good before anything is sent (a file: yes)."""
        return True

    @property
    def limit(self) -> int:
        """How many rows at most are to be sent, the first of the input; 0 for all of them."""
        return 0

    @property
    def notes(self) -> tuple[str, ...]:
        """How the input is read, as far as nobody has said so, each in a few words. Raises `InputRefused`."""
        return ()

    @abstractmethod
    def pages(self, after: str | None) -> Iterator[RowPage]:
        """The pages after the cursor `after`, from the start for None.

        Raises `InputRefused` when the input as a whole cannot be taken.
        """
