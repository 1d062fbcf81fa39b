"""The parts of a subscriber that a row makes, by the columns of its table: texts with their places."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, TypeAlias

from billing.money import AmountError, parse_amount, wire
from billing.secret import PLACEHOLDER
from engine.rows import Row
from jobs.access.vault import Vault
from jobs.imports.fields import FieldKind, FieldTable, part_key
from jobs.imports.subscriber import APART, NUMBER, Part, Place, Step, Value, ValueFault, folder_path
from jobs.imports.table_columns import FieldColumns, PartColumns, TableColumns
from texts.said import said

FOLDER: Final = "folder"
FOLDER_ID_FIELD: Final = "parent_id"
BALANCE: Final = "op_summa"
DEBT: Final = "debt"
EMPTY: Final = said("the cell is empty")
_DOTS: Final = said("these dots stand for a secret that was not kept: write it anew")

Values: TypeAlias = dict[str, Value]


@dataclass(frozen=True, slots=True)
class RowParts:
    """What a row has: its contract number, the parts that it makes, and the faults found in it.

    A required value that is empty is such a fault; whoever checks the values need not look for it again.
    """

    number: Value
    parts: tuple[Part, ...]
    faults: tuple[ValueFault, ...]


@dataclass(frozen=True, slots=True)
class MadeRow:
    """The contract number of a row and the values of each part that it makes, by the fields; empty ones too."""

    number: Value
    values: list[tuple[Step, dict[str, Value]]]


def make_row(table: TableColumns, row: Row) -> MadeRow:
    """What a row of the table says."""
    number = _value(table, table.number, row)
    made: list[tuple[Step, dict[str, Value]]] = []
    if table.joined is None:
        once: dict[Step, dict[str, Value]] = {}
        for name, one in table.once.items():
            once.setdefault(one.step, {})[name] = number if name == NUMBER else _value(table, one, row)
        made += [(step, _PUT_TOGETHER.get(step, _as_they_are)(values)) for step, values in once.items()]
    made += [(part.step, values) for part in table.parts for values in _several(table, part, row)]
    return MadeRow(number, made)


def balance_of_row(table: TableColumns, row: Row) -> str:
    """What a row of the table says of its opening balance, "" for nothing."""
    values = {name: _value(table, one, row) for name, one in table.once.items() if one.step is Step.BALANCE}
    found = _with_balance(values).get(BALANCE)
    return found.text if found else ""


def seal_secrets(fields: FieldTable, rows: Sequence[MadeRow], vault: Vault) -> None:
    """Put tokens in place of the rows' secrets, which go into the vault. Raises `VaultFailed`.

    Dots stay: they stand for a secret that an export has left out.
    """
    secret = {(step, name) for step, name, one in fields.names() if one.kind is FieldKind.SECRET}
    places = [
        (values, name)
        for row in rows
        for step, values in row.values
        for name, value in values.items()
        if value.text and (step, name) in secret
    ]
    texts = [values[name].text for values, name in places]
    tokens = iter(vault.seal([text for text in texts if not text.startswith(PLACEHOLDER)]))
    for (values, name), text in zip(places, texts, strict=True):
        sealed = PLACEHOLDER if text.startswith(PLACEHOLDER) else next(tokens)
        values[name] = replace(values[name], text=sealed)


def parts_of_row(table: TableColumns, row: MadeRow) -> RowParts:
    """The parts of a row whose secrets are sealed, and its faults."""
    faults = [] if row.number.text else [ValueFault(row.number.place, "", EMPTY)]
    parts: list[Part] = []
    for step, values in row.values:
        faults += _faults(table, step, values)
        there = {part_key(step, name): one for name, one in values.items() if one.text}
        if there:
            parts.append(Part(step, MappingProxyType(there)))
    return RowParts(row.number, tuple(parts), tuple(faults))


def _several(table: TableColumns, part: PartColumns, row: Row) -> list[Values]:
    """The values of an account, a service or an attribute: none, one, or one of each text in a split cell."""
    if part.condition and part.tested and not part.condition.holds(part.tested.of(row)):
        return []
    values = {one.name: _value(table, one, row) for one in part.fields}
    in_main = table.joined is None
    of_columns = [
        values[one.name].text for one in part.fields if one.columns and not (in_main and one.field.comes_along)
    ]
    if part.condition is None and of_columns and not any(of_columns):
        return []
    split = next((one for one in part.fields if one.rule.split), None)
    if split is None:
        return [values]
    whole = values[split.name]
    texts = (text.strip() for text in whole.text.split(split.rule.split))
    return [{**values, split.name: replace(whole, text=text)} for text in texts if text]


def _value(table: TableColumns, one: FieldColumns, row: Row) -> Value:
    """The text of a field, and its place: that of its first column that is not empty."""
    if one.rule.value is not None:
        return Value(one.rule.value)
    if len(one.columns) == 1:
        title, texts = one.columns[0].name, [_cell(one, 0, row)]
    else:
        cells = [(column.name, _cell(one, place, row)) for place, column in enumerate(one.columns)]
        there = [(title, text) for title, text in cells if text] or cells[:1]
        title, texts = there[0][0], [text for _, text in there]
    if one.name == FOLDER and one.step is Step.FOLDER:
        levels = texts if one.rule.are_levels else one.rule.between.join(texts).split(one.rule.split or APART)
        text = folder_path(levels)
    else:
        text = one.rule.between.join(texts)
    return Value(text, Place(row.line, title, table.name if table.joined else ""))


def _cell(one: FieldColumns, place: int, row: Row) -> str:
    column = one.columns[place]
    text = column.of(row)
    if one.field.kind is FieldKind.FLAG and column.place in row.truths:
        return str(int(text.casefold() == "true"))
    return text


def _with_balance(values: Values) -> Values:
    """The balance less the debt, as one sum; a text that is no amount stays as it is, for the check to name it."""
    debt = values.get(DEBT)
    others = {name: value for name, value in values.items() if name != DEBT}
    if debt is None or not debt.text:
        return others
    balance = values.get(BALANCE)
    try:
        owed = parse_amount(debt.text)
    except AmountError:
        return {**others, BALANCE: debt}
    if balance is None or not balance.text:
        return {**others, BALANCE: replace(debt, text=wire(-owed))}
    try:
        return {**others, BALANCE: replace(balance, text=wire(parse_amount(balance.text) - owed))}
    except AmountError:
        return others


def _with_folder(values: Values) -> Values:
    """The folder by its id where there is one, else by its path."""
    by_id = values.get(FOLDER_ID_FIELD)
    return {FOLDER_ID_FIELD: by_id} if by_id is not None and by_id.text else values


def _as_they_are(values: Values) -> Values:
    return values


_PUT_TOGETHER: Final[Mapping[Step, Callable[[Values], Values]]] = MappingProxyType(
    {Step.FOLDER: _with_folder, Step.BALANCE: _with_balance}
)
"""The steps whose values are made of several fields."""


def _faults(table: TableColumns, step: Step, values: Values) -> Iterator[ValueFault]:
    """Required values that are empty, and dots in place of a secret. A row may have no balance."""
    fields = table.by_step[step]
    for name, value in values.items():
        if name == NUMBER:
            continue
        if fields[name].required and not value.text and step is not Step.BALANCE:
            yield ValueFault(value.place, "", EMPTY)
        if fields[name].kind is FieldKind.SECRET and value.text == PLACEHOLDER:
            yield ValueFault(value.place, PLACEHOLDER, _DOTS)
