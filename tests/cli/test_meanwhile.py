"""Somebody else is at work while a command waits for its answer, or after a kill: what they have done stays."""

from typing import Any

from billing.money import SCALE
from tests.cli.conftest import Place
from tests.cli.terminal.terminals import at_a_terminal

SETTLE = ("--settle", "0.1")


def read(place: Place, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in place.billing.database.query(sql)]


def abonent_of(place: Place, number: str) -> int:
    found = {one: int(key) for key, one in read(place, "select id, contract_number from abonents where deleted = 0")}
    return found[number]


async def test_a_payment_and_a_number_given_away_behind_the_question_cost_nobody_anything(place: Place) -> None:
    balances = place.balances(5)
    payer, moved, heir = [abonent_of(place, number) for number in balances.numbers[:3]]
    with at_a_terminal(place, "run", "balances", str(balances.path), "--no-canary") as terminal:
        await terminal.shows("[y/N]")
        await place.execute(
            "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date) "
            "values (9000001, ?, 2, ?, '2026-11-29')",
            *(payer, 50 * SCALE),
        )
        await place.execute("update abonents set contract_number = 'gone' where id = ?", moved)
        await place.execute("update abonents set contract_number = ? where id = ?", balances.numbers[1], heir)
        terminal.types("y\n")
        assert await terminal.ends() == 1
    words = " ".join(terminal.seen.split())
    assert "50.00 came to the account, and this row would set its balance over it: operation 9000001" in words
    assert "given to another subscriber since: contract number" in words
    entered = read(place, "select abonent_id from finance_operations where descr containing '[cm '")
    assert {key for (key,) in entered}.isdisjoint({payer, moved, heir})
    assert len(entered) == 2


async def test_a_row_whose_account_is_merged_within_its_call_ends(place: Place) -> None:
    del place.cli.environment["CARBON_MIGRATE_DATABASE"]
    first, second = (abonent_of(place, number) for number in place.balances(2).numbers)
    accounts = dict(read(place, "select id, account_id from abonents"))

    async def merge(_: str) -> None:
        await place.execute("update abonents set account_id = ? where id = ?", accounts[second], first)

    place.traffic.model, place.traffic.method = "AdminAccounts", "save"
    place.traffic.meanwhile = merge
    file = place.write(f"abonent_id;amount\n{first};-77\n", "thresholds.csv")
    ended = await place.cli("run", "warning-threshold", file, "--yes", "--json", may_end_with=(1,))
    assert ended.closing["states"] == {"rejected": 1}
    assert f"had account {accounts[first]}, and now it has account {accounts[second]}" in ended.words
    assert "an earlier call of the row may have set them" in ended.words


SUBSCRIBERS = "Договор;ФИО;Логин\nН-1;Первый;new1\nН-2;Второй;new2\n"


async def test_an_operators_own_subscriber_outlives_the_undo_of_an_import(place: Place) -> None:
    place.write(SUBSCRIBERS, "subs.csv")
    with at_a_terminal(place, "import", "subs.csv") as terminal:
        await terminal.shows("[y/N]")
        for statement in (
            "insert into admin_accounts (id) values (9000001)",
            "insert into abonents (id, name, contract_number, account_id) values (9000001, 'Первый', 'Н-1', 9000001)",
            "insert into users (id, abonent_id, login) values (9000001, 9000001, 'new1')",
        ):
            await place.execute(statement)
        terminal.types("y\n")
        assert await terminal.ends() == 1
    assert "somebody else has made subscriber Н-1 since the list was made" in " ".join(terminal.seen.split())
    (run,) = await place.runs()
    await place.cli("undo", run.name, "--yes", *SETTLE)
    assert left(place) == [("Н-1", "new1")]


def left(place: Place) -> list[tuple[Any, ...]]:
    """The subscribers of the table that are there, with the logins of their accounts."""
    return read(
        place,
        "select a.contract_number, u.login from abonents a join users u on u.abonent_id = a.id and u.deleted = 0 "
        "where a.deleted = 0 and a.contract_number starting with 'Н-' order by 1",
    )


async def test_an_undo_asks_about_what_was_found_after_a_kill(place: Place) -> None:
    place.write("Договор;ФИО;Логин\n" + "".join(f"Н-{one};Имя;new{one}\n" for one in range(1, 9)), "subs.csv")
    place.billing.latency = 0.1
    place.traffic.model = "Users"
    pacing = ("--no-canary", "--in-flight", "4", *SETTLE)
    await place.kill_at(3, "import", "subs.csv", "--yes", *pacing)
    place.billing.latency = 0.0
    resumed = (await place.cli("resume", "--yes", "--json", *SETTLE)).closing
    assert resumed["unproven"] > 0
    name = resumed["run"]
    asked = "may be another's. Take what was found back as well?"
    with at_a_terminal(place, "undo", name, *SETTLE) as terminal:
        await terminal.shows("[y/N]")
        terminal.types("n\ny\n")
        assert await terminal.ends() == 1
    words = " ".join(terminal.seen.split())
    assert asked in words
    assert f"carbon-migrate undo {name} --set unproven=take" in words
    assert len(left(place)) >= 1
    with at_a_terminal(place, "undo", name, *SETTLE) as terminal:
        await terminal.shows("[y/N]")
        terminal.types("y\ny\n")
        assert await terminal.ends() == 0
    assert left(place) == []
