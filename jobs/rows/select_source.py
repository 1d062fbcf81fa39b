"""The rows of an operator's select, as a source."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from string import ascii_lowercase
from typing import Final

import structlog

from billing.database.columns import ColumnType
from billing.database.database import Database
from billing.errors import NamesNeeded, NotASelect, RowsChanged, StatementRefused
from billing.selects.cells import SelectCellFault, SelectedRow
from billing.selects.select import Select, select_of
from billing.selects.select_reader import SelectReader, reading
from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.rows import Row, RowPage, Source
from jobs.access.gateway import as_engine_errors
from jobs.spec.errors import ParameterRefused
from texts.remedies import setting
from texts.said import in_lines, said, text_of

log = structlog.get_logger(__name__)

_LONGEST_NAME: Final = 200
_LONGEST_LABEL: Final = 60


def select_source(
    database: Database, text: str, parameters: Mapping[str, str | int], names: Sequence[str] = ()
) -> "SelectSource":
    """The source of the rows of a typed select; `names`, if any, name its columns.

    `parameters` may have more values than the select needs. The database is not used yet. Raises `InputRefused` for a
    text that is not a select, `ParameterRefused` for a parameter without a value.
    """
    try:
        select = select_of(text)
    except NotASelect as error:
        raise InputRefused("the select, {error}", error=error) from error
    for note in select.notes:
        log.info(note)
    return SelectSource(database, select, parameters, names)


class SelectSource(Source):
    """The rows of a select: page by page along its key if it has one, otherwise all read at once.

    Values of parameters may be texts: Firebird converts each to the type it is compared with, or refuses it. The
    select is prepared by the first use of `header`, `kinds`, `is_read_whole` or `pages`; these raise `InputRefused`
    if Firebird refuses it, `LookUpFailed` if the database is away.
    """

    __slots__ = ("_database", "_names", "_reading", "_select", "_values")

    def __init__(
        self, database: Database, select: Select, parameters: Mapping[str, str | int], names: Sequence[str] = ()
    ) -> None:
        self._database = database
        self._select = select
        self._values = _values(select, parameters)
        self._names = tuple(names)
        self._reading: SelectReader | None = None

    @property
    def name(self) -> str:
        """The select on one line, shortened."""
        line = "".join(letter if letter.isprintable() else " " for letter in self._select.on_one_line)
        return line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1]}…"

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns: the given ones, or else the select's own in small letters."""
        return tuple(column.name for column in self._ready().columns)

    @property
    def kinds(self) -> tuple[ColumnType, ...]:
        """The types of the columns, in the order of the header."""
        return tuple(column.kind for column in self._ready().columns)

    @property
    def is_read_whole(self) -> bool:
        """Whether all rows are read at once, and so are saved before anything is sent."""
        return self._ready().at_once

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """The pages after the cursor `after`; a row with a value without an exact text is refused."""
        with _as_source_error():
            for page in self._ready().pages(after):
                rows = tuple(Row(None, row.cells) for row in page.rows if row.fault is None)
                refusals = tuple(_refusal(row, row.fault) for row in page.rows if row.fault is not None)
                yield RowPage(rows, refusals, page.cursor)

    def _ready(self) -> SelectReader:
        if self._reading is None:
            with _as_source_error():
                self._reading = reading(self._database, self._select, self._values, self._names)
        return self._reading


def _values(select: Select, parameters: Mapping[str, str | int]) -> dict[str, str | int]:
    missing = [name for name in select.parameters if name not in parameters]
    if missing:
        faults = [
            said(
                "the select asks for :{name}, which has no value: give {flag}",
                name=name,
                flag=setting("set", f"{name}=…"),
            )
            for name in missing
        ]
        raise ParameterRefused(in_lines(faults))
    return {name: parameters[name] for name in select.parameters}


@contextmanager
def _as_source_error() -> Iterator[None]:
    """Turn faults of the statement into `InputRefused`, and other errors of the database into `LookUpFailed`."""
    with as_engine_errors():
        try:
            yield
        except NamesNeeded as error:
            raise InputRefused(
                "the select is refused: {error}; or name all columns in their order with {flag}",
                error=error,
                flag=setting("columns", ",".join(ascii_lowercase[: error.columns])),
            ) from error
        except StatementRefused as error:
            raise InputRefused("the select is refused: {error}", error=error) from error
        except RowsChanged as error:
            raise InputRefused(text_of(error)) from error


def _refusal(row: SelectedRow, fault: SelectCellFault) -> Refusal:
    return Refusal(None, fault.column, row.cells[0][:_LONGEST_LABEL], fault.reason, row.cells)
