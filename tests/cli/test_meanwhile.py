"""What others and the run itself set meanwhile, behind a question, within a call, after a kill: told, and left."""

from typing import Any

from billing.money import SCALE
from tests.cli.commands.test_undo import SETTLE, set_threshold
from tests.cli.conftest import Place
from tests.cli.terminal.terminals import answered, at_a_terminal


def abonent_of(place: Place, number: str) -> int:
    found = {one: int(key) for key, one in place.query("select id, contract_number from abonents where deleted = 0")}
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
    entered = {
        key for (key,) in place.query("select abonent_id from finance_operations where descr containing '[cm '")
    }
    assert (len(entered), entered & {payer, moved, heir}) == (2, set())


async def test_a_row_whose_account_is_merged_within_its_call_ends(place: Place) -> None:
    place.without_database()
    first, second = (abonent_of(place, number) for number in place.balances(2).numbers)
    accounts = dict(place.query("select id, account_id from abonents"))

    async def merge(_: str) -> None:
        await place.execute("update abonents set account_id = ? where id = ?", accounts[second], first)

    place.traffic.model, place.traffic.method = "AdminAccounts", "save"
    place.traffic.meanwhile = merge
    file = place.rows("abonent_id;amount", f"{first};-77")
    ended = await place.cli("run", "warning-threshold", file, "--yes", "--json", may_end_with=(1,))
    assert ended.closing["states"] == {"rejected": 1}
    assert f"had account {accounts[first]}, and now it has account {accounts[second]}" in ended.words
    assert "an earlier call of the row may have set them" in ended.words


def left(place: Place) -> list[tuple[Any, ...]]:
    """The subscribers of the table that are there, with the logins of their accounts."""
    return place.query(
        "select a.contract_number, u.login from abonents a join users u on u.abonent_id = a.id and u.deleted = 0 "
        "where a.deleted = 0 and a.contract_number starting with 'Н-' order by 1"
    )


async def test_an_operators_own_subscriber_outlives_the_undo_of_an_import(place: Place) -> None:
    place.rows("Договор;ФИО;Логин", "Н-1;Первый;new1", "Н-2;Второй;new2", name="subs.csv")
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


async def test_an_undo_asks_about_what_was_found_after_a_kill(place: Place) -> None:
    place.rows("Договор;ФИО;Логин", *(f"Н-{one};Имя;new{one}" for one in range(1, 9)), name="subs.csv")
    place.billing.latency, place.traffic.model = 0.1, "Users"
    await place.kill_at(3, "import", "subs.csv", "--yes", "--no-canary", "--in-flight", "4", *SETTLE)
    place.billing.latency = 0.0
    resumed = await place.cli.closing("resume", "--yes", *SETTLE)
    assert resumed["unproven"] > 0
    name, agrees = resumed["run"], ("Take what was found back as well?", "[y/N]")
    words = await answered(place, "undo", name, *SETTLE, says=[("[y/N]", "n\ny")], ends=1)
    assert f"may be another's. {agrees[0]}" in words
    assert f"carbon-migrate undo {name} --set unproven=take" in words
    assert left(place)
    await answered(place, "undo", name, *SETTLE, says=[("[y/N]", "y\ny")])
    assert left(place) == []


# ---- what the run itself has set ---------------------------------------------------------------------------------

OWN = "accepted 1 × found what an earlier row of this run had set"
CHANGED = "changed between plan and call"


def thresholds(place: Place) -> list[int]:
    """Writes a file of subscribers, the first two with one account; their ids."""
    pair = place.query(
        "select first 2 id from abonents where deleted = 0 and account_id = (select first 1 account_id from abonents "
        "where is_folder = 0 and deleted = 0 group by account_id having count(*) > 1 order by account_id) order by id"
    )
    ids = [*(one for (one,) in pair), *place.subscribers(2)]
    place.rows("abonent_id;limit_warning", *(f"{one};-{70 + number}" for number, one in enumerate(ids)))
    return ids


async def test_a_row_that_finds_what_the_run_has_set_is_counted_and_no_warning(place: Place) -> None:
    thresholds(place)
    ended = await place.cli("run", "tariff-threshold", "rows.csv", "--yes")
    assert OWN in " ".join(ended.out.split())
    assert [words for words in (OWN[11:], " warning ", CHANGED) if words in ended.words] == []
    assert CHANGED not in ended.out


async def test_with_quiet_nothing_is_said_of_it(place: Place) -> None:
    thresholds(place)
    ended = await place.cli("run", "tariff-threshold", "rows.csv", "--yes", "--quiet")
    assert (ended.out, ended.err) == ("", "")


async def test_a_run_that_was_killed_still_knows_what_it_has_set(place: Place) -> None:
    ids = thresholds(place)
    place.traffic.model = "AdminAccounts/"
    arguments = ("run", "tariff-threshold", "rows.csv", "--yes", "--rate", "1", "--in-flight", "1")
    await place.kill_at(1, *arguments, "--no-canary")
    await set_threshold(place, ids[-1], -555)
    ended = await place.cli("resume", "--json", *SETTLE)
    assert ended.closing["states"] == {"accepted": 4}
    # What somebody else has set is told as ever.
    ended.saying([OWN, f"accepted 1 × {CHANGED}", "and then limit_warning -555"])
