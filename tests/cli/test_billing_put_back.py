"""What the journal has as entered and the billing has no more, and rows that another run has left."""

import shlex
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from unittest.mock import ANY
from urllib.parse import unquote_plus

import pytest

from billing.money import SCALE, roubles
from cli.terminal.exits import Exit
from tests.cli.conftest import Ended, Place
from tests.cli.test_import import subscriber, table

GONE = "the billing does not show it any more"
ENTERED = "skipped: entered by an earlier run"


async def put_back(place: Place, run: str, *numbers: int) -> None:
    """The billing is as before some operations of a run, or before all of them, and that was long ago."""
    with closing(sqlite3.connect(place.cli.journal)) as journal, journal:
        journal.execute("update items set changed_at = '2025-11-01T00:00:00.000+00:00'")
    marks = [f"[cm {run}/{number}]" for number in numbers] or [f"[cm {run}/"]
    for mark in marks:
        where = "from finance_operations where descr containing ?"
        await place.execute(
            f"update admin_accounts set ostatok = 0, debit = 0, credit = 0 where id in (select a.account_id from "  # noqa: S608 - a constant
            f"abonents a where a.id in (select abonent_id {where}))",
            mark,
        )
        await place.execute(f"delete {where}", mark)


def operations(place: Place) -> tuple[int, Decimal]:
    ((rows, scaled),) = place.query("select count(*), sum(op_summa) from finance_operations where op_type = 8")
    return rows, roubles(scaled)


async def take_the_way_out(place: Place, refused: Ended) -> None:
    """Type what a refusal tells: the refused rows alone, on purpose; who is not at a terminal agrees by himself."""
    lines = [line.split() for line in refused.err.splitlines() if line.startswith("  carbon-migrate ")]
    export, enter = (words for words in lines if "bad" in words or "--again" in words)
    await place.cli(*export[1:])
    assert "--yes" not in enter
    await place.cli(*enter[1:], "--yes")


@pytest.mark.parametrize("asks", ["the database", "the API"])
async def test_what_the_billing_has_no_more_is_asked_about_and_entered_once_more_by_itself(
    place: Place, asks: str
) -> None:
    load = place.balances(5)
    first = (await place.run("balances", load.path))["run"]
    if asks == "the API":
        place.without_database()
    await put_back(place, first, 2, 4)
    before = place.tables
    verified = await place.cli(
        "verify", first, "--database", "" if asks == "the API" else place.file, may_end_with=(Exit.REJECTED,)
    )
    assert f"how it is entered again carbon-migrate run balances {load.path}" in verified.told
    says = [GONE, f"run {first} has entered this row", "with --again"]
    await place.cli.told("plan", "balances", load.path, ends=1, says=says)
    refused = await place.cli.refused("run", "balances", load.path, "--yes", says=[*says, "--state bad"])
    assert place.tables == before
    await take_the_way_out(place, refused)
    assert operations(place) == (5, load.sum)
    # From then on it is entered by another run, whatever has become of the first.
    again = await place.run("balances", load.path)
    assert (again["states"], again["calls"]) == ({"skipped": 5}, 0)


async def test_what_was_found_when_a_run_was_read_back_last_is_what_everything_says_of_it(place: Place) -> None:
    load = place.balances(3)
    first = (await place.run("balances", load.path))["run"]
    other = (await place.run("balances", place.balances(4, "more.csv").path))["run"]
    reported = ("report", first, "-o", "report.html", "--force", "--json")

    async def says(rows: int, total: str, words: Sequence[str], *, silent: bool) -> None:
        """What each command says of the rows that the billing does not show any more, or does not say."""
        for command in (("status", first), ("status",), ("compare", first, other), ("report", first, "-o", "-")):
            told = (await place.cli(*command, may_end_with=(0, 1))).told
            assert any(one in told for one in words) is not silent, told
        facts = (await place.cli.closing("status", first))["read_back"]
        assert (facts["different"], facts["difference"]) == (3 - rows, format(Decimal(total) - load.sum, "f"))
        (one,) = [one for one in (await place.cli.closing("status", "--all"))["runs"] if one["run"] == first]
        assert one["standing"] == total
        report = (await place.cli(*reported)).closing
        assert report["sums"][first]["standing"] == {"rows": rows, "amount": total}
        assert (report["preliminary"], report["exceptions"]) == (not silent, 3 - rows)
        page = (place.cli.folder / "report.html").read_text()
        assert (f"{rows} of 3 rows are in the billing" in page, "signature" in page) == (True, silent)

    words = ("not as sent", "not in the billing as they were sent")
    assert (await place.cli.closing("verify", first))["states"] == {"applied": 3}
    await says(3, format(load.sum, "f"), words, silent=True)
    assert (await place.cli.closing("status", first))["read_back"]["at"]
    for old, new, states in (("[cm ", "[mc ", {"accepted": 3}), ("[mc ", "[cm ", {"applied": 3})):
        await place.execute("update finance_operations set descr = replace(descr, ?, ?)", old, new)
        is_back = "applied" in states
        found = await place.cli.closing("verify", first, ends=0 if is_back else 1)
        assert found["states"] == states
        await says(3 if is_back else 0, format(load.sum if is_back else Decimal(0), ".2f"), words, silent=is_back)


