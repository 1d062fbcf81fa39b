"""Payments and other money that adds up: lost answers, doubts of a person, and questions at a terminal.

`transcripts/billing/payments.txt` has what tells payments apart, and what a script is told.
"""

from decimal import Decimal
from typing import Any

import anyio
import pytest

from billing.api.calls import ChainStep
from checkpoints.records import NewItem, NewRun
from checkpoints.states import State
from engine.pipeline.witness import FRESH
from jobs.access.payload import Payload, encode_payload
from lab.mock.faults import Fault, FaultKind, FaultPlan
from tests.checkpoints.samples import frozen_run
from tests.cli.conftest import Place
from tests.cli.terminal.terminals import answered

FILE = "payments.csv"
PAY = ("payment", FILE)
BY_CALL = ("--set", "way=add_payment")
SETTLED = ("--settle", "0.1")
AGREED = ("--yes", *SETTLED, "--no-canary")
ALIKE = "look as if entered already"
ONE_ALIKE = "1 row, 500.00 in total, looks as if entered already, and --yes answers no doubt"
IDS = (2003, 2004, 2005)


def payments(place: Place) -> None:
    place.rows("abonent_id;amount", *(f"{key};500" for key in IDS), name=FILE)


async def paid(place: Place, *more: str, ends: int = 0) -> dict[str, Any]:
    return await place.run(*PAY, *more, *SETTLED, "--no-canary", ends=ends)


def entered(place: Place) -> list[tuple[int, int]]:
    """The operations of the sum for these subscribers, each its subscriber and its type."""
    rows = place.query(
        "select abonent_id, op_type from finance_operations where op_summa = :sum order by abonent_id, op_type",
        sum=500 * 10**10,
    )
    return [(key, kind) for key, kind in rows if key in IDS]


async def by_hand(place: Place, abonent: int, kind: int, day: str = "2026-10-05") -> None:
    await place.execute(
        "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date, descr) "
        "values (gen_id(gen_finance_operations_id, 1), ?, ?, ?, ?, 'касса')",
        *(abonent, kind, 500 * 10**10, day),
    )


async def test_a_payment_raises_the_balance_and_is_found_by_its_mark_where_its_answer_is_lost(place: Place) -> None:
    payments(place)
    kinds = (FaultKind.RESET_AFTER, FaultKind.CRASH_BEFORE)
    place.billing.faults.set(FaultPlan(tuple(Fault(kind, method="objects.create", times=1) for kind in kinds)))
    before = [place.balance(key) for key in IDS]
    closing = await paid(place)
    assert closing["states"] == {"accepted": 3}
    assert [place.balance(key) for key in IDS] == [one + 500 for one in before]
    assert entered(place) == [(key, 2) for key in IDS]
    # Without an exact key the mark alone tells.
    await place.execute("update finance_operations set descr = 'by hand' where op_summa = 5000000000000")
    await place.cli("verify", closing["run"], may_end_with=(1, 4))
    assert (await place.totals(closing["run"])).count(State.ACCEPTED) == 3


async def test_a_call_of_add_payment_whose_answer_is_lost_is_left_to_a_person(place: Place) -> None:
    """Of two one has had its effect."""
    payments(place)
    before = [place.balance(key) for key in IDS]
    kinds = (FaultKind.RESET_AFTER, FaultKind.CRASH_BEFORE)
    place.billing.faults.set(FaultPlan(tuple(Fault(kind, method="add_payment", times=1) for kind in kinds)))
    ended = await paid(place, *BY_CALL, ends=4)
    assert ended["states"] == {"accepted": 1, "manual": 2}
    assert len(entered(place)) == 2
    assert sum([place.balance(key) for key in IDS]) == sum(before) + 500 * 2
    again = await place.cli.closing("resume", ended["run"], "--yes", *SETTLED, ends=4)
    assert again["states"] == {"accepted": 1, "manual": 2}


