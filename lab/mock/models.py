"""Models of the REST API and their tables, as `facts.toml` has them.

A new model is a new entry there: its table, its key, a field for each attribute, and its methods. Behaviour beyond
storing fields is in `lab.mock.rules`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from lab.mock.facts import FACTS, FieldFact, ModelFact
from lab.mock.values import ValueType


class Tie(Enum):
    """The effect of a link when the object it points to is deleted; which links have which is not known [?]."""

    STAYS = "nothing: it stays as it is, as history does"
    GOES = "the object stays, unless links are cleaned: then the row goes first"
    HOLDS = "the object stays, whether links are cleaned or not"


@dataclass(frozen=True, slots=True)
class Field:
    """An attribute: its REST name, its column, its type; `refers` is the model of a foreign key."""

    name: str
    kind: ValueType
    column: str
    refers: str | None = None
    tie: Tie = Tie.STAYS
    fixed: bool = False  # `set` refuses it
    secret: bool = False  # answered only where `fields` names it, and never written to the ledger
    longest: int | None = None  # the characters that its column holds; None for no text

    @property
    def stored_as(self) -> str:
        """The column as Firebird spells it."""
        return self.column.strip('"') if self.column.startswith('"') else self.column.upper()


@dataclass(frozen=True, slots=True)
class Reverse:
    """A reverse link: objects of this model found by a foreign key of another model."""

    model: str
    by: str  # the field of the other model that holds our key


@dataclass(frozen=True, slots=True)
class MockModel:
    """A model; `subject` is the field that identifies the subject of an effect.

    `reverse` are the links of others to it, named as the billing names them: `abonent_id_users` [D]. A model without
    methods is an internal table and unknown to callers.
    """

    name: str
    table: str
    key: Field
    fields: Mapping[str, Field]
    reverse: Mapping[str, Reverse]
    subject: str
    methods: frozenset[str]

    def relation(self, name: str) -> Field | None:
        """The foreign key followed as `name__…`: `tarif_id` as `tarif`."""
        field = self.fields.get(f"{name}_id")
        return field if field is not None and field.refers else None

    @property
    def marks_deleted(self) -> bool:
        """Whether a deleted row is only marked."""
        return "deleted" in self.fields

    @property
    def generator(self) -> str:
        """The generator of the table's keys."""
        return f"gen_{self.table}_id"


_METHODS: Final = {
    "read": {"objects.get", "objects.filter", "objects.all"},
    "create": {"objects.create"},
    "write": {"objects.create", "set", "save", "delete"},
    "cabinet": {"get_user_by_suid", "web_cabinet.get_usluga_list", "web_cabinet.reset_password"},
}
"""Methods that come together; any other word of a model's methods is one by itself."""

_TYPES: Final = {
    "integer": ValueType.INTEGER,
    "text": ValueType.TEXT,
    "char": ValueType.TEXT,
    "money": ValueType.MONEY,
    "number": ValueType.NUMBER,
    "flag": ValueType.FLAG,
    "date": ValueType.DATE,
    "timestamp": ValueType.TIMESTAMP,
    "address": ValueType.ADDRESS,
}


def _field(name: str, fact: FieldFact, *, is_key: bool) -> Field:
    return Field(
        name,
        _TYPES[fact.kind.partition(" ")[0]],
        fact.column or name,
        fact.to or None,
        Tie[fact.tie.upper()],
        fixed=fact.fixed or is_key,
        secret=fact.secret,
    )


def _model(name: str, fact: ModelFact) -> MockModel:
    fields = {field: _field(field, about, is_key=field == fact.key) for field, about in fact.fields.items()}
    methods = frozenset[str]().union(*(_METHODS.get(word, {word}) for word in fact.methods))
    return MockModel(name, fact.table, fields[fact.key], fields, {}, fact.subject or fact.key, methods)


_ALL: Final = tuple(_model(name, fact) for name, fact in FACTS.models.items())


def _links_to(name: str) -> dict[str, Reverse]:
    return {
        f"{field.name}_{model.table}": Reverse(model.name, field.name)
        for model in _ALL
        for field in model.fields.values()
        if field.refers == name
    }


def models_with(has: Callable[[str, str], bool], lengths: Mapping[tuple[str, str], int]) -> dict[str, MockModel]:
    """The models of a billing that may lack tables and columns; `has` gets table and column in capitals.

    A field without its column and a model without its key are left out. `lengths` are those of columns of texts.
    """
    found: dict[str, MockModel] = {}
    for model in MODELS.values():
        table = model.table.upper()
        fields = {
            name: replace(field, longest=lengths.get((table, field.stored_as)))
            for name, field in model.fields.items()
            if has(table, field.stored_as)
        }
        if model.key.name in fields:
            subject = model.subject if model.subject in fields else model.key.name
            found[model.name] = replace(model, fields=fields, subject=subject)
    return {name: replace(model, reverse=_reverse_within(model, found)) for name, model in found.items()}


def _reverse_within(model: MockModel, models: Mapping[str, MockModel]) -> dict[str, Reverse]:
    return {
        name: link
        for name, link in model.reverse.items()
        if link.model in models and link.by in models[link.model].fields
    }


MODELS: Final[Mapping[str, MockModel]] = {model.name: replace(model, reverse=_links_to(model.name)) for model in _ALL}