async def test_rows_beside_them_go_and_the_command_does_not_end_well(place: Place) -> None:
    load = place.balances(3)
    first = (await place.run("balances", load.path))["run"]
    await put_back(place, first)
    more = place.balances(5, "more.csv")
    closing = await place.run("balances", more.path, "--skip-bad", ends=Exit.REJECTED)
    assert (closing["states"], closing["refused"]) == ({"accepted": 2}, 3)


async def test_what_was_left_out_as_gone_is_handed_in_by_the_command_that_is_advised(place: Place) -> None:
    """Also where more rows than are named are refused before it for another reason."""
    lines = [f"{who};50;A-{who}" for who in place.subscribers(3)]
    place.rows("abonent_id;amount;document", *lines, name="paid.csv")
    first = (await place.run("payment", "paid.csv"))["run"]
    await put_back(place, first, 1, 2)
    place.rows("abonent_id;amount;document", *["nobody;1;B"] * 21, *lines, name="paid.csv")
    left_out = await place.cli("run", "payment", "paid.csv", "--yes", "--skip-bad", may_end_with=(Exit.REJECTED,))
    later = (await place.runs())[-1].name
    told = f"--continue {later} --again"
    assert told in left_out.told
    assert told in (await place.cli("status", later)).told
    export, enter = (line for line in left_out.out.splitlines() if " export " in line or " --continue " in line)
    await place.cli(*shlex.split(export)[1:])
    without = [word for word in shlex.split(enter)[1:] if word != "--again"]
    refused = await place.cli.refused(*without, "--yes", says="names --again for goes in by that file")
    (again,) = (line for line in refused.err.splitlines() if "--again" in line and " carbon-migrate run " in line)
    assert "--yes" not in again
    await place.cli(*shlex.split(again)[1:], "--yes", "--skip-bad", may_end_with=(Exit.REJECTED,))
    assert place.query("select count(*) from finance_operations where descr containing '[cm '") == [(3,)]


async def test_what_is_advised_says_all_that_decides_what_a_row_means(place: Place) -> None:
    """The balance of a load by another type, with columns of its own, would be set and not raised."""
    one, two = place.subscribers(2)
    before = [place.balance(one), place.balance(two)]
    place.write(f"{one}|100,00\n{two}|7,00\n", "old.csv")
    means = "--set op_type=2 --map amount=Сумма --columns abonent_id,Сумма --encoding utf-8 --delimiter '|'"
    words = ("run", "balances", "old.csv", *shlex.split(means))
    first = (await place.cli.closing(*words, "--yes"))["run"]
    listed = await place.cli("undo", first, "--yes", "--set", "type_8=adds", may_end_with=(Exit.REJECTED,))
    back = f"undo {first} --set way=opposite --set type_8=adds"
    assert back in listed.told
    await place.cli(*back.split(), "--yes", "--settle", "0.1")
    assert [place.balance(one), place.balance(two)] == before
    line = next(line for line in (await place.cli("status", first)).out.splitlines() if " run balances " in line)
    assert f"{means} --journal" in " ".join(shlex.split(line)).replace("|", "'|'")
    await place.cli(*shlex.split(line)[1:], "--yes")
    assert [place.balance(one), place.balance(two)] == [before[0] + 100, before[1] + 7]


