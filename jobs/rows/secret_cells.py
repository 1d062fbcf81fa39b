"""Secrets taken out of what the journal keeps: of the cells of a row, and of what is said of a call."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from billing.api.calls import SECRET_ARGUMENTS
from billing.api.secrets import PLACEHOLDER, SHORTEST, SecretRemover
from checkpoints.records import Refusal
from engine.evidence import Accepted, Evidence, Lost
from engine.rows import Row, RowPage, Source
from jobs.spec.columns import normalise_header

_UNREAD: Final = "the row cannot be read; its words are not shown, for one of them may be a secret"
_SUCCESS: Final = "HTTP 2"
"""Begins what is said of an answer that came and could not be read."""


def secret_places(header: Sequence[str], names: Collection[str]) -> frozenset[int]:
    """The places of the columns that are called by one of these names, or by one that says what is in it."""
    hidden = {normalise_header(name) for name in (*names, *SECRET_ARGUMENTS)}
    return frozenset(place for place, title in enumerate(header) if normalise_header(title) in hidden)


def without_secrets(row: Row, places: Collection[int]) -> Row:
    """The row with dots in these places; an empty cell says nothing and stays."""
    if not places:
        return row
    cells = tuple(PLACEHOLDER if cell and place in places else cell for place, cell in enumerate(row.cells))
    return replace(row, cells=cells)


@dataclass(frozen=True, slots=True)
class Guarded(Source):
    """A source whose columns hold secrets: what it refuses itself comes without its cells.

    Nobody knows which cell is which in a row that has too many of them.
    """

    inner: Source

    @property
    def name(self) -> str:
        """What the rows come from."""
        return self.inner.name

    @property
    def digest(self) -> str:
        """SHA-256 of a file's bytes."""
        return self.inner.digest

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns."""
        return self.inner.header

    @property
    def is_read_whole(self) -> bool:
        """Whether all of it is read before anything is sent."""
        return self.inner.is_read_whole

    @property
    def limit(self) -> int:
        """How many rows at most are to be sent; 0 for all of them."""
        return self.inner.limit

    @property
    def notes(self) -> tuple[str, ...]:
        """How the rows are read. Raises `InputRefused`."""
        return self.inner.notes

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """The pages after the cursor `after`. Raises `InputRefused`."""
        for page in self.inner.pages(after):
            yield replace(page, refusals=tuple(map(_blank, page.refusals)))


def guard_rows(source: Source, places: Collection[int]) -> Source:
    """The source, guarded where some of its columns hold secrets."""
    return Guarded(source) if places else source


def without_words(evidence: Evidence) -> Evidence:
    """What was seen of a call whose answer holds a secret, told without what may be a part of it.

    Of an answer that could not be read nothing is shown: the secret may stand anywhere in it.
    """
    if isinstance(evidence, Accepted):
        return evidence
    if isinstance(evidence, Lost) and evidence.text.startswith(_SUCCESS):
        head = evidence.text.partition(" (")[0]
        return Lost(f"{head}; what it says is not shown, for a secret may be in it")
    return msgspec.structs.replace(evidence, text=_concealed(evidence.text))


def _concealed(text: str) -> str:
    """A text without what stands in it under a secret's name."""
    return SecretRemover().body({}, text.encode()).decode()


def _blank(refusal: Refusal) -> Refusal:
    cells = tuple(PLACEHOLDER if cell else cell for cell in refusal.row)
    tells = any(len(cell) >= SHORTEST and cell in refusal.reason for cell in refusal.row)
    return replace(refusal, label="", row=cells, reason=_UNREAD if tells else refusal.reason)


# ---- of a chain that people write -------------------------------------------------------------------------------
