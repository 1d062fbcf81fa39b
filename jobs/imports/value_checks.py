"""The stage of reading that makes of a subscriber's texts the values of its calls, and names what cannot be one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType
from typing import Final

from jobs.access.gateway import Gateway
from jobs.imports import written_values as written
from jobs.imports.fields import FieldKind, FieldTable, ValueName, part_key
from jobs.imports.subscriber import NUMBER, PATH, Part, Step, Subscriber, Value, ValueFault, folder_names, folder_path
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
        self._readers = written.readers(today)

    def __call__(self, subscriber: Subscriber) -> tuple[Subscriber, Sequence[ValueFault]]:
        """The subscriber with the values of its calls, and the faults of those that are none."""
        faults: list[ValueFault] = []
        parts = tuple(self._checked(part, faults) for part in subscriber.parts)
        first = next((part for part in parts if part.step is Step.SUBSCRIBER), None)
        number = first.text(NUMBER) if first else ""
        return replace(subscriber, number=number or subscriber.number, parts=parts), faults

    def _checked(self, part: Part, faults: list[ValueFault]) -> Part:
        changed: dict[str, Value] = {}
        for name, value in part.values.items():
            try:
                text = self._read(part.step, name, value.text)
            except ValueError as error:
                faults.append(value.fault(text_of(error)))
            else:
                if text != value.text:
                    changed[name] = replace(value, text=text)
        return replace(part, values={**part.values, **changed}) if changed else part

    def _read(self, step: Step, name: str, text: str) -> str:
        known = self._fields.get((step, name))
        if known is None or not text or known.kind is FieldKind.SECRET:
            # A secret is in the vault already, and here is its token.
            return text
        is_path = step is Step.FOLDER and name == PATH
        if is_path:
            # A folder with those above it: each of the names has to fit the column.
            texts = [written.one_line(one) for one in folder_names(text)]
        elif step is Step.SUBSCRIBER and name == NUMBER:
            texts = [written.contract_number(text)]
        else:
            texts = [self._readers[known.kind](text)]
        if known.kind in _TEXTS:
            for one in texts:
                self._fits(one, self._limits.lengths.get((step, name)) or known.longest)
        return folder_path(texts) if is_path else texts[0]

    def _fits(self, text: str, longest: int | None) -> None:
        if longest and len(text) > longest:
            raise ValueRefused(
                "the text has {length} characters, and the billing's column holds {longest}: shorten it",
                length=Quantity(len(text)),
                longest=Quantity(longest),
            )
        if not self._limits.writes(text):
            place, letter = next((place, one) for place, one in enumerate(text, 1) if not self._limits.writes(one))
            raise ValueRefused(
                "character {place}, {letter}, is none that the billing's database can hold: leave it out",
                place=place,
                letter=repr(letter),
            )
