"""Rules of the billing beyond storing fields: money, issued addresses and passwords, and refused values.

`_RULES` lists the rules that apply when an object of a model is created or saved, in order.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, TypeAlias

from billing.database.sql_blocks import SqlStatement, sql_block
from billing.directory.models import ACT, OPENING_BALANCE, RECEIPT
from lab.mock import refusals
from lab.mock.connection import MockConnection
from lab.mock.quirks import OpeningBalance, Quirks, StornoEffect
from lab.mock.values import Stored

Columns: TypeAlias = dict[str, Stored]

MONTHS_BACK: Final = 6
"""The earliest month of a recalculation, in months back [V]."""
_PHONE: Final = re.compile(r"\+79[0-9]{9}")
_PASSWORD_LENGTH: Final = 10


@dataclass(frozen=True, slots=True)
class RuleChange:
    """An object to be created (`key` None, nothing `stored`) or saved; rules may add to `written`."""

    connection: MockConnection
    key: int | None
    stored: Columns
    written: Columns
    arguments: Mapping[str, object]
    quirks: Quirks
    now: datetime

    @property
    def creates(self) -> bool:
        """Whether the object is new."""
        return self.key is None

    def value(self, name: str) -> Stored:
        """The value that an attribute will have."""
        return self.written.get(name, self.stored.get(name))


def apply_rules(model: str, change: RuleChange) -> None:
    """Check the new values, complete them, and apply side effects; raises `MockRefusal`."""
    if change.stored.get("deleted"):
        raise refusals.already_deleted()
    for rule in _RULES.get(model, ()):
        rule(change)


def take_back(connection: MockConnection, operation: Mapping[str, Stored], opening_balance: StornoEffect) -> None:
    """Subtract the sum of a finance operation where it was entered; an opening balance counts as added [?]."""
    summa = operation["op_summa"]
    account = _account_of(connection, operation["abonent_id"])
    if account is None or not isinstance(summa, int):
        raise refusals.no_account()
    if operation["op_type_id"] == OPENING_BALANCE and opening_balance == "keeps":
        return
    connection.run(_sql(_effect(operation["op_type_id"], "adds")), {"summa": -summa, "account": account})


def set_scale(connection: MockConnection, scale: int) -> None:
    """Set row 1 of `VPN_CONST`: the number of the database's money units in one rouble."""
    connection.run(_sql("set_scale"), {"scale": str(scale)})


def password_columns(password: str, *, hidden: bool) -> Columns:
    """The columns of a password: in clear text too unless `hidden`; an empty one means none."""
    if not password:
        return {"psw": None, "psw_hash": None}
    return {"psw": None if hidden else password, "psw_hash": hashlib.sha256(password.encode()).hexdigest()}


def _sql(name: str) -> SqlStatement:
    return sql_block("rules", name, "lab.mock.sql")


def _comment(change: RuleChange) -> None:
    """Truncate a comment to the column's length, without an error."""
    longest, text = change.quirks.descr_length, change.written.get("descr")
    if longest and isinstance(text, str):
        change.written["descr"] = text[:longest]


def _operation(change: RuleChange) -> None:
    if not change.creates:
        return
    values = change.written
    for name in ("abonent_id", "op_type_id", "op_summa"):
        if values.get(name) is None:
            raise refusals.required(name)
    account = _account_of(change.connection, values["abonent_id"])
    if account is None:
        raise refusals.no_account()
    effect = _effect(values["op_type_id"], change.quirks.type_8)
    change.connection.run(_sql(effect), {"summa": values["op_summa"], "account": account})
    values.setdefault("op_date", change.now.replace(microsecond=0))


def _effect(kind: Stored, opening_balance: OpeningBalance) -> str:
    """The statement that applies an operation of this kind to a balance."""
    effect = _EFFECTS.get(kind) if isinstance(kind, int) else None
    if effect is None:
        raise refusals.none_found("FinanceOpTypes")
    return effect(opening_balance)


_EFFECTS: Final[dict[int, Callable[[OpeningBalance], str]]] = {
    RECEIPT: lambda _: "add_receipt",
    ACT: lambda _: "add_act",
    OPENING_BALANCE: lambda mode: "set_balance" if mode == "sets" else "add_to_balance",
}


