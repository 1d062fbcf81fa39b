"""The shared strings of a workbook, kept in a temporary file: there may be as many as there are cells."""

import os
import tempfile
import weakref
from array import array
from itertools import pairwise
from typing import IO, Final, cast

_WAITING: Final = 1024 * 1024
"""Size of the write buffer, in bytes."""
_PLACE: Final = 8
_WINDOW: Final = 512
"""Number of texts read at once."""
_WINDOW_BYTES: Final = 256 * 1024


class SpilledStrings:
    """Texts by number from 0: all are appended, then `finish` is called, then any of them is read.

    Memory does not grow with their number. A workbook numbers its texts by first use, so they are mostly read in
    order, and many are read at once. Raises OSError if the disk is full.
    """

    __slots__ = ("__weakref__", "_at", "_count", "_first", "_index", "_places", "_texts", "_window")

    def __init__(self) -> None:
        # Both files are unnamed, and are closed with this object.
        self._texts = cast("IO[bytes]", tempfile.TemporaryFile(buffering=_WAITING))  # noqa: SIM115
        self._places = cast("IO[bytes]", tempfile.TemporaryFile(buffering=_WAITING))  # noqa: SIM115
        weakref.finalize(self, self._texts.close)
        weakref.finalize(self, self._places.close)
        self._index = array("Q", (0,))
        self._at = 0
        self._count = 0
        self._first = 0
        self._window: list[str] = []

    def __len__(self) -> int:
        """The number of texts."""
        return self._count

    def append(self, text: str) -> None:
        """Append a text."""
        data = text.encode()
        self._texts.write(data)
        self._at += len(data)
        self._count += 1
        self._index.append(self._at)
        if len(self._index) >= _WAITING // _PLACE:
            self._spill()

    def finish(self) -> None:
        """End the appending, and prepare to read."""
        self._spill()
        self._texts.flush()
        self._places.flush()

    def __getitem__(self, number: int) -> str:
        """The text of that number. Raises IndexError for an unknown number."""
        place = number - self._first
        if 0 <= place < len(self._window):
            return self._window[place]
        if not 0 <= number < self._count:
            raise IndexError(number)
        if 0 <= place < len(self._window) + _WINDOW:
            self._first, self._window = number, self._read(number, _WINDOW)
            return self._window[0]
        return self._read(number, 1)[0]

    def _read(self, first: int, most: int) -> list[str]:
        """The text `first` and some of the following texts, at most `most`."""
        places = array("Q", os.pread(self._places.fileno(), (most + 1) * _PLACE, first * _PLACE))
        start = places[0]
        while len(places) > 2 and places[-1] - start > _WINDOW_BYTES:  # noqa: PLR2004 - the ends of one text
            places = places[: len(places) // 2 + 1]
        data = os.pread(self._texts.fileno(), places[-1] - start, start)
        return [data[one - start : other - start].decode() for one, other in pairwise(places)]

    def _spill(self) -> None:
        self._index.tofile(self._places)
        self._index = array("Q")
