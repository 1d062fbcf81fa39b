"""Opening balances from a file, by subscriber's id or by contract number: recipes 1 and 2 of the vendor's page [S].

Each row becomes one finance operation. It must not be repeated: a second one would be a second entry of money.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from billing.abonents import Abonent
from billing.answers import created_id
from billing.calls import Call, Step
from billing.exchange import Exchange, Refused
from billing.money import AmountError, parse_amount, wire
from billing.operations import OPENING_BALANCE, Operation
from checkpoints.records import Item, NewItem, Refusal, Run
from engine.errors import InputRefused
from engine.evidence import Evidence, Lost
from engine.job import Absent, Different, Found, Prepared, Reading, Row, Sighting, Source
from engine.sources.files import AUTO, DelimitedFile
from jobs.abonents import Abonents, Resolved, name_of, whole_id
from jobs.columns import Column, find, required
from jobs.errors import ParameterRefused
from jobs.evidence import evidence_of
from jobs.kinds import JobKind, Parameter, an_id, at_most
from jobs.marks import find as find_mark
from jobs.marks import with_mark
from jobs.operations import difference, marked
from jobs.services import Services

NAME: Final = "balances"
BY_ID: Final = "abonent_id"
BY_NUMBER: Final = "contract_number"
AMOUNT_NAMES: Final = ("amount", "op_summa")

_KOPECK: Final = Decimal("0.01")
_LONGEST_TEXT: Final = 200
_MARK_ROOM: Final = 32


class Payload(msgspec.Struct, frozen=True):
    """What the call is made from; `op_summa` in roubles as plain text with two decimals."""

    abonent_id: int
    op_summa: str


_encode: Final = msgspec.json.Encoder().encode
_payload: Final = msgspec.json.Decoder(Payload).decode


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where the row's key and amount stand; `other` is the other of the two keys, where the file has both."""

    key: Column
    by_id: bool
    amount: Column
    other: Column | None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A row that can be read, its subscriber not yet known; `key` is an id or a contract number."""

    row: Row
    key: int | str
    amount: Decimal


class Balances:
    """A `Job`: one opening balance a row.

    The business key is the subscriber's id, whichever way the row names the subscriber; the lane is the account, for
    several subscribers can share one. Where a file has both keys the id is used, unless `key` says otherwise, and the
    other one is checked against it.
    """

    name = NAME
    repeatable = False

    def __init__(self, services: Services, source: Source, parameters: Mapping[str, str]) -> None:
        self._services = services
        self._client = services.client
        self._source = source
        self._abonents = Abonents(services)
        self._parameters = parameters
        self._descr = parameters["descr"]
        self._op_type = int(parameters["op_type"])
        self._columns: _Columns | None = None

    @property
    def source(self) -> Source:
        """The file. Raises `InputRefused` when it is not there or a column is missing."""
        self._find_columns()
        return self._source

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        """Rows to items: keys resolved in bulk, amounts read as people type them. Raises `LookUpFailed`."""
        columns = self._find_columns()
        await self._check_room_for_the_mark()
        read = [_read(row, columns) for row in rows]
        candidates = [one for one in read if isinstance(one, _Candidate)]
        refusals = [one for one in read if isinstance(one, Refusal)]
        resolved = await self._resolve(candidates)
        items: list[NewItem] = []
        for candidate in candidates:
            abonent = resolved[candidate.key]
            if isinstance(abonent, str):
                refusals.append(_refusal(candidate.row, columns.key, columns.key, abonent))
            elif trouble := _contradiction(candidate.row, abonent, columns.other):
                refusals.append(trouble)
            else:
                items.append(_item(candidate, abonent))
        return Prepared(tuple(items), tuple(sorted(refusals, key=lambda one: one.line or 0)))

    async def send(self, run: Run, item: Item) -> Evidence:
        """Enter the operation, its comment marked with run and item."""
        payload = _payload(item.payload)
        step = Step(
            "objects.create",
            {
                "abonent_id": payload.abonent_id,
                "op_summa": payload.op_summa,
                "op_type_id": self._op_type,
                "descr": with_mark(self._descr, run.name, item.number),
            },
        )
        # The comment comes back with the key: an answer that bears another mark is of another request.
        exchange = await self._client.send(Call("FinanceOperations", (step,), ("op_id", "descr")))
        return _evidence(exchange, (run.name, item.number))

    async def undrained(self, items: Sequence[Item]) -> str | None:
        """What of the billing's stacks is not worked off, None where nobody can tell. Raises `LookUpFailed`."""
        return await self._services.undrained(items)

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, Sighting]:
        """Whether the operations are there, recognised by their marks. Raises `LookUpFailed`."""
        found = await self._marked(run, items)
        return {item.item_id: _sighting(found[item.item_id], _amount(item)) for item in items}

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, Reading]:
        """What the operations are now, recognised by their marks. Raises `LookUpFailed`."""
        found = await self._marked(run, items)
        return {item.item_id: _reading(found[item.item_id], _amount(item)) for item in items}

    async def probe(self) -> None:
        """Ask the billing for its version. Raises `LookUpFailed`."""
        await self._services.probe()

    async def _marked(self, run: Run, items: Sequence[Item]) -> dict[int, list[Operation]]:
        """The operations that carry the mark of each item, by item_id."""
        ids = {item.item_id: _payload(item.payload).abonent_id for item in items}
        found = await marked(self._services, run.name, ids.values(), self._op_type)
        return {item.item_id: found.get((ids[item.item_id], item.number), []) for item in items}

    async def _resolve(self, candidates: Collection[_Candidate]) -> dict[int | str, Resolved]:
        ids = {one.key for one in candidates if isinstance(one.key, int)}
        numbers = {one.key for one in candidates if isinstance(one.key, str)}
        by_id = await self._abonents.by_ids(ids) if ids else {}
        by_number = await self._abonents.by_contract_numbers(numbers) if numbers else {}
        return {**by_id, **by_number}

    async def _check_room_for_the_mark(self) -> None:
        """A comment that the database cuts off would lose its mark, and with it the way to look."""
        if self._services.database is None:
            return
        room = await self._services.read(lambda database: database.longest("FINANCE_OPERATIONS", "DESCR"))
        if 0 < room < len(self._descr) + _MARK_ROOM:
            raise InputRefused(
                f"the billing keeps {room} characters of an operation's comment, and {_MARK_ROOM} of them are for "
                f"the mark: shorten descr to {max(room - _MARK_ROOM, 0)} characters"
            )

    def _find_columns(self) -> _Columns:
        if self._columns is None:
            self._columns = _columns(self._source, self._parameters)
        return self._columns


