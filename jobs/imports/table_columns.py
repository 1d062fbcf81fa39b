"""Which column of a table is which field, and the parts of a subscriber that a row makes: texts with their places.

Columns are found by the map first, then by the usual names. Nothing is guessed: a column that the map names and the
table lacks is refused, and two that fit are a question.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple, TypeAlias

from billing.money import AmountError, parse_amount, wire
from billing.secret import PLACEHOLDER
from engine.errors import InputRefused
from engine.job import Row
from jobs.access.vault import Vault
from jobs.imports.column_map import CellRule, ColumnMap, Condition, PartRule
from jobs.imports.fields import SEVERAL, FieldKind, FieldTable, ModelField, part_key
from jobs.imports.subscriber import APART, NUMBER, Part, Place, Step, Value, ValueFault, folder_path
from jobs.rows.binding import secret_places
from jobs.spec.columns import Assigned, Column, locate, titled
from texts.remedies import setting
from texts.said import Said, in_lines, said, text_of


@dataclass(frozen=True, slots=True)
class FieldColumns:
    """A field with its rule and the columns of it, none for a constant."""

    step: Step
    name: str
    field: ModelField
    rule: CellRule
    columns: tuple[Column, ...]

    @property
    def has_value(self) -> bool:
        return bool(self.columns) or self.rule.value is not None


@dataclass(frozen=True, slots=True)
class PartColumns:
    """The fields of one account, service or attribute, and the column of its condition."""

    step: Step
    fields: tuple[FieldColumns, ...]
    condition: Condition | None = None
    tested: Column | None = None


class ColumnFault(NamedTuple):
    """Why a header and a map do not fit; `kind` is the reference that a missing column names, "" for none."""

    why: str
    kind: str = ""


class TableColumns:
    """The columns of one table; `joined` is the step that a joined table is for, None for the main one.

    Where the map and the header do not fit each other, or a field that is needed has no column, it raises
    `InputRefused` with all faults. One that `goes_on` has them as its `faults`, and the columns that fit; it raises
    only without a column of contract numbers. `lacking` has by step the field whose column is missing, and the
    columns that are not used for want of it.
    """

    def __init__(
        self,
        name: str,
        header: Sequence[str],
        columns: ColumnMap,
        joined: Step | None = None,
        *,
        goes_on: bool = False,
    ) -> None:
        self.faults: list[ColumnFault] = []
        self._wrong: set[tuple[Step, str]] = set()
        self.lacking: dict[Step, tuple[str, tuple[str, ...]]] = {}
        self.name = name
        self.joined = joined
        self.fields = columns.fields
        self.by_step = {step: columns.fields.of_step(step) for step in Step}
        self._header = tuple(header)
        self._titles = ", ".join(title.strip() for title in header)
        self._taken: set[int] = set()
        if joined is None:
            steps = [step for step in Step if step in SEVERAL and step not in columns.tables]
            rules_once = columns.once
        else:
            steps, number = [joined], columns.tables[joined].number
            rules_once = {} if number is None else {NUMBER: number}
        of_once = {
            name: (step, one)
            for step, name, one in self.fields.names()
            if step not in SEVERAL and (joined is None or name == NUMBER)
        }
        once = {
            name: self._mapped(step, name, rules_once[name])
            for name, (step, _) in of_once.items()
            if name in rules_once
        }
        rules = [rule for step in steps for rule in columns.of_step(step) or (PartRule(step, {}),)]
        parts = [
            PartColumns(
                rule.step,
                tuple(self._mapped(rule.step, name, one) for name, one in rule.rules.items()),
                rule.when,
                next(iter(self._columns((rule.when.column,), rule.when.where)), None) if rule.when else None,
            )
            for rule in rules
        ]
        usual = self._usual({name: one for name, one in of_once.items() if name not in once}, rules)
        found = {name: once.get(name) or usual.get(name) for name in of_once}
        self.once = {name: one for name, one in found.items() if one is not None and one.has_value}
        self._require(self.once, Step.SUBSCRIBER, [NUMBER] if joined else self._needed(Step.SUBSCRIBER))
        completed: list[PartColumns] = []
        for rule, part in zip(rules, parts, strict=True):
            further = (one for one in usual.values() if one.step is rule.step)
            there = {one.name: one for one in (*part.fields, *further) if one.has_value}
            needed = self._needed(rule.step)
            if joined is None and any(name in rule.rules and rule.rules[name].takes_nothing for name in needed):
                continue
            # A part that nobody has asked for is there if its first needed field is.
            if joined is not None or rule.rules or needed[0] in there:
                self._require(there, rule.step, needed, rule.where)
                completed.append(replace(part, fields=tuple(there.values())))
            elif titles := tuple(one.columns[0].name for one in there.values() if not one.field.comes_along):
                self.lacking[rule.step] = needed[0], titles
        self.parts = tuple(completed)
        if self.faults and (not goes_on or NUMBER not in self.once):
            raise InputRefused(in_lines([one.why for one in self.faults]))
        self.number = self.once[NUMBER]

    @property
    def _of_parts(self) -> list[FieldColumns]:
        return [field for part in self.parts for field in part.fields]

    @property
    def unused(self) -> list[Column]:
        used = {column.place for one in (*self.once.values(), *self._of_parts) for column in one.columns}
        used |= {part.tested.place for part in self.parts if part.tested}
        return [Column(title.strip(), place) for place, title in enumerate(self._header) if place not in used]

    @property
    def constants(self) -> list[FieldColumns]:
        return [one for one in (*self.once.values(), *self._of_parts) if one.rule.value]

    @property
    def used(self) -> list[tuple[Step, str]]:
        return [(one.step, one.name) for one in (*self.once.values(), *self._of_parts)]

    @property
    def assigned(self) -> Assigned:
        named = {one.name: one.columns for one in self.once.values()}
        for step in SEVERAL:
            parts = [part for part in self.parts if part.step is step]
            for number, part in enumerate(parts, 1):
                owner = f"{step} {number}" if len(parts) > 1 else step.value
                named |= {f"{owner}.{one.name}": one.columns for one in part.fields}
                named |= {f"{owner}.when": (part.tested,)} if part.tested else {}
        return Assigned.of(self._header, named)

    @cached_property
    def secret_places(self) -> frozenset[int]:
        """The places of the columns with secrets, counted from 0."""
        secret = [(name, one) for _, name, one in self.fields.names() if one.kind is FieldKind.SECRET]
        called = [word for name, one in secret for word in (name, *one.columns)]
        own = (one for one in self._of_parts if one.field.kind is FieldKind.SECRET)
        return secret_places(self._header, called) | {column.place for one in own for column in one.columns}

    @property
    def has_secrets(self) -> bool:
        secret = (one for one in self._of_parts if one.field.kind is FieldKind.SECRET)
        return any(one.columns or one.rule.value for one in secret)

    # ---- by the map ----

    def _mapped(self, step: Step, name: str, rule: CellRule) -> FieldColumns:
        columns = self._columns(rule.columns, rule.where)
        if len(columns) < len(rule.columns):
            self._wrong.add((step, name))
        return FieldColumns(step, name, self.by_step[step][name], rule, columns)

    def _columns(self, titles: Sequence[str], where: str) -> tuple[Column, ...]:
        """The columns of titles that the map names, which fit nothing else then."""
        found: list[Column] = []
        for title in titles:
            try:
                found.append(titled(self.name, self._header, title, where))
            except InputRefused as error:
                self.faults.append(ColumnFault(text_of(error)))
        self._taken.update(column.place for column in found)
        return tuple(found)

    # ---- by the usual names ----

    def _usual(
        self, once: Mapping[str, tuple[Step, ModelField]], rules: Sequence[PartRule]
    ) -> dict[str, FieldColumns]:
        """The fields that the map does not name; of several parts of one step none, for nothing says whose it is."""
        wanted = {(step, name): one for name, (step, one) in once.items()}
        steps = [rule.step for rule in rules]
        for rule in (rule for rule in rules if steps.count(rule.step) == 1):
            wanted |= {
                (rule.step, name): one
                for name, one in self.by_step[rule.step].items()
                if name not in rule.rules and (self.joined or not one.own_table)
            }
        wanted = {key: one for key, one in wanted.items() if not one.only_named}
        free = ["" if place in self._taken else title for place, title in enumerate(self._header)]
        unclear: list[Said] = []
        found = locate(self.name, free, {name: one.columns for (_, name), one in wanted.items()}, {}, unclear)
        self.faults += map(ColumnFault, unclear)
        return {
            name: FieldColumns(step, name, one, CellRule((column.name,)), (column,))
            for (step, name), one in wanted.items()
            if (column := found[name]) is not None
        }

    def _needed(self, step: Step) -> list[str]:
        return [name for name, one in self.by_step[step].items() if one.required]

    def _require(self, there: Mapping[str, FieldColumns], step: Step, needed: Sequence[str], where: str = "") -> None:
        for missing in (name for name in needed if name not in there and (step, name) not in self._wrong):
            why = said(
                "{file} has no column {wanted}; it has: {there}. Say which column it is with {map}, or give all rows "
                "one value with {value}{where}",
                file=self.name,
                wanted=missing,
                there=self._titles,
                map=setting("map", f"{missing}=COLUMN"),
                value=setting("map", f"{missing}:=VALUE"),
                where=said(", or in the map ({place})", place=where) if where else "",
            )
            self.faults.append(ColumnFault(why, self.by_step[step][missing].dictionary))


# ---- what a row says -----------------------------------------------------------------------------------------------


FOLDER: Final = "folder"
FOLDER_ID_FIELD: Final = "parent_id"
BALANCE: Final = "op_summa"
DEBT: Final = "debt"
EMPTY: Final = said("the cell is empty")
_DOTS: Final = said("these dots stand for a secret that was not kept: write it anew")

Values: TypeAlias = dict[str, Value]
RowParts: TypeAlias = tuple[list[Part], list[ValueFault]]
"""The parts that a row makes, and the faults found in it: an empty value that is required is one already."""


@dataclass(frozen=True, slots=True)
class MadeRow:
    """The contract number of a row and the values of each part that it makes, by the fields; empty ones too."""

    number: Value
    values: list[tuple[Step, dict[str, Value]]]


def make_row(table: TableColumns, row: Row) -> MadeRow:
    number = _value(table, table.number, row)
    once: dict[Step, Values] = {}
    for name, one in table.once.items() if table.joined is None else ():
        once.setdefault(one.step, {})[name] = number if name == NUMBER else _value(table, one, row)
    if (folder := once.get(Step.FOLDER)) and (by_id := folder.get(FOLDER_ID_FIELD)) and by_id.text:
        once[Step.FOLDER] = {FOLDER_ID_FIELD: by_id}
    if Step.BALANCE in once:
        once[Step.BALANCE] = _with_balance(once[Step.BALANCE])
    several = [(part.step, values) for part in table.parts for values in _several(table, part, row)]
    return MadeRow(number, [*once.items(), *several])


def balance_of_row(table: TableColumns, row: Row) -> str:
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
    """The parts of a row whose secrets are sealed, and its faults: empty values, and dots in place of a secret."""
    faults = [] if row.number.text else [ValueFault(row.number.place, "", EMPTY)]
    parts: list[Part] = []
    for step, values in row.values:
        fields = table.by_step[step]
        for name, value in values.items():
            # A row may have no balance.
            if name != NUMBER and fields[name].required and not value.text and step is not Step.BALANCE:
                faults.append(ValueFault(value.place, "", EMPTY))
            if fields[name].kind is FieldKind.SECRET and value.text == PLACEHOLDER:
                faults.append(ValueFault(value.place, PLACEHOLDER, _DOTS))
        if there := {part_key(step, name): one for name, one in values.items() if one.text}:
            parts.append(Part(step, there))
    return parts, faults


def _several(table: TableColumns, part: PartColumns, row: Row) -> list[Values]:
    """The values of an account, a service or an attribute: none, one, or one of each text in a split cell."""
    if part.condition and part.tested and not part.condition.holds(part.tested.of(row)):
        return []
    values = {one.name: _value(table, one, row) for one in part.fields}
    if part.condition is None:
        in_main = table.joined is None
        signs = [one for one in part.fields if one.columns and not (in_main and one.field.comes_along)]
        if signs and not any(values[one.name].text for one in signs):
            return []
    split = next((one for one in part.fields if one.rule.split), None)
    if split is None:
        return [values]
    whole = values[split.name]
    texts = (text.strip() for text in whole.text.split(split.rule.split))
    return [{**values, split.name: replace(whole, text=text)} for text in texts if text]


def _value(table: TableColumns, one: FieldColumns, row: Row) -> Value:
    """The text of a field, and its place: that of its first column that is not empty."""
    rule = one.rule
    if rule.value is not None:
        return Value(rule.value)
    texts: list[str] = []
    title = ""
    for column in one.columns:
        text = column.of(row)
        if column.place in row.truths and one.field.kind is FieldKind.FLAG:
            text = str(int(text.casefold() == "true"))
        if text:
            title = title or column.name
            texts.append(text)
    if one.name == FOLDER and one.step is Step.FOLDER:
        text = folder_path(texts if rule.are_levels else rule.between.join(texts).split(rule.split or APART))
    else:
        text = rule.between.join(texts)
    return Value(text, Place(row.line, title or one.columns[0].name, table.name if table.joined else ""))


def _with_balance(values: Values) -> Values:
    """The balance less the debt, as one sum; a text that is no amount stays as it is, for the check to name it."""
    others = {name: value for name, value in values.items() if name != DEBT}
    debt, balance = values.get(DEBT), values.get(BALANCE)
    if debt is None or not debt.text:
        return others
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
