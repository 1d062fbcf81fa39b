"""The input of a job, as typed or from a job file: a file, standard input, or a select; and the choice of its rows.

Rows are selected by `--only` and `--exclude` with keys, by `--limit` with a number. A key is the contract number or
the id by which a row names its subscriber or object, compared as text. The input is first read once for its keys
alone, so a mistyped key is refused before anything is sent.

Keys are typed with commas, or stand in a file: one key a line, or a table in any format of an input, with a column of
contract numbers, ids, logins or ids of accounts.
"""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from string import ascii_lowercase
from typing import Final
from urllib.parse import unquote_to_bytes

import anyio.from_thread
import structlog
from msgspec.structs import replace

from billing.database.database import Database
from billing.database.sql_blocks import SqlStatement
from billing.errors import ColumnsMissing, NamesNeeded, NotASelect, RowsChanged, StatementRefused
from billing.selects.select import Select, select_of
from billing.selects.select_reader import SelectReader, reading
from checkpoints.records import Refusal, Run
from engine.errors import InputRefused
from engine.job import STDIN, DerivedSource, LastLine, Row, RowPage, Source
from engine.pipeline.intake import Repeat, Since
from engine.sources.detect import open_input
from engine.sources.sample import AUTO, FileOnDisk, Layout
from jobs.access.gateway import Gateway, as_engine_errors
from jobs.access.objects import Resolved, SubscriberFinder
from jobs.spec.columns import Column, locate
from jobs.spec.entries import ADD_PAYMENT
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import whole_id
from jobs.spec.spec import DECLARATION, DECLARATION_DIGEST, INPUT
from jobs.spec.words import COLUMN, ONE_ROW, SINCE, WAY
from texts.said import DATABASE, SETTINGS_FILE, Quantity, any_of, counted, in_lines, said, setting, text_of

# ---- the selection of rows ----------------------------------------------------------------------------------------


ONLY: Final = setting("only")
EXCLUDE: Final = setting("exclude")
BY_ONLY: Final = "--only"
BY_EXCLUDE: Final = "--exclude"
"""The reasons for rows left out, as the journal keeps them."""

MOST: Final = 100_000
"""Keys of one list; all of them are in memory while the rows are read."""

_NAMED: Final = 20
"""Keys that a sentence names; the others are only counted."""
_KEY_SHOWN: Final = 60
"""Characters of a key that a sentence shows."""

# ---- the lists of keys ----------------------------------------------------------------------------------------

_IDS: Final = ("abonent_id", "user_id")
_TITLES: Final[dict[str, tuple[str, ...]]] = dict.fromkeys(("contract_number", "login", *_IDS), ())
"""The columns of a list of keys. A contract number comes first, because people prefer it to an id."""
_BARE: Final = Layout(columns=("key",))


@dataclass(frozen=True, slots=True)
class KeyList:
    """A list of keys in the parameters of a run: the typed `text`, or a `file` with its SHA-256."""

    text: str = ""
    file: str = ""
    digest: str = ""


def key_list(typed: str, folder: Path) -> KeyList:
    """The list that was typed: a file if `folder` has one of that name, or else keys. Raises `InputRefused`."""
    path = folder / typed
    if typed and path.is_file():
        return KeyList(file=str(path), digest=FileOnDisk(path).digest)
    return KeyList(text=typed)


def _keys_of_file(given: KeyList, flag: str) -> tuple[tuple[str, ...], bool | None]:
    """The keys of a list, in order, and whether they are ids; None of those that may be ids or others as well.

    `flag` is the setting that gave it. Raises `InputRefused` for a list without keys or with too many, and for a file
    that cannot be read or has changed.
    """
    are_ids = None
    if given.file:
        source, column, are_ids = _column_of(Path(given.file), given.digest, flag)
        texts = _cells(source, column)
    else:
        texts = (part.strip() for part in given.text.split(","))
    found: dict[str, None] = {}
    for key in filter(None, texts):
        found[key] = None
        if len(found) > MOST:
            raise InputRefused(
                "{flag}: there are more than {most} keys, and so many are not taken", flag=flag, most=Quantity(MOST)
            )
    if not found:
        raise InputRefused("{flag}: there is no key in {given}", flag=flag, given=given.file or repr(given.text))
    return tuple(found), are_ids


def refuse_changed(name: str, path: Path, digest: str | None) -> None:
    """Raise `InputRefused` where the file that a run began with, given by this name, has changed since."""
    if FileOnDisk(path).digest != digest:
        raise InputRefused(
            "{name}: {file} has changed since the run began with it. Put the old file back and resume, or start a "
            "new run",
            name=name,
            file=path,
        )