def _columns(source: Source, parameters: Mapping[str, str]) -> _Columns:
    header, kind, named = source.header, parameters["key"], parameters["key_column"]
    if named:
        key = required(source.name, header, "the subscriber", (named,), "key_column")
        by_id = kind == BY_ID or (not kind and named.strip().casefold() == BY_ID)
    else:
        both = (BY_ID, BY_NUMBER)
        by_id = kind == BY_ID or (not kind and find(header, BY_ID) is not None)
        names = (BY_ID if by_id else BY_NUMBER,) if kind or by_id else both
        key = required(source.name, header, "the subscriber", names, "key_column")
    amounts = (parameters["amount_column"],) if parameters["amount_column"] else AMOUNT_NAMES
    other = find(header, BY_NUMBER if by_id else BY_ID)
    return _Columns(
        key=key,
        by_id=by_id,
        amount=required(source.name, header, "the amount", amounts, "amount_column"),
        other=None if other == key else other,
    )


def _read(row: Row, columns: _Columns) -> _Candidate | Refusal:
    text = columns.key.of(row)
    key = whole_id(text) if columns.by_id else text
    if columns.by_id and isinstance(key, str):
        return _refusal(row, columns.key, columns.key, key)
    if key == "":
        return _refusal(row, columns.key, columns.key, "the contract number is empty")
    column = columns.amount
    try:
        amount = parse_amount(row.cells[column.place])
    except AmountError as error:
        place = f"column {column.place + 1}, character {error.position}"
        return _refusal(row, columns.key, column, f"{place}: {error}")
    # Two decimals always, and no "-0.00".
    return _Candidate(row, key, amount.quantize(_KOPECK) if amount else Decimal("0.00"))


