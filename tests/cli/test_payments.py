"""Payments and other money that adds up: lost answers, doubts of a person, and questions at a terminal.

`transcripts/billing/payments.txt` has what tells payments apart, and what a script is told.
"""

import json
import shlex
from collections.abc import Sequence
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
from tests.cli.conftest import Ended, Place
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


# ---- opening balances over payments -------------------------------------------------------------------------------


BY = pytest.mark.parametrize("database", [(), ("--database", "")], ids=["the database", "the API"])
OVER = "have moved its balance by"
PAID, SET = ("payment", "p.csv"), ("balances", "b.csv")


async def empty(place: Place, rows: int) -> list[int]:
    """Subscribers whose balances are nothing."""
    await place.execute("update admin_accounts set ostatok = 0, debit = 0, credit = 0")
    return place.subscribers(rows)


@BY
async def test_no_opening_balance_is_set_over_payments_of_earlier_runs_but_on_request(
    place: Place, database: Sequence[str]
) -> None:
    """Whichever journal has entered them; what others have paid is no question."""
    one, two, three = await empty(place, 3)
    place.rows("abonent_id;amount;document", f"{one};50;A", f"{one};25;B", f"{two};30;C", name="p.csv")
    payments = (await place.run("payment", "p.csv", *database))["run"]
    await by_hand(place, three, kind=2)
    place.rows("abonent_id;amount", f"{one};200", f"{two};0", f"{three};10", name="b.csv")
    before = place.tables
    now = "not known" if database else "75.00"
    says = [f"{OVER} 75.00 (run {payments}, operation", "of 25.00, ", f"and 1 more): it is {now}, and this row would"]
    says += [
        "set it to 200.00. Where 200.00 has that money already",
        "where not, add 75.00 to it first",
        f"{OVER} 30.00 (run {payments}",
        "2 rows",
    ]
    words = ("balances", "b.csv", *database)
    planned = json.loads((await place.cli("plan", *words, "--json", may_end_with=(1,))).out)
    assert (planned["refused"], planned["states"]) == (2, {"pending": 1})
    place.write('[[step]]\njob = "balances"\nfile = "b.csv"\n', "job.toml")
    await place.cli.refused("run", "job.toml", *database, "--yes", says=says)
    refused = await place.cli.refused("run", *words, "--journal", "other.journal", "-y", says=says)
    assert place.tables == before
    # As it is told: the sums with what came, and nobody agrees in advance.
    *_, export, enter = advised(refused)
    assert ("--again" in enter, "-y" in enter) == (True, False)
    await place.cli(*export)
    file = place.cli.folder / export[export.index("-o") + 1]
    file.write_text(file.read_text(encoding="utf-8").replace(";200;", ";275;").replace(";0;", ";30;"))
    shown = await answered(place, *enter, says=[("Send these 2 rows", "y")])
    assert f"{OVER} 75.00" in shown
    assert [place.balance(key) for key in (one, two)] == [275, 30]
    # The others go, and the order of loads that is right is no question.
    assert (await place.run("balances", "b.csv", *database, "--skip-bad", ends=1))["states"]["accepted"] == 1


async def test_what_is_advised_after_payments_into_a_stopped_load_of_balances_enters_them_once(place: Place) -> None:
    one, two = await empty(place, 2)
    place.rows("abonent_id;amount", f"{one};200", f"{two};7", name="b.csv")
    load = await place.stopped("balances", "b.csv", "--rate", "0.5", "--in-flight", "1", "--no-canary", calls=1)
    place.rows("abonent_id;amount;document", f"{two};50;A", name="p.csv")
    await place.run("payment", "p.csv")
    ended = await place.cli("resume", load, "--rate", "none", "--yes", *SETTLED, may_end_with=(1,))
    export, enter = [words for words in advised(ended) if words[0] in {"export", "run"}]
    await place.cli(*export)
    file = place.cli.folder / export[export.index("-o") + 1]
    file.write_text(file.read_text(encoding="utf-8").replace(";7;", ";57;"))
    assert "--again" in enter
    await answered(place, *enter, says=[("[y/N]", "y")])
    assert [place.balance(key) for key in (one, two)] == [200, 57]


async def test_a_plan_of_a_job_file_says_what_an_earlier_step_of_it_will_have_refused(place: Place) -> None:
    """The other order, other subscribers, and a step that says so are no question."""
    one, two, three = await empty(place, 3)
    place.rows("abonent_id;amount;document", f"{one};50;A", f"{two};30;B", name="p.csv")
    place.rows("abonent_id;amount", f"{one};200", f"{two};40", f"{three};10", name="b.csv")
    place.rows("abonent_id;amount", f"{three};10", name="others.csv")
    paid, balances = (f'[[step]]\njob = "{job}"\nfile = "{name}"\n' for job, name in (PAID, SET))
    says = "Behind the earlier steps of this file 2 rows are refused"
    for text, exits in (
        (paid + balances, [0, 1]),
        (balances + paid, [0, 0]),
        (paid + balances.replace("b.csv", "others.csv"), [0, 0]),
        (paid + balances + "again = true\n", [0, 0]),
    ):
        place.write(text, "night.toml")
        planned = await place.cli("plan", "night.toml", may_end_with=(exits[-1],))
        assert (says in planned.told) is (1 in exits)
        asked = await place.cli("plan", "night.toml", "--json", may_end_with=(exits[-1],))
        assert [step["exit"] for step in json.loads(asked.out)["steps"]] == exits
    # The step says itself what is typed for a run alone, and those before it are not repeated.
    place.write(paid + balances, "night.toml")
    refused = await place.cli("run", "night.toml", *AGREED, may_end_with=(3,))
    assert "write again = true into step 2" in refused.told
    place.write(paid + balances + "again = true\n", "night.toml")
    assert (await place.run("night.toml", *SETTLED))["states"] == {"accepted": 3}
    assert [place.balance(key) for key in (one, two, three)] == [200, 40, 10]


