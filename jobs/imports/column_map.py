"""The map of an import: which columns, or which constant, make the fields of a subscriber and of what belongs to it.

It is read from a file, given as pairs of field and column, or both. What it does not name is found by its usual
names, see `tables.py`. A map file is TOML, and each of its faults has its place:

[subscriber]                                       what a subscriber has once
contract_number = "Договор"                        a column
name = ["Фамилия", "Имя", "Отчество"]              several columns, joined
operator_id = { value = "Основной" }               a constant
email = ""                                         not taken from the table

[[service]]                                        what it can have several of: account, service, attribute
usluga_id = { value = "Интернет" }
when = { column = "Интернет", is = ["да", "1"] }

[tables.accounts]                                  a table of its own, joined by contract number
file = "logins.csv"

[fields.Abonents.passport]                         a field of the billing that is not known here
kind = "text"
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from checkpoints.own_files import read_regular
from engine.errors import InputRefused, nearest
from engine.sources.sample import AUTO, Layout
from jobs.imports.fields import SEVERAL, FieldKind, FieldTable, ModelField, usual_fields
from jobs.imports.subscriber import NUMBER, Step
from jobs.spec.toml_places import KeyRefused, Toml, as_kind, as_written, check_known
from jobs.spec.toml_places import Path as Way
from texts.said import Said, in_lines, reason_of, said, setting

SPACE: Final = " "
CONSTANT: Final = ":"
"""Ends a field whose pair has a constant, and no column."""


@dataclass(frozen=True, slots=True)
class CellRule:
    """Where a text comes from: one column, several joined with `between`, or a constant `value`.

    A rule without either takes nothing, also not by the field's usual names. `split` separates several texts in a
    cell: of a folder its levels, of an account, a service or an attribute several parts. `are_levels` says that each
    column is one level of a folder. `where` is the place of the rule, for messages.
    """

    columns: tuple[str, ...] = ()
    value: str | None = None
    between: str = SPACE
    split: str = ""
    are_levels: bool = False
    where: str = ""

    @property
    def takes_nothing(self) -> bool:
        return not self.columns and self.value is None


@dataclass(frozen=True, slots=True)
class Condition:
    """When a row has a part: a column has one of these texts, or any text if there is none. Case does not matter."""

    column: str
    texts: frozenset[str] = frozenset()
    where: str = ""

    def holds(self, cell: str) -> bool:
        plain = cell.strip().casefold()
        return plain in self.texts if self.texts else bool(plain)


@dataclass(frozen=True, slots=True)
class PartRule:
    """One account, service or attribute of each row: the rules of its fields by name, and when a row has it."""

    step: Step
    rules: Mapping[str, CellRule]
    when: Condition | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class TableFile:
    """A joined table: its file, how it is read, and its column of contract numbers, None for the usual names."""

    file: str
    layout: Layout = field(default_factory=Layout)
    number: CellRule | None = None


TABLE_OF_STEP: Final[Mapping[Step, str]] = {
    Step.ACCOUNT: "accounts",
    Step.SERVICE: "services",
    Step.ATTRIBUTE: "attributes",
}
"""The joined tables by the step that their rows are for."""
STEP_OF_TABLE: Final[Mapping[str, Step]] = {name: step for step, name in TABLE_OF_STEP.items()}


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """`once` has the rules of fields that a subscriber has once, by name; `parts` those of what it has several of.

    `file` is the map file, "" without one.
    """

    once: Mapping[str, CellRule] = field(default_factory=dict)
    parts: tuple[PartRule, ...] = ()
    tables: Mapping[Step, TableFile] = field(default_factory=dict)
    fields: FieldTable = field(default_factory=usual_fields)
    file: str = ""

    def of_step(self, step: Step) -> tuple[PartRule, ...]:
        return tuple(rule for rule in self.parts if rule.step is step)

    def with_tables(self, files: Mapping[Step, str]) -> "ColumnMap":
        given = {
            step: replace(self.tables.get(step, TableFile("")), file=file) for step, file in files.items() if file
        }
        return replace(self, tables={**self.tables, **given})

    def with_pairs(self, pairs: Mapping[str, str]) -> "ColumnMap":
        """The map with columns by field, as they are typed; an empty column takes nothing.

        A field with `:` behind it has a constant instead, typed as `manager_id:=33`. A field of an account, a service
        or an attribute may need its step before it: `service.enabled`. Raises `InputRefused` for a field that is not
        known, or is one of several in the map.
        """
        once, parts = dict(self.once), list(self.parts)
        for typed, column in pairs.items():
            where = setting("map", f"{typed}={column}")
            step, name = self._field(typed.removesuffix(CONSTANT), where)
            rule = CellRule((column,) if column.strip() else (), where=str(where))
            if typed.endswith(CONSTANT):
                rule = CellRule(value=column, where=str(where))
            if step not in SEVERAL:
                once[name] = rule
                continue
            there = [one for one in parts if one.step is step] or [PartRule(step, {}, where=str(where))]
            if len(there) > 1:
                raise InputRefused(
                    "{setting}: the map has several tables [[{step}]], so a pair does not say which is meant: "
                    "change it in {file}",
                    setting=where,
                    step=step,
                    file=self.file,
                )
            parts = [one for one in parts if one.step is not step]
            parts.append(replace(there[0], rules={**there[0].rules, name: rule}))
        return replace(self, once=once, parts=tuple(parts))

    def _field(self, typed: str, where: str) -> tuple[Step, str]:
        owner, dot, bare = typed.rpartition(".")
        found = [(step, name) for step, name, _ in self.fields.names() if name == bare and owner in {"", step}]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputRefused(
                "{setting}: several steps have a field {name}; write one of: {names}",
                setting=where,
                name=bare,
                names=tuple(f"{step}.{name}" for step, name in found),
            )
        known = [f"{step}.{name}" if dot else name for step, name, _ in self.fields.names()]
        raise InputRefused(
            "{setting}: an import has no field {name}{nearest}; it has: {known}. Another field of the billing is "
            "named in a map file, as a table [fields.MODEL.NAME]",
            setting=where,
            name=typed,
            nearest=nearest(typed, known),
            known=tuple(dict.fromkeys(known)),
        )


# ---- the file ------------------------------------------------------------------------------------------------------


FORMAT: Final = 1
SUBSCRIBER: Final = Step.SUBSCRIBER.value
_STEPS: Final = tuple(step.value for step in Step if step in SEVERAL)
_WHEN: Final = "when"
_Shape = TypeVar("_Shape", bound=msgspec.Struct)


class _Cell(msgspec.Struct, forbid_unknown_fields=True):
    """The table of a field in a map file."""

    column: str = ""
    columns: list[str] = []
    value: str | None = None
    between: str = SPACE
    split: str = ""


class _When(msgspec.Struct, forbid_unknown_fields=True):
    column: str
    is_: str | list[str] = msgspec.field(name="is", default_factory=list)


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    """The keys of a joined table."""

    file: str = ""
    contract_number: str = ""
    encoding: str = AUTO
    delimiter: str = ""
    sheet: str = ""
    columns: list[str] = []


_SHAPES: Final[Mapping[type, Said]] = {
    _Cell: said("a column, a list of columns, or a table with column, columns, value, between, split"),
    _When: said("a table with column and is"),
    _Table: said("a table with file, contract_number, encoding, delimiter, sheet, columns"),
    ModelField: said("a table with kind, required, longest, dictionary, columns, column, step"),
}
_KINDS: Final[Mapping[object, Said]] = {
    **dict.fromkeys((str, str | None), said("a text")),
    **dict.fromkeys((list[str], tuple[str, ...]), said("a list of texts")),
    int | None: said("a whole number"),
    bool: said("true or false"),
}
"""What a key of these types holds, in words."""


def read_map(path: Path) -> ColumnMap:
    """Read the map file at `path`. Raises `InputRefused` with all its faults, each with file, line and column."""
    try:
        toml = Toml.of(read_regular(path))
    except (OSError, UnicodeDecodeError) as error:
        why = reason_of(error) if isinstance(error, OSError) else said("it is not UTF-8: {why}", why=error.reason)
        raise InputRefused("the map {file} cannot be read: {why}", file=path, why=why) from error
    except ValueError as error:
        raise InputRefused("the map {file} is not TOML: {error}", file=path, error=error) from error
    reader = _Reader(path, toml)
    read = reader.map(toml.content)
    if reader.faults:
        raise InputRefused(in_lines(reader.faults))
    return read


class _Reader:
    """Checks the content of the file, and finds the place of each value; `faults` has what is wrong and left out."""

    def __init__(self, path: Path, toml: Toml) -> None:
        self._path = path
        self._toml = toml
        self.faults: list[Said] = []

    @contextmanager
    def _keeping_faults(self) -> Iterator[None]:
        try:
            yield
        except KeyRefused as error:
            self.faults.append(said("{place}: {text}", place=self.place(error.way), text=error))

    def map(self, content: Mapping[str, object]) -> ColumnMap:
        for name in content:
            with self._keeping_faults():
                check_known((), (name,), ("format", SUBSCRIBER, *_STEPS, "tables", "fields"))
        with self._keeping_faults():
            if (version := content.get("format", FORMAT)) != FORMAT:
                raise KeyRefused(
                    "format = {given} is not known; this version knows {ours}",
                    ("format",),
                    given=repr(version),
                    ours=FORMAT,
                )
        fields = usual_fields()
        with self._keeping_faults():
            fields = self._fields(_table(("fields",), content.get("fields", {})))
        rules: dict[str, CellRule] = {}
        with self._keeping_faults():
            known = {name for step, name, _ in fields.names() if step not in SEVERAL}
            rules = self._cells((SUBSCRIBER,), _table((SUBSCRIBER,), content.get(SUBSCRIBER, {})), known)
        parts: list[PartRule] = []
        for name in (name for name in _STEPS if name in content):
            given = content[name]
            ways = [(name, place) for place in range(len(given))] if isinstance(given, list) else [(name,)]
            for way, one in zip(ways, given if isinstance(given, list) else [given], strict=True):
                with self._keeping_faults():
                    parts.append(self._part(way, one, fields))
        joined: dict[Step, TableFile] = {}
        with self._keeping_faults():
            for name, given in _table(("tables",), content.get("tables", {})).items():
                with self._keeping_faults():
                    check_known(("tables",), (name,), STEP_OF_TABLE)
                    joined[STEP_OF_TABLE[name]] = self._joined(name, given)
        return ColumnMap(rules, tuple(parts), joined, fields, str(self._path))

    def _cells(self, way: Way, given: Mapping[str, object], known: Collection[str]) -> dict[str, CellRule]:
        rules: dict[str, CellRule] = {}
        for name, one in given.items():
            with self._keeping_faults():
                check_known(way, (name,), known)
                rules[name] = self._cell((*way, name), one)
        return rules

    def _fields(self, given: Mapping[str, object]) -> FieldTable:
        fields = usual_fields()
        check_known(("fields",), given, fields.models)
        for model, named in given.items():
            there = fields.models[model].fields
            changed: dict[str, ModelField] = {}
            for name, one in _table(("fields", model), named).items():
                way: Way = ("fields", model, name)
                old = msgspec.to_builtins(there[name]) if name in there else {}
                changed[name] = _converted(way, {**old, **_table(way, one)}, ModelField)
                if changed[name].step not in {None, *(step for step in Step if name in fields.of_step(step))}:
                    raise KeyRefused(said("a field of this model cannot be moved to another step"), (*way, "step"))
            new = msgspec.structs.replace(fields.models[model], fields={**there, **changed})
            fields = FieldTable({**fields.models, model: new})
        return fields

    def _part(self, way: Way, given: object, fields: FieldTable) -> PartRule:
        step = Step(str(way[0]))
        table = _table(way, given)
        rules = self._cells(
            way,
            {name: one for name, one in table.items() if name != _WHEN},
            (*fields.of_step(step), _WHEN),
        )
        separated = [name for name, rule in rules.items() if rule.split]
        if len(separated) > 1:
            raise KeyRefused(
                said("only one field of a table can have a split: leave one of the two out"), (*way, separated[1])
            )
        condition = None
        if _WHEN in table:
            read = _converted((*way, _WHEN), table[_WHEN], _When)
            texts = [read.is_] if isinstance(read.is_, str) else read.is_
            plain = frozenset(one.strip().casefold() for one in texts)
            condition = Condition(read.column, plain, self.place((*way, _WHEN)))
        return PartRule(step, rules, condition, self.place(way))

    def _cell(self, way: Way, given: object) -> CellRule:
        where = self.place(way)
        if isinstance(given, str):
            return CellRule((given,) if given.strip() else (), where=where)
        if isinstance(given, list) and given and all(isinstance(one, str) and one.strip() for one in given):
            # In a list the columns of a folder are its levels, one each, so that a "/" in a name separates nothing.
            return CellRule(tuple(given), are_levels=way[-1] == Step.FOLDER, where=where)
        read = _converted(way, given, _Cell)
        columns = tuple(one for one in (read.column, *read.columns) if one)
        if bool(columns) == (read.value is not None):
            raise KeyRefused(said("it needs either a column, columns, or a value"), way)
        if read.split and len(columns) != 1:
            raise KeyRefused(said("a split needs one column"), way)
        return CellRule(columns, read.value, read.between, read.split, where=where)

    def _joined(self, name: str, given: object) -> TableFile:
        way: Way = ("tables", name)
        read = _converted(way, given, _Table)
        # A path in the file is relative to the file.
        file = str(self._path.parent / read.file) if read.file else ""
        number = CellRule((read.contract_number,), where=self.place((*way, NUMBER))) if read.contract_number else None
        return TableFile(file, Layout(read.encoding, read.delimiter, read.sheet, tuple(read.columns)), number)

    def place(self, way: Way) -> str:
        place = self._toml.place(*way)
        return said("{file}, line {line}, column {column}", file=self._path, line=place.line, column=place.column)


def _table(way: Way, given: object) -> Mapping[str, object]:
    if not isinstance(given, dict):
        raise KeyRefused("a table is expected, not {given}", way, given=as_written(given))
    return given


def _converted(way: Way, given: object, shape: type[_Shape]) -> _Shape:
    try:
        return as_kind(given, shape)
    except KeyRefused as error:
        table = given if isinstance(given, dict) else {}
        check_known(way, table, shape.__struct_encode_fields__)
        key = next((str(name) for name in error.way if name in table), "")
        kind = _KINDS.get(shape.__annotations__.get(key))
        kinds = said("; a kind is one of {kinds}", kinds=tuple(FieldKind)) if shape is ModelField else ""
        raise KeyRefused(
            "{shape} is expected{kinds}, not {given}",
            (*way, *error.way[:1]),
            shape=kind or _SHAPES[shape],
            kinds="" if kind else kinds,
            given=as_written({key: table[key]} if key else given),
        ) from error
