"""Rules of the billing beyond storing fields: money, issued addresses and passwords, and refused values.

`_RULES` lists the rules that apply when an object of a model is created or saved, in order.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import date
from typing import Final

from lab.mock import refusals
from lab.mock.connection import MockConnection
from lab.mock.constraints import (
    Columns,
    RuleChange,
    check_account,
    check_licence,
    check_parent,
    check_subscriber,
    check_values,
    sql,
    take_address,
)
from lab.mock.facts import FACTS, OPENING_BALANCE, OPERATION_TYPES
from lab.mock.quirks import OpeningBalance, StornoEffect
from lab.mock.values import Stored

_PASSWORD_LENGTH: Final = 10


def apply_rules(change: RuleChange) -> None:
    """Check the new values, complete them, and apply side effects; raises `MockRefusal`."""
    if change.stored.get("deleted"):
        raise refusals.already_deleted()
    check_values(change)
    for rule in _RULES.get(change.model.name, ()):
        rule(change)


def take_back(connection: MockConnection, operation: Mapping[str, Stored], opening_balance: StornoEffect) -> None:
    """Subtract the sum of a finance operation where it was entered; an opening balance counts as added [?]."""
    summa = operation["op_summa"]
    account = _account_of(connection, operation["abonent_id"])
    if account is None or not isinstance(summa, int):
        raise refusals.no_account()
    if operation["op_type_id"] == OPENING_BALANCE and opening_balance == "keeps":
        return
    _apply(connection, operation["op_type_id"], -summa, account, "adds")


def set_scale(connection: MockConnection, scale: int) -> None:
    """Set row 1 of `VPN_CONST`: the number of the database's money units in one rouble."""
    connection.run(sql("set_scale"), {"scale": str(scale)})


def password_columns(password: str, *, hidden: bool) -> Columns:
    """The columns of a password: in clear text too unless `hidden`; an empty one means none."""
    if not password:
        return {"psw": None, "psw_hash": None}
    return {"psw": None if hidden else password, "psw_hash": hashlib.sha256(password.encode()).hexdigest()}


def _comment(change: RuleChange) -> None:
    """Truncate a comment to the column's length, without an error."""
    longest, text = change.quirks.descr_length, change.written.get("descr")
    if longest and isinstance(text, str):
        change.written["descr"] = text[:longest]


def _operation(change: RuleChange) -> None:
    if not change.creates:
        return
    values = change.written
    account = _account_of(change.connection, values["abonent_id"])
    if account is None:
        raise refusals.no_account()
    _apply(change.connection, values["op_type_id"], values["op_summa"], account, change.quirks.type_8)
    values.setdefault("op_date", change.now.replace(microsecond=0))


def _apply(
    connection: MockConnection, kind: Stored, summa: Stored, account: int, opening_balance: OpeningBalance
) -> None:
    """The effect of an operation of this kind on a balance."""
    known = OPERATION_TYPES.get(kind) if isinstance(kind, int) else None
    if known is None:
        raise refusals.none_found("FinanceOpTypes")
    does = opening_balance if known.does == "sets" else known.does
    if does:
        connection.run(sql(f"balance_{does}"), {"summa": summa, "account": account})


def _account_of(connection: MockConnection, abonent: Stored) -> int | None:
    """The account of a subscriber who can have finance operations."""
    found = connection.run(sql("abonent"), {"id": abonent})
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
        _account_of(change.connection, change.value("abonent_id"))


def _recalculation(change: RuleChange) -> None:
    since = change.written.get("need_recalc")
    if not isinstance(since, date):
        return
    if since.day != 1:
        raise refusals.recalculation_within_a_month()
    if (change.now.year - since.year) * 12 + change.now.month - since.month > FACTS.months_back.value:
        raise refusals.recalculation_too_long()


def _account(change: RuleChange) -> None:
    """Give a new subscriber an account: integrators create subscribers without one [I]."""
    values = change.written
    if not change.creates:
        return
    values.setdefault("create_date", change.now.replace(microsecond=0))
    if values.get("account_id") is None and not values.get("is_folder"):
        values["account_id"] = change.connection.next_key("gen_admin_accounts_id")
        change.connection.run(sql("new_account"), {"id": values["account_id"]})


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
    ((promises, connected),) = change.connection.run(sql("promised_payments"), values)
    if promises and connected:
        raise refusals.promised_already()


_RULES: Final[Mapping[str, tuple[Callable[[RuleChange], None], ...]]] = {
    "Abonents": (check_subscriber, check_parent, _recalculation, check_licence, _account),
    "FinanceOperations": (_comment, _operation),
    "Users": (_subscriber, check_account, take_address, _password),
    "UsersUsluga": (_subscriber, _manager, _promise),
    "AbonentsBlockHistory": (_subscriber,),
    "AttributeValues": (_subscriber,),
}