async def test_another_sum_of_a_row_that_is_gone_is_no_difference_to_it(place: Place) -> None:
    (one,) = place.subscribers(1)
    place.write(f"abonent_id;amount\n{one};100\n")
    first = (await place.run("balances", "balances.csv"))["run"]
    await put_back(place, first)
    place.write(f"abonent_id;amount\n{one};120\n")
    refused = await place.cli.refused("run", "balances", "balances.csv", "--yes", says=GONE)
    assert "--since" not in refused.err
    # Of a delta as well: where the load is gone altogether, the file goes in whole.
    for more in ((f"--since={first}",), ("--since", first)):
        refused = await place.cli.refused("run", "balances", "balances.csv", "--yes", *more, says=GONE)
        assert "--since" not in refused.err
    await follow(place, refused)
    assert place.balance(one) == Decimal(120)


async def follow(place: Place, refused: Ended) -> None:
    """Type the commands of a refusal, one after the other, as they stand."""
    for line in refused.err.splitlines():
        if line.lstrip().startswith("carbon-migrate "):
            # An undo of what is gone in part ends with 1: the rest is listed.
            ends = (Exit.DONE, Exit.REJECTED) if " undo " in line else (Exit.DONE,)
            more = ("--yes",) if " export " not in line else ()
            await place.cli(*shlex.split(line)[1:], *more, may_end_with=ends)


RECEIPTS = ("--set", "op_type=2")


@pytest.mark.parametrize("job", [("balances",), ("balances", *RECEIPTS, "--map", "amount=Остаток")])
@pytest.mark.parametrize("lost", [(1, 2), (2,)])
async def test_a_delta_that_is_lost_is_entered_again_as_the_difference(
    place: Place, job: Sequence[str], lost: Sequence[int]
) -> None:
    """Its whole balances would set over the payments that were made since the load, or be entered on top."""
    one, two, three = place.subscribers(3)
    await place.execute("update admin_accounts set ostatok = 0, debit = 0, credit = 0")

    def file(name: str, *sums: str) -> str:
        rows = [f"{abonent};{text}" for abonent, text in zip((one, two, three), sums, strict=True)]
        place.rows("abonent_id;Остаток" if "--map" in job else "abonent_id;amount", *rows, name=name)
        return name

    name = (await place.run(job[0], file("old.csv", "100", "50", "5"), *job[1:]))["run"]
    place.rows("abonent_id;amount;document", *(f"{who};30;A-{who}" for who in (one, two, three)), name="paid.csv")
    await place.run("payment", "paid.csv")
    words = ("run", job[0], file("new.csv", "107", "58", "5"), *job[1:], "--since", name)
    before = {who: place.balance(who) for who in (one, two)}
    delta = (await place.cli.closing(*words, "--yes"))["run"]
    wanted = [place.balance(who) for who in (one, two, three)]
    assert wanted == [137, 88, 35]
    # The billing is as before the delta, and has the payments.
    await put_back(place, delta, *lost)
    for who in ((one, two)[number - 1] for number in lost):
        sql = "update admin_accounts set ostatok = ? where id = (select account_id from abonents where id = ?)"
        await place.execute(sql, int(before[who] * SCALE), who)
    says = [GONE, f"run {delta} has entered this row", f"carbon-migrate undo {delta}"]
    refused = await place.cli.refused(*words, "--yes", says=says)
    assert ("--again" in refused.err, f"--since {name}" in refused.err) == (False, True)
    await follow(place, refused)
    assert [place.balance(who) for who in (one, two, three)] == wanted
    assert (await place.cli.closing(*words, "--yes"))["states"] == {"skipped": 3}


async def test_of_a_load_and_its_delta_the_one_that_is_gone_is_asked_about(place: Place) -> None:
    (one,) = place.subscribers(1)
    await place.execute("update admin_accounts set ostatok = 0, debit = 0, credit = 0")
    place.write(f"abonent_id;amount\n{one};100\n", "old.csv")
    first = (await place.run("balances", "old.csv"))["run"]
    place.write(f"abonent_id;amount\n{one};120\n", "new.csv")
    delta = (await place.run("balances", "new.csv", "--since", first))["run"]
    assert place.balance(one) == Decimal(120)
    await place.execute("delete from finance_operations where descr containing ?", f"[cm {delta}/")
    refused = await place.cli.refused("run", "balances", "new.csv", "--yes", "--settle", "0", says=GONE)
    assert f"run {delta} has entered this row" in refused.words
    assert (await place.run("balances", "old.csv"))["states"] == {"skipped": 1}


