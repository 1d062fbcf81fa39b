"""The input of a job, as typed or from a job file: a file, standard input, or a select."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from string import ascii_lowercase
from typing import Final
from urllib.parse import unquote_to_bytes

import structlog

from billing.database.database import Database
from billing.database.sql_blocks import SqlStatement
from billing.errors import ColumnsMissing, NamesNeeded, NotASelect, RowsChanged, StatementRefused
from billing.selects.select import Select, select_of
from billing.selects.select_reader import SelectReader, reading
from checkpoints.records import Refusal, Run
from engine.errors import InputRefused
from engine.job import STDIN, Row, RowPage, Source
from engine.pipeline.intake import Repeat, Since
from engine.sources.detect import open_input
from engine.sources.raw.sample import AUTO, Layout
from jobs.access.gateway import Gateway, as_engine_errors
from jobs.rows.selection import KeyList
from jobs.spec.entries import ADD_PAYMENT
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import DECLARATION, DECLARATION_DIGEST, INPUT
from jobs.spec.words import COLUMN, ONE_ROW, SINCE, WAY
from texts.remedies import DATABASE, SETTINGS_FILE, setting
from texts.said import in_lines, said, text_of

# ---- the rows of an operator's select, as a source ----------------------------------------------------------------


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
    if missing := [name for name in select.parameters if name not in parameters]:
        faults = [
            said(
                "the select asks for :{name}, which has no value: give {flag}",
                name=name,
                flag=setting("set", f"{name}=…"),
            )
            for name in missing
        ]
        raise ParameterRefused(in_lines(faults))
    return SelectSource(database, select, {name: parameters[name] for name in select.parameters}, names)


class SelectSource(Source):
    """The rows of a select: page by page along its key if it has one, otherwise all read at once.

    Values of parameters may be texts: Firebird converts each to the type it is compared with, or refuses it. The
    select is prepared by the first use of `header`, `is_read_whole` or `pages`; these raise `InputRefused`
    if Firebird refuses it, `LookUpFailed` if the database is away.
    """

    def __init__(
        self, database: Database, select: Select, values: Mapping[str, str | int], names: Sequence[str] = ()
    ) -> None:
        self._database = database
        self._select = select
        self._values = values
        self._names = tuple(names)

    @property
    def name(self) -> str:
        line = "".join(letter if letter.isprintable() else " " for letter in self._select.on_one_line)
        return line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1]}…"

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns: the given ones, or else the select's own in small letters."""
        return tuple(column.name for column in self._reader.columns)

    @property
    def is_read_whole(self) -> bool:
        return self._reader.at_once

    def pages(self, after: str | None) -> Iterator[RowPage]:
        with _as_source_error():
            for page in self._reader.pages(after):
                rows = tuple(Row(None, row.cells) for row in page.rows if row.fault is None)
                refusals = tuple(
                    Refusal(None, fault.column, row.cells[0][:_LONGEST_LABEL], fault.reason, row.cells)
                    for row in page.rows
                    if (fault := row.fault) is not None
                )
                yield RowPage(rows, refusals, page.cursor)

    @cached_property
    def _reader(self) -> SelectReader:
        with _as_source_error():
            return reading(self._database, self._select, self._values, self._names)


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


# ---- the input of a job, as typed or from a job file --------------------------------------------------------------


REPEAT: Final = "enter"
"""The parameter of a run that says how often its rows may be entered."""
SHARED_ACCOUNTS: Final = "shared_accounts"
"""The parameter of a run with the rule for several rows that set the balance of one account."""
_RECOGNISE: Final = "recognise"
_VALUE: Final = "input_value."
_APART: Final = ","
_ADDRESS: Final = "file://"


@dataclass(frozen=True, slots=True)
class Input:
    """The settings of an input: `file` is a path or `-`, `sql` a select; neither means the job's own select.

    `columns` names the columns of rows without a header; `mapping` assigns columns to the job's names; encoding,
    delimiter and sheet tell how a file is read; `values` are bound to the `:names` of the select. Only the rows of
    `only` are used, without those of `exclude`, and at most `limit` of them are sent, 0 for all.
    """

    file: str = ""
    sql: str = ""
    columns: tuple[str, ...] = ()
    mapping: Mapping[str, str] = field(default_factory=dict)
    encoding: str = AUTO
    delimiter: str = ""
    sheet: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    limit: int = 0
    only: KeyList | None = None
    exclude: KeyList | None = None

    def to_parameters(self) -> dict[str, str]:
        """The parameters that a run keeps, to open the rows again."""
        parameters = {
            "input_file": _text_of_path(self.file),
            "input_sql": self.sql,
            "input_columns": _APART.join(self.columns),
            "input_encoding": "" if self.encoding == AUTO else self.encoding,
            "input_delimiter": self.delimiter,
            "input_sheet": self.sheet,
            "input_limit": str(self.limit or ""),
            **_of_keys("only", self.only),
            **_of_keys("exclude", self.exclude),
            **{f"{COLUMN}{name}": column for name, column in self.mapping.items()},
            **{f"{_VALUE}{name}": value for name, value in self.values.items()},
        }
        return {name: value for name, value in parameters.items() if value}


