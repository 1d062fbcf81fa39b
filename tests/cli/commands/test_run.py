"""A whole run, and what keeps a second one from doing the same again."""

from decimal import Decimal
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from aiohttp import web

from billing.database.database import attach
from billing.database.dsn import Dsn
from checkpoints.records import NewRun
from tests.cli.conftest import Place


def refusal(text: str) -> web.Response:
    return web.json_response({"call": "FinanceOperations", "error": text})


async def test_a_run_enters_each_row_once_and_closes_with_an_object(place: Place) -> None:
    balances = place.balances(200)
    ended = await place.cli("run", "balances", balances.path, "--yes", "--json", "--in-flight", "16")
    (run,) = await place.runs()
    closing = ended.closing
    assert closing.pop("seconds") > 0
    assert closing == {
        "run": run.name,
        "job": "balances",
        "states": {"accepted": 200},
        "amounts": {"accepted": f"{balances.sum:.2f}"},
        "calls": 200,
        "held": {},
        "trusted_journal": False,
        "unproven": 0,
        "overwritten": 0,
        "exit": 0,
        "stopped": None,
        "stopped_by": None,
        "again_in": None,
        "refused": 0,
        "left_out": {},
        "error": None,
    }
    found = await place.found()
    assert (found.rows, found.sum, found.most_for_one) == (200, balances.sum, 1)
    assert "to send 200 rows" in ended.words
    assert f"{place.billing.url}, version" in ended.words
    log = place.cli.journal.with_name("carbon-migrate.journal.log")
    assert f'"run":"{run.name}"' in log.read_text(encoding="utf-8")


async def test_without_json_the_report_says_what_to_do_next(place: Place) -> None:
    balances = place.balances(3)
    ended = await place.cli("run", "balances", balances.path, "--yes")
    (run,) = await place.runs()
    assert f"✓ run {run.name} is done" in ended.out
    assert f"carbon-migrate verify {run.name}" in ended.out


async def test_quiet_says_nothing_of_success(place: Place) -> None:
    ended = await place.cli("run", "balances", place.balances(3).path, "--yes", "--quiet")
    assert (ended.out, ended.err) == ("", "")


async def test_the_same_file_again_sends_nothing_and_says_why(place: Place) -> None:
    balances = place.balances(5)
    first = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing
    ended = await place.cli("run", "balances", balances.path, "--yes", "--json")
    assert ended.closing["states"] == {"skipped": 5}
    assert ended.closing["calls"] == 0
    assert "entered by an earlier run" in ended.words
    assert "There is nothing to send" in ended.words
    status = await place.cli("status", ended.closing["run"])
    assert f"entered by an earlier run: {first['run']}" in " ".join(status.out.split())
    assert (await place.found()).rows == 5


async def test_another_amount_for_a_row_that_was_entered_is_refused(place: Place) -> None:
    place.write("contract_number;amount\n00003;5\n")
    await place.cli("run", "balances", "balances.csv", "--yes")
    place.write("contract_number;amount\n00003;6\n")
    await place.cli.refused("run", "balances", "balances.csv", "--yes", says="--again")
    await place.cli("run", "balances", "balances.csv", "--yes", "--again")
    assert (await place.found()).rows == 2


async def test_the_same_billing_under_another_name_is_the_same(place: Place) -> None:
    balances = place.balances(2)
    by_name = place.billing.url.replace("127.0.0.1", "localhost")
    run = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing["run"]
    arguments = ("balances", balances.path, "--api-url", by_name)
    ended = await place.cli("plan", *arguments)
    assert "There is nothing to send" in ended.out
    ended = await place.cli("run", *arguments, "--yes", "--json")
    assert ended.closing["states"] == {"skipped": 2}
    assert f"entered by an earlier run: {run}" in (await place.cli("status", ended.closing["run"])).out
    assert (await place.found()).rows == 2


async def test_the_same_billing_under_another_name_is_asked_about_through_the_api_alone(place: Place) -> None:
    del place.cli.environment["CARBON_MIGRATE_DATABASE"]
    balances = place.balances(2)
    by_name = place.billing.url.replace("127.0.0.1", "localhost")
    run = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing["run"]
    arguments = ("balances", balances.path, "--api-url", by_name)
    for command in (("plan", *arguments), ("run", *arguments, "--yes")):
        ended = await place.cli(*command, may_end_with=(1, 2))
        told = f"{ended.words} {' '.join(ended.out.split())}"
        assert f"run {run} has entered it by the address {place.billing.url}" in told
        assert f"--api-url {place.billing.url} goes on there" in told
    # The marks prove that it is none, whatever the operator believes.
    await place.cli("run", *arguments, "--yes", "--another-billing", may_end_with=(2,))
    assert (await place.found()).rows == 2


