"""The tables of a report, and the texts in their cells, written as the language of the reader writes them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from cli.terminal.language import CatalogueLanguage
from cli.terminal.texts import printable
from texts.said import Quantity, Said, Value, said

_LONGEST: Final = 500
"""Characters of a text of file or billing that are shown."""
_NONE: Final = "–"


@dataclass(frozen=True, slots=True)
class FileBeside:
    """A file beside the report: its name and its SHA-256."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class FilesBeside:
    """The files beside the report that a run needs: of all exceptions, and of the subscribers not in its file."""

    exceptions: FileBeside | None = None
    extra: FileBeside | None = None

    @property
    def all(self) -> tuple[FileBeside, ...]:
        """Those that there are."""
        return tuple(one for one in (self.exceptions, self.extra) if one is not None)


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table of texts. Columns in `numbers` stand at the right; `head` is empty for a table of names and values.

    `widths` are the shares of its columns. The last row is a sum if the table `has_sum`.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    widths: tuple[int, ...]
    numbers: frozenset[int] = frozenset()
    has_sum: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report: its title, "" for none, tables, and the sentences above and below them.

    A title of `level` 1 begins the part of a run in a report of several.
    """

    title: str
    tables: tuple[ReportTable, ...] = ()
    before: str = ""
    after: str = ""
    level: int = 2


def shown(text: str) -> str:
    """A text of a file, of the billing or of an operator, as a report shows it."""
    return printable(text, _LONGEST)


class TableWriter:
    """Writes tables in a language; moments stand without their zone, which the report says once."""

    def __init__(self, language: CatalogueLanguage) -> None:
        self._language = language

    def text(self, value: Value | None) -> str:
        """A cell or a sentence."""
        match value:
            case None | "":
                return _NONE if value is None else ""
            case str():
                return self._language.render(value)
            case datetime():
                return self.moment(value)
            case Quantity() | Decimal():
                return self._language.write(value)
            case _:
                return str(value)

    def moment(self, when: datetime) -> str:
        """A moment in local time."""
        return self._language.moment(when)

    # ---- tables ----

    def pairs(self, *pairs: tuple[Said, Value]) -> ReportTable:
        """A table of names and values."""
        return ReportTable((), tuple((self.text(name), self.text(value)) for name, value in pairs), (30, 70))

    def table(
        self,
        head: Sequence[Said],
        rows: Iterable[Sequence[Value | None]],
        *,
        widths: Sequence[int],
        numbers: Iterable[int] = (),
        has_sum: bool = False,
    ) -> ReportTable:
        """A table with a head."""
        texts = tuple(tuple(map(self.text, cells)) for cells in rows)
        return ReportTable(tuple(map(self.text, head)), texts, tuple(widths), frozenset(numbers), has_sum)

    def sums(
        self, what: Said, lines: Sequence[tuple[Said, int, Decimal | None]], *, money: bool, has_sum: bool = False
    ) -> ReportTable:
        """A table of numbers of rows, and of roubles where there is money."""
        head = (what, said("Rows"), said("Amount")) if money else (what, said("Rows"))
        rows = ((name, Quantity(number), amount)[: len(head)] for name, number, amount in lines)
        return self.table(head, rows, widths=(60, 16, 24)[: len(head)], numbers={1, 2}, has_sum=has_sum)
