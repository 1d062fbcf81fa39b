"""Payments and other money that adds up: what is no duplicate, what is a question, and what a script is told."""

import csv
from collections.abc import Sequence
from decimal import Decimal

import pytest

from checkpoints.records import NewItem, NewRun, Page
from checkpoints.states import State
from jobs.access.payload import Payload, encode_payload
from lab.mock.faults import Fault, FaultKind, FaultPlan
from tests.cli.conftest import Ended, Place
from tests.cli.terminal.terminals import at_a_terminal

FILE = "payments.csv"
PAY = ("run", "payment", FILE)
BY_CALL = ("--set", "way=add_payment")
DONE = ("--yes", "--json", "--settle", "0.1", "--no-canary")
ALIKE = "look as if entered already"
IDS = (2003, 2004, 2005)


def told(ended: Ended) -> str:
    return f"{ended.words} {' '.join(ended.out.split())}"


def payments(place: Place, column: str = "", cells: Sequence[str] = ("", "", ""), amount: str = "500") -> None:
    """The payments of a month, with one more column."""
    lines = [f"abonent_id;amount;{column}", *(f"{key};{amount};{cell}" for key, cell in zip(IDS, cells, strict=True))]
    place.write("\n".join(line.removesuffix(";") for line in lines) + "\n", FILE)


def entered(place: Place, amount: int = 500) -> list[tuple[int, int]]:
    """The operations of a sum for these subscribers, each its subscriber and its type."""
    query = "select abonent_id, op_type from finance_operations where op_summa = :sum order by abonent_id, op_type"
    rows = place.billing.database.query(query, {"sum": amount * 10**10})
    return [(key, kind) for key, kind in rows if key in IDS]


def balances(place: Place) -> list[Decimal]:
    query = (
        "select a.id, aa.ostatok + aa.debit - aa.credit from abonents a "
        "join admin_accounts aa on aa.id = a.account_id order by a.id"
    )
    return [Decimal(scaled).scaleb(-10) for key, scaled in place.billing.database.query(query) if key in IDS]


async def by_hand(place: Place, abonent: int, kind: int, amount: int = 500, day: str = "2026-10-05") -> None:
    await place.execute(
        "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date, descr) "
        "values (gen_id(gen_finance_operations_id, 1), ?, ?, ?, ?, 'касса')",
        *(abonent, kind, amount * 10**10, day),
    )


@pytest.mark.parametrize("way", [(), BY_CALL])
async def test_a_payment_raises_the_balance(place: Place, way: tuple[str, ...]) -> None:
    payments(place)
    before = balances(place)
    closing = (await place.cli(*PAY, *way, *DONE)).closing
    assert closing["states"] == {"accepted": 3}
    assert balances(place) == [one + 500 for one in before]
    assert entered(place) == [(key, 2) for key in IDS]
    await place.cli("verify", closing["run"])


# ---- a lost answer -----------------------------------------------------------------------------------------------


async def test_a_payment_whose_answer_is_lost_is_found_by_its_mark(place: Place) -> None:
    payments(place)
    kinds = (FaultKind.RESET_AFTER, FaultKind.CRASH_BEFORE)
    place.billing.faults.set(FaultPlan(tuple(Fault(kind, method="objects.create", times=1) for kind in kinds)))
    assert (await place.cli(*PAY, *DONE)).closing["states"] == {"accepted": 3}
    assert entered(place) == [(key, 2) for key in IDS]


@pytest.mark.parametrize("kind", [FaultKind.RESET_AFTER, FaultKind.CRASH_BEFORE])
async def test_a_call_of_add_payment_whose_answer_is_lost_is_left_to_a_person(place: Place, kind: FaultKind) -> None:
    payments(place)
    place.billing.faults.set(FaultPlan((Fault(kind, method="add_payment", times=1),)))
    ended = await place.cli(*PAY, *BY_CALL, *DONE, may_end_with=(4,))
    assert ended.closing["states"] == {"accepted": 2, "manual": 1}
    assert len(entered(place)) == (3 if kind is FaultKind.RESET_AFTER else 2)
    again = await place.cli("resume", ended.closing["run"], *DONE[:4], may_end_with=(4,))
    assert again.closing["states"] == {"accepted": 2, "manual": 1}


async def test_an_act_of_the_same_sum_leaves_a_row_to_a_person_while_no_probe_has_seen_the_types(
    place: Place,
) -> None:
    payments(place)
    first = ("--limit-money", "500", "--in-flight", "1")
    begun = (await place.cli(*PAY, *BY_CALL, *DONE, *first, may_end_with=(3,))).closing
    await by_hand(place, IDS[2], kind=1)
    ended = await place.cli("resume", begun["run"], *DONE[:4], "--limit-money", "none", may_end_with=(4,))
    assert ended.closing["states"] == {"accepted": 2, "manual": 1}
    assert "(type 1): it may be this row's, or somebody else's" in told(
        await place.cli("reconcile", begun["run"], may_end_with=(4,))
    )
    assert entered(place) == [(IDS[0], 2), (IDS[1], 2), (IDS[2], 1)]


