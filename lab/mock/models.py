"""Models of the REST API and their tables, as data.

A new model is a new entry of `MODELS`: its table, its key, a field for each attribute, and its methods. Behaviour
beyond storing fields is in `lab.mock.rules`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

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


_READ: Final = frozenset({"objects.get", "objects.filter"})
_WRITE: Final = _READ | {"objects.create", "set", "save", "delete"}
_CABINET: Final = frozenset({"get_user_by_suid", "web_cabinet.get_usluga_list", "web_cabinet.reset_password"})


def _field(  # noqa: PLR0913 - each is a trait of a column, all but the first two by name
    name: str,
    kind: ValueType = ValueType.INTEGER,
    *,
    column: str = "",
    refers: str = "",
    tie: Tie = Tie.STAYS,
    fixed: bool = False,
    secret: bool = False,
) -> Field:
    return Field(name, kind, column or name, refers or None, tie, fixed, secret)


def _texts(*names: str) -> tuple[Field, ...]:
    return tuple(_field(name, ValueType.TEXT) for name in names)


def _model(
    name: str,
    table: str,
    *fields: Field,
    key: str = "id",
    subject: str = "",
    methods: frozenset[str] = _WRITE,
) -> MockModel:
    own = _field(key, fixed=True)
    return MockModel(name, table, own, {field.name: field for field in (own, *fields)}, {}, subject or key, methods)


def _internal(name: str, table: str, *fields: Field) -> MockModel:
    """A table of names without methods: objects refer to its rows, and callers cannot reach them."""
    named = (_field("name", ValueType.TEXT), *fields, _field("deleted", ValueType.FLAG, fixed=True))
    return _model(name, table, *named, methods=frozenset())


_ALL: Final = (
    _model(
        "Abonents",
        "abonents",
        _field("parent_id", refers="Abonents", tie=Tie.HOLDS),
        _field("is_folder", ValueType.FLAG, fixed=True),
        *_texts("name", "contract_number", "sms", "email", "a_home_number"),
        _field("account_id", refers="AdminAccounts", tie=Tie.HOLDS),
        _field("tarif_id", refers="Tarif", tie=Tie.HOLDS),
        _field("tarif_next_id", refers="Tarif", tie=Tie.HOLDS),
        _field("tarif_next_date", ValueType.TIMESTAMP),
        _field("operator_id", refers="Operators", tie=Tie.HOLDS),
        _field("create_date", ValueType.TIMESTAMP),
        _field("deleted", ValueType.FLAG, fixed=True),
        _field("need_recalc", ValueType.DATE),
        _field("own_disabled_start", ValueType.DATE),
        _field("own_disabled_end", ValueType.DATE),
        methods=_WRITE | {"add_payment"},
    ),
    _model(
        "AdminAccounts",
        "admin_accounts",
        # The billing computes these; only finance operations change them. `balance` is derived from them [I].
        _field("ostatok", ValueType.MONEY, fixed=True),
        _field("debit", ValueType.MONEY, fixed=True),
        _field("credit", ValueType.MONEY, fixed=True),
        _field("balance", ValueType.MONEY, fixed=True),
        _field("limit", ValueType.MONEY, column='"limit"'),
        _field("limit_warning", ValueType.MONEY),
    ),
    _model(
        "FinanceOperations",
        "finance_operations",
        # A sum changed later would differ from the one in the balance.
        _field("abonent_id", refers="Abonents", fixed=True),
        _field("op_type_id", column="op_type", fixed=True),
        _field("op_summa", ValueType.MONEY, fixed=True),
        _field("op_date", ValueType.TIMESTAMP),
        _field("descr", ValueType.TEXT),
        _field("storno", ValueType.FLAG, fixed=True),
        _field("sync1c", ValueType.FLAG),
        _field("code1c", ValueType.TEXT),
        key="op_id",
        subject="abonent_id",
        # An operation is reversed and never deleted; the API's name for that is not known [?].
        methods=_WRITE - {"delete"} | {"storno"},
    ),
    _model(
        "Users",
        "users",
        _field("abonent_id", refers="Abonents", tie=Tie.GOES),
        *_texts("login", "mac"),
        _field("ip", ValueType.ADDRESS),
        _field("pull", refers="IpPulls"),
        _field("snatip", ValueType.ADDRESS),
        _field("snat_pull", refers="IpPulls"),
        _field("psw", ValueType.TEXT, secret=True),
        _field("psw_hash", ValueType.TEXT, fixed=True, secret=True),
        _field("enabled", ValueType.FLAG),
        _field("deleted", ValueType.FLAG, fixed=True),
        methods=_WRITE | _CABINET | {"set_password", "get_or_create_dynamic_session"},
    ),
    _model(
        "UsersUsluga",
        "users_usluga",
        _field("abonent_id", refers="Abonents", tie=Tie.GOES),
        _field("usluga_id", refers="Usluga", tie=Tie.HOLDS),
        _field("manager_id", refers="DjangoUsersProfile", tie=Tie.HOLDS),
        _field("comment", ValueType.TEXT),
        _field("next_date", ValueType.TIMESTAMP),
        _field("enabled", ValueType.FLAG),
        _field("deleted", ValueType.FLAG, fixed=True),
        subject="abonent_id",
    ),
    _model(
        "Usluga",
        "usluga",
        _field("name", ValueType.TEXT),
        _field("summa", ValueType.MONEY),
        _field("operator_id", refers="Operators", tie=Tie.HOLDS),
        _field("deleted", ValueType.FLAG, fixed=True),
    ),
    _model(
        "Tarif",
        "tarif",
        _field("name", ValueType.TEXT),
        _field("users_limit_warning", ValueType.MONEY),
        _field("deleted", ValueType.FLAG, fixed=True),
    ),
    _model(
        "AbonentsBlockHistory",
        "abonents_block_history",
        _field("abonent_id", refers="Abonents"),
        _field("time_changed", ValueType.TIMESTAMP),
        _field("time_del", ValueType.TIMESTAMP),
        subject="abonent_id",
    ),
    _model(
        "AttributeValues",
        "attribute_values",
        _field("abonent_id", refers="Abonents"),
        _field("attribute_id", refers="Attributes", tie=Tie.HOLDS),
        _field("attribute_value", ValueType.TEXT),
        subject="abonent_id",
    ),
    # The administrators; the real table's columns besides the key are not known [?].
    _model(
        "DjangoUsersProfile",
        "django_users_profile",
        *_texts("username", "name", "email"),
        _field("is_active", ValueType.FLAG),
        methods=_READ,
    ),
    # Names and columns of these tables, and their models, are not known [?].
    _internal("Operators", "operators"),
    _internal("IpPulls", "ip_pulls", _field("first_ip", ValueType.ADDRESS), _field("last_ip", ValueType.ADDRESS)),
    _internal("Attributes", "attributes"),
    _model(
        "ArchAccountStack",
        "arch_account_stack",
        _field("account_id", refers="AdminAccounts"),
        _field("created", ValueType.TIMESTAMP),
        methods=_READ,
    ),
    _model(
        "CabinetSessions",
        "cabinet_sessions",
        _field("suid", ValueType.TEXT, secret=True),
        _field("user_id", refers="Users", tie=Tie.GOES),
        _field("created", ValueType.TIMESTAMP),
        subject="user_id",
        methods=frozenset(),
    ),
    _model(
        "PasswordRecoveries",
        "password_recoveries",
        _field("user_id", refers="Users", tie=Tie.GOES),
        _field("base_url", ValueType.TEXT),
        _field("created", ValueType.TIMESTAMP),
        subject="user_id",
        methods=frozenset(),
    ),
)  # fmt: skip


def _links_to(name: str) -> dict[str, Reverse]:
    return {
        f"{field.name}_{model.table}": Reverse(model.name, field.name)
        for model in _ALL
        for field in model.fields.values()
        if field.refers == name
    }


def models_with(has: Callable[[str, str], bool]) -> dict[str, MockModel]:
    """The models of a billing that may lack tables and columns; `has` gets table and column in capitals.

    A field without its column and a model without its key are left out.
    """
    found: dict[str, MockModel] = {}
    for model in MODELS.values():
        fields = {name: field for name, field in model.fields.items() if has(model.table.upper(), field.stored_as)}
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
