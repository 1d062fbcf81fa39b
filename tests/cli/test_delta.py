"""A delta: what has changed since an earlier export is entered as the difference, once, whatever happens.

`transcripts/billing/delta.txt` has what is refused of deltas, and what is taken back of several.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from billing.money import SCALE
from billing.profile import UNKNOWN, Fact, StornoEffect, TypeEight
from tests.cli.commands.test_report import Page
from tests.cli.conftest import Place
from tests.cli.settings.test_profiles import learned
from tests.cli.terminal.terminals import answered, killed_at

Sums = Mapping[int, str]

BACK = ("--set", "way=opposite", "--yes", "--settle", "0.1")


@pytest.fixture(params=["sets", "adds"])
def either(request: pytest.FixtureRequest, place: Place) -> Place:
    """A billing in which type 8 sets the balance, and one in which it adds to it, as a probe has found."""
    if request.param == "adds":
        place.billing.quirks = replace(place.billing.quirks, type_8="adds")
        learned(place, msgspec.structs.replace(UNKNOWN, type_8=Fact(TypeEight.ADDS, date(2026, 11, 25))), "5.24.06")
    return place


def export(place: Place, sums: Sums, name: str = "new.csv") -> str:
    place.rows("abonent_id;amount", *(f"{abonent};{amount}" for abonent, amount in sums.items()), name=name)
    return name


async def loaded(place: Place, sums: Sums, *more: str) -> str:
    return str((await place.run("balances", export(place, sums, "old.csv"), *more))["run"])


async def delta(place: Place, since: str, sums: Sums, *more: str, ends: int = 0) -> dict[str, Any]:
    return await place.run("balances", export(place, sums), "--since", since, *more, ends=ends)


def balances(place: Place, sums: Sums) -> dict[int, Decimal]:
    return {abonent: place.balance(abonent) for abonent in sums}


def on_top(place: Place, before: Mapping[int, Decimal], sums: Sums) -> dict[int, Decimal]:
    """The balances behind a load of these, and behind deltas that end with them."""
    adds = place.billing.quirks.type_8 == "adds"
    return {one: Decimal(amount) + (before[one] if adds else 0) for one, amount in sums.items()}


async def test_what_has_changed_is_entered_as_the_difference_and_what_went_away_is_named(either: Place) -> None:
    first, second, third, fourth, fifth = either.subscribers(5)
    old = {first: "100.00", second: "50.00", third: "-20.00", fifth: "10.00"}
    new = {first: "130.50", second: "50.00", fourth: "7.00", fifth: "-10.00"}
    before = balances(either, old | new)
    name = await loaded(either, old)
    # What the new billing has done meanwhile is kept.
    await either.run("payment", export(either, {second: "3.00"}, "payment.csv"))
    says = f"run with --again; of a later export --since {name} enters the difference"
    await either.cli.refused("run", "balances", export(either, new), "--yes", says=says)
    planned = (await either.cli("plan", "balances", "new.csv", "--since", name)).shown
    assert f"since run {name} changed 2 rows: 30.50 up, 20.00 down new 1 row, 7.00 in total" in planned
    assert "went away 1 row, −20.00 in total; nothing is sent for them: " in planned
    told = await either.cli("run", "--plan", planned.split()[1], "--yes")
    told.saying(
        [
            "to send 3 rows, 17.50 in total",
            f"since run {name} changed 2 rows: 30.50 up, 20.00 down",
            "new 1 row, 7.00 in total",
            "went away 1 row, −20.00 in total; nothing is sent for them: ",
            "skipped 1 × entered by an earlier run, 50.00 in total",
        ]
    )
    wanted = on_top(either, before, new)
    assert balances(either, new) == wanted | {second: wanted[second] + 3}
    of_delta = (await either.runs())[-1].name
    # On the screens, too, all sums are of differences, as what is sent and the report's.
    assert "skipped 1 0.00 accepted 3 17.50 all 4 17.50" in told.shown
    assert "skipped 1 0.00 applied 3 17.50 all 4 17.50" in (await either.cli("verify", of_delta)).shown
    assert (await either.cli.closing("status", of_delta))["amounts"] == {"applied": "17.50", "skipped": "0"}
    # A sum in a report is of one kind: of differences; what stays as it was asks for none, and is no exception.
    await either.cli("report", of_delta, "-o", "delta.html")
    report = (either.cli.folder / "delta.html").read_text(encoding="utf-8")
    page, all_rows, unchanged = Page(report), [4, 1750], [1, 0]
    assert [page.sums(name) for name in ("asked for by the input", "all rows of the input")] == [all_rows] * 2
    settled = "skipped or merged: nothing was to be sent for it"
    assert [page.sums(name) for name in (settled, "skipped: entered already")] == [unchanged] * 2
    assert page.sums("asked for, and not entered") == [0, 0]
    assert "None: every row of the input is in the billing." in report
    assert f"1 row of run {name} is not in its file, −20.00 in total, and nothing was sent for it: " in report
    # The same file once more: it has been followed already.
    since = ("--since", name, "--yes")
    again = await either.cli("run", "balances", "new.csv", *since)
    again.saying(["to send 0 rows", f"since run {name}, and the deltas since: {of_delta}"])
    again.saying(["went away 1 row, −20.00 in total; nothing is sent for them: "])
    # A row that only the first delta had has gone since, and what its report says of its own file stays.
    last = await either.cli(
        "run", "balances", export(either, {first: "130.50", second: "50.00", fifth: "-10.00"}), *since
    )
    last.saying(["went away 2 rows, −13.00 in total; nothing is sent for them: "])
    await either.cli("report", of_delta, "-o", "again.html")
    assert (
        f"1 row of run {name} is not in its file, −20.00 in total" in (either.cli.folder / "again.html").read_text()
    )
    export(either, new)
    assert (await either.cli.closing("run", "balances", "new.csv", "--yes"))["states"] == {"skipped": 4}
    assert balances(either, new) == wanted | {second: wanted[second] + 3}


async def test_a_new_row_goes_on_top_of_what_another_journal_has_set_for_its_account(place: Place) -> None:
    _, one, other = place.of_one_account()
    (alone,) = place.subscribers(1)
    name = await loaded(place, {alone: "1.00"})
    await place.run("balances", export(place, {one: "100.00"}, "there.csv"), "--journal", "other.journal")
    assert (await delta(place, name, {alone: "1.00", other: "5.00"}))["states"] == {"skipped": 1, "accepted": 1}
    assert place.balance(one) == 105


RECEIPTS = ("--set", "op_type=2")


@pytest.mark.parametrize("job", [("balances", *RECEIPTS), ("balances", "--set", "op_type=1"), ("payment",)])
async def test_a_delta_of_operations_that_add_up_finds_new_only_what_is_new(place: Place, job: Sequence[str]) -> None:
    one, two, three, four = place.subscribers(4)
    ids = {one: "", two: "", three: "", four: ""}
    before = balances(place, ids)
    sign = -1 if "op_type=1" in job else 1

    def added() -> list[Decimal]:
        return [sign * (now - before[which]) for which, now in balances(place, ids).items()]

    old = {one: "100.00", two: "50.00", three: "5.00"}
    name = (await place.run(job[0], export(place, old, "old.csv"), *job[1:]))["run"]
    words = ("run", job[0], "new.csv", *job[1:], "--since", name)
    export(place, old | {one: "107.00"})
    planned = (await place.cli("plan", *words[1:])).shown
    assert "changed 1 row: 7.00 up, 0.00 down new 0 rows, 0.00 in total" in planned
    assert "look as if entered already" not in planned
    seen = await answered(place, *words, says=[("Send this 1 row, 7.00 in total", "y")])
    assert "look as if entered already" not in seen
    assert added() == [Decimal(107), Decimal(50), Decimal(5), Decimal(0)]
    # The same export once more, to the load and to the delta.
    for since in (name, (await place.runs())[-1].name):
        again = await place.cli.closing(*words[:-1], since, "--yes")
        assert (again["states"], again["calls"]) == ({"skipped": 3}, 0)
    # A third one: what stays, what goes back to what it was, and what is new.
    export(place, old | {three: "6.00", four: "9.00"})
    third = await place.cli.closing(*words, "--yes")
    assert (third["states"], third["amounts"]) == (
        {"accepted": 3, "skipped": 1},
        {"accepted": "3.00", "skipped": "0"},
    )
    assert added() == [Decimal(100), Decimal(50), Decimal(6), Decimal(9)]


async def test_a_delta_of_documents_ends_well_where_nothing_has_changed(place: Place) -> None:
    one, two = place.subscribers(2)
    place.rows("abonent_id;amount;document", f"{one};10.00;A-1", f"{two};20.00;A-2", name="old.csv")
    name = (await place.run("payment", "old.csv"))["run"]
    assert (await place.run("payment", "old.csv", "--since", name))["states"] == {"skipped": 2}


async def test_an_equal_operation_of_a_run_that_is_none_of_the_load_stays_a_question(place: Place) -> None:
    """That of February is not the one of January that was forgotten."""
    one, two = place.subscribers(2)
    name = await loaded(place, {one: "500.00"}, *RECEIPTS)
    other = (await place.run("balances", export(place, {two: "500.00"}), *RECEIPTS))["run"]
    ids = {one: "", two: ""}
    before = balances(place, ids)
    export(place, {one: "500.00", two: "500.00"})
    words = ("run", "balances", "new.csv", "--since", name, *RECEIPTS)
    says = [f"by run {other}", "1 row, 500.00 in total, looks as if entered", "enter these rows alone with --again"]
    await place.cli.refused(*words, "--yes", says=says)
    export(place, {one: "500.00", two: "600.00"})
    await place.cli.refused(*words, "--yes", says=f"run {other} has entered 500.00 for this key")
    assert balances(place, ids) == before


@pytest.mark.parametrize("asks", ["the database", "the API"])
async def test_a_delta_to_operations_that_the_billing_has_no_more_is_asked_about(place: Place, asks: str) -> None:
    one, two, three = place.subscribers(3)
    name = await loaded(place, {one: "100.00", two: "50.00", three: "5.00"}, *RECEIPTS)
    if asks == "the API":
        place.without_database()
    for number in (1, 2):
        await place.execute("delete from finance_operations where descr containing ?", f"[cm {name}/{number}]")
    export(place, {one: "107.00", two: "50.00", three: "6.00"})
    says = [f"run {name} has entered this row", "the billing does not show it any more", "2 rows of the input"]
    words = ("run", "balances", "new.csv", "--since", name, *RECEIPTS, "--yes", "--settle", "0")
    await place.cli.refused(*words, says=says)


async def test_a_delta_is_killed_resumed_and_lands_once(either: Place) -> None:
    ids = either.subscribers(8)
    old, new = ({one: f"{place * step}.25" for place, one in enumerate(ids, 1)} for step in (10, 13))
    before = balances(either, old)
    name = await loaded(either, old)
    calls = either.traffic.arrived + 4
    words = ("run", "balances", export(either, new), "--since", name, "--yes", "--in-flight", "3", "--no-canary")
    await either.kill_at(calls, *words)
    # Until it is at its end, nothing builds on it.
    of_delta = (await either.runs())[-1].name
    await either.cli.refused(
        *("run", "balances", export(either, old, "old.csv"), "--since", name, "--yes"),
        says=[f"run {of_delta} is not at its end", f"carbon-migrate resume {of_delta}"],
    )
    closing = (await either.cli("resume", "--yes", "--json", "--settle", "0.1")).closing
    assert (closing["states"], closing["amounts"]) == ({"accepted": 8}, {"accepted": "108.00"})
    assert balances(either, new) == on_top(either, before, new)
    # One by the load, and one by the delta.
    assert {*either.billing.ledger.effects("FinanceOperations").values()} == {2}
    assert (await either.cli.closing("verify", of_delta))["states"] == {"applied": 8}


async def test_deltas_are_taken_back_one_by_one_the_last_first(either: Place) -> None:
    (one, two) = either.subscribers(2)
    files = [{one: "100.00", two: "5.00"}, {one: "120.00", two: "5.00"}, {one: "90.00", two: "6.50"}]
    before = balances(either, files[0])
    names = [await loaded(either, files[0])]
    names += [(await delta(either, names[0], sums))["run"] for sums in files[1:]]
    assert balances(either, files[2]) == on_top(either, before, files[2])
    for earlier in names[:2]:
        says = f"run {names[2]} has entered differences to rows of run {earlier}: take that one back first"
        command = f"carbon-migrate undo {names[2]} --set way=opposite"
        await either.cli.refused("undo", earlier, *BACK, says=[says, command])
    for place in (2, 1):
        await either.cli("undo", names[place], *BACK)
        assert balances(either, files[0]) == on_top(either, before, files[place - 1])
    # And on from there.
    await delta(either, names[0], files[2])
    assert balances(either, files[2]) == on_top(either, before, files[2])


async def test_a_storno_takes_no_balance_that_a_difference_was_set_on_top_of(either: Place) -> None:
    one, two = either.subscribers(2)
    name = await loaded(either, {one: "100.00", two: "50.00"})
    ids = {one: "", two: ""}
    before = balances(either, ids)
    of_delta = (await delta(either, name, {one: "130.50", two: "50.00"}))["run"]
    after = balances(either, ids)
    listed = (await either.cli.closing("undo", of_delta, "--yes", ends=1))["run"]
    todo = (await either.cli("export", listed, "--state", "skipped", "-o", "-")).shown
    # A list takes nothing back.
    assert of_delta in (await either.cli("plan", "balances", "new.csv", "--since", name)).shown
    words = ("undo", of_delta, "--set", "way=storno", "--yes")
    assert f"to {before[one]:.2f} again, with what has come since on top" in todo
    says = f"might not bring back the balance before it, {before[one]:.2f}: take it back with"
    await either.cli.refused(*words, says=[says, "way=opposite"])
    assert balances(either, ids) == after
    await either.cli("undo", of_delta, *BACK)
    assert balances(either, ids) == before


@pytest.mark.parametrize("probed", [StornoEffect.SUBTRACTS, None])
async def test_a_storno_that_may_lose_the_balance_before_a_load_is_refused(
    place: Place, probed: StornoEffect | None
) -> None:
    (one,) = place.subscribers(1)
    before = place.balance(one)
    assert before < 0
    if probed:
        subtracts = Fact(probed, date(2026, 11, 25))
        learned(place, msgspec.structs.replace(UNKNOWN, storno_type_8=subtracts), "5.24.06")
    name = await loaded(place, {one: "100.00"})
    says = [
        f"might not bring back the balance before it, −{-before}: take it back with --set way=opposite",
        f"To enter the opposite sums: carbon-migrate undo {name} --set way=opposite --journal",
    ]
    await place.cli.refused("undo", name, "--set", "way=storno", "--yes", says=says)
    assert place.balance(one) == 100
    listed = (await place.cli.closing("undo", name, "--yes", ends=1))["run"]
    todo = await place.cli("export", listed, "--state", "skipped", "-o", "-")
    assert f"to −{-before} again, with what has come since on top" in todo.shown
    await place.cli("undo", name, *BACK)
    assert place.balance(one) == before


async def test_what_came_meanwhile_is_told_with_what_keeps_it(place: Place) -> None:
    one, two = place.subscribers(2)
    sums = {one: "100.00", two: "50.00"}

    def pays(number: int) -> None:
        place.traffic.meanwhile = untouched

        async def pay(_: str) -> None:
            place.traffic.meanwhile = untouched
            await place.execute(
                "update admin_accounts set debit = debit + ? "
                "where id = (select account_id from abonents where id = ?)",
                *(9 * SCALE, two),
            )
            await place.execute(
                "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date, descr, storno) "
                "values (?, ?, 2, ?, current_timestamp, '', 0)",
                *(number, two, 9 * SCALE),
            )

        place.traffic.meanwhile = pay

    async def untouched(_: str) -> None:
        return

    pays(900_001)
    closing = await place.run("balances", export(place, sums), "--in-flight", "1", ends=1)
    told = (await place.cli("export", closing["run"], "--state", "rejected", "-o", "-")).shown
    assert "9.00 came to the account" in told
    assert "Entered again as it is, the row replaces that too: add it to the row's sum, or leave the row out" in told
    name = (await place.run("balances", export(place, {**sums, two: "59.00"}, "mended.csv")))["run"]
    assert balances(place, sums) == {one: 100, two: 59}
    pays(900_002)
    sums = {one: "101.00", two: "60.00"}
    closing = await delta(place, name, sums, "--in-flight", "1", ends=1)
    told = (await place.cli("export", closing["run"], "--state", "rejected", "-o", "-")).shown
    assert "Run the delta again: its difference goes on top of what came" in told
    await delta(place, name, sums)
    assert balances(place, sums) == {one: 101, two: 69}


async def test_rows_of_one_account_differ_together(either: Place) -> None:
    _, one, two = either.of_one_account()
    before = balances(either, {one: ""})
    both = ("--shared-accounts", "sum")
    name = await loaded(either, {one: "60.00", two: "40.00"}, *both)
    await delta(either, name, {one: "70.00", two: "40.00"}, *both)
    assert balances(either, {one: ""}) == on_top(either, before, {one: "110.00"})
    closing = await delta(either, name, {one: "65.00", two: "30.00"}, *both)
    assert balances(either, {one: ""}) == on_top(either, before, {one: "95.00"})
    assert (await either.cli.closing("verify", closing["run"]))["accounts"]["different"] == 0


async def test_where_the_last_row_of_an_account_counts_alone_there_is_no_difference(place: Place) -> None:
    _, one, two = place.of_one_account()
    old, new = {one: "60.00", two: "40.00"}, {one: "70.00", two: "50.00"}
    name = await loaded(place, old, "--shared-accounts", "sum")
    words = ("run", "balances", export(place, new), "--since", name)
    says = "of several rows of an account a delta enters the sum of their differences: give --shared-accounts sum"
    await place.cli.refused(*words, "--yes", "--shared-accounts", "last", says=says)
    seen = await answered(place, *words, says=[("What is meant: sum, last or refuse?", "last")], ends=2)
    assert "the sum of their differences" in seen
    await place.cli("undo", name, *BACK)
    export(place, old, "old.csv")
    await answered(place, "run", "balances", "old.csv", says=[("last or refuse?", "last"), ("Send this 1 row", "y")])
    name = (await place.runs())[-1].name
    says = f"run {name} has entered of several rows of an account the last one alone"
    # A plan is refused as well: the run that it advises would be.
    for typed in (("plan", "balances", "new.csv"), ("run", "balances", "new.csv", "--yes")):
        await place.cli.refused(*typed, "--since", name, says=says)
    assert place.balance(one) == 40


async def test_a_new_row_of_an_account_that_has_its_balance_is_asked_about_as_in_a_load(either: Place) -> None:
    _, one, two = either.of_one_account()
    before = balances(either, {one: ""})
    name = await loaded(either, {one: "60.00"})
    typed = ("balances", export(either, {one: "60.00", two: "5.00"}), "--since", name)
    if either.billing.quirks.type_8 == "sets":
        await either.cli.refused("run", *typed, "--yes", says="1 account is reached by 2 rows with opening balances")
        assert f"of run {name}, line 3" in await either.cli.told("plan", *typed, ends=1)
        assert balances(either, {one: ""}) == on_top(either, before, {one: "60.00"})
    closing = await delta(either, name, {one: "60.00", two: "5.00"}, "--shared-accounts", "sum")
    assert closing["amounts"] == {"accepted": "5.00", "skipped": "0"}
    assert balances(either, {one: ""}) == on_top(either, before, {one: "65.00"})
    assert (await delta(either, name, {one: "60.00", two: "5.00"}))["states"] == {"skipped": 2}
    # With a difference in the same account the two are one operation, or one after the other.
    await delta(either, name, {one: "61.00", two: "7.00"}, "--shared-accounts", "sum")
    assert balances(either, {one: ""}) == on_top(either, before, {one: "68.00"})
    # A row that has been entered is no new one, whatever it has come to.
    await delta(either, name, {one: "61.00", two: "0.00"})
    await delta(either, name, {one: "61.00", two: "9.00"})
    assert balances(either, {one: ""}) == on_top(either, before, {one: "70.00"})


async def test_a_change_in_the_billing_between_list_and_call_is_not_set_over(place: Place) -> None:
    one, two = place.subscribers(2)
    name = await loaded(place, {one: "100.00", two: "50.00"})
    sql = "update admin_accounts set debit = debit + ? where id = (select account_id from abonents where id = ?)"

    async def pays(_: str) -> None:
        place.traffic.meanwhile = nobody
        await place.execute(sql, 3 * SCALE, two)

    async def nobody(_: str) -> None:
        return

    place.traffic.meanwhile = pays
    more = ("--in-flight", "1")
    closing = await delta(place, name, {one: "101.00", two: "51.00"}, *more, ends=1)
    assert closing["states"] == {"accepted": 1, "rejected": 1}
    assert (await delta(place, name, {one: "101.00", two: "51.00"}))["states"] == {"accepted": 1, "skipped": 1}
    assert balances(place, {one: "", two: ""}) == {one: 101, two: 54}


async def test_a_list_to_which_something_has_changed_is_not_sent(place: Place) -> None:
    one, two = place.subscribers(2)
    name = await loaded(place, {one: "100.00", two: "50.00"})
    words = ("run", "balances", export(place, {one: "110.00"}), "--since", name)
    await killed_at("Send this 1 row", place, *words)
    (waiting,) = [run.name for run in await place.runs() if run.name != name]
    await place.run("balances", export(place, {two: "1.00"}, "besides.csv"), "--set", "op_type=2")
    says = "has entered or taken back rows since this list was made: type the command again"
    await place.cli.refused("resume", waiting, "--yes", says=says)
    assert (await place.cli.closing(*words, "--yes"))["states"] == {"accepted": 1}
    assert balances(place, {one: "", two: ""}) == {one: 110, two: 51}


cents = st.integers(-50_000, 50_000).map(lambda amount: f"{Decimal(amount) / 100:.2f}")
files = st.lists(st.dictionaries(st.integers(0, 5), cents, min_size=1, max_size=6), min_size=2, max_size=4).filter(
    lambda drawn: all(drawn[0].keys() & later.keys() for later in drawn[1:])
)


@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=files)
async def test_behind_a_load_and_its_deltas_the_balances_are_those_of_the_last_file(
    either: Place, drawn: list[dict[int, str]]
) -> None:
    ids = either.subscribers(6 * (1 + len(await either.runs())))[-6:]
    before = balances(either, dict.fromkeys(ids, ""))
    old, *later = [{ids[place]: amount for place, amount in sums.items()} for sums in drawn]
    name, entered = await loaded(either, old), dict(old)
    for sums in later:
        await delta(either, name, sums)
        entered |= sums
        assert balances(either, entered) == on_top(either, before, entered)