def _contradiction(row: Row, abonent: Abonent, other: Column | None) -> Refusal | None:
    """A second key that names another subscriber than the first: whose money it is, only a person can say."""
    if other is None or not (said := other.of(row)):
        return None
    if said in {abonent.contract_number, str(abonent.id)}:
        return None
    is_named = f"abonent {abonent.id} has the contract number {abonent.contract_number!r}"
    return Refusal(row.line, other.name, name_of(abonent), f"{is_named}, this column says {said!r}", row.cells)


def _refusal(row: Row, key: Column, column: Column, reason: str) -> Refusal:
    return Refusal(row.line, column.name, key.of(row)[:64], reason, row.cells)


def _item(candidate: _Candidate, abonent: Abonent) -> NewItem:
    return NewItem(
        key=str(abonent.id),
        label=name_of(abonent),
        lane=f"account:{abonent.account_id}",
        payload=_encode(Payload(abonent.id, wire(candidate.amount))).decode(),
        amount=candidate.amount,
        line=candidate.row.line,
        row=candidate.row.cells,
    )


def _evidence(exchange: Exchange, own: tuple[str, int]) -> Evidence:
    if isinstance(exchange, Refused) and "атрибут" in exchange.text.casefold():
        # The attributes of the call are the recipe's own, so it is `fields` that is at fault; whether the billing
        # reads that before or after it creates is not known [?], hence the look-up decides.
        return Lost(f"refused, but perhaps only after it was entered: {exchange.text}")

    def keep(result: object) -> str | None:
        comment = _comment(result)
        return created_id(result) if not comment or find_mark(comment) == own else None

    return evidence_of(exchange, keep)


def _comment(result: object) -> str | None:
    """The comment in the answer to a create, from whichever shape the billing chose; None where it has none."""
    match result:
        case [{"fields": {"descr": str() as text}} | {"descr": str() as text}]:
            return text
        case {"fields": {"descr": str() as text}} | {"descr": str() as text}:
            return text
    return None


def _amount(item: Item) -> Decimal:
    return Decimal(_payload(item.payload).op_summa)


def _sighting(found: list[Operation], amount: Decimal) -> Sighting:
    if not found:
        return Absent()
    differs = difference(found, amount)
    return Different(differs) if differs else Found(str(found[0].op_id))


def _reading(found: list[Operation], amount: Decimal) -> Reading:
    there = found[0].op_summa if len(found) == 1 and not found[0].storno else None
    return Reading(there, difference(found, amount))


def _build(services: Services, parameters: Mapping[str, str], file: Path | None) -> Balances:
    if file is None:
        raise ParameterRefused(f"{NAME} reads a file: name it")
    return Balances(services, DelimitedFile(file, encoding=parameters["encoding"]), parameters)


BALANCES: Final = JobKind(
    name=NAME,
    summary="enter opening balances from a file, by subscriber's id or contract number",
    takes_file=True,
    parameters=(
        Parameter(
            "descr", "comment of each operation, before its mark", "Миграция балансов", parse=at_most(_LONGEST_TEXT)
        ),
        Parameter("op_type", "type of the operation; 8 enters an opening balance", str(OPENING_BALANCE), parse=an_id),
        Parameter("key", "what tells the subscriber; by default the column's name says it", "", (BY_ID, BY_NUMBER)),
        Parameter("key_column", f"column of the subscriber, when it is named neither {BY_ID} nor {BY_NUMBER}", ""),
        Parameter("amount_column", f"column of the amount, when it is not named {' or '.join(AMOUNT_NAMES)}", ""),
        Parameter("encoding", "encoding of the file: auto is UTF-8, others by name, as cp1251", AUTO),
    ),
    call='FinanceOperations: objects.create(abonent_id=…, op_summa="50.50", op_type_id=8, descr="… [cm run/number]")',
    example="carbon-migrate run balances balances.csv",
    build=_build,
)
