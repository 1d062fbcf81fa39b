"""The models of the billing: their fields, the columns of the fields, and the keys of their objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Final, TypeAlias

from billing.database.schema import Schema, TableColumn, columns_of
from billing.database.sql_blocks import SqlStatement, sql_block
from billing.directory.values import Values
from billing.profile import UNKNOWN

_sql: Final = partial(sql_block, "objects", folder="billing.directory")
_FROM: Final = "from "


Key: TypeAlias = Mapping[str, str]

LARGEST_ID: Final = 2**31 - 1
"""The largest Firebird integer; the database refuses a statement with a larger key."""


@dataclass(frozen=True, slots=True)
class BillingObject:
    """One object. `abonent_id` and `account_id` are None if it belongs to no subscriber, such as a service on offer.

    A value that cannot be read is None, and `faults` has the reason by field.
    """

    abonent_id: int | None
    account_id: int | None
    label: str
    values: Values
    faults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Model:
    """How objects of a model are read from the database: the statement of `objects.sql`, its fields, its keys.

    `columns` has the expression of each field, with the aliases of the statement; fields whose columns the billing
    lacks are left out. `keys` has the fields by which objects are found, each with the end of the statement for it,
    which may begin with a `from` of its own; `owner` is the path from an object to its account in REST, "" without
    one; `commented` is the end of the statement that searches the comments and a value, "" without comments.
    """

    statement: str
    columns: Mapping[str, str]
    keys: Mapping[str, str]
    owner: str = ""
    commented: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """The documented fields."""
        return tuple(self.columns)

    def needs(self, field: str) -> frozenset[TableColumn]:
        """The tables and columns that a field is read from."""
        return columns_of(self.columns[field], _sql(self.statement).text)

    def there(self, schema: Schema) -> tuple[str, ...]:
        """The fields that this billing has."""
        text = _sql(self.statement).text
        return tuple([field for field, column in self.columns.items() if columns_of(column, text) <= schema.there])

    def selecting(self, fields: Sequence[str], end: str) -> SqlStatement:
        """The statement for these fields of the objects that one of its ends finds."""
        columns = ", ".join(self.columns[field] for field in fields)
        head, tail = _sql(self.statement).text, _sql(end).text
        if tail.startswith(_FROM):
            head = head.partition(f"\n{_FROM}")[0]
        return SqlStatement(end, f"{head.replace('{columns}', columns)}\n{tail}", ours=True)


def _model(name: str, alias: str, fields: str, /, owner: str = "", commented: str = "", **keys: str) -> Model:
    """A model; `fields` are columns of the alias, or `field:expression`."""
    pairs = [field.partition(":") for field in fields.split()]
    columns = {field: expression or f"{alias}.{field}" for field, _, expression in pairs}
    if "balance" in columns:
        columns["balance"] = _sql("balance").text
    return Model(name, MappingProxyType(columns), MappingProxyType(keys), owner, commented)


MODELS: Final[Mapping[str, Model]] = MappingProxyType(
    {
        "Abonents": _model(
            "abonents",
            "a",
            "id operator_id tarif_id tarif_next_id tarif_next_date need_recalc own_disabled_start own_disabled_end "
            "parent_id name contract_number sms email is_folder deleted",
            owner="account_id",
            id="abonents_by_id",
            contract_number="abonents_by_number",
            name="abonents_by_name",
        ),
        "AdminAccounts": _model(
            "accounts",
            "aa",
            'id account_id_abonents:a.id limit:aa."limit" limit_warning balance',
            owner="id",
            id="accounts_by_id",
            account_id_abonents="accounts_by_abonent",
        ),
        "Users": _model(
            "users",
            "u",
            "id abonent_id login ip mac pull snatip snat_pull enabled deleted",
            owner="abonent__account_id",
            id="users_by_id",
            abonent_id="users_by_abonent",
            login="users_by_login",
        ),
        "UsersUsluga": _model(
            "connected",
            "c",
            "id abonent_id usluga_id manager_id comment next_date enabled deleted",
            owner="abonent__account_id",
            commented="connected_commented",
            id="connected_by_id",
            abonent_id="connected_by_abonent",
        ),
        "Usluga": _model("services", "s", "id name summa operator_id", id="services_by_id"),
        "FinanceOperations": _model(
            "operations",
            "o",
            "op_id abonent_id op_type_id:o.op_type op_summa op_date descr storno sync1c code1c operator_pay_id_str",
            owner="abonent__account_id",
            commented="operations_commented",
            op_id="operations_by_id",
            pk="operations_by_id",
            abonent_id="operations_by_abonent",
        ),
        "AbonentsBlockHistory": _model(
            "blocks", "h", "id abonent_id time_changed time_del", owner="abonent__account_id", id="blocks_by_id"
        ),
        "AttributeValues": _model(
            "attributes",
            "v",
            "id abonent_id attribute_id attribute_value",
            owner="abonent__account_id",
            id="attributes_by_id",
            abonent_id="attributes_by_abonent",
        ),
    }
)
"""The models whose objects can be read in bulk: those of the recipes [S]."""


LONGEST_NAME: Final = 64
"""Characters of a contract number or of a login. The columns of the real billing are not known [?]."""

LONGEST_TITLE: Final = 255
"""Characters of the name of a subscriber or of a folder; that column is not known either [?]."""

TEXT_KEYS: Final[Mapping[str, int]] = MappingProxyType(
    {"login": LONGEST_NAME, "contract_number": LONGEST_NAME, "name": LONGEST_TITLE}
)
"""The fields that are keys and hold texts, with the length of their columns; all other keys are ids."""

ACT: Final = UNKNOWN.act_type.value
RECEIPT: Final = UNKNOWN.receipt_type.value
OPENING_BALANCE: Final = 8
"""Types of operations as documented: an act, which charges, and a receipt, money paid in (see `billing.profile`), and
the entry of an initial balance [S]."""