async def test_where_nothing_is_marked_the_operator_is_asked_which_billing_it_is(place: Place) -> None:
    del place.cli.environment["CARBON_MIGRATE_DATABASE"]
    place.write("contract_number;amount\n00003;5\n")
    by_name = place.billing.url.replace("127.0.0.1", "localhost")
    by_call = ("run", "payment", "balances.csv", "--yes", "--set", "way=add_payment")
    run = (await place.cli(*by_call, "--json")).closing["run"]
    arguments = (*by_call, "--api-url", by_name)
    ended = await place.cli(*arguments, may_end_with=(2,))
    assert f"run {run} has this row at {place.billing.url}, and this one is for {by_name}" in ended.words
    assert f"give --api-url {place.billing.url}" in ended.words
    # The payment is in this one, whatever the operator believes.
    ended = await place.cli(*arguments, "--another-billing", may_end_with=(2,))
    assert "looks as if entered already, and --yes answers no doubt" in ended.words
    ended = await place.cli(*arguments, "--again", "--json")
    assert ended.closing["states"] == {"accepted": 1}


async def test_a_name_that_looks_like_markup_is_shown_as_it_is(place: Place) -> None:
    (place.cli.folder / "[red][").mkdir()
    balances = place.balances(2, "[red][/]x.csv")
    ended = await place.cli("run", "balances", balances.path, "--yes", "--set", "descr=[/bold] [1]")
    assert str(balances.path) in ended.words
    assert "[/bold] [1]" in ended.words
    (run,) = await place.runs()
    for arguments in (("status",), ("status", run.name), ("verify", run.name)):
        await place.cli(*arguments)


async def test_through_the_api_alone(place: Place) -> None:
    del place.cli.environment["CARBON_MIGRATE_DATABASE"]
    balances = place.balances(8)
    closing = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing
    assert closing["states"] == {"accepted": 8}
    await place.cli("verify", closing["run"])


async def test_a_job_without_a_file_streams_out_of_the_database(place: Place) -> None:
    ended = await place.cli(
        "run", "warning-threshold", "--set", "folder=89", "--set", "amount=-77", "--yes", "--json"
    )
    query = "select count(*) from abonents where parent_id = 89 and is_folder = 0 and deleted = 0"
    ((subscribers,),) = place.billing.database.query(query)
    assert sum(ended.closing["states"].values()) == subscribers
    assert ended.closing["states"]["accepted"] > 100
    verified = (await place.cli("verify", ended.closing["run"], "--json")).closing
    assert verified["different"] == 0
    again = await place.cli(
        "run", "warning-threshold", "--set", "folder=89", "--set", "amount=-77", "--yes", "--json"
    )
    assert again.closing["states"] == {"skipped": subscribers}


async def test_rows_that_contradict_each_other_in_a_stream_are_named_and_none_is_sent_twice(place: Place) -> None:
    """Pages have a thousand rows: the second says otherwise, or again, what the first has said."""
    await anyio.to_thread.run_sync(_said_twice, place.file)
    select = "select id, abonent_id, amount from said_twice"
    # Receipts: of opening balances those of an account that another row has set are refused as well.
    arguments = ("--set", "op_type=2", "--yes", "--json", "--no-canary", "--in-flight", "16")
    ended = await place.cli("run", "balances", "--sql", select, *arguments, may_end_with=(1,))
    assert ended.closing["states"] == {"accepted": 900, "skipped": 200}
    assert ended.closing["refused"] == 700
    assert "contradicts an earlier row: the same key with 5.00 there and 6.00 here; that one stays" in ended.words
    assert "… and 680 more; all of them with: carbon-migrate export" in ended.words
    found = await place.found()
    assert (found.rows, found.most_for_one) == (900, 1)
    assert Decimal(ended.closing["amounts"]["accepted"]) == 4500
    (run,) = await place.runs()
    assert run.approved_at is not None
    assert run.frozen_at is not None
    assert run.approved_at < run.frozen_at


def _said_twice(file: Path) -> None:
    connection = attach(Dsn(str(file)))
    connection.execute_immediate(
        "create table said_twice (id integer not null primary key, abonent_id int, amount int)"
    )
    connection.commit()
    cursor = connection.cursor()
    cursor.execute("select first 900 id from abonents where is_folder = 0 and deleted = 0 order by id")
    ids = [key for (key,) in cursor.fetchall()]
    said = [*((key, 5) for key in ids), *((key, 6) for key in ids[:700]), *((key, 5) for key in ids[700:])]
    for number, (key, amount) in enumerate(said, 1):
        cursor.execute("insert into said_twice (id, abonent_id, amount) values (?, ?, ?)", (number, key, amount))
    connection.commit()
    connection.close()


async def test_rows_that_the_billing_rejects_end_with_1_and_their_reasons(place: Place) -> None:
    place.traffic.answer = lambda number: refusal("Объект уже удалён: [red]") if number % 3 == 0 else None
    balances = place.balances(9)
    ended = await place.cli("run", "balances", balances.path, "--yes", "--json", "--no-canary", may_end_with=(1,))
    assert ended.closing["states"] == {"accepted": 6, "rejected": 3}
    name = ended.closing["run"]
    assert "rejected 3 × Объект уже удалён" in ended.words
    assert "[red]" in ended.words
    assert f"carbon-migrate export {name} --state rejected -o {name}-rejected.csv" in ended.words
    assert (await place.cli("verify", name, may_end_with=(1,))).exit == 1


