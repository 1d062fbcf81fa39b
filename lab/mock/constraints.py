"""What the billing demands of an object's values: required, short enough, unique, and of rows that are there.

Each constraint refuses a `RuleChange`. Which texts the real billing has for a value that is missing, taken or
malformed is known of a few [V]; `lab.mock.refusals` marks the others.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from billing.database.sql_blocks import SqlStatement, sql_block
from lab.mock import refusals
from lab.mock.connection import MockConnection
from lab.mock.licence import Licence
from lab.mock.models import Field, MockModel
from lab.mock.quirks import Quirks
from lab.mock.values import Stored, ValueType, value_text

Columns: TypeAlias = dict[str, Stored]

_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "Abonents": ("name",),
    "FinanceOperations": ("abonent_id", "op_type_id", "op_summa"),
    "Users": ("abonent_id", "login"),
    "UsersUsluga": ("abonent_id", "usluga_id"),
    "AbonentsBlockHistory": ("abonent_id",),
    "AttributeValues": ("abonent_id", "attribute_id"),
}
"""By model, the fields that an object cannot be without [?]; of a subscriber the contract number as well."""

_NOT_OF_FOLDERS: Final = ("contract_number", "account_id", "tarif_id")
_PHONE: Final = re.compile(r"\+79[0-9]{9}")
_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")


class RuleChange(msgspec.Struct, frozen=True):
    """An object to be created (`key` None, nothing `stored`) or saved; rules may add to `written`.

    `late` tells that the call was answered before, and has its effect now, out of a stack.
    """

    connection: MockConnection
    model: MockModel
    key: int | None
    stored: Columns
    written: Columns
    arguments: Mapping[str, object]
    quirks: Quirks
    licence: Licence
    now: datetime
    late: bool = False

    @property
    def creates(self) -> bool:
        """Whether the object is new."""
        return self.key is None

    def value(self, name: str) -> Stored:
        """The value that an attribute will have."""
        return self.written.get(name, self.stored.get(name))

    def count(self, block: str, **values: Stored) -> int:
        """The number that a block of rules.sql counts."""
        ((number,),) = self.connection.run(sql(block), values)
        return int(number)


def sql(name: str) -> SqlStatement:
    """A block of rules.sql."""
    return sql_block("rules", name, "lab.mock.sql")


def check_values(change: RuleChange) -> None:
    """Check what holds for all models: required fields, lengths of texts, references."""
    for name in _REQUIRED.get(change.model.name, ()):
        _require(change, name)
    for name, value in change.written.items():
        field = change.model.fields.get(name)
        if field is None or value is None:
            continue
        if isinstance(value, str):
            change.written[name] = _fitted(change, field, value)
        if field.refers is not None:
            _check_reference(change, field, value)


def _require(change: RuleChange, name: str) -> None:
    if name in change.model.fields and (change.creates or name in change.written):
        value = change.value(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            raise refusals.required(name)


def _fitted(change: RuleChange, field: Field, text: str) -> str:
    """A text that its column can hold: the database refuses a longer one, or cuts it off under a quirk [?]."""
    longest = field.longest
    if longest is None or len(text) <= longest:
        return text
    if change.quirks.too_long == "refused":
        raise refusals.too_long(longest, len(text))
    return text[:longest]


def _check_reference(change: RuleChange, field: Field, key: Stored) -> None:
    """Check that a referred row is there, and not deleted; where its table is missing, any key is taken."""
    other = change.connection.models.get(field.refers or "")
    if other is None:
        return
    deleted = other.fields["deleted"].column if other.marks_deleted else "0"
    found = change.connection.execute(f"select {deleted} from {other.table} where {other.key.column} = ?", (key,))  # noqa: S608 - names of ours
    if not found:
        raise refusals.no_attribute(key) if other.name == "Attributes" else refusals.none_found(other.name)
    if found[0][0]:
        raise refusals.already_deleted()


# ---- subscribers and folders ------------------------------------------------------------------------------------


def check_subscriber(change: RuleChange) -> None:
    """A subscriber has a contract number of its own and a phone that takes messages; a folder has no contract."""
    if change.value("is_folder"):
        for name in _NOT_OF_FOLDERS:
            if change.written.get(name):
                raise refusals.not_of_folders(name)
    else:
        _require(change, "contract_number")
    number, sms = change.written.get("contract_number"), change.written.get("sms")
    if number is not None and _is_taken(change, "bearers_of_number", value=number):
        raise refusals.number_taken(str(number))
    if sms and not _PHONE.fullmatch(str(sms)):
        raise refusals.no_phone(str(sms))


def check_parent(change: RuleChange) -> None:
    """What an object lies in is a folder, and not within the object itself."""
    parent = change.written.get("parent_id")
    if parent is None:
        return
    ((is_folder,),) = change.connection.run(sql("is_folder"), {"id": parent})
    if not is_folder:
        raise refusals.no_folder(parent)
    above: Stored = parent
    while above is not None and not change.creates:
        if above == change.key:
            raise refusals.within_itself()
        ((above,),) = change.connection.run(sql("parent"), {"id": above})


def check_licence(change: RuleChange) -> None:
    """The licence has room for one subscriber more; folders do not count."""
    if change.creates and not change.late and not change.value("is_folder"):
        change.licence.admit(change.connection)


def _is_taken(change: RuleChange, block: str, **values: Stored) -> bool:
    """Whether another object has a value; one that is deleted counts only under a quirk."""
    held = change.quirks.deleted_numbers == "held"
    return change.count(f"{block}_ever" if held else block, id=change.key or 0, **values) > 0


# ---- accounts ---------------------------------------------------------------------------------------------------


def check_account(change: RuleChange) -> None:
    """An account has a login of its own, and a MAC address that is one."""
    login, mac = change.written.get("login"), change.written.get("mac")
    if login is not None and _is_taken(change, "bearers_of_login", value=login):
        raise refusals.login_taken(str(login))
    if mac and not _MAC.fullmatch(str(mac)):
        raise refusals.no_mac(str(mac))


def take_address(change: RuleChange) -> None:
    """An address is of one account and lies in its pool; one that is emptied is issued from the pool [S]."""
    if "ip" not in change.written and not change.creates:
        return
    pool, address = _pool_of(change), change.written.get("ip")
    if isinstance(address, int):
        if _is_in_use(change, address):
            raise refusals.address_taken(_dotted(address))
        if pool is not None and not pool[0] <= address <= pool[1]:
            raise refusals.out_of_pool(_dotted(address), change.value("pull"))
    elif change.value("pull"):
        change.written["ip"] = _issued(change, *(pool or _ALL_ADDRESSES))


_ALL_ADDRESSES: Final = (10 << 24, (11 << 24) - 1)
"""What a pool without addresses of its own issues from."""


def _pool_of(change: RuleChange) -> tuple[int, int] | None:
    """The first and the last address of an account's pool; None where none is known."""
    pool = change.value("pull")
    if pool is None or "IpPulls" not in change.connection.models:
        return None
    found = change.connection.run(sql("pool"), {"id": pool})
    if not found or None in found[0]:
        return None
    first, last = found[0]
    return int(first), int(last)


def _issued(change: RuleChange, first: int, last: int) -> int:
    """A free address, by keys of a generator: a call out of a stack issues the one that it has answered."""
    size = last - first + 1
    for _ in range(size):
        address = first + (change.connection.next_key("gen_users_ip") - first) % size
        if not _is_in_use(change, address):
            return address
    raise refusals.pool_empty(change.value("pull"))


def _is_in_use(change: RuleChange, address: int) -> bool:
    return change.count("bearers_of_address", ip=address, id=change.key or 0) > 0


def _dotted(address: int) -> str:
    return str(value_text(ValueType.ADDRESS, address))
