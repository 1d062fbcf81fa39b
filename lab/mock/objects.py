"""Objects in a chain: found, created, saved and deleted, with each effect written to the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TypeAlias

import msgspec

from billing.database.reader import DatabaseRow
from lab.mock import lookups, refusals
from lab.mock.connection import MockConnection
from lab.mock.constraints import Columns, RuleChange
from lab.mock.facts import ACT
from lab.mock.ledger import LONGEST_METHODS, LONGEST_WHAT, LedgerEntry, enter
from lab.mock.licence import Licence
from lab.mock.models import Field, MockModel, Tie
from lab.mock.quirks import Quirks
from lab.mock.rules import apply_rules, take_back
from lab.mock.values import Answered, Stored, ValueType, stored, value_text

Arguments: TypeAlias = Mapping[str, object]

_HIDDEN = "•••"


@dataclass(slots=True)
class MockObject:
    """An object in a chain: its stored values, and the assigned ones that are not yet saved."""

    model: MockModel
    values: Columns
    assigned: Columns = field(default_factory=dict)
    gone: bool = False

    @property
    def key(self) -> int:
        """The value of its key."""
        return _whole(self.values[self.model.key.name])

    def value(self, name: str) -> Stored:
        """The current value of an attribute, assigned or stored."""
        return self.assigned.get(name, self.values[name])


class MockObjects:
    """The operations on objects, in the transaction of a connection and for one request.

    `request` and `methods` are written to the ledger; `late` tells that the call was answered before. All operations
    raise `MockRefusal`, and `BadValue` for a value of the wrong type.
    """

    def __init__(
        self,
        connection: MockConnection,
        request: int,
        methods: str,
        quirks: Quirks,
        licence: Licence,
        *,
        late: bool = False,
    ) -> None:
        self.connection = connection
        self._request = request
        self._methods = methods
        self._quirks = quirks
        self._licence = licence
        self._late = late

    def answered(self, kind: ValueType, value: Stored) -> Answered:
        """A value as answers have it."""
        text = value_text(kind, value)
        if self._quirks.value_types == "numbers" and kind is ValueType.MONEY and text is not None:
            return float(text)
        if self._quirks.value_types == "texts" and kind is ValueType.INTEGER and text is not None:
            return str(text)
        return text

    def find(self, model: MockModel, arguments: Arguments, first: int | None = None) -> list[MockObject]:
        """All objects that match the criteria, in the order of their keys, or any `first` of them."""
        sql, values = lookups.select(self.connection.models, model, arguments, first, self._quirks.descr_filters)
        return sorted([_object(model, row) for row in self.connection.execute(sql, values)], key=_key)

    def get(self, model: MockModel, arguments: Arguments) -> MockObject:
        """The only object that matches the criteria."""
        found = self.find(model, arguments)
        if not found:
            raise refusals.none_found(model.name)
        if len(found) > 1:
            raise refusals.several_found(model.name, len(found))
        return found[0]

    def create(self, model: MockModel, arguments: Arguments) -> MockObject:
        """Create an object; it needs no `save` [S]."""
        values = self._read(model, arguments, fixed=True)
        apply_rules(self._change(model, None, {}, values, {}))
        values = {name: value for name, value in values.items() if name in model.fields}
        key = self.connection.next_key(model.generator)
        values[model.key.name] = key
        columns = ", ".join([model.fields[name].column for name in values])
        marks = ", ".join("?" * len(values))
        # Columns have defaults.
        sql = f"insert into {model.table} ({columns}) values ({marks}) returning {lookups.columns_of(model)}"  # noqa: S608 - names of ours
        (row,) = self.connection.execute(sql, tuple(values.values()))
        target = _object(model, row)
        if "op_date" in arguments:
            self._reopen_period(target)
        self._enter(target, {name: values[name] for name in values if name != model.key.name})
        return target

    def assign(self, target: MockObject, arguments: Arguments) -> None:
        """Assign values, which are stored only by `save` [S]."""
        target.assigned |= self._read(target.model, arguments, fixed=False)

    def save(self, target: MockObject, arguments: Arguments) -> None:
        """Store the assigned values, and apply the billing's rules."""
        apply_rules(self._change(target.model, target.key, target.values, target.assigned, arguments))
        self.write(target)

    def write(self, target: MockObject, **beside: object) -> None:
        """Store the assigned values without rules; the ledger gets what is said `beside` them."""
        model = target.model
        # Rules may set fields that have no column in this billing.
        target.assigned = {name: value for name, value in target.assigned.items() if name in model.fields}
        if target.assigned:
            columns = ", ".join(f"{model.fields[name].column} = ?" for name in target.assigned)
            self.connection.execute(
                f"update {model.table} set {columns} where {model.key.column} = ?",  # noqa: S608 - names of ours
                (*target.assigned.values(), target.key),
            )
        target.values |= target.assigned
        self._enter(target, target.assigned, **beside)
        target.assigned = {}

    def delete(self, target: MockObject, *, clean_links: bool) -> None:
        """Delete an object, or mark it; `clean_links` first deletes the dependent rows that may be deleted [S, ?]."""
        model = target.model
        if target.values.get("deleted"):
            raise refusals.already_deleted()
        for reverse in model.reverse.values():
            other = self.connection.models[reverse.model]
            self._remove_links(target, other, other.fields[reverse.by], clean_links=clean_links)
        action = f"update {model.table} set deleted = 1" if model.marks_deleted else f"delete from {model.table}"  # noqa: S608 - names of ours
        self.connection.execute(f"{action} where {model.key.column} = ?", (target.key,))
        target.gone = True
        self._enter(target, {"deleted": 1})

    def reverse(self, operation: MockObject, **beside: object) -> None:
        """The storno of a finance operation: its sum is taken back, whatever its origin [?]."""
        if "storno" not in operation.model.fields:
            raise refusals.unknown_attribute("storno")
        if operation.values["storno"]:
            raise refusals.already_reversed()
        take_back(self.connection, operation.values, self._quirks.storno_type_8)
        operation.assigned = {"storno": 1}
        self.write(operation, **beside)

    def _reopen_period(self, operation: MockObject) -> None:
        """Reverse the acts of a closed period that a new operation is dated into [V]; which ones exactly is [?]."""
        model, dated = operation.model, operation.values["op_date"]
        if (
            self._quirks.closed_period == "ignores"
            or not isinstance(dated, date)
            or not {"storno", "period_end_date"} <= model.fields.keys()
        ):
            return
        yesterday = date.today() - timedelta(days=1)  # noqa: DTZ011 - the billing's dates have no zone
        acts = {
            "abonent_id": operation.values["abonent_id"],
            "op_type_id": ACT,
            "storno": 0,
            "period_end_date__range": [f"{dated:%Y-%m-%d}", f"{yesterday:%Y-%m-%d}"],
        }
        for act in self.find(model, acts):
            if act.key != operation.key:
                self.reverse(act, log=refusals.REOPENED.format(act.key, operation.values["op_type_id"]))

    def _remove_links(self, target: MockObject, other: MockModel, link: Field, *, clean_links: bool) -> None:
        if link.tie is Tie.STAYS:
            return
        criteria: dict[str, object] = {link.name: target.key}
        # A row that is only marked may keep links from rows that are marked as well.
        if target.model.marks_deleted and other.marks_deleted:
            criteria["deleted"] = 0
        cleaned = clean_links and link.tie is Tie.GOES
        for found in self.find(other, criteria, None if cleaned else 1):
            if not cleaned:
                raise refusals.referred_to(other.name)
            self.delete(found, clean_links=True)

    def _change(
        self, model: MockModel, key: int | None, stored_now: Columns, written: Columns, arguments: Arguments
    ) -> RuleChange:
        return RuleChange(
            connection=self.connection,
            model=model,
            key=key,
            stored=stored_now,
            written=written,
            arguments=arguments,
            quirks=self._quirks,
            licence=self._licence,
            now=datetime.now(),  # noqa: DTZ005 - the billing's dates have no zone
            late=self._late,
        )

    def _read(self, model: MockModel, arguments: Arguments, *, fixed: bool) -> Columns:
        """The arguments as column values; fields that `set` may not assign are refused unless `fixed` is true."""
        values: Columns = {}
        for name, value in arguments.items():
            attribute = model.fields.get(name)
            if attribute is None or attribute is model.key or (attribute.fixed and not fixed):
                raise refusals.unknown_attribute(name)
            values[name] = stored(attribute.kind, value)
        return values

    def _enter(self, target: MockObject, written: Columns, **beside: object) -> None:
        model = target.model
        enter(
            self.connection,
            LedgerEntry(
                request=self._request,
                happened=datetime.now(),  # noqa: DTZ005 - the database's dates have no zone
                model=model.name,
                methods=self._methods[:LONGEST_METHODS],
                table=model.table,
                key=target.key,
                subject=_whole(target.values[model.subject]),
                what=msgspec.json.encode(
                    {name: _written(model, name, written[name]) for name in written} | beside
                ).decode()[:LONGEST_WHAT],
            ),
        )


def _written(model: MockModel, name: str, value: Stored) -> object:
    """A value in the ledger's form; `deleted` is left out where rows are not only marked."""
    attribute = model.fields.get(name)
    if attribute is None:
        return value
    # A cleared password is no secret.
    return _HIDDEN if attribute.secret and value else value_text(attribute.kind, value)


def _key(found: MockObject) -> int:
    return found.key


def _object(model: MockModel, row: DatabaseRow) -> MockObject:
    values = [value.rstrip(" ") if isinstance(value, str) else value for value in row]
    return MockObject(model, dict(zip(model.fields, values, strict=True)))


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is not a key")
    return value
