"""The rules of the billing that money rests on; their sources stand in `lab/mock/facts.toml`."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.database.dsn import Dsn
from lab.mock.chain import carry_out, parse
from lab.mock.connection import MockConnection
from lab.mock.facts import Quirks

OPERATIONS = "FinanceOperations"
ABONENT = 2001


@pytest.fixture
def session(billing_file: Path) -> Iterator[MockConnection]:
    opened = MockConnection(Dsn(str(billing_file)))
    yield opened
    opened.close()


def call(session: MockConnection, model: str, *steps: object, fields: list[str] | None = None, **quirks: Any) -> Any:
    """What a chain of methods, each with its arguments, is answered."""
    form = {"fields": json.dumps(fields)} if fields is not None else {}
    for number, (method, arguments) in enumerate(zip(steps[::2], steps[1::2], strict=True), 1):
        form |= {f"method{number}": str(method), f"arg{number}": json.dumps(arguments, ensure_ascii=False)}
    return carry_out(session, parse(model, form), 1, Quirks(**quirks))


def enter(session: MockConnection, kind: int, summa: object = "100", abonent: int = ABONENT, **more: Any) -> int:
    """The key of a new operation; `quirks` are those of the billing, all else is a field of the operation."""
    quirks = more.pop("quirks", {})
    values = {"abonent_id": abonent, "op_summa": summa, "op_type_id": kind, **more}
    return int(call(session, OPERATIONS, "objects.create", values, **quirks)["pk"])


def balance(session: MockConnection) -> Decimal:
    ((scaled,),) = session.execute(
        "select cast(aa.ostatok + aa.debit - aa.credit as bigint) from abonents a"
        " join admin_accounts aa on aa.id = a.account_id where a.id = ?",
        (ABONENT,),
    )
    return Decimal(scaled) / 10**10


ADDS, KEEPS = {"type_8": "adds"}, {"storno_type_8": "keeps"}
MOVES: tuple[tuple[int, dict[str, Any], str, str], ...] = (
    (1, {}, "-100", "0"),
    (2, {}, "100", "0"),
    *((kind, {}, "0", "0") for kind in (3, 4, 5, 6, 9, 10, 11, 12)),
    (8, ADDS, "100", "0"),
    (8, ADDS | KEEPS, "100", "100"),
)
"""What operations of 100 roubles do to the balance, by type and quirks, and what is left of that after the storno."""


def test_a_type_moves_the_balance_and_its_storno_takes_that_back(session: MockConnection) -> None:
    def reverse(key: int, quirks: dict[str, Any]) -> Decimal:
        call(session, OPERATIONS, "objects.get", {"op_id": key}, "storno", {}, **quirks)
        assert call(session, OPERATIONS, "objects.get", {"op_id": key}, fields=["storno"])["fields"] == {"storno": 1}
        return balance(session)

    enter(session, 2, "7")
    for kind, quirks, moves, left in MOVES:
        before = balance(session)
        key = enter(session, kind, quirks=quirks)
        assert balance(session) == before + Decimal(moves), (kind, quirks)
        assert reverse(key, quirks) == before + Decimal(left), (kind, quirks)
    debit = "select aa.debit from abonents a join admin_accounts aa on aa.id = a.account_id where a.id = 2001"
    assert session.execute(debit) == [(0,)], "closing the balance has emptied it"
    key = enter(session, 8, "50.5", descr="Миграция")
    assert balance(session) == Decimal("50.5"), "an opening balance is the balance"
    stored = session.execute("select op_summa, descr from finance_operations where op_id = ?", (key,))
    assert stored == [(505_000_000_000, "Миграция")]
    assert reverse(key, {}) == 0


def act(session: MockConnection, ends: str) -> int:
    return enter(session, 1, "30", op_date=ends, period_end_date=ends, number="17")


def test_an_operation_in_a_closed_period_reverses_its_acts(session: MockConnection) -> None:
    key = act(session, "2019-05-31")
    enter(session, 2, "5", op_date="2019-05-10", quirks={"closed_period": "ignores"})
    assert call(session, OPERATIONS, "objects.filter", {"abonent": ABONENT, "storno": 1}) == []
    call(session, OPERATIONS, "objects.get", {"op_id": key}, "storno", {})
    acts = [act(session, ends) for ends in ("2019-04-30", "2019-05-31", "2019-06-30", "2039-12-31")]
    before = balance(session)
    enter(session, 2, "5", op_date="2019-05-10")
    assert balance(session) == before + 5 + 2 * 30, "the acts of May and June"
    reversed_ = call(session, OPERATIONS, "objects.filter", {"abonent": ABONENT, "op_type": 1, "storno": 1})
    assert [each["pk"] for each in reversed_] == [key, *acts[1:3]]
    logged = [what for (what,) in session.execute("select what from mock_ledger order by entry") if "log" in what]
    assert [json.loads(what) for what in logged] == [
        {"storno": 1, "log": f"Сторнирование акта №{each} для открытия периода из-за проводки с типом 2"}
        for each in acts[1:3]
    ]
    enter(session, 2, "5")
    assert balance(session) == before + 10 + 2 * 30, "an operation of today reopens nothing"