async def test_a_payment_of_a_document_that_is_gone_is_asked_about(place: Place) -> None:
    one, two = place.subscribers(2)
    place.write(f"abonent_id;amount;document\n{one};50;A-1\n{two};60;A-2\n", "payments.csv")
    first = (await place.run("payment", "payments.csv"))["run"]
    assert (await place.run("payment", "payments.csv", ends=Exit.REJECTED))["states"] == {"skipped": 2}
    await place.execute("delete from finance_operations where descr containing ?", f"[cm {first}/1]")
    says = [GONE, "1 row of the input is refused"]
    await place.cli.refused("run", "payment", "payments.csv", "--yes", "--settle", "0", says=says)


@pytest.mark.parametrize("asks", ["the database", "the API"])
async def test_what_was_taken_back_and_is_there_again_is_asked_about(place: Place, asks: str) -> None:
    one, two, three = place.subscribers(3)
    place.write(f"abonent_id;amount;document\n{one};50;A-1\n{two};60;A-2\n{three};70;A-3\n", "payments.csv")
    first = (await place.run("payment", "payments.csv"))["run"]
    undo = (await place.cli.closing("undo", first, "--set", "way=opposite", "--yes"))["run"]
    if asks == "the API":
        place.without_database()
    # Back to where one of the three was not taken back yet.
    await put_back(place, undo, 3)
    says = [f"run {first} has entered this row, the journal has that as taken back, and yet the billing has it"]
    await place.cli.told("plan", "payment", "payments.csv", ends=1, says=says)
    refused = await place.cli.refused("run", "payment", "payments.csv", "--yes", says=[*says, "1 row of the input"])
    assert "--again" not in refused.err
    closing = await place.run("payment", "payments.csv", "--skip-bad", ends=Exit.REJECTED)
    assert (closing["states"], closing["refused"]) == ({"accepted": 2}, 1)


async def test_what_was_restored_and_is_lost_is_entered_once_more(place: Place) -> None:
    (one,) = place.subscribers(1)
    place.write(f"abonent_id;amount;document\n{one};50;A-1\n", "payments.csv")
    first = (await place.run("payment", "payments.csv"))["run"]
    back = ("--set", "way=opposite", "--yes")
    undo = (await place.cli.closing("undo", first, *back))["run"]
    restoring = (await place.cli.closing("undo", undo, *back))["run"]
    assert (await place.run("payment", "payments.csv", ends=Exit.REJECTED))["states"] == {"skipped": 1}
    await put_back(place, restoring)
    refused = await place.cli.refused("run", "payment", "payments.csv", "--yes", says=GONE)
    await take_the_way_out(place, refused)
    assert place.query("select sum(op_summa) from finance_operations where descr containing '[cm '") == [
        (50 * 10**10,)
    ]


async def test_a_service_that_was_taken_back_and_restored_is_there(place: Place) -> None:
    (one,) = place.subscribers(1)
    place.write(f"abonent_id\n{one}\n", "services.csv")
    words = ("connect-service", "services.csv", "--set", "usluga=126", "--set", "manager=1")
    first = (await place.run(*words))["run"]
    undo = (await place.cli.closing("undo", first, "--yes"))["run"]
    await place.cli.closing("undo", undo, "--yes")
    assert (await place.run(*words))["states"] == {"skipped": 1}


async def test_a_subscriber_that_is_created_anew_gets_its_services_and_its_money(place: Place) -> None:
    rows = [[*subscriber(number), "126"] for number in range(1, 4)]
    header = ("Договор", "ФИО", "Папка", "Логин", "Тариф", "Телефон", "Порог", "Баланс", "Услуга")
    place.write(table(rows, header), "subs.csv")
    place.write('format = 1\n[[service]]\nusluga_id = "Услуга"\nmanager_id = { value = "1" }\n', "map.toml")
    services = ("--map", "map.toml")
    await place.cli("import", "subs.csv", "--yes", *services)
    of_two = "(select id from abonents where contract_number = 'Н-0002')"
    for gone in (
        f"delete from finance_operations where abonent_id in {of_two}",  # noqa: S608 - a constant
        f"delete from users_usluga where abonent_id in {of_two}",  # noqa: S608 - a constant
        f"delete from users where abonent_id in {of_two}",  # noqa: S608 - a constant
        "update abonents set deleted = 1 where contract_number = 'Н-0002'",
    ):
        await place.execute(gone)
    planned = await place.cli.closing("plan", "import", "subs.csv", *services)
    closing = await place.cli.closing("import", "subs.csv", "--yes", *services)
    assert closing["by_step"]["balance"] == {"accepted": 1, ENTERED: 2}
    assert planned["by_step"]["balance"] == {"pending": 1, ENTERED: 2}
    assert place.query(
        "select count(distinct o.op_id), count(distinct s.id), max(o.op_summa) from abonents a "
        "join finance_operations o on o.abonent_id = a.id join users_usluga s on s.abonent_id = a.id "
        "where a.contract_number = 'Н-0002' and a.deleted = 0"
    ) == [(1, 1, 25000000000)]


