"""The stage of reading that makes of a subscriber's texts the values of its calls, and names what cannot be one."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType
from typing import Final

from jobs.access.gateway import Gateway
from jobs.imports import written_values as written
from jobs.imports.fields import FieldKind, FieldTable, ModelField, ValueName, part_key
from jobs.imports.subscriber import (
    NUMBER,
    PATH,
    Part,
    Step,
    Subscriber,
    Value,
    ValueFault,
    folder_names,
    folder_path,
)
from jobs.spec.parameters import today
from texts.said import Quantity, ValueRefused, text_of

_TEXTS: Final = frozenset({FieldKind.TEXT, FieldKind.PHONE, FieldKind.EMAIL, FieldKind.MAC, FieldKind.LOGIN})
"""The kinds that are kept in a column of text."""


@dataclass(frozen=True, slots=True)
class TextLimits:
    """What the billing's database can hold of texts: the lengths of columns, and the letters of its charset.

    A field whose column has no length there has that of the fields' own table.
    """

    lengths: Mapping[ValueName, int] = field(default_factory=lambda: MappingProxyType({}))
    writes: Callable[[str], bool] = lambda _: True


async def text_limits(gateway: Gateway, fields: FieldTable) -> TextLimits:
    """The limits of texts in this billing; without a database they are not known. Raises `LookUpFailed`."""
    database = gateway.database
    if database is None:
        return TextLimits()
    columns = {
        (step, part_key(step, name)): (model.table, one.column or name.upper())
        for model in fields.models.values()
        for name, one in model.fields.items()
        if one.kind in _TEXTS and (step := model.step_of(name))
    }
    found = await gateway.read(lambda base: {name: base.longest(*column) for name, column in columns.items()})
    return TextLimits({name: length for name, length in found.items() if length}, database.writes)


class ValueChecks:
    """A `Stage`: each value is read by the kind of its field; what cannot be read stays as it is, with its fault."""

    def __init__(
        self, fields: FieldTable, limits: TextLimits | None = None, *, today: Callable[[], date] = today
    ) -> None:
        self._fields = fields.by_value
        self._limits = limits or TextLimits()
        moment = written.dates_until(today)
        self._readers: Mapping[FieldKind, Callable[[str], str]] = {
            FieldKind.TEXT: written.one_line,
            FieldKind.PHONE: written.phone,
            FieldKind.EMAIL: written.email,
            FieldKind.ADDRESS: written.address,
            FieldKind.MAC: written.mac,
            FieldKind.DATE: moment,
            FieldKind.MOMENT: moment,
            FieldKind.MONEY: written.money,
            FieldKind.FLAG: written.flag,
            FieldKind.ID: written.object_id,
            FieldKind.LOGIN: written.login,
        }

    def __call__(self, subscriber: Subscriber) -> tuple[Subscriber, Sequence[ValueFault]]:
        """The subscriber with the values of its calls, and the faults of those that are none."""
        faults: list[ValueFault] = []
        parts = tuple(self._checked(part, faults) for part in subscriber.parts)
        first = next((part for part in parts if part.step is Step.SUBSCRIBER), None)
        number = first.text(NUMBER) if first else ""
        return replace(subscriber, number=number or subscriber.number, parts=parts), faults

    def _checked(self, part: Part, faults: list[ValueFault]) -> Part:
        texts: dict[str, str] = {}
        for name, value in part.values.items():
            try:
                texts[name] = self._read(part.step, name, value)
            except ValueError as error:
                faults.append(value.fault(text_of(error)))
        is_as_it_was = all(part.values[name].text == text for name, text in texts.items())
        return part if is_as_it_was else part.with_texts(texts)

    def _read(self, step: Step, name: str, value: Value) -> str:
        known = self._fields.get((step, name))
        if known is None or not value.text or known.kind is FieldKind.SECRET:
            # A secret is in the vault already, and here is its token.
            return value.text
        if step is Step.FOLDER and name == PATH:
            return self._path(value.text, known)
        if step is Step.SUBSCRIBER and name == NUMBER:
            text = written.contract_number(value.text)
        else:
            text = self._readers[known.kind](value.text)
        self._fits(text, self._limits.lengths.get((step, name)) or known.longest, known.kind)
        return text

    def _path(self, text: str, known: ModelField) -> str:
        """A folder with those above it: each of the names has to fit the column."""
        names = [written.one_line(name) for name in folder_names(text)]
        for name in names:
            self._fits(name, self._limits.lengths.get((Step.FOLDER, PATH)) or known.longest, known.kind)
        return folder_path(names)

    def _fits(self, text: str, longest: int | None, kind: FieldKind) -> None:
        if longest and len(text) > longest and kind in _TEXTS:
            raise ValueRefused(
                "the text has {length} characters, and the billing's column holds {longest}: shorten it",
                length=Quantity(len(text)),
                longest=Quantity(longest),
            )
        if kind in _TEXTS and not self._limits.writes(text):
            place, letter = next((place, one) for place, one in enumerate(text, 1) if not self._limits.writes(one))
            raise ValueRefused(
                "character {place}, {letter}, is none that the billing's database can hold: leave it out",
                place=place,
                letter=repr(letter),
            )


def values_of(subscriber: Subscriber, wanted: Collection[ValueName]) -> list[tuple[ValueName, Value]]:
    """The values of a subscriber that are wanted, in the order of its parts."""
    return [
        ((part.step, name), part.values[name])
        for part in subscriber.parts
        for step, name in wanted
        if part.step is step and part.values.get(name) is not None and part.values[name].text
    ]
