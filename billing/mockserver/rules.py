"""What the billing does beyond storing fields: the money of finance operations, issued addresses, taken numbers."""

from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal, TypeAlias

from billing.mockserver import refusals
from billing.mockserver.session import Session
from billing.mockserver.values import Stored
from billing.operations import ACT, OPENING_BALANCE, RECEIPT
from billing.statements import Statement, statement

OpeningBalance: TypeAlias = Literal["sets", "adds"]
"""Whether an operation of type 8 sets the balance to its sum, or adds it: what the real one does is not known [?]."""

Columns: TypeAlias = dict[str, Stored]


def _sql(name: str) -> Statement:
    return statement("rules", name, "billing.mockserver")


def before_create(session: Session, model: str, values: Columns, opening_balance: OpeningBalance) -> None:
    """Check the values of a new object, complete them, and do what its creation entails; raises `Refusal`."""
    if model == "FinanceOperations":
        _enter_operation(session, values, opening_balance)
    elif "abonent_id" in values:
        _check_abonent(session, values["abonent_id"])
    if model == "Abonents":
        _check_number(session, values, None)


def before_save(session: Session, model: str, key: Stored, current: Columns, assigned: Columns) -> None:
    """Check what is about to be saved, and complete it; raises `Refusal`."""
    if current.get("deleted"):
        raise refusals.already_deleted()
    if model == "Abonents":
        _check_number(session, assigned, key)
    if model == "Users" and "ip" in assigned and assigned["ip"] is None and (assigned.get("pull") or current["pull"]):
        # An emptied address with a pool behind it means: issue a new one [S].
        ((assigned["ip"],),) = session.run(_sql("next_address"), {})


def _enter_operation(session: Session, values: Columns, opening_balance: OpeningBalance) -> None:
    for required in ("abonent_id", "op_type_id", "op_summa"):
        if values.get(required) is None:
            raise refusals.Refusal(f"Поле {required} обязательно")
    account = _check_abonent(session, values["abonent_id"])
    if account is None:
        raise refusals.no_account()
    kind = values["op_type_id"]
    effect = _EFFECTS.get(kind) if isinstance(kind, int) else None
    if effect is None:
        raise refusals.none_found("FinanceOpTypes")
    session.run(_sql(effect(opening_balance)), {"summa": values["op_summa"], "account": account})
    values.setdefault("op_date", datetime.now().replace(microsecond=0))  # noqa: DTZ005 - the billing's dates have no zone


_EFFECTS: Final[dict[int, Callable[[OpeningBalance], str]]] = {
    RECEIPT: lambda _: "add_receipt",
    ACT: lambda _: "add_act",
    OPENING_BALANCE: lambda mode: "set_balance" if mode == "sets" else "add_to_balance",
}


def _check_abonent(session: Session, abonent: Stored) -> int | None:
    """The account of a subscriber on whom something may be entered."""
    found = session.run(_sql("abonent"), {"id": abonent})
    if not found:
        raise refusals.none_found("Abonents")
    is_folder, deleted, account = found[0]
    if is_folder:
        raise refusals.folder()
    if deleted:
        raise refusals.already_deleted()
    return int(account) if account is not None else None


def _check_number(session: Session, values: Columns, key: Stored) -> None:
    number = values.get("contract_number")
    if number is None:
        return
    ((bearers,),) = session.run(_sql("bearers_of_number"), {"number": number, "id": 0 if key is None else key})
    if bearers:
        raise refusals.number_taken(str(number))
