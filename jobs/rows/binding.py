"""The binding of rows: from cells, or values given for all rows, to the values of a call."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

import anyio.to_thread
import msgspec
from msgspec.structs import replace

from billing.api.answers import UNREADABLE
from billing.api.calls import SECRET_ARGUMENTS
from billing.api.secrets import SecretRemover
from billing.directory.subscribers import Abonent
from billing.money import LARGEST, AmountError, too_large
from billing.secret import PLACEHOLDER, SHORTEST
from checkpoints.records import NewItem, Refusal
from engine.errors import InputRefused
from engine.evidence import Accepted, Evidence, Lost
from engine.job import DerivedSource, LastLine, Row, RowPage, Source
from jobs.access.gateway import Gateway
from jobs.access.objects import Resolved, SubscriberFinder, find_by, name_of
from jobs.access.payload import Payload, encode_payload
from jobs.access.vault import Vault, is_token
from jobs.rows.input import KeyColumns
from jobs.spec.columns import Assigned, Column, is_exact, is_written_exactly, locate, normalise_header
from jobs.spec.columns import find as find_column
from jobs.spec.entries import DATE, DOCUMENT
from jobs.spec.errors import SecretGone
from jobs.spec.parameters import Parameter, a_day, a_name, as_typed, whole_id
from texts.said import Said, any_of, said, setting, text_of

# ---- secrets removed before the journal keeps them ----------------------------------------------------------------
# From the cells of a row, and from the evidence of a call.


_UNREAD: Final = said("the row cannot be read; its words are not shown, for one of them may be a secret")


def secret_places(header: Sequence[str], names: Collection[str]) -> frozenset[int]:
    hidden = {normalise_header(name) for name in (*names, *SECRET_ARGUMENTS)}
    return frozenset(place for place, title in enumerate(header) if normalise_header(title) in hidden)


def without_secrets(row: Row, places: Collection[int]) -> Row:
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
    return replace(evidence, text=concealed)


# ---- the binding of rows ------------------------------------------------------------------------------------------


ABONENT: str = "abonent_id"
NUMBER: str = "contract_number"
USER: str = "user_id"
LOGIN: str = "login"

_LONGEST_SHOWN: Final = 40
"""Characters of a text that a sentence shows."""
OTHER_KEY: Final[Mapping[str, str]] = {ABONENT: NUMBER, USER: LOGIN}
"""The alternatives to an id: the contract number of a subscriber, the login of an account."""


class Bound(msgspec.Struct, frozen=True, gc=False):
    """A row with its values in plain spelling. `abonent` is set if the row names a subscriber.

    `named` is the contract number or the login that the row has, with the id of whose it is: `Payload.named`.
    """

    row: Row
    label: str
    values: Mapping[str, str]
    abonent: Abonent | None = None
    named: Mapping[str, str] = {}

    def refused(self, reason: str, column: str | None = None) -> Refusal:
        return Refusal(self.row.line, column, self.label[:64], reason, self.row.cells)

    def item(
        self,
        key: str,
        label: str,
        lane: str,
        payload: Payload,
        *,
        amount: Decimal | None = None,
        skip_reason: str | None = None,
        wanted: str | None = None,
    ) -> NewItem:
        line, cells, text = self.row.line, self.row.cells, encode_payload(payload)
        return NewItem(key, label, lane, text, amount, line, cells, skip_reason, wanted=wanted)


@dataclass(frozen=True, slots=True)
class _Reading:
    """How a value of each row is read: its column, None without one, and what stands for an empty cell.

    A `verbatim` cell keeps its white space; so does a `loose` one, of any type, unless it is written like a number or
    a date.
    """

    name: str
    column: Column | None
    given: str
    parse: Callable[[str], str]
    may_be_empty: bool
    is_secret: bool
    verbatim: bool
    loose: bool


@dataclass(frozen=True, slots=True)
class Header:
    """The names of the columns of an input; `of` is the name of the input for messages."""

    of: str
    names: tuple[str, ...]


class Binding:
    """Finds the columns of an input for what a call needs, and the values of its rows.

    `names` are the values that a call needs. `parameters` have their parsers and column names, and `given` the values
    for rows without their own. If the call needs `abonent_id`, a row may have the contract number instead, and for
    `user_id` the login; so may `given`, for rows without a column for either. Secrets go into the vault: the values
    have tokens, the rows dots. Raises `InputRefused` for a value without a source.

    `columns` are those of the values that the rows have; `secret_places` are those of secrets, counted from 0.
    """

    def __init__(
        self,
        gateway: Gateway,
        header: Header,
        names: Sequence[str],
        parameters: Sequence[Parameter],
        given: Mapping[str, str],
        mapping: Mapping[str, str],
    ) -> None:
        self._gateway = gateway
        self._abonents = SubscriberFinder(gateway)
        self._header = header
        self._names = tuple(names)
        known = self._parameters = {parameter.name: parameter for parameter in parameters}
        self._given = given
        self._others = {
            name: other for name, other in OTHER_KEY.items() if name in self._names and other not in self._names
        }
        self._vault = gateway.vault or Vault()
        self._secret = {name for name in self._names if name in known and known[name].secret}
        self._second_number: Column | None = None
        columns = self.columns = self._found(mapping)
        called = [word for name in self._secret for word in (name, *(known[name].columns or ()))]
        hidden = {columns[name].place for name in self._secret if name in columns}
        self.secret_places = secret_places(header.names, called) | hidden
        # In columns of amounts, ids and other known types TRUE stays as it is and is refused; in all others true and
        # false become 1 and 0, as the billing writes its flags.
        of_others = {column.place for name, column in columns.items() if not self._may_be_anything(name)}
        self._flags = frozenset(column.place for column in columns.values()) - of_others
        others = [other for other in self._others.values() if other in columns or given.get(other)]
        self._readings = tuple(self._reading(name, columns.get(name)) for name in (*self._names, *others))
        # The values that may label a row, the best first.
        telling = (name for name in (*OTHER_KEY.values(), *self._names) if name not in self._secret)
        self._labelled = next((columns[name] for name in telling if name in columns), None)

    def _found(self, mapping: Mapping[str, str]) -> dict[str, Column]:
        known, header, given = self._parameters, self._header, self._given
        wanted: dict[str, tuple[str, ...]] = {
            name: (known[name].columns or ()) if name in known else ()
            for name in self._names
            if name not in known or known[name].columns is not None
        }
        found = locate(header.of, header.names, wanted | dict.fromkeys(self._others.values(), ()), mapping)
        columns = {name: column for name, column in found.items() if column is not None}
        for name, other in self._others.items():
            own = next((one for one in (other, name) if given.get(one)), None)
            column = next((columns[one] for one in (name, other) if one in columns), None)
            if own and column:
                raise InputRefused(
                    "{flag} names one for all rows, and each row of {file} names its own in the column {column}: "
                    "leave out {flag}, or the other rows",
                    flag=setting("set", f"{own}=…"),
                    file=header.of,
                    column=column.name,
                )
            # If both are there, the id is used rather than the number or login.
            second = columns.pop(other, None) if name in columns else None
            if other == NUMBER:
                self._second_number = second
        for name in self._names:
            has_column = name in columns or self._others.get(name, "") in columns
            if has_column or is_given(name, given) or (name in known and known[name].has_default):
                continue
            raise InputRefused(
                "{file} has no column {wanted}; it has: {there}. Say which column it is with {map}, or give one "
                "value for all rows with {set}",
                file=header.of,
                wanted=any_of([name, self._others[name]] if name in self._others else [name]),
                there=", ".join(title.strip() for title in header.names),
                map=setting("map", f"{name}=COLUMN"),
                set=setting("set", f"{name}=…"),
            )
        return columns

    def _reading(self, name: str, column: Column | None) -> _Reading:
        parameter, is_secret = self._parameters.get(name), name in self._secret
        if name in self._others.values():
            may_be_empty = False
        elif parameter is None:
            may_be_empty = name not in OTHER_KEY
        else:
            # A value that has a default is empty only where it is given so, as with --set descr=.
            may_be_empty = parameter.has_default or parameter.may_be_empty
        return _Reading(
            name,
            column,
            self._given.get(name, ""),
            parameter.parse if parameter else {NUMBER: a_name, LOGIN: a_name}.get(name, as_typed),
            may_be_empty=may_be_empty,
            is_secret=is_secret,
            verbatim=parameter is not None and parameter.verbatim and not is_secret,
            loose=self._may_be_anything(name) and not is_secret,
        )

    def _may_be_anything(self, name: str) -> bool:
        """Whether a value may be of any type: a placeholder of a typed chain whose name is not known."""
        parameter = self._parameters.get(name)
        return parameter is not None and parameter.in_a_chain and not is_exact(name)

    def require_key(self) -> None:
        """Raise `VaultLocked` where the rows have secrets that could not be kept."""
        if not self._secret.isdisjoint(self.columns):
            self._vault.require_key()

    @property
    def assigned(self) -> Assigned:
        found = dict(self.columns)
        if self._second_number is not None:
            # The number is compared with the id: a row in which they name different subscribers is refused.
            found[NUMBER] = self._second_number
        return Assigned.of(self._header.names, {name: (column,) for name, column in found.items()})

    @property
    def key_columns(self) -> KeyColumns:
        """The columns with the keys of the rows.

        They are those of the subscriber or the account. If the call names neither, they are the first of its values
        with a column, and a column of contract numbers if there is one.
        """
        columns = self.columns
        other = self._second_number or find_column(self._header.names, NUMBER)
        for name in (ABONENT, USER):
            if name in self._names:
                own = columns.get(name)
                known = columns.get(self._others.get(name, ""), other if name == ABONENT else None)
                return KeyColumns(_place(own), _place(known), of_subscribers=name == ABONENT)
        first = next((columns[name] for name in self._names if name in columns), None)
        key = None if first is None or first.place in self.secret_places else first
        return KeyColumns(_place(key), _place(other))

    # ---- rows ----

    async def bind(self, rows: Sequence[Row]) -> tuple[list[Bound], list[Refusal]]:
        """The rows with their values, and the refused rows. Raises `LookUpFailed`."""
        if self._flags:
            rows = [_with_flags(row, self._flags) for row in rows]
        read = [self._read(row) for row in rows]
        bound = [one for one in read if isinstance(one, Bound)]
        refused = [one for one in read if isinstance(one, Refusal)]
        if self._secret:
            bound = await anyio.to_thread.run_sync(self._sealed, bound)
        if ABONENT in self._names:
            bound = await self._with_abonents(bound, refused)
        if self._is_by_other(USER):
            bound = await self._with_users(bound, refused)
        return bound, refused

    def _read(self, row: Row) -> Bound | Refusal:
        kept = without_secrets(row, self.secret_places) if self.secret_places else row
        values: dict[str, str] = {}
        label = row.cells[self._labelled.place].strip() if self._labelled else ""
        for reading in self._readings:
            name, column = reading.name, reading.column
            if column is None:
                values[name] = reading.given
                continue
            text = row.cells[column.place].strip()
            if not text:
                values[name] = reading.given
                if not reading.given and not reading.may_be_empty:
                    return Refusal(row.line, column.name, label[:64], said("the cell is empty"), kept.cells)
                continue
            if reading.is_secret and text.startswith(PLACEHOLDER):
                dots = said("these dots stand for a secret that was not kept: write it anew")
                return Refusal(row.line, name, label[:64], dots, kept.cells)
            if reading.verbatim or (reading.loose and not is_written_exactly(text)):
                text = row.cells[column.place]
            try:
                values[name] = reading.parse(text)
            except ValueError as error:
                why, cell = text_of(error), row.cells[column.place].strip()[:_LONGEST_SHOWN]
                if isinstance(error, AmountError) and repr(cell) not in why:
                    # With the cell itself, because messages may count its characters.
                    why = said("{cell!r} (column {column}): {error}", cell=cell, column=column.place + 1, error=error)
                return Refusal(row.line, column.name, label[:64], why, kept.cells)
        return Bound(kept, label, values)

    def _sealed(self, bound: Sequence[Bound]) -> list[Bound]:
        """The rows with tokens in place of their secrets, which go into the vault. Used in a worker thread.

        Rows that need a secret given for all rows are refused if it has been wiped.
        """
        for name in sorted(self._secret) if self._vault.keeps else ():
            if is_token(given := self._given.get(name, "")):
                try:
                    self._vault.open([given])
                except SecretGone as error:
                    raise InputRefused(
                        "what {flag} gave for all rows is kept no longer, for it is wiped when a run is at its "
                        "end: give the rows a column {name}, or begin a new run",
                        flag=setting("set", f"{name}=…"),
                        name=name,
                    ) from error
        open_ones = [
            (place, name, value)
            for place, one in enumerate(bound)
            for name in self._secret
            if (value := one.values[name]) and not is_token(value)
        ]
        tokens = self._vault.seal([value for _, _, value in open_ones])
        values = [dict(one.values) for one in bound]
        for (place, name, _), token in zip(open_ones, tokens, strict=True):
            values[place][name] = token
        return [replace(one, values=veiled) for one, veiled in zip(bound, values, strict=True)]

    def _is_by_other(self, name: str) -> bool:
        """Whether the rows are identified by contract number or login instead of the id."""
        other = self._others.get(name)
        if other is None or name in self.columns or self._given.get(name):
            return False
        return other in self.columns or bool(self._given.get(other))

    async def _with_abonents(self, bound: Sequence[Bound], refused: list[Refusal]) -> list[Bound]:
        by_number = self._is_by_other(ABONENT)
        column, second = self.columns.get(NUMBER if by_number else ABONENT), self._second_number
        if by_number:
            found = dict(await self._abonents.by_contract_numbers([one.values[NUMBER] for one in bound]))
        else:
            keys = {whole_id(one.values[ABONENT]) for one in bound}
            found = dict(await self._abonents.by_ids({key for key in keys if isinstance(key, int)}))
        says_number = NUMBER in self._others.values()
        known: list[Bound] = []
        for one in bound:
            key = one.values[NUMBER] if by_number else whole_id(one.values[ABONENT])
            abonent = found.get(key, key if isinstance(key, str) else str(key))
            if isinstance(abonent, str):
                refused.append(one.refused(abonent, column.name if column else None))
                continue
            # The number that the row has, or that is given for all rows.
            number = one.values.get(NUMBER, "") if says_number else ""
            if second:
                number = second.of(one.row)
            if number not in {"", abonent.contract_number}:
                own = repr(abonent.contract_number)
                why = said(
                    "abonent {id} has the contract number {own}, this column says {number!r}",
                    id=abonent.id,
                    own=own,
                    number=number,
                )
                if not second:
                    why = said(
                        "abonent {id} has the contract number {own}, {name}=…, given for all rows, says {number!r}",
                        id=abonent.id,
                        own=own,
                        name=NUMBER,
                        number=number,
                    )
                refused.append(one.refused(why, second.name if second else None))
                continue
            values = {**one.values, ABONENT: str(abonent.id)}
            named = {NUMBER: number, ABONENT: str(abonent.id)} if number else {}
            known.append(Bound(one.row, name_of(abonent), values, abonent, named))
        return known

    async def _with_users(self, bound: Sequence[Bound], refused: list[Refusal]) -> list[Bound]:
        found = await find_by(self._gateway, "Users", LOGIN, [one.values[LOGIN] for one in bound], ("id", LOGIN))
        column = self.columns.get(LOGIN)
        known: list[Bound] = []
        for one in bound:
            login = one.values[LOGIN]
            things = found[login]
            if len(things) == 1:
                user = things[0].values["id"] or ""
                named = {LOGIN: login, USER: user}
                known.append(Bound(one.row, one.label, {**one.values, USER: user}, named=named))
                continue
            why = said("there is no account with the login {login!r}", login=login)
            if things:
                why = said(
                    "several accounts have the login {login!r}: {ids}; name the one that is meant by its user_id",
                    login=login,
                    ids=tuple(str(thing.values["id"]) for thing in things),
                )
            refused.append(one.refused(why, column.name if column else None))
        return known


def _place(column: Column | None) -> int | None:
    return None if column is None else column.place


def is_given(name: str, given: Mapping[str, str]) -> bool:
    """Whether a value is given for all rows, by its own name or by its alternative."""
    return bool(given.get(name) or given.get(OTHER_KEY.get(name, "")))


def _with_flags(row: Row, places: frozenset[int]) -> Row:
    """The row with 1 and 0 for true and false in these places."""
    flags = row.truths & places
    if not flags:
        return row
    cells = [str(int(cell.casefold() == "true")) if place in flags else cell for place, cell in enumerate(row.cells)]
    return replace(row, cells=tuple(cells))


# ---- what the arguments of a call say of its row -------------------------------------------------------------------

Arguments: TypeAlias = Mapping[str, object]

_AMOUNT: Final = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,10})?")


async def owner_of_row(
    gateway: Gateway, rows: Sequence[tuple[Bound, Arguments]]
) -> tuple[list[tuple[Bound, Arguments, Abonent]], list[Refusal]]:
    """The rows whose call names a usable subscriber, and the refusals of the others. Raises `LookUpFailed`.

    Usually the binding has found the subscriber. A typed chain may name it literally, or by a column with another
    name than `abonent_id`.
    """
    named = [
        one.abonent.id
        if one.abonent is not None and arguments.get(ABONENT) == one.abonent.id
        else whole_id(str(arguments.get(ABONENT) or ""))
        for one, arguments in rows
    ]
    found: dict[int | str, Resolved] = {one.abonent.id: one.abonent for one, _ in rows if one.abonent is not None}
    found |= await SubscriberFinder(gateway).by_ids(
        [key for key in named if isinstance(key, int) and key not in found]
    )
    known: list[tuple[Bound, Arguments, Abonent]] = []
    refused: list[Refusal] = []
    for (one, arguments), key in zip(rows, named, strict=True):
        abonent = found.get(key, key if isinstance(key, str) else str(key))
        if isinstance(abonent, str):
            refused.append(one.refused(abonent))
        else:
            if one.abonent is not abonent:
                one = replace(one, label=name_of(abonent), abonent=abonent)  # noqa: PLW2901 - the row of that subscriber
            known.append((one, arguments, abonent))
    return known, refused


def telling_of(one: Bound) -> tuple[str, str]:
    """The document and the day that tell the operation of a row from further ones, "" where it has none.

    Raises ValueError for a date that is none.
    """
    day = one.values.get(DATE.name, "")
    return one.values.get(DOCUMENT.name, ""), a_day(day) if day else ""


def amount_fault(name: str, arguments: Arguments) -> str | None:
    """Why an argument is not an amount that the billing accepts, None if it is one or is missing."""
    text = str(arguments.get(name, "0"))
    if not _AMOUNT.fullmatch(text):
        return said("{text!r} is not an amount: money is written as -1234.50 here", text=text[:_LONGEST_SHOWN])
    if abs(Decimal(text)) > LARGEST:
        return too_large(text)
    return None