def _column_of(path: Path, digest: str, flag: str) -> tuple[Source, Column, bool | None]:
    refuse_changed(flag, path, digest)
    source = open_input(path, _BARE)
    try:
        first = next(source.pages(None), None)
    except InputRefused:
        # JSON lines name their columns themselves; any other fault is reported when the table is read.
        first = None
    if first is not None and first.rows and not first.refusals:
        title = locate("", (first.rows[0].cells[0],), _TITLES, {})
        if not any(title.values()):
            return source, Column("key", 0), None
    source = open_input(path, Layout())
    for name, column in locate(source.name, source.header, _TITLES, {}).items():
        if column:
            return source, column, name in _IDS
    raise InputRefused(
        "{flag}: {file} has no column of keys, as {names}; it has: {there}",
        flag=flag,
        file=path,
        names=any_of(list(_TITLES)),
        there=", ".join(source.header),
    )


def _cells(source: Source, column: Column) -> Iterator[str]:
    for page in source.pages(None):
        for refusal in page.refusals:
            raise InputRefused(
                "{file}, line {line}: {reason}", file=source.name, line=refusal.line or 0, reason=refusal.reason
            )
        yield from map(column.of, page.rows)


def _unended_of(given: KeyList | None) -> tuple[LastLine, ...]:
    """The last line of a file of keys, where it may have been cut to another key. Raises `InputRefused`."""
    if given is None or not given.file:
        return ()
    try:
        return open_input(Path(given.file), _BARE).unended
    except InputRefused:
        return open_input(Path(given.file), Layout()).unended