async def test_a_run_of_the_version_before_is_resumed_by_the_call_that_it_has_planned(place: Place) -> None:
    async with place.journal() as journal:
        ((last,),) = place.billing.database.query("select max(op_id) from finance_operations")
        old = {"abonent_id": "", "contract_number": "", "amount": "", "document": "", "recognise": "ask"}
        run = await journal.create_run(NewRun("payment", old, place.billing.url, FILE, "x", ("abonent_id", "amount")))
        items = [
            NewItem(
                str(key),
                str(key),
                f"account:{key}",
                encode_payload(
                    Payload(
                        "Abonents",
                        (("objects.get", {"id": key}), ("add_payment", {"SUM_IN": "500.00"})),
                        abonent=key,
                        key={"id": str(key)},
                        wanted={"SUM_IN": "500"},
                        was={"op_id": str(last)},
                    )
                ),
                Decimal(500),
                line=2 + place_,
                row=(str(key), "500"),
            )
            for place_, key in enumerate(IDS)
        ]
        async with journal.taken_up(run) as ours:
            await journal.freeze(ours, Page(tuple(items), (), "4"), lambda item, _: item)
            await journal.end_intake(ours)
            await journal.approve(ours)
    closing = (await place.cli("resume", run.name, *DONE[:4])).closing
    assert closing["states"] == {"accepted": 3}
    assert entered(place) == [(key, 2) for key in IDS]
    # What it has entered is known to the payments of today.
    payments(place)
    ended = await place.cli(*PAY, *DONE, may_end_with=(2,))
    assert f"looks as if entered already: by run {run.name}" in told(ended)
    await place.cli("undo", run.name, "--yes", "--set", "way=opposite", "--settle", "0.1")


# ---- next month --------------------------------------------------------------------------------------------------


async def test_the_same_payment_a_month_later_is_a_question(place: Place) -> None:
    payments(place)
    october = (await place.cli(*PAY, *DONE)).closing["run"]
    ended = await place.cli(*PAY, *DONE, may_end_with=(2,))
    assert f"3 rows, 1 500.00 in total, {ALIKE}, and --yes answers no doubt" in told(ended)
    assert f"line 2 (00003): looks as if entered already: by run {october}" in told(ended)
    assert len(entered(place)) == 3
    with at_a_terminal(place, *PAY, "--settle", "0.1") as terminal:
        await terminal.shows(ALIKE)
        await terminal.shows("Send these 3 rows")
        terminal.types("y\n")
        assert await terminal.ends() == 0
    assert len(entered(place)) == 6
    assert (await place.cli(*PAY, *DONE, "--again")).closing["states"] == {"accepted": 3}
    assert len(entered(place)) == 9


@pytest.mark.parametrize("way", [(), BY_CALL])
@pytest.mark.parametrize(
    ("column", "october", "november"),
    [("date", "05.10.2026", "2026-11-05"), ("number", "17", "18"), ("document", "17", "18")],
)
async def test_a_document_or_a_date_tells_the_payments_of_two_months_apart(
    place: Place, way: tuple[str, ...], column: str, october: str, november: str
) -> None:
    payments(place, column, [october] * 3)
    first = (await place.cli(*PAY, *way, *DONE)).closing
    assert first["states"] == {"accepted": 3}
    # Without a mark an earlier payment of the sum may be this one, unless its day says that it cannot be.
    more = ("--again",) if way and column != "date" else ()
    if way:
        await place.execute("update finance_operations set op_date = '2026-10-05' where op_summa = 5000000000000")
    payments(place, column, [november] * 3)
    assert (await place.cli(*PAY, *way, *DONE, *more)).closing["states"] == {"accepted": 3}
    assert len(entered(place)) == 6
    # The same ones once more are left out, and a script is told.
    ended = await place.cli(*PAY, *way, *DONE, may_end_with=(1,) if not way else (1, 2))
    if not way:
        assert ended.closing["states"] == {"skipped": 3}
        assert "left out, entered by an earlier run" in told(ended)
        assert "3 rows were not entered" in told(await place.cli("resume", ended.closing["run"], may_end_with=(1,)))
    assert len(entered(place)) == 6


async def test_an_opening_balance_is_entered_once_and_says_so_with_0(place: Place) -> None:
    payments(place, "date", ["not a date"] * 3)
    run = ("run", "balances", FILE, *DONE)
    assert (await place.cli(*run)).closing["states"] == {"accepted": 3}
    assert (await place.cli(*run)).closing["states"] == {"skipped": 3}