async def test_what_was_reversed_when_the_list_was_made_and_stands_again_leaves_its_row_to_a_person(
    place: Place,
) -> None:
    """The billing is put back during the first call. Further payments of the run itself are no reason."""
    place.rows("abonent_id;amount;document", *(f"{key};500;{one}" for key in IDS for one in "AB"), name=FILE)
    for key in IDS[1:]:
        await by_hand(place, key, kind=2)
    await place.execute("update finance_operations set storno = 1 where descr = 'касса'")

    async def meanwhile(_: str) -> None:
        await place.execute("update finance_operations set storno = 0 where descr = 'касса'")
        await anyio.sleep(2 * FRESH)

    place.traffic.model, place.traffic.method, place.traffic.meanwhile = "Abonents", "add_payment", meanwhile
    ended = await paid(place, *BY_CALL, "--in-flight", "1", "--stop-after-errors", "never", ends=4)
    assert ended["states"] == {"accepted": 2, "manual": 4}
    assert entered(place) == [(IDS[0], 2), (IDS[0], 2), (IDS[1], 2), (IDS[2], 2)]


async def test_an_act_of_the_same_sum_leaves_a_row_to_a_person_while_no_probe_has_seen_the_types(
    place: Place,
) -> None:
    payments(place)
    run = (await paid(place, *BY_CALL, "--limit-money", "500", "--in-flight", "1", ends=3))["run"]
    await by_hand(place, IDS[2], kind=1)
    ended = await place.cli.closing("resume", run, "--yes", *SETTLED, "--limit-money", "none", ends=4)
    assert ended["states"] == {"accepted": 2, "manual": 1}
    doubt = "(type 1): it may be this row's, or somebody else's"
    assert doubt in await place.cli.told("reconcile", run, ends=4)
    assert entered(place) == [(IDS[0], 2), (IDS[1], 2), (IDS[2], 1)]


async def test_a_run_of_the_version_before_is_resumed_by_the_call_that_it_has_planned(place: Place) -> None:
    ((last,),) = place.query("select max(op_id) from finance_operations")
    old = {"abonent_id": "", "contract_number": "", "amount": "", "document": "", "recognise": "ask"}

    def item(number: int, key: int) -> NewItem:
        payload = Payload(
            "Abonents",
            (ChainStep("objects.get", {"id": key}), ChainStep("add_payment", {"SUM_IN": "500.00"})),
            abonent=key,
            key={"id": str(key)},
            wanted={"SUM_IN": "500"},
            was={"op_id": str(last)},
        )
        row, lane = (str(key), "500"), f"account:{key}"
        return NewItem(str(key), str(key), lane, encode_payload(payload), Decimal(500), line=2 + number, row=row)

    async with place.journal() as journal:
        new = NewRun("payment", old, place.billing.url, FILE, "x", ("abonent_id", "amount"))
        run = await frozen_run(journal, *(item(number, key) for number, key in enumerate(IDS)), new=new)
        await journal.end_intake(run)
        await journal.approve(run)
    closing = await place.cli.closing("resume", run.name, "--yes", *SETTLED)
    assert closing["states"] == {"accepted": 3}
    assert entered(place) == [(key, 2) for key in IDS]
    # What it has entered is known to the payments of today.
    payments(place)
    await place.cli.refused("run", *PAY, *AGREED, says=f"looks as if entered already: by run {run.name}")
    await place.cli("undo", run.name, "--yes", "--set", "way=opposite", *SETTLED)


async def test_the_same_payment_a_month_later_is_a_question(place: Place) -> None:
    payments(place)
    october = (await paid(place))["run"]
    says = [
        f"3 rows, 1 500.00 in total, {ALIKE}, and --yes answers no doubt",
        f"line 2 (00003): looks as if entered already: by run {october}",
    ]
    await place.cli.refused("run", *PAY, *AGREED, says=says)
    assert len(entered(place)) == 3
    assert ALIKE in await answered(place, "run", *PAY, *SETTLED, says=[("Send these 3 rows", "y")])
    assert len(entered(place)) == 6
    assert (await paid(place, "--again"))["states"] == {"accepted": 3}
    assert len(entered(place)) == 9


@pytest.mark.parametrize("kind", [1, 2])
async def test_an_equal_entry_is_refused_under_yes_and_asked_about_at_a_terminal(place: Place, kind: int) -> None:
    """Of which type it is, says nothing while no probe has seen the types."""
    payments(place)
    await by_hand(place, IDS[1], kind)
    await place.cli.refused("run", *PAY, *AGREED, says=[ONE_ALIKE, "--again"])
    assert len(entered(place)) == 1
    await place.cli("plan", *PAY)
    shown = await answered(place, "run", *PAY, *SETTLED, says=[("Send these 3 rows", "n")], ends=2)
    assert "1 row, 500.00 in total, looks as if entered already" in shown
    assert (await paid(place, "--again"))["states"] == {"accepted": 3}