async def test_of_a_subscriber_that_is_there_a_step_that_is_gone_refuses_the_row_as_a_whole(place: Place) -> None:
    place.write(table([subscriber(number) for number in range(1, 4)]), "subs.csv")
    first = (await place.cli.closing("import", "subs.csv", "--yes"))["run"]
    await put_back(place, first)
    # Money has come since to one of them, which the plan of the import names by itself.
    await place.execute(
        "update admin_accounts set ostatok = 70000000000 where id = "
        "(select account_id from abonents where contract_number = 'Н-0002')"
    )
    await place.execute("update abonents set sms = '' where contract_number starting with 'Н-'")
    refused = await place.cli.refused("import", "subs.csv", "--yes", "--change", says=[GONE, "3 rows of the input"])
    assert "--again" in refused.words
    (await place.cli.refused("import", "subs.csv", "--yes", says=[GONE, "3 rows of the input", "the balance is 7"]))
    closing = await place.cli.closing("import", "subs.csv", "--yes", "--change", "--skip-bad", ends=Exit.REJECTED)
    assert (closing["refused"], closing["calls"], closing["subscribers"]["all"]) == (3, 0, 0)
    await take_the_way_out(place, await place.cli.refused("import", "subs.csv", "--yes", says="--again --change"))
    assert operations(place) == (3, Decimal("7.50"))


async def killed(place: Place, *words: str | Path) -> str:
    await place.kill_at(4, *words, "--yes", "--in-flight", "1", "--no-canary")
    async with place.journal() as journal:
        return (await journal.runs())[-1].name


@pytest.mark.parametrize("more", [(), ("--skip-bad",), ("--again",)])
async def test_a_file_that_was_changed_while_its_import_lies_killed_is_refused_at_once(
    place: Place, more: Sequence[str]
) -> None:
    place.traffic.model = ""
    rows = [subscriber(number) for number in range(1, 5)]
    place.write(table(rows), "subs.csv")
    run = await killed(place, "import", "subs.csv")
    before = place.tables
    rows[1] = subscriber(2, balance="77")
    place.write(table(rows), "subs.csv")
    says = [f"run {run} is not at its end", f"carbon-migrate resume {run}", f"carbon-migrate close {run} --reason"]
    refused = await place.cli.refused("import", "subs.csv", "--yes", *more, says=says)
    assert (place.tables == before, len(refused.err.splitlines()) < 12) == (True, True)
    planned = await place.cli("plan", "import", "subs.csv", may_end_with=(Exit.REFUSED,))
    assert says[0] in planned.told
    await place.cli("resume", run, "--yes", "--settle", "0.1")
    assert len(place.query("select id from abonents where contract_number starting with 'Н-' and deleted = 0")) == 4


@pytest.mark.parametrize("more", [(), ("--skip-bad",), ("--again",)])
async def test_a_load_is_refused_where_another_one_lies_with_rows_of_its_file(
    place: Place, more: Sequence[str]
) -> None:
    load = place.balances(8)
    run = await killed(place, "run", "balances", load.path)
    longer = place.balances(9, "more.csv").path
    says = [f"run {run} is not at its end", f"carbon-migrate resume {run}"]
    await place.cli.refused("run", "balances", longer, "--yes", *more, says=says)
    await place.cli.refused("plan", "balances", longer, says=says)
    await place.cli("resume", run, "--yes", "--settle", "0.1")
    assert (await place.run("balances", "more.csv"))["states"] == {"accepted": 1, "skipped": 8}


def warned(place: Place) -> dict[int, int]:
    """How many accounts have each threshold of those that a test has set."""
    counted = place.query("select limit_warning, count(*) from admin_accounts group by 1")
    return {
        threshold: rows for scaled, rows in counted if (threshold := int(roubles(scaled or 0))) in {-110, -120, -130}
    }