async def test_too_many_errors_stop_a_run_that_can_be_taken_up(place: Place) -> None:
    place.traffic.answer = lambda _: refusal("Объект уже удалён")
    balances = place.balances(40)
    arguments = ("--yes", "--json", "--in-flight", "1", "--stop-after-errors", "3", "--no-canary")
    ended = await place.cli("run", "balances", balances.path, *arguments, may_end_with=(3,))
    assert ended.closing["states"]["rejected"] >= 3
    assert ended.closing["states"]["pending"] > 30
    assert "--stop-after-errors 3" in ended.closing["stopped"]
    place.traffic.answer = lambda _: None
    states = (await place.cli("resume", "--settle", "0", "--json", may_end_with=(1,))).closing["states"]
    assert states["rejected"] + states["accepted"] == 40


async def test_a_billing_that_refuses_all_work_stops_the_run(place: Place) -> None:
    place.traffic.answer = lambda number: refusal("Превышена лицензия") if number > 5 else None
    balances = place.balances(20)
    ended = await place.cli("run", "balances", balances.path, "--yes", "--json", may_end_with=(3,))
    assert "Превышена лицензия" in ended.closing["stopped"]
    assert ended.closing["states"] == {"accepted": 5, "pending": 15}
    place.traffic.answer = lambda _: None
    assert (await place.cli("resume", "--settle", "0", "--json")).closing["states"] == {"accepted": 20}
    assert (await place.found()).most_for_one == 1


async def test_an_answer_that_was_lost_is_looked_up(place: Place) -> None:
    place.traffic.answer = lambda number: web.Response(status=500, text="<h1>crash</h1>") if number % 4 == 0 else None
    balances = place.balances(20)
    ended = await place.cli("run", "balances", balances.path, "--yes", "--json", "--settle", "0.1")
    assert ended.closing["states"] == {"accepted": 20}
    found = await place.found()
    assert (found.rows, found.sum, found.most_for_one) == (20, balances.sum, 1)


async def test_a_run_that_was_not_approved_gives_way_to_the_mended_file(place: Place) -> None:
    balances = place.balances(4)
    async with place.journal() as journal:
        # As a kill during the intake leaves it.
        left = await journal.create_run(
            NewRun("balances", {}, place.billing.url, str(balances.path), "another digest")
        )
    closing = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing
    assert closing["states"] == {"accepted": 4}
    runs = {run.name: run for run in await place.runs()}
    assert runs[left.name].discarded_at


async def test_two_rows_of_one_account_go_one_after_the_other(place: Place) -> None:
    query = (
        "select first 1 min(a.id), max(a.id) from abonents a where a.deleted = 0 and a.is_folder = 0 "
        "group by a.account_id having count(*) = 2"
    )
    ((one, other),) = place.billing.database.query(query)
    place.write(f"abonent_id;amount\n{one};5\n{other};7\n")
    # Receipts: of opening balances the operator is asked which of them counts.
    ended = await place.cli("run", "balances", "balances.csv", "--set", "op_type=2", "--yes", "--json")
    assert "1 account is reached by several rows" in ended.words
    assert Decimal(ended.closing["amounts"]["accepted"]) == 12


async def test_a_balance_and_a_payment_of_one_subscriber_are_two_entries(place: Place) -> None:
    for kind, amount in (("8", "100"), ("2", "100"), ("1", "70")):
        place.write(f"contract_number;amount;op_type\n00003;{amount};{kind}\n")
        closing = (await place.cli("run", "balances", "balances.csv", "--yes", "--json")).closing
        assert closing["states"] == {"accepted": 1}
    # Another sum of the same kind, without a document or a date, is refused.
    place.write("contract_number;amount;op_type\n00003;70;2\n")
    await place.cli("run", "balances", "balances.csv", "--yes", may_end_with=(2,))
    assert (await place.found()).rows == 3


@pytest.mark.parametrize("way", ["operation", "add_payment"])
async def test_two_payments_of_one_subscriber_in_one_file(place: Place, way: str) -> None:
    place.write("contract_number;amount;Чек\n00003;100;17\n00003;100;18\n")
    alike = await place.cli("plan", "payment", "balances.csv", may_end_with=(1,))
    assert "a duplicate in the input" in alike.out
    assert "--map document=COLUMN" in " ".join((alike.out + alike.err).split())
    run = ("run", "payment", "balances.csv", "--map", "document=Чек", "--set", f"way={way}", "--yes", "--json")
    closing = (await place.cli(*run)).closing
    assert (closing["states"], closing["amounts"]) == ({"accepted": 2}, {"accepted": "200.00"})
    await place.cli("verify", closing["run"])
    assert (await place.cli(*run, may_end_with=(1,))).closing["states"] == {"skipped": 2}