@BY
async def test_payments_that_come_after_opening_balances_are_no_question(
    place: Place, database: Sequence[str]
) -> None:
    """Nor is the same file again, nor its delta, whose new rows go on top of what came."""
    one, two, three = await empty(place, 3)
    place.rows("abonent_id;amount", f"{one};200", f"{two};-7", name="b.csv")
    first = (await place.run("balances", "b.csv", *database))["run"]
    place.rows("abonent_id;amount;document", *(f"{key};50;A" for key in (one, two, three)), name="p.csv")
    await place.run("payment", "p.csv", *database)
    assert (await place.run("balances", "b.csv", *database))["states"] == {"skipped": 2}
    assert [place.balance(key) for key in (one, two, three)] == [250, 43, 50]
    place.rows("abonent_id;amount", f"{one};210", f"{two};-7", f"{three};5", name="later.csv")
    delta = ("balances", "later.csv", "--since", first)
    if database:
        await place.cli.refused(
            "run", *delta, "--yes", *database, says=["what that is now is not known", "--database"]
        )
    assert (await place.run(*delta))["states"] == {"accepted": 2, "skipped": 1}
    assert [place.balance(key) for key in (one, two, three)] == [260, 43, 55]
    assert (await place.run(*delta, *database))["states"] == {"skipped": 3}


async def test_what_is_taken_back_is_no_question_and_what_is_restored_is_one(place: Place) -> None:
    back = ("--set", "way=opposite", "--yes", *SETTLED)
    one, two = await empty(place, 2)
    place.rows("abonent_id;amount;document", f"{one};50;A", name="p.csv")
    payments = (await place.run("payment", "p.csv"))["run"]
    undo = (await place.cli.closing("undo", payments, *back))["run"]
    place.rows("abonent_id;amount", f"{one};200", f"{two};3", name="b.csv")
    first = (await place.run("balances", "b.csv"))["run"]
    await place.cli("undo", first, *back)
    await place.cli("undo", undo, *back)
    assert [place.balance(key) for key in (one, two)] == [50, 0]
    await place.cli.refused("run", "balances", "b.csv", "--yes", says=[f"{OVER} 50.00 (run {payments}", "1 row of"])
    # A balance that is set over it, and taken back, leaves it where it was.
    over = (await place.run("balances", "b.csv", "--again"))["run"]
    await place.cli("undo", over, *back)
    assert place.balance(one) == 50
    await place.cli.refused("run", "balances", "b.csv", "--yes", says=[f"{OVER} 50.00 (run {payments}", "1 row of"])


@BY
async def test_a_payment_of_another_subscriber_of_the_account_is_one_over_it(
    place: Place, database: Sequence[str]
) -> None:
    _, one, other = place.of_one_account()
    place.rows("abonent_id;amount;document", f"{one};50;A", name="p.csv")
    payments = (await place.run("payment", "p.csv", *database))["run"]
    place.rows("abonent_id;amount", f"{other};200", name="b.csv")
    await place.cli.refused("run", "balances", "b.csv", "--yes", *database, says=f"{OVER} 50.00 (run {payments}")


async def test_an_opening_balance_that_is_gone_is_not_entered_once_more_over_what_came_since(place: Place) -> None:
    (one,) = await empty(place, 1)
    place.rows("abonent_id;amount", f"{one};200", name="b.csv")
    await place.run("balances", "b.csv")
    place.rows("abonent_id;amount;document", f"{one};50;A", name="p.csv")
    await place.run("payment", "p.csv")
    await place.execute("delete from finance_operations where op_type = 8")
    await place.cli.refused("run", "balances", "b.csv", "--yes", says=[f"{OVER} 50.00", "add 50.00 to it first"])


async def test_what_was_approved_over_payments_is_sent_though_the_run_is_killed(place: Place) -> None:
    keys = await empty(place, 3)
    place.rows("abonent_id;amount;document", *(f"{key};50;A" for key in keys), name="p.csv")
    await place.run("payment", "p.csv")
    place.rows("abonent_id;amount", *(f"{key};250" for key in keys), name="b.csv")
    calls = ("run", "balances", "b.csv", "--again", *AGREED, "--in-flight", "1")
    await place.kill_at(place.traffic.arrived + 2, *calls)
    run = (await place.runs())[-1].name
    for _ in range(2):
        assert (await place.cli.closing("resume", run, "--yes", *SETTLED))["states"] == {"accepted": 3}
    assert [place.balance(key) for key in keys] == [250] * 3


def advised(refused: Ended) -> list[list[str]]:
    lines = (line.strip() for line in (refused.err + refused.out).splitlines())
    return [shlex.split(line)[1:] for line in lines if line.startswith("carbon-migrate ")]