async def test_fields_that_an_unfinished_run_is_still_to_set_are_set_by_no_later_run_before_it(place: Place) -> None:
    """Its calls would come last, and overwrite what the later run has set, also for another one of the account."""
    _, shares, other = place.of_one_account()
    ids = list(map(str, place.subscribers(7)))
    select = f"select id as abonent_id from abonents where id in ({', '.join(ids)})"  # noqa: S608 - numbers
    place.rows("abonent_id", *ids, str(shares))
    place.traffic.model = "AdminAccounts/"
    run = await killed(place, "run", "warning-threshold", "rows.csv", "--set", "amount=-120")
    before = warned(place)
    says = [f"run {run} is not at its end", f"carbon-migrate resume {run}", f"carbon-migrate close {run} --reason"]
    later = ("warning-threshold", "rows.csv", "--set", "amount=-130")
    await place.cli.refused("run", *later, "--yes", says=says)
    await place.cli.refused("plan", *later, says=says)
    assert warned(place) == before
    for rows in (select, f"select {other} as abonent_id from rdb$database"):  # noqa: S608 - a number
        words = ("run", "warning-threshold", "--sql", rows, "--set", "amount=-130", "--yes")
        await place.cli.refused(*words, says=says)
    await place.cli("resume", run, "--yes", "--settle", "0.1")
    assert (await place.run(*later), warned(place)) == (ANY, {-130: 8})


async def test_rows_of_a_select_are_left_out_where_an_unfinished_run_has_them(place: Place) -> None:
    """They are sent while others are read."""
    ids = list(map(str, place.subscribers(8)))
    select = f"select id as abonent_id from abonents where id in ({', '.join(ids)})"  # noqa: S608 - numbers
    place.rows("abonent_id", *ids)
    place.traffic.model = "Abonents/"
    since = f"since={datetime.now(UTC).date().replace(day=1)}"
    run = await killed(place, "run", "recalculate", "rows.csv", "--set", since)
    later = ("run", "recalculate", "--sql", select, "--set", since, "--yes")
    ended = await place.cli(*later, may_end_with=(Exit.REJECTED,))
    assert f"take that run to its end first, `carbon-migrate resume {run}" in " ".join(ended.out.split())


async def test_a_resumed_run_leaves_alone_what_a_later_run_has_set(place: Place) -> None:
    """As the undo of an earlier one, which goes back to before both."""
    place.rows("abonent_id", *map(str, place.subscribers(8)))
    load = ("warning-threshold", "rows.csv", "--set")
    earlier = (await place.run(*load, "amount=-110"))["run"]
    place.traffic.model = "AdminAccounts/"
    run = await killed(place, "run", *load, "amount=-120")
    sent = warned(place)[-120]
    undo = (await place.cli.closing("undo", earlier, "--yes", "--json", ends=1))["run"]
    ended = await place.cli("resume", run, "--yes", "--settle", "0.1", may_end_with=(Exit.REJECTED,))
    assert f"run {undo} has set the same since this list was made" in ended.told
    assert warned(place) == {-120: sent}


PAYMENTS = ("payment", "rows.csv")
UNMARKED = (*PAYMENTS, "--set", "way=add_payment")
SERVICES = ("connect-service", "rows.csv", "--again", "--set", "usluga=126", "--set", "manager=1")
ATTRIBUTES = ("attribute", "rows.csv", "--set", "attribute=99")
OPPOSITE = ("--set", "way=opposite")
STORNO = ("--set", "way=storno")


