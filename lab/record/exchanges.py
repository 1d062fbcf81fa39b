"""Exchanges of a recording, found by their requests.

A recording can be gigabytes: it is unpacked into a temporary file, and memory holds 17 bytes an exchange, a digest of
its request and the offset of its line. `•••` in a request's texts, which matches anything, is rare; the places with
it are known, and such requests are found by their other texts.
"""

import tempfile
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from heapq import nsmallest
from pathlib import Path
from typing import BinaryIO, Final, Self

from lab.record.matching import RecordedRequest, compared_subscriber, request_of
from lab.record.recording import NotARecording, Recorded, Recording, RecordingError, RecordingHeader

_DUE: Final = 0
_SERVED: Final = 1
_SPARE: Final = 2
"""Exchanges that need not be replayed: they never reached a billing, or the client cancelled them, or they ask for
subscribers that are others each time.
"""
_LONG: Final = 16
_MOST_VEILS: Final = 1000
"""Different sets of places with a `•••`: each is looked for at every request. The jobs make a few."""


class UsedUp(LookupError):
    """Raised when a request was recorded, and all of its answers have been given already."""


class Exchanges:
    """The exchanges to replay; a context manager, or `close` it. Not thread-safe."""

    def __init__(self, path: Path | str) -> None:
        """Unpack and index; raises NotARecording and RecordingError."""
        self._spool: BinaryIO = tempfile.TemporaryFile("w+b")  # noqa: SIM115 — closed by `close`
        self._digests = array("Q")
        self._offsets = array("Q")
        self._states = bytearray()
        self._veils: list[frozenset[str]] = []
        self._begins: dict[int, int] = {}
        try:
            with Recording(path) as recording:
                self.header: RecordingHeader = recording.header
                self._take_in(recording)
                self.whole: bool = recording.whole
        except OSError as fault:
            self._spool.close()
            folder = tempfile.gettempdir()
            raise RecordingError(
                "The recording {path} cannot be unpacked into {folder}: {why}. Make room there, or set "
                "TMPDIR to another folder.",
                path=path,
                folder=folder,
                why=fault.strerror or str(fault),
            ) from None
        except BaseException:
            self._spool.close()
            raise
        self._recording = recording

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._states)

    @property
    def held(self) -> int:
        """Bytes of memory that the index takes."""
        arrays = (self._digests, self._offsets)
        return sum(each.itemsize * len(each) for each in arrays) + len(self._states)

    def close(self) -> None:
        """Delete the temporary file."""
        self._spool.close()

    def request(self, path: str, form: list[tuple[str, str]]) -> RecordedRequest:
        """The request in comparable form, from its path as it came over HTTP."""
        base = self.header.base_path
        if base and path.startswith(f"{base}/"):
            path = path[len(base) :]
        return request_of(path, form, self.header.hidden_fields)

    def take(self, request: RecordedRequest) -> Recorded | None:
        """The next recorded exchange of this request, None when it was never recorded.

        Exchanges that never reached the billing, or that the client cancelled, are skipped as long as there is an
        answer. Raises UsedUp.
        """
        known = False
        for veil in (frozenset[str](), *self._veils):
            if veil and not veil <= request.texts.keys():
                continue
            group = self._group(request.digest(veil))
            place, met = self._next(group, request if veil else None)
            known = known or met
            if place is not None:
                self._states[place] = _SERVED
                return self._at(place)
        if known:
            raise UsedUp
        return None

    def never_made(self, most: int) -> Iterator[Recorded]:
        """The first `most` exchanges that were not requested, in the order of the recording."""
        offsets = (self._offsets[place] for place, state in enumerate(self._states) if state == _DUE)
        yield from map(self._read, nsmallest(most, offsets))

    def due(self) -> int:
        """The number of exchanges that were not requested."""
        return self._states.count(_DUE)

    def _take_in(self, recording: Recording) -> None:
        digests, offsets, states = array("Q"), array("Q"), bytearray()
        veils: set[frozenset[str]] = set()
        offset = 0
        for line in recording.lines():
            recorded = recording.decode(line)
            request = request_of(recorded.path, recorded.form, self.header.hidden_fields)
            veiled = request.veiled
            veils.add(veiled)
            if len(veils) > _MOST_VEILS:
                raise NotARecording(
                    "The recording hides secrets in more than {most} different places.", most=_MOST_VEILS
                )
            digests.append(request.digest(veiled))
            offsets.append(offset)
            states.append(_SPARE if _is_spare(recorded) else _DUE)
            self._spool.write(line + b"\n")
            offset += len(line) + 1
        self._spool.flush()
        # A stable sort, which keeps the answers to one request in order.
        order = sorted(range(len(digests)), key=digests.__getitem__)
        self._digests = array("Q", (digests[place] for place in order))
        self._offsets = array("Q", (offsets[place] for place in order))
        self._states = bytearray(states[place] for place in order)
        self._veils = sorted(veils - {frozenset()}, key=sorted)

    def _group(self, digest: int) -> range:
        first = bisect_left(self._digests, digest)
        return range(first, bisect_right(self._digests, digest, lo=first))

    def _next(self, group: range, request: RecordedRequest | None) -> tuple[int | None, bool]:
        """The place of a group's next exchange, and whether it has any for the request, which may be None."""
        spare: int | None = None
        met = bool(group) and request is None
        begin = self._begins.get(group.start, group.start)
        while begin < group.stop and self._states[begin] == _SERVED:
            begin += 1
        if len(group) > _LONG:
            self._begins[group.start] = begin
        for place in range(begin if request is None else group.start, group.stop):
            if request is not None:
                recorded = self._at(place)
                if not request.meets(request_of(recorded.path, recorded.form, self.header.hidden_fields)):
                    continue
                met = True
            if self._states[place] == _DUE:
                return place, True
            if self._states[place] == _SPARE and spare is None:
                spare = place
        return spare, met

    def _at(self, place: int) -> Recorded:
        return self._read(self._offsets[place])

    def _read(self, offset: int) -> Recorded:
        self._spool.seek(offset)
        return self._recording.decode(self._spool.readline())


def _is_spare(recorded: Recorded) -> bool:
    if compared_subscriber(recorded.path, recorded.form) is not None:
        return True
    instead = recorded.instead
    return instead is not None and (instead.what == "cancelled" or not instead.left)
