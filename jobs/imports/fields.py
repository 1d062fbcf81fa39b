"""The fields of an import: what each model takes on create or set, as data in `fields.toml`.

Which fields a real billing takes on create is not documented, so nothing of them is code: a map file adds fields or
changes these, and what this billing lacks is named before anything is sent.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from importlib.resources import files
from typing import Final, TypeAlias

import msgspec

from billing.database.schema import Schema, TableColumn
from billing.profile import TAKES_FIELDS, Profile
from jobs.imports.subscriber import FOLDER_ID, PATH, STEP_MODELS, Step
from texts.said import Said, reason, said

ValueName: TypeAlias = tuple[Step, str]
"""A value by the step and its name in the part."""


class FieldKind(StrEnum):
    """What a field holds, by which its texts are checked and become values of a call."""

    TEXT = "text"
    PHONE = "phone"
    EMAIL = "email"
    ADDRESS = "address"
    MAC = "mac"
    DATE = "date"
    MOMENT = "moment"
    """A date, or a date with a time."""
    MONEY = "money"
    FLAG = "flag"
    ID = "id"
    LOGIN = "login"
    SECRET = "secret"  # noqa: S105 - the name of a kind


class ModelField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A field of a model: its kind, and the step whose part it belongs to, the file's own one if None.

    `longest` is the length of its column where no database tells it. `dictionary` names the reference
    (`billing.directory.objects`) in which its texts are looked up. `columns` are further usual names of its column
    in a table, and `column` is its column in the database, if it is not called as the field. A field that is
    `only_named` has to be named by a map; one of an `own_table` is found by its usual names in a joined table alone.
    `together` are the usual names of columns of which each holds a part of it, in the order of the parts.
    One that `comes_along` is no sign in the main table that its row has an account, a service or an attribute.
    """

    kind: FieldKind
    required: bool = False
    longest: int | None = None
    dictionary: str = ""
    columns: tuple[str, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()
    column: str = ""
    step: Step | None = None
    only_named: bool = False
    own_table: bool = False
    comes_along: bool = False


class ModelFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields of one model, in its table of the database; `step` is that of a field without its own."""

    table: str
    step: Step
    fields: dict[str, ModelField]

    def step_of(self, name: str) -> Step:
        return self.fields[name].step or self.step


_FOLDER_KEYS: Final[Mapping[str, str]] = {"folder": PATH, "parent_id": FOLDER_ID}
"""The fields of a folder, by which its part has its values."""

SEVERAL: Final = frozenset({Step.ACCOUNT, Step.SERVICE, Step.ATTRIBUTE})
"""The steps of which a subscriber can have several parts."""


@dataclass(frozen=True)
class FieldTable:
    """All fields of an import by model; a value of a part is found by the step and its name there."""

    models: Mapping[str, ModelFields]

    def of_step(self, step: Step) -> dict[str, ModelField]:
        model = self.models[STEP_MODELS[step]]
        return {name: one for name, one in model.fields.items() if model.step_of(name) is step}

    @cached_property
    def by_value(self) -> Mapping[ValueName, ModelField]:
        return {(step, part_key(step, name)): one for step, name, one in self.names()}

    @property
    def references(self) -> Mapping[ValueName, str]:
        return {name: one.dictionary for name, one in self.by_value.items() if one.dictionary}

    def names(self) -> Iterator[tuple[Step, str, ModelField]]:
        for step in Step:
            yield from ((step, name, one) for name, one in self.of_step(step).items())

    def typed(self, step: Step, name: str) -> str:
        """A field as a person types it: with its step, if another step has a field of that name."""
        return name if sum(other == name for _, other, _ in self.names()) == 1 else f"{step}.{name}"

    def absent(
        self, used: Iterable[tuple[Step, str]], schema: Schema | None, profile: Profile
    ) -> list[tuple[Step, str, Said]]:
        """The fields among these that this billing lacks, each with a sentence about it.

        Without the schema of a database those of the profile are asked; without either nothing is known to be absent.
        Where a secret is kept is not known. A field that a probe has seen refused is absent in any case.
        """
        created = profile.create_fields.value if profile.create_fields.known else {}
        found: list[tuple[Step, str, Said]] = []
        for step, name in dict.fromkeys(used):
            model = STEP_MODELS[step]
            own = self.models[model]
            known = own.fields[name]
            column = TableColumn(own.table, known.column or name.upper())
            if created.get(model, {}).get(name) is False:
                why = said(
                    "objects.create of {model} does not take the field {field} (the probe of {day})",
                    model=model,
                    field=name,
                    day=profile.create_fields.day,
                )
            elif known.kind is not FieldKind.SECRET and _is_there(column, schema, profile) is False:
                why = said(
                    "the billing's {table} has no column {column}, which the field {field} of {model} is kept in",
                    table=column.table,
                    column=column.name,
                    field=name,
                    model=model,
                )
            else:
                continue
            found.append((step, name, why))
        return found


def untried_fields(created: Mapping[str, Iterable[str]], profile: Profile) -> list[Said]:
    """A sentence about the fields, by model, of which no probe has seen that `objects.create` takes them."""
    known = profile.create_fields.value if profile.create_fields.known else {}
    untried = {
        model: [name for name in dict.fromkeys(names) if not known.get(model, {}).get(name, False)]
        for model, names in created.items()
    }
    told = tuple(
        said("{model} ({taken})", model=model, taken=", ".join(names)) for model, names in untried.items() if names
    )
    return [reason(TAKES_FIELDS, "create_fields", value=told)] if told else []


def part_key(step: Step, name: str) -> str:
    return _FOLDER_KEYS[name] if step is Step.FOLDER else name


@cache
def usual_fields() -> FieldTable:
    text = files("jobs.imports").joinpath("fields.toml").read_text(encoding="utf-8")
    return FieldTable(msgspec.convert(tomllib.loads(text), dict[str, ModelFields]))


def _is_there(column: TableColumn, schema: Schema | None, profile: Profile) -> bool | None:
    """Whether the billing has a column, None if that is not known."""
    if schema is not None:
        return schema.has(column.table, column.name)
    there = profile.columns.value.get(column.table.casefold()) if profile.columns.known else None
    return None if there is None else column.name.casefold() in there
