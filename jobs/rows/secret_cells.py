"""Secrets removed before the journal keeps them: from the cells of a row, and from the evidence of a call."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from billing.api.answers import UNREADABLE
from billing.api.calls import SECRET_ARGUMENTS
from billing.api.secrets import SecretRemover
from billing.secret import PLACEHOLDER, SHORTEST
from checkpoints.records import Refusal
from engine.evidence import Accepted, Evidence, Lost
from engine.rows import DerivedSource, LastLine, Row, RowPage, Source
from jobs.spec.columns import normalise_header
from texts.said import Said, said

_UNREAD: Final = said("the row cannot be read; its words are not shown, for one of them may be a secret")


def secret_places(header: Sequence[str], names: Collection[str]) -> frozenset[int]:
    hidden = {normalise_header(name) for name in (*names, *SECRET_ARGUMENTS)}
    return frozenset(place for place, title in enumerate(header) if normalise_header(title) in hidden)


def without_secrets(row: Row, places: Collection[int]) -> Row:
    """The row with dots in these places; empty cells stay."""
    if not places:
        return row
    cells = tuple(PLACEHOLDER if cell and place in places else cell for place, cell in enumerate(row.cells))
    return replace(row, cells=cells)


class Guarded(DerivedSource):
    """A source with columns of secrets: its refusals have dots in place of all cells.

    In a row with too many cells it is not known which cell is secret.
    """

    __slots__ = ()

    @property
    def unended(self) -> tuple[LastLine, ...]:
        return tuple(one._replace(text=PLACEHOLDER) for one in self._inner.unended)

    def pages(self, after: str | None) -> Iterator[RowPage]:
        for page in self._inner.pages(after):
            refusals: list[Refusal] = []
            for one in page.refusals:
                cells = tuple(PLACEHOLDER if cell else cell for cell in one.row)
                tells = any(len(cell) >= SHORTEST and cell in one.reason for cell in one.row)
                refusals.append(replace(one, label="", row=cells, reason=_UNREAD if tells else one.reason))
            yield replace(page, refusals=tuple(refusals))


def guard_rows(source: Source, places: Collection[int]) -> Source:
    return Guarded(source) if places else source


def without_words(evidence: Evidence) -> Evidence:
    """The evidence of a call whose answer holds a secret, without the parts that may contain it.

    An unreadable answer is not shown at all, because the secret may be anywhere in it.
    """
    if isinstance(evidence, Accepted):
        return evidence
    text = evidence.text
    if isinstance(text, Said) and text.template == UNREADABLE:
        return Lost(
            said(
                "HTTP {status}, but not the billing's JSON; what it says is not shown, for a secret may be in it",
                status=text.values["status"],
            )
        )
    # Without the values that have the name of a secret.
    concealed = SecretRemover().body({}, evidence.text.encode()).decode()
    return msgspec.structs.replace(evidence, text=concealed)
