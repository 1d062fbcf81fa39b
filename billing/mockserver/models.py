"""The models of the REST API and the tables behind them, as data.

A new model is a new entry of `MODELS`: its table, its key, and a field for each attribute. What a model does beyond
storing its fields stands in `billing.mockserver.rules`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from billing.mockserver.values import Kind


@dataclass(frozen=True, slots=True)
class Field:
    """An attribute: its name in REST, its column, its kind; `refers` names the model that it is a key of."""

    name: str
    kind: Kind
    column: str
    refers: str | None = None
    fixed: bool = False  # `set` refuses it


@dataclass(frozen=True, slots=True)
class Reverse:
    """A link from another model to this one: objects of this model by a key of the other's."""

    model: str
    by: str  # the other's field that holds our key


@dataclass(frozen=True, slots=True)
class Model:
    """A model; `subject` is the field that tells on whom an effect lies, `deletes` whether rows are only marked."""

    name: str
    table: str
    key: Field
    fields: Mapping[str, Field]
    reverse: Mapping[str, Reverse]
    subject: str
    marks_deleted: bool

    def relation(self, name: str) -> Field | None:
        """The field that is followed as `name__…`: `tarif_id` as `tarif`."""
        field = self.fields.get(f"{name}_id")
        return field if field is not None and field.refers else None

    @property
    def generator(self) -> str:
        """The generator of the table's keys."""
        return f"gen_{self.table}_id"


def _field(name: str, kind: Kind = Kind.INTEGER, *, column: str = "", refers: str = "", fixed: bool = False) -> Field:
    return Field(name, kind, column or name, refers or None, fixed)


def _texts(*names: str) -> tuple[Field, ...]:
    return tuple(_field(name, Kind.TEXT) for name in names)


def _model(
    name: str,
    table: str,
    *fields: Field,
    key: str = "id",
    subject: str = "",
    reverse: Mapping[str, Reverse] | None = None,
) -> Model:
    own = _field(key, fixed=True)
    by_name = {field.name: field for field in (own, *fields)}
    return Model(name, table, own, by_name, reverse or {}, subject or key, "deleted" in by_name)


_ALL: Final = (
    _model(
        "Abonents",
        "abonents",
        _field("parent_id", refers="Abonents"),
        _field("is_folder", Kind.FLAG, fixed=True),
        *_texts("name", "contract_number", "sms", "email"),
        _field("account_id", refers="AdminAccounts"),
        _field("tarif_id", refers="Tarif"),
        _field("tarif_next_id", refers="Tarif"),
        _field("tarif_next_date", Kind.TIMESTAMP),
        _field("operator_id"),
        _field("create_date", Kind.TIMESTAMP),
        _field("deleted", Kind.FLAG, fixed=True),
        _field("need_recalc", Kind.DATE),
        _field("own_disabled_start", Kind.DATE),
        _field("own_disabled_end", Kind.DATE),
    ),
    _model(
        "AdminAccounts",
        "admin_accounts",
        # The billing computes these three; they change by finance operations alone.
        _field("ostatok", Kind.MONEY, fixed=True),
        _field("debit", Kind.MONEY, fixed=True),
        _field("credit", Kind.MONEY, fixed=True),
        _field("limit", Kind.MONEY, column='"limit"'),
        _field("limit_warning", Kind.MONEY),
        reverse={"account_id_abonents": Reverse("Abonents", "account_id")},
    ),
    _model(
        "FinanceOperations",
        "finance_operations",
        _field("abonent_id", refers="Abonents"),
        _field("op_type_id", column="op_type"),
        _field("op_summa", Kind.MONEY),
        _field("op_date", Kind.TIMESTAMP),
        _field("descr", Kind.TEXT),
        _field("storno", Kind.FLAG, fixed=True),
        _field("sync1c", Kind.FLAG),
        _field("code1c", Kind.TEXT),
        key="op_id",
        subject="abonent_id",
    ),
    _model(
        "Users",
        "users",
        _field("abonent_id", refers="Abonents"),
        *_texts("login", "mac"),
        _field("ip", Kind.ADDRESS),
        _field("pull"),
        _field("snatip", Kind.ADDRESS),
        _field("snat_pull"),
        _field("enabled", Kind.FLAG),
        _field("deleted", Kind.FLAG, fixed=True),
    ),
    _model(
        "UsersUsluga",
        "users_usluga",
        _field("abonent_id", refers="Abonents"),
        _field("usluga_id", refers="Usluga"),
        _field("manager_id"),
        _field("comment", Kind.TEXT),
        _field("next_date", Kind.TIMESTAMP),
        _field("enabled", Kind.FLAG),
        _field("deleted", Kind.FLAG, fixed=True),
        subject="abonent_id",
    ),
    _model(
        "Usluga", "usluga", _field("name", Kind.TEXT), _field("summa", Kind.MONEY), _field("operator_id")
    ),
    _model("Tarif", "tarif", _field("name", Kind.TEXT), _field("users_limit_warning", Kind.MONEY)),
    _model(
        "AbonentsBlockHistory",
        "abonents_block_history",
        _field("abonent_id", refers="Abonents"),
        _field("time_changed", Kind.TIMESTAMP),
        _field("time_del", Kind.TIMESTAMP),
        subject="abonent_id",
    ),
    _model(
        "AttributeValues",
        "attribute_values",
        _field("abonent_id", refers="Abonents"),
        _field("attribute_id"),
        _field("attribute_value", Kind.TEXT),
        subject="abonent_id",
    ),
)  # fmt: skip

MODELS: Final[Mapping[str, Model]] = {model.name: model for model in _ALL}
