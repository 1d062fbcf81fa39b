"""The stage of an import that turns names into ids: of tariffs, services, folders and what else a dictionary has."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from jobs.imports.dictionary import LEFT_OUT, NEW, Dictionary, UsedName, is_id
from jobs.imports.fields import FieldTable
from jobs.imports.names_there import FOLDER, NamesThere, noun_of, plain_name
from jobs.imports.subscriber import FOLDER_ID, PATH, Part, Step, Subscriber, Value, ValueFault
from texts.remedies import Remedy, setting
from texts.said import Said, counted, said

REMEMBERED: Final = 1_000
"""Names without a meaning that are remembered with their first line; of others only that there are some."""

_SUBJECTS: Final[Mapping[Step, str]] = MappingProxyType(
    {Step.TARIFF: "Tarif", Step.SERVICE: "Usluga", Step.ATTRIBUTE: "Attribute"}
)
"""What a step is about: without it there is nothing to do."""


class NameLookup:
    """Turns the names of a subscriber into ids, by the dictionary and, to tell names from ids, by the billing.

    A number that is no name of the dictionary is an id where the dictionary has nothing of its kind, or where the map
    gives it for all rows. A folder without a dictionary, or one that is given for all rows and not in it, keeps its
    path: it is found in the billing, or created.
    """

    def __init__(self, dictionary: Dictionary | None, fields: FieldTable, there: NamesThere) -> None:
        self._dictionary = dictionary
        self._references = fields.references
        self._there = there
        self._unknown: dict[tuple[str, str], UsedName] = {}
        self._has_more = False

    def __call__(self, subscriber: Subscriber) -> tuple[Subscriber, Sequence[ValueFault]]:
        """The subscriber with ids in the place of names, and the names that have none."""
        faults: list[ValueFault] = []
        parts: list[Part] = []
        for part in subscriber.parts:
            read = self._folder if part.step is Step.FOLDER else self._part
            if (made := read(part, subscriber.row.line or 0, faults)) is not None:
                parts.append(made)
        return replace(subscriber, parts=tuple(parts)), faults

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each name without a meaning, and one for those that were not remembered."""
        told: list[str] = [
            counted(
                "{noun} {name!r} has no id: {n} row, on line {line}",
                "{noun} {name!r} has no id: {n} rows, the first on line {line}",
                one.rows,
                noun=noun_of(one.kind),
                name=one.name,
                line=one.place.line or 0,
            )
            for one in self._unknown.values()
        ]
        if self._has_more:
            told.append(said("more names have no id: each is told with its row"))
        return tuple(told)

    @property
    def way_out(self) -> Said | None:
        """What to type where names have no id, None where all have one."""
        if not self._unknown:
            return None
        file = self._dictionary.file if self._dictionary else "dictionary.csv"
        overwrites = (("dictionary", file), ("output", file), ("force", ""))
        return said(
            "a dictionary gives names their ids: {command} writes it, with what it proposes, a person checks it, and "
            "{flag} gives it to the import",
            command=Remedy("dictionary", "FILE", overwrites if self._dictionary else (("output", file),)),
            flag=setting("dictionary", file),
        )

    # ---- a part: None where what it is about is not brought over ----

    def _part(self, part: Part, line: int, faults: list[ValueFault]) -> Part | None:
        values = dict(part.values)
        for name, value in part.values.items():
            kind = self._references.get((part.step, name))
            if not kind:
                continue
            key = self._id(kind, value, line, faults)
            if key != LEFT_OUT:
                values[name] = replace(value, text=key)
            elif _SUBJECTS.get(part.step) == kind:
                return None
            else:
                del values[name]
        return replace(part, values=values)

    def _folder(self, part: Part, line: int, faults: list[ValueFault]) -> Part | None:
        value = part.values.get(PATH) or part.values.get(FOLDER_ID)
        if value is None:
            return part
        entry = self._dictionary.get(FOLDER, value.text) if self._dictionary else None
        others = {key: one for key, one in part.values.items() if key not in {PATH, FOLDER_ID}}
        if entry is not None and entry.id == NEW:
            return replace(part, values={**others, PATH: replace(value, text=entry.path)})
        is_given = entry is None and value.place.line is None
        if PATH in part.values and (is_given or not self._has(FOLDER)):
            if is_id(value.text) and self._there.get(FOLDER, int(value.text)) is not None:
                faults.append(self._fault(FOLDER, value, _ambiguous(FOLDER, value.text), line))
            return part
        key = self._id(FOLDER, value, line, faults)
        return None if key == LEFT_OUT else replace(part, values={**others, FOLDER_ID: replace(value, text=key)})

    def _has(self, kind: str) -> bool:
        return self._dictionary is not None and kind in self._dictionary.kinds

    # ---- a value ----

    def _id(self, kind: str, value: Value, line: int, faults: list[ValueFault]) -> str:
        """The id of a name, or `LEFT_OUT`; the name itself where it has none, with a fault."""
        name = plain_name(value.text)
        entry = self._dictionary.get(kind, name) if self._dictionary else None
        if entry is not None and entry.id:
            return entry.id
        if entry is None and is_id(name) and (value.place.line is None or not self._has(kind)):
            if all(one.id == int(name) for one in self._there.named(kind, name)):
                return name
            why = _ambiguous(kind, name)
        else:
            why = self._why(kind, name, None if entry is None else entry.line)
        faults.append(self._fault(kind, value, why, line))
        return name

    def _why(self, kind: str, name: str, line: int | None) -> str:
        if self._dictionary is None:
            return said(
                "{name!r} is no id of a {noun}, and there is no dictionary that says which it is: {command} makes "
                "one, and {flag} names it",
                name=name,
                noun=noun_of(kind),
                command=Remedy("dictionary"),
                flag=setting("dictionary", "FILE"),
            )
        if line is not None:
            return said(
                "the {noun} {name!r} has no id in {file}, line {line}: fill it in",
                noun=noun_of(kind),
                name=name,
                file=self._dictionary.file,
                line=line,
            )
        return said(
            "the {noun} {name!r} is not in {file}: add it there; {command} does so",
            noun=noun_of(kind),
            name=name,
            file=self._dictionary.file,
            command=Remedy("dictionary", settings=(("dictionary", self._dictionary.file),)),
        )

    def _fault(self, kind: str, value: Value, reason: str, line: int) -> ValueFault:
        """The fault of a name in a row: in full at its first use, with the line of that at the others.

        A table is read more than once, in order; a row counts once.
        """
        name = plain_name(value.text)
        known = self._unknown.get((kind, name))
        if known is None and len(self._unknown) < REMEMBERED:
            known = self._unknown[kind, name] = UsedName(kind, name, value.place)
        if known is None:
            self._has_more = True
            return value.fault(reason)
        if line > known.last:
            known.rows += 1
            known.last = line
        if known.place != value.place:
            reason = said(
                "the {noun} {name!r} has no id, as on line {line}",
                noun=noun_of(kind),
                name=name,
                line=known.place.line or 0,
            )
        return value.fault(reason)


def _ambiguous(kind: str, number: str) -> str:
    return said(
        "{number} can be the id of a {noun}, and it is the name of another one: say in a dictionary which is meant",
        number=repr(number),
        noun=noun_of(kind),
    )