@dataclass(frozen=True, slots=True)
class OneRow(Source):
    """One row without cells, for parameters that have all values."""

    name: str = ONE_ROW
    digest: str = ""
    header: tuple[str, ...] = ()
    is_read_whole: bool = True

    def pages(self, after: str | None) -> Iterator[RowPage]:
        if after is None:
            yield RowPage((Row(None, ()),), (), "1")


def is_input(name: str) -> bool:
    return name.startswith(INPUT)


def job_parameters(remembered: Mapping[str, str]) -> dict[str, str]:
    own = {
        name: value
        for name, value in remembered.items()
        if name not in {REPEAT, SHARED_ACCOUNTS, SINCE, DECLARATION, DECLARATION_DIGEST} and not is_input(name)
    }
    # Runs of versions that had this parameter have made all payments by the vendor's call.
    return own if own.pop(_RECOGNISE, None) is None else {**own, WAY: ADD_PAYMENT}


def input_of_parameters(parameters: Mapping[str, str]) -> Input:
    columns = parameters.get("input_columns", "")
    return Input(
        file=_path_of_text(parameters.get("input_file", "")),
        sql=parameters.get("input_sql", ""),
        columns=tuple(columns.split(_APART)) if columns else (),
        mapping={name.removeprefix(COLUMN): value for name, value in parameters.items() if name.startswith(COLUMN)},
        encoding=parameters.get("input_encoding", AUTO),
        delimiter=parameters.get("input_delimiter", ""),
        sheet=parameters.get("input_sheet", ""),
        limit=int(parameters.get("input_limit") or 0),
        only=_keys_of("only", parameters),
        exclude=_keys_of("exclude", parameters),
        values={name.removeprefix(_VALUE): value for name, value in parameters.items() if name.startswith(_VALUE)},
    )


def _of_keys(name: str, keys: KeyList | None) -> dict[str, str]:
    if keys is None:
        return {}
    return {
        f"{INPUT}{name}": keys.text,
        f"{INPUT}{name}_file": _text_of_path(keys.file),
        f"{INPUT}{name}_digest": keys.digest,
    }


def _keys_of(name: str, parameters: Mapping[str, str]) -> KeyList | None:
    text, file, digest = (parameters.get(f"{INPUT}{name}{end}", "") for end in ("", "_file", "_digest"))
    return KeyList(text, _path_of_text(file), digest) if text or file or digest else None


def _text_of_path(path: str) -> str:
    """A path as a run keeps it: as an address where its bytes are not UTF-8, which no other path begins like."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return Path(path).absolute().as_uri()
    return path


def _path_of_text(text: str) -> str:
    return os.fsdecode(unquote_to_bytes(text.removeprefix(_ADDRESS))) if text.startswith(_ADDRESS + "/") else text


def open_rows(
    gateway: Gateway, rows: Input, parameters: Mapping[str, str], *, own: SqlStatement | None, says_all: bool
) -> Source:
    """The source of the rows. If the input names none: one row if the parameters have all values, or else `own`.

    `parameters` are bound to a select's `:names`. Raises `InputRefused` for a select without a database, for an own
    select that needs columns this billing lacks, and if there are no rows to read.
    """
    if rows.file:
        path = None if rows.file == STDIN else Path(rows.file)
        return open_input(path, Layout(rows.encoding, rows.delimiter, rows.sheet, rows.columns))
    if says_all and not rows.sql:
        return OneRow()
    if not rows.sql and own is None:
        raise InputRefused(
            "there is nothing to read rows from: name a file, - for standard input, or give {flag}",
            flag=setting("sql"),
        )
    if gateway.database is None:
        raise InputRefused(
            "the rows come from a select, and no database is set. Give it with {flag}, with {variable}, or as "
            "address in [database] of {file}; or name a file of rows",
            flag=setting("database", "HOST:PATH"),
            variable=DATABASE,
            file=SETTINGS_FILE,
        )
    text = rows.sql
    if not text and own is not None:
        with as_engine_errors():
            try:
                text = gateway.database.fit(own).text
            except ColumnsMissing as error:
                raise InputRefused(
                    "{error}, which the job's own select reads its rows from: name a file of rows, or give {flag}",
                    error=error,
                    flag=setting("sql"),
                ) from error
    return select_source(gateway.database, text, {**parameters, **rows.values}, rows.columns)


def how_often(run: Run) -> Repeat:
    return Repeat(run.parameters.get(REPEAT, Repeat.ONCE))


def since_of(name: str, runs: Sequence[Run]) -> Since:
    """What the intake takes off the rows of a delta to the run of that name."""
    load = {name}
    # Back to the first load, and from there to all deltas.
    for run in (*reversed(runs), *runs):
        both = {run.name, run.parameters.get(SINCE, run.name)}
        load |= both if load & both else set()
    # What was to be entered on top of other rows was no part of what their files say.
    return Since(frozenset(run.name for run in runs if how_often(run) is Repeat.AGAIN) - load, frozenset(load))