@pytest.mark.parametrize("asks", ["the database", "the API"])
@pytest.mark.parametrize(
    ("job", "way", "key", "behind"),
    [
        (PAYMENTS, OPPOSITE, "op_id", "delete from finance_operations"),
        (PAYMENTS, STORNO, "op_id", "delete from finance_operations"),
        (PAYMENTS, STORNO, "op_id", "update finance_operations set descr = 'касса'"),
        (UNMARKED, OPPOSITE, "op_id", "update finance_operations set op_summa = 70000000000"),
        (UNMARKED, STORNO, "op_id", "update finance_operations set op_summa = 70000000000"),
        (SERVICES, (), "id", "update users_usluga set comment = 'касса'"),
        (ATTRIBUTES, (), "id", "update attribute_values set attribute_value = 'касса'"),
    ],
    ids=lambda one: one if isinstance(one, str) else " ".join(one[::3]),
)
async def test_an_undo_takes_back_nothing_that_is_lost_or_anothers_while_it_lies_killed(
    place: Place, job: Sequence[str], way: Sequence[str], key: str, behind: str, asks: str
) -> None:
    """The billing was put back, and what has the id of the last entry by now is none of the run's."""
    rows = "\n".join(f"{one};50;A-{one}" for one in place.subscribers(6))
    place.write(f"abonent_id;{'value' if job is ATTRIBUTES else 'amount'};document\n{rows}\n", "rows.csv")
    if asks == "the API":
        place.without_database()
    first = (await place.run(*job, "--no-canary"))["run"]
    place.traffic.model, place.traffic.method = (
        "",
        "create" if way is OPPOSITE else f"method2={way[-1][4:] if way else 'delete'}",
    )
    undone = ("undo", first, *way, "--yes", "--in-flight", "1", "--no-canary")
    table = behind.split()[2 if "delete" in behind else 1]
    ((last,),) = place.query(f"select max({key}) from {table}")  # noqa: S608 - a constant
    place.traffic.arrived = 0
    await place.kill_at(3, *undone)
    await place.execute(f"{behind} where {key} = ?", last)
    there = place.query(f"select * from {table} where {key} = {last}")  # noqa: S608 - a constant
    async with place.journal() as journal:
        undo = (await journal.runs())[-1].name
    # What is gone is taken back; what is another by now may be the run's own.
    ends, left = (Exit.DONE, "skipped") if behind.startswith("delete") else (Exit.REJECTED, "rejected")
    closing = await place.cli.closing("resume", undo, "--yes", "--settle", "0.1", ends=ends)
    assert closing["states"] == {"accepted": 5, left: 1}
    taken_back = (await place.cli.closing("status", first))["stage"] == "taken back"
    assert taken_back is (ends is Exit.DONE)
    assert place.query(f"select * from {table} where {key} = {last}") == there  # noqa: S608 - a constant


@pytest.mark.parametrize(
    ("job", "change"),
    [
        (PAYMENTS, "descr = 'касса'"),
        (UNMARKED, "op_summa = 70000000000"),
        (UNMARKED, "abonent_id = (select min(abonent_id) from finance_operations)"),
    ],
)
async def test_a_storno_of_what_has_become_anothers_meanwhile_is_left_to_a_person(
    place: Place, job: Sequence[str], change: str
) -> None:
    """Between the look and the call the billing was put back, and the id was given again."""
    rows = "\n".join(f"{one};50;A-{one}" for one in place.subscribers(3))
    place.write(f"abonent_id;amount;document\n{rows}\n", "rows.csv")
    first = (await place.run(*job, "--no-canary"))["run"]
    place.traffic.model, place.traffic.method = "", f"method2={STORNO[-1][4:]}"
    place.traffic.arrived = 0

    async def put_back(body: str) -> None:
        if place.traffic.arrived == 2:
            op_id = unquote_plus(body).partition('"op_id":')[2].partition("}")[0]
            await place.execute(f"update finance_operations set {change} where op_id = ?", int(op_id))  # noqa: S608

    place.traffic.meanwhile = put_back
    undo = ("undo", first, *STORNO, "--yes", "--in-flight", "1", "--no-canary", "--settle", "0.1")
    closing = await place.cli.closing(*undo, ends=Exit.UNDECIDED)
    assert closing["states"] == {"accepted": 2, "manual": 1}
    says = "is gone, or another one has its id by now"
    await place.cli.told("status", closing["run"], says=says)


async def test_a_service_is_not_deleted_whose_id_is_anothers_by_now(place: Place) -> None:
    place.traffic.model, place.traffic.method = "", "delete"
    services = [key for (key,) in place.query("select first 5 id from users_usluga where deleted = 0 order by id")]
    place.rows("users_usluga_id", *map(str, services), name="services.csv")
    words = ("delete-services", "services.csv", "--in-flight", "1", "--no-canary", "--yes")
    await place.kill_at(3, "run", *words)
    await place.execute("update users_usluga set usluga_id = usluga_id + 1 where id = ?", services[-1])
    async with place.journal() as journal:
        (run,) = await journal.runs()
    closing = await place.cli.closing("resume", run.name, "--yes", "--settle", "0.1", ends=Exit.REJECTED)
    assert closing["states"] == {"accepted": 4, "rejected": 1}
    assert place.query("select deleted from users_usluga where id = :id", id=services[-1]) == [(0,)]