def _account_of(connection: MockConnection, abonent: Stored) -> int | None:
    """The account of a subscriber who can have finance operations."""
    found = connection.run(_sql("abonent"), {"id": abonent})
    if not found:
        raise refusals.none_found("Abonents")
    is_folder, deleted, account = found[0]
    if is_folder:
        raise refusals.folder()
    if deleted:
        raise refusals.already_deleted()
    return int(account) if account is not None else None


def _subscriber(change: RuleChange) -> None:
    """Check that the subscriber of an object exists."""
    if change.creates or "abonent_id" in change.written:
        if change.value("abonent_id") is None:
            raise refusals.required("abonent_id")
        _account_of(change.connection, change.value("abonent_id"))


def _number(change: RuleChange) -> None:
    number = change.written.get("contract_number")
    if number is None:
        return
    ((bearers,),) = change.connection.run(_sql("bearers_of_number"), {"number": number, "id": change.key or 0})
    if bearers:
        raise refusals.number_taken(str(number))


def _phone(change: RuleChange) -> None:
    sms = change.written.get("sms")
    if sms and not _PHONE.fullmatch(str(sms)):
        raise refusals.no_phone(str(sms))


def _recalculation(change: RuleChange) -> None:
    since = change.written.get("need_recalc")
    if not isinstance(since, date):
        return
    if since.day != 1:
        raise refusals.recalculation_within_a_month()
    if (change.now.year - since.year) * 12 + change.now.month - since.month > MONTHS_BACK:
        raise refusals.recalculation_too_long()


def _account(change: RuleChange) -> None:
    """Give a new subscriber an account: integrators create subscribers without one [I]."""
    values = change.written
    if not change.creates:
        return
    values.setdefault("create_date", change.now.replace(microsecond=0))
    if values.get("account_id") is None and not values.get("is_folder"):
        values["account_id"] = change.connection.next_key("gen_admin_accounts_id")
        change.connection.run(_sql("new_account"), {"id": values["account_id"]})


def _address(change: RuleChange) -> None:
    """An emptied address with a pool gets a new address from it [S]."""
    emptied = "ip" in change.written or change.creates
    if not emptied or change.written.get("ip") is not None or not change.value("pull"):
        return
    while True:
        address = change.connection.next_key("gen_users_ip")
        ((bearers,),) = change.connection.run(_sql("bearers_of_address"), {"ip": address})
        if not bearers:
            change.written["ip"] = address
            return


def _password(change: RuleChange) -> None:
    """Clearing a password and generating one need two saves, as the vendor's recipe has two requests [S]."""
    if "psw" in change.written:
        change.written.update(password_columns(str(change.written["psw"] or ""), hidden=False))
    elif not change.value("psw_hash"):
        # Derived from a key, so that a trial run and the later one give the same password; it protects nothing here.
        number = change.connection.next_key("gen_users_password")
        made = hashlib.sha256(f"password {number}".encode()).hexdigest()[:_PASSWORD_LENGTH]
        change.written.update(password_columns(made, hidden=False))


def _manager(change: RuleChange) -> None:
    """A service without a manager is saved only where the call allows it [S]; the text is assumed [?]."""
    if change.value("manager_id") is None and not change.arguments.get("allow_set_none_manager"):
        raise refusals.required("manager_id")


def _promise(change: RuleChange) -> None:
    if not {"usluga_id", "abonent_id", "enabled"} & change.written.keys():
        return
    values = {"usluga": change.value("usluga_id"), "abonent": change.value("abonent_id"), "id": change.key or 0}
    ((promises, connected),) = change.connection.run(_sql("promised_payments"), values)
    if promises and connected:
        raise refusals.promised_already()


_RULES: Final[Mapping[str, tuple[Callable[[RuleChange], None], ...]]] = {
    "Abonents": (_number, _phone, _recalculation, _account),
    "FinanceOperations": (_comment, _operation),
    "Users": (_subscriber, _address, _password),
    "UsersUsluga": (_subscriber, _manager, _promise),
    "AbonentsBlockHistory": (_subscriber,),
    "AttributeValues": (_subscriber,),
}