# ---- the selected rows ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyColumns:
    """The places of the keys of rows, counted from 0: the id, and its alternative (contract number or login).

    `of_subscribers` tells that the billing can convert one kind of key into the other.
    """

    id: int | None
    other: int | None
    of_subscribers: bool = False

    def of(self, cells: Sequence[str]) -> tuple[str, str]:
        """Both keys of a row, "" for a missing one."""
        own, other = ("" if place is None else cells[place].strip() for place in (self.id, self.other))
        return own, other


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Keys in the spelling of the rows; `missing` are those that no row has.

    Those in `apart` are the id of a row, and the alternative of another one.
    """

    ids: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()
    apart: frozenset[str] = frozenset()

    def has(self, key: tuple[str, str]) -> bool:
        return key[0] in self.ids or key[1] in self.others


class Selected(DerivedSource):
    """Some rows of another source: those of `only`, without those of `exclude`, and at most `limit` of them.

    The limit is applied by the caller, which knows the rows that are sent. An unreadable row has no key, and `only`
    leaves it out. `pages` raises `InputRefused` for keys that no row has.
    """

    def __init__(
        self,
        inner: Source,
        columns: KeyColumns,
        gateway: Gateway,
        *,
        limit: int = 0,
        only: KeyList | None = None,
        exclude: KeyList | None = None,
    ) -> None:
        super().__init__(inner)
        self._columns = columns
        self._gateway = gateway
        self._only = only
        self._exclude = exclude
        self._wanted: tuple[_Wanted | None, _Wanted | None] | None = None
        self._limit = limit

    @property
    def is_read_whole(self) -> bool:
        """Whether all rows are read first; also with `only` and `exclude`, whose keys must be found in the rows."""
        return self._inner.is_read_whole or self._only is not None or self._exclude is not None

    @property
    def limit(self) -> int:
        return self._limit

    @property
    def notes(self) -> tuple[str, ...]:
        _, exclude = self._ready()
        missing = exclude.missing if exclude else ()
        if not missing:
            return self._inner.notes
        told = counted(
            "{flag}: {n} key[s] [is|are] in no row: {keys}", len(missing), flag=EXCLUDE, keys=_listed(missing)
        )
        return (*self._inner.notes, told)

    @property
    def unended(self) -> tuple[LastLine, ...]:
        return (*self._inner.unended, *_unended_of(self._only), *_unended_of(self._exclude))

    def pages(self, after: str | None) -> Iterator[RowPage]:
        only, exclude = self._ready()
        left_out: dict[str, int] = {}

        def is_meant(cells: Sequence[str]) -> bool:
            # In a row with too few or too many cells, the columns are not known.
            key = self._columns.of(cells) if len(cells) == len(self.header) else None
            if only is not None and (key is None or not only.has(key)):
                by = BY_ONLY
            elif exclude is not None and key is not None and exclude.has(key):
                by = BY_EXCLUDE
            else:
                return True
            left_out[by] = left_out.get(by, 0) + 1
            return False

        for page in self._inner.pages(after):
            if only is None and exclude is None:
                yield page
                continue
            left_out = {}
            rows = tuple(row for row in page.rows if is_meant(row.cells))
            refusals = tuple(one for one in page.refusals if is_meant(one.row))
            yield replace(page, rows=rows, refusals=refusals, left_out=left_out)

    # ---- the keys, before the first row ----

    def _ready(self) -> tuple[_Wanted | None, _Wanted | None]:
        if self._wanted is None:
            self._wanted = (self._found(ONLY, self._only), self._found(EXCLUDE, self._exclude))
        return self._wanted

    def _found(self, flag: str, given: KeyList | None) -> _Wanted | None:
        """The keys in the spelling of the rows. Raises `InputRefused` for ambiguous and missing keys."""
        if given is None:
            return None
        if self._columns.id is None and self._columns.other is None:
            raise InputRefused(
                "{flag}: {file} has no column that says which row is whose: leave {flag} out",
                flag=flag,
                file=self._inner.name,
            )
        keys, are_ids = _keys_of_file(given, flag)
        of_keys: frozenset[str] = frozenset(keys)
        seen = self._seen(of_keys if are_ids is not False else frozenset(), of_keys if not are_ids else frozenset())
        if are_ids is None:
            self._refuse_ambiguous(flag, of_keys, seen)
        missing = [key for key in keys if key not in seen.ids and key not in seen.others]
        # The other spellings of keys that no row has: the id of a contract number, or the reverse.
        turned: dict[str, str] = {}
        if self._columns.of_subscribers and self._columns.other is None and not are_ids:
            turned = self._turned(missing, are_ids=False)
        elif self._columns.of_subscribers and self._columns.id is None and are_ids is not False:
            turned = self._turned(missing, are_ids=True)
        spelled = frozenset(turned.values())
        also = self._seen(spelled, spelled) if spelled else _Wanted()
        missing = [key for key in missing if not also.has((turned.get(key, ""), turned.get(key, "")))]
        if missing and (flag is ONLY or not given.file):
            if given.text and len(keys) == 1:
                raise InputRefused(
                    "{flag}: 1 key is in no row of {file}: {key!r}. There is no file of that name either",
                    flag=flag,
                    file=self._inner.name,
                    key=missing[0][:_KEY_SHOWN],
                )
            absent = counted(
                "{flag}: {n} key[s] [is|are] in no row of {file}: {keys}",
                len(missing),
                flag=flag,
                file=self._inner.name,
                keys=_listed(missing),
            )
            raise InputRefused(absent)
        return _Wanted(seen.ids | also.ids, seen.others | also.others, tuple(missing))

    def _seen(self, ids: frozenset[str], others: frozenset[str]) -> _Wanted:
        """The keys that rows have; the whole input is read."""
        found: tuple[set[str], set[str]] = (set(), set())
        apart: tuple[set[str], set[str]] = (set(), set())
        for page in self._inner.pages(None):
            for cells in (*(row.cells for row in page.rows), *(one.row for one in page.refusals)):
                if len(cells) != len(self.header):
                    continue
                pair = self._columns.of(cells)
                for place, wanted in enumerate((ids, others)):
                    if (key := pair[place]) and key in wanted:
                        found[place].add(key)
                        if pair[0] != pair[1]:
                            apart[place].add(key)
        return _Wanted(frozenset(found[0]), frozenset(found[1]), apart=frozenset(apart[0] & apart[1]))

    def _refuse_ambiguous(self, flag: str, keys: frozenset[str], seen: _Wanted) -> None:
        """Refuse a key that names one row by its id and another by its contract number.

        If the rows have only ids, the billing is asked, because people mostly mean the contract number.
        """
        two_rows = said("one row by its id and another by its number or login")
        ambiguous: dict[str, str] = dict.fromkeys(seen.apart, two_rows)
        if self._columns.of_subscribers and self._columns.other is None:
            for key, abonent in self._turned(keys & seen.ids, are_ids=False).items():
                if abonent != key:
                    number_of = said(
                        "a row by its id, and is the contract number of abonent {abonent}", abonent=abonent
                    )
                    ambiguous[key] = number_of
        for key, why in sorted(ambiguous.items()):
            raise InputRefused(
                "{flag}: {key!r} names {why}. Write it into a CSV file with a column abonent_id or "
                "contract_number, and name that file with {flag}",
                flag=flag,
                key=key,
                why=why,
            )

    def _turned(self, keys: Collection[str], *, are_ids: bool) -> dict[str, str]:
        """Contract numbers for ids, or ids for contract numbers, of those that exist. Raises `LookUpFailed`."""
        abonents = SubscriberFinder(self._gateway, suggested_for=0)
        found: Mapping[int | str, Resolved] = {}
        ids = [key for text in keys if isinstance(key := whole_id(text), int)]
        if are_ids and ids:
            found = anyio.from_thread.run(abonents.by_ids, ids)
        elif keys and not are_ids:
            found = anyio.from_thread.run(abonents.by_contract_numbers, keys)
        known = [(str(key), one) for key, one in found.items() if not isinstance(one, str)]
        return {key: own for key, one in known if (own := one.contract_number if are_ids else str(one.id))}


def _listed(keys: Sequence[str]) -> str:
    named = ", ".join(f"{key[:_KEY_SHOWN]!r}" for key in keys[:_NAMED])
    if len(keys) <= _NAMED:
        return named
    return said("{named} and {more} more", named=named, more=Quantity(len(keys) - _NAMED))


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