async def test_a_date_that_is_none_is_refused_with_its_line(place: Place) -> None:
    payments(place, "date", ["05.10.2026", "soon", "05.10.2026"])
    for way in ((), BY_CALL):
        ended = await place.cli(*PAY, *way, *DONE, may_end_with=(2,))
        assert "line 3" in told(ended)
        assert "'soon' is not a date" in told(ended)
    assert not entered(place)


# ---- what is there already ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [1, 2])
async def test_an_equal_entry_is_refused_under_yes_and_asked_about_at_a_terminal(place: Place, kind: int) -> None:
    """Of which type it is, says nothing while no probe has seen the types."""
    payments(place)
    await by_hand(place, IDS[1], kind)
    ended = await place.cli(*PAY, *DONE, may_end_with=(2,))
    assert "1 row, 500.00 in total, looks as if entered already, and --yes answers no doubt" in told(ended)
    assert "--again" in told(ended)
    assert len(entered(place)) == 1
    await place.cli("plan", "payment", FILE)
    with at_a_terminal(place, *PAY, "--settle", "0.1") as terminal:
        await terminal.shows("1 row, 500.00 in total, looks as if entered already")
        await terminal.shows("Send these 3 rows")
        terminal.types("n\n")
        assert await terminal.ends() == 2
    assert (await place.cli(*PAY, *DONE, "--again")).closing["states"] == {"accepted": 3}


async def test_an_entry_before_the_day_of_a_payment_is_none_of_it(place: Place) -> None:
    payments(place, "date", ["2026-10-05"] * 3)
    await by_hand(place, IDS[0], 2, day="2026-10-04")
    assert (await place.cli(*PAY, *DONE)).closing["states"] == {"accepted": 3}
    payments(place, "date", ["2026-10-06"] * 3)
    await by_hand(place, IDS[0], 2, day="2026-10-06")
    assert "1 row, 500.00 in total" in told(await place.cli(*PAY, *DONE, may_end_with=(2,)))


async def test_rows_of_a_select_that_look_as_if_entered_already_are_refused_while_others_are_sent(
    place: Place,
) -> None:
    await by_hand(place, IDS[1], 2)
    rows = "select id as abonent_id, 500 as amount from abonents where id in (2003, 2004, 2005)"
    ended = await place.cli("run", "payment", "--sql", rows, *DONE, may_end_with=(1,))
    assert ended.closing["states"] == {"accepted": 2}
    assert ended.closing["refused"] == 1
    assert "looks as if entered already: operation" in told(ended)
    assert len(entered(place)) == 3


async def test_a_corrected_row_that_looks_as_if_entered_already_is_refused_under_yes(place: Place) -> None:
    payments(place)
    place.write(f"abonent_id;amount\n{IDS[0]};500\n{IDS[1]};five\n", FILE)
    run = (await place.cli(*PAY, *DONE, "--skip-bad", may_end_with=(1,))).closing["run"]
    await place.cli("export", run, "--state", "refused", "-o", "refused.csv")
    await by_hand(place, IDS[1], 2)
    file = place.cli.folder / "refused.csv"
    text = file.read_text("utf-8-sig").replace("five", "500")
    assert next(csv.reader(text.splitlines(), delimiter=";"))
    file.write_text(text, "utf-8")
    corrected = ("run", "payment", file, "--continue", run, "--yes", "--settle", "0.1")
    ended = await place.cli(*corrected, may_end_with=(2,))
    assert "1 row, 500.00 in total, looks as if entered already, and --yes answers no doubt" in told(ended)
    assert len(entered(place)) == 2
    await place.cli(*corrected, "--again")
    assert len(entered(place)) == 3


# ---- exact keys --------------------------------------------------------------------------------------------------


async def test_an_operation_with_an_exact_key_is_found_without_its_mark(place: Place) -> None:
    payments(place)
    closing = (await place.cli(*PAY, *DONE, "--set", "key=code1c")).closing
    keys = list(
        place.billing.database.query("select code1c from finance_operations where code1c starting with 'cm-'")
    )
    assert sorted(key for (key,) in keys) == [f"cm-{closing['run']}-{number}" for number in (1, 2, 3)]
    await place.execute("update finance_operations set descr = 'by hand' where code1c starting with 'cm-'")
    await place.cli("verify", closing["run"])
    await place.cli("verify", closing["run"], "--database", "")


async def test_without_an_exact_key_the_mark_alone_tells(place: Place) -> None:
    payments(place)
    closing = (await place.cli(*PAY, *DONE)).closing
    await place.execute("update finance_operations set descr = 'by hand' where op_summa = 5000000000000")
    await place.cli("verify", closing["run"], may_end_with=(1, 4))
    async with place.journal() as journal:
        assert (await journal.totals(await journal.run(closing["run"]))).count(State.ACCEPTED) == 3
