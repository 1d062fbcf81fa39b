"""The lines of a text, whatever is made of them."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TextIO

from engine.errors import InputRefused
from engine.sources import charset, faults
from engine.sources.original import Original, unreadable
from engine.sources.paging import LONGEST_CELL

LONGEST_LINE: Final = 8 * LONGEST_CELL
"""Characters of a physical line; what is longer is taken for a mistake of the file."""


@dataclass(frozen=True, slots=True)
class Text:
    """Bytes and the codec that they are read by. Line ends are LF, CR or both, and stay as they are."""

    original: Original
    codec: str

    @property
    def name(self) -> str:
        """What the original is called."""
        return self.original.name

    @contextmanager
    def open(self) -> Iterator[TextIO]:
        """One more reading, from the first line. Raises `InputRefused`, with the place of bytes that are no text."""
        try:
            with io.TextIOWrapper(self.original.open(), encoding=self.codec, errors="strict", newline="") as file:
                yield file
        except UnicodeDecodeError as error:
            raise self._not_this_encoding() from error
        except OSError as error:
            raise unreadable(self.name, error) from error

    def lines(self, file: TextIO, start: int = 0) -> Iterator[str]:
        """The physical lines after line `start`, with their ends; `file` stands there already.

        Raises `InputRefused`, naming the line, for what no text has.
        """
        number = start
        while line := file.readline(LONGEST_LINE):
            number += 1
            if "\0" in line:
                spot = faults.Spot(number, line.index("\0") + 1)
                raise InputRefused(f"{self.name}, {spot}: a NUL byte, which no text file has; save it as CSV UTF-8")
            if len(line) >= LONGEST_LINE:
                raise InputRefused(f"{self.name}, line {number} is longer than {LONGEST_LINE} characters")
            yield line

    def numbered(self) -> Iterator[tuple[int, str]]:
        """All lines that are not blank, without their ends, each with its number from 1."""
        with self.open() as file:
            for number, line in enumerate(self.lines(file), 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")

    def _not_this_encoding(self) -> InputRefused:
        with self.original.open() as file:
            words = faults.not_this_encoding(file, self.codec)
        verdict = charset.verdict_on(self.original) if self.codec == charset.UTF_8 else None
        return InputRefused(f"{self.name}, {words}; {charset.advice(verdict)}")
