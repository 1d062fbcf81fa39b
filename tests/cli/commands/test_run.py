"""A whole run, what keeps a second one from doing the same again, and what is read back and shown of it."""

import json
import re
from contextlib import closing
from decimal import Decimal

import pytest
from aiohttp import web

from billing.database.database import attach
from billing.database.dsn import Dsn
from checkpoints.records import NewRun
from tests.cli.conftest import Place


def refusal(text: str) -> web.Response:
    return web.json_response({"call": "FinanceOperations", "error": text})


async def test_a_run_enters_each_row_once_and_the_same_file_again_sends_nothing_and_says_why(place: Place) -> None:
    """A name that looks like markup is shown as it is."""
    (place.cli.folder / "[red][").mkdir()
    balances = place.balances(200, "[red][/]x.csv")
    words = ("run", "balances", balances.path, "--yes")
    ended = await place.cli(*words, "--json", "--in-flight", "16", "--set", "descr=[/bold] [1]")
    (run,) = await place.runs()
    closing = ended.closing
    # Its keys are those of face.txt.
    money = {"states": {"accepted": 200}, "amounts": {"accepted": f"{balances.sum:.2f}"}}
    assert closing | money | {"run": run.name, "job": "balances", "calls": 200, "exit": 0} == closing
    assert [closing[one] for one in ("unproven", "overwritten", "refused", "held", "left_out")] == [0, 0, 0, {}, {}]
    assert {closing[one] for one in ("stopped", "stopped_by", "again_in", "error")} == {None}
    await place.each_landed_once(balances)
    ended.saying([str(balances.path), "[/bold] [1]", "to send 200 rows", f"{place.billing.url}, version"])
    log = place.cli.journal.with_name("carbon-migrate.journal.log")
    assert f'"run":"{run.name}"' in log.read_text(encoding="utf-8")
    again = await place.cli(*words, "--json")
    assert (again.closing["states"], again.closing["calls"]) == ({"skipped": 200}, 0)
    again.saying(["entered by an earlier run", "There is nothing to send"])
    assert f"entered by an earlier run: {run.name}" in await place.cli.told("status", again.closing["run"])
    assert (await place.found()).rows == 200
    quiet = await place.cli(*words, "--quiet", "--again", "--limit", "1")
    assert (quiet.out, quiet.err) == ("", "")


async def test_another_amount_is_refused_and_another_sort_of_operation_is_another_entry(place: Place) -> None:
    place.rows("contract_number;amount", "00003;5")
    await place.run("balances", "rows.csv")
    place.rows("contract_number;amount", "00003;6")
    await place.cli.refused("run", "balances", "rows.csv", "--yes", says="--again")
    await place.run("balances", "rows.csv", "--again")
    assert (await place.found()).rows == 2
    for kind, amount in (("2", "100"), ("1", "70")):
        place.rows("contract_number;amount;op_type", f"00003;{amount};{kind}")
        assert (await place.run("balances", "rows.csv"))["states"] == {"accepted": 1}
    # Another sum of the same kind, without a document or a date, is refused.
    place.rows("contract_number;amount;op_type", "00003;70;2")
    await place.run("balances", "rows.csv", ends=2)
    assert (await place.found()).rows == 4


async def test_the_same_billing_under_another_name_is_asked_about_through_the_api_alone(place: Place) -> None:
    place.without_database()
    path = place.balances(2).path
    run = (await place.run("balances", path))["run"]
    arguments = ("balances", path, "--api-url", place.by_name)
    for command in (("plan", *arguments), ("run", *arguments, "--yes")):
        told = (await place.cli(*command, may_end_with=(1, 2))).told
        assert f"run {run} has entered it by the address {place.billing.url}" in told
        assert f"--api-url {place.billing.url} goes on there" in told
    # The marks prove that it is none, whatever the operator believes.
    await place.run(*arguments, "--another-billing", ends=2)
    assert (await place.found()).rows == 2
    # Where nothing is marked the operator is asked which billing it is.
    by_call = ("payment", place.rows("contract_number;amount", "00003;5"), "--set", "way=add_payment")
    run = (await place.run(*by_call))["run"]
    again = ("run", *by_call, "--yes", "--api-url", place.by_name)
    says = [
        f"run {run} has this row at {place.billing.url}, and this one is for {place.by_name}",
        f"give --api-url {place.billing.url}",
    ]
    await place.cli.refused(*again, says=says)
    # The payment is in this one, whatever the operator believes.
    says = ["looks as if entered already, and --yes answers no doubt"]
    await place.cli.refused(*again, "--another-billing", says=says)
    assert (await place.cli.closing(*again, "--again"))["states"] == {"accepted": 1}


async def test_rows_that_contradict_each_other_in_a_stream_are_named_and_none_is_sent_twice(place: Place) -> None:
    """Pages have a thousand rows: the second says otherwise, or again, what the first has said."""
    ids = [key for (key,) in place.query("select first 900 id from abonents where is_folder = 0 and deleted = 0")]
    said = [*((key, 5) for key in ids), *((key, 6) for key in ids[:700]), *((key, 5) for key in ids[700:])]
    await place.execute("create table said_twice (id integer not null primary key, abonent_id int, amount int)")
    with closing(attach(Dsn(str(place.file)))) as connection:
        statement = "insert into said_twice (id, abonent_id, amount) values (?, ?, ?)"
        cursor = connection.cursor()
        for number, row in enumerate(said, 1):
            cursor.execute(statement, (number, *row))
        connection.commit()
    # Receipts: of opening balances those of an account that another row has set are refused as well.
    arguments = ("--set", "op_type=2", "--yes", "--json", "--no-canary", "--in-flight", "16")
    select = "select id, abonent_id, amount from said_twice"
    ended = await place.cli("run", "balances", "--sql", select, *arguments, may_end_with=(1,))
    assert (ended.closing["states"], ended.closing["refused"]) == ({"accepted": 900}, 900)
    ended.saying(
        [
            "the same key with 5.00 there and 6.00 here; that row of the run's input stays",
            "… and 880 more; all of them with: carbon-migrate export",
        ]
    )
    await place.landed_once(900)
    assert Decimal(ended.closing["amounts"]["accepted"]) == 4500
    (run,) = await place.runs()
    assert run.approved_at is not None
    assert run.frozen_at is not None
    assert run.approved_at < run.frozen_at


async def test_rows_that_the_billing_rejects_end_with_1_and_their_reasons(place: Place) -> None:
    place.traffic.answer = lambda number: refusal("Объект уже удалён: [red]") if number % 3 == 0 else None
    balances = ("run", "balances", place.balances(9).path)
    ended = await place.cli.closing(*balances, "--yes", "--no-canary", ends=1)
    assert ended["states"] == {"accepted": 6, "rejected": 3}
    await place.cli("verify", ended["run"], may_end_with=(1,))
    # One that refuses all work stops the run, and lost answers are looked up.
    before = place.traffic.arrived
    place.traffic.answer = lambda number: refusal("Превышена лицензия") if number > before + 5 else None
    more = place.balances(20)
    ended = await place.run("balances", more.path, "--again", ends=3)
    assert "Превышена лицензия" in ended["stopped"]
    assert ended["states"] == {"accepted": 5, "pending": 15}
    place.traffic.answer = lambda number: web.Response(status=500, text="<h1>crash</h1>") if number % 4 == 0 else None
    assert (await place.cli.closing("resume", "--settle", "0.1"))["states"] == {"accepted": 20}


async def test_a_run_that_was_not_approved_gives_way_to_the_mended_file(place: Place) -> None:
    path = place.balances(4).path
    async with place.journal() as journal:
        # As a kill during the intake leaves it.
        left = await journal.create_run(NewRun("balances", {}, place.billing.url, str(path), "another digest"))
    assert (await place.run("balances", path))["states"] == {"accepted": 4}
    assert {run.name: run for run in await place.runs()}[left.name].discarded_at


# ---- what is read back, and what is shown of runs ----------------------------------------------------------------


PAID = ("--chain", 'objects.get {"id": {id}}', "--chain", 'add_payment {"SUM_IN": "777.77"}')
LOOK_UP = "select op_id from finance_operations where op_summa = 7777700000000 and abonent_id = :id"


async def test_what_cannot_be_read_back_is_told_apart_from_what_differs(place: Place) -> None:
    call = ("call", "--model", "Abonents", *PAID)
    name = (await place.run(*call, "--set", "id=2003"))["run"]
    closing = await place.cli.closing("verify", name, ends=4)
    assert closing["states"] == {"accepted": 1}
    assert (closing["as_wanted"], closing["different"], closing["unreadable"]) == (0, 0, 1)
    said = await place.cli.told("verify", name, ends=4)
    for words in (
        f"! run {name}: 0 rows as sent, 1 that cannot be read back",
        "? 1 row: no look-up was given for this call: look in the billing whether it is there",
        # Once more it would tell the same: what helps is to look there.
        f"carbon-migrate export {name} --state accepted",
    ):
        assert words in said
    assert [words for words in ("different", "carbon-migrate verify") if words in said] == []
    assert len(place.query(LOOK_UP, id=2003)) == 1
    looked_for = (await place.run(*call, "--set", "id=2004", "--look-up", LOOK_UP))["run"]
    assert (await place.cli.closing("verify", looked_for))["states"] == {"applied": 1}


async def test_the_end_of_a_run_tells_the_pace_that_compare_tells(place: Place) -> None:
    ended = await place.cli("run", "balances", place.balances(200).path, "--yes", "--rate", "20", "--no-canary")
    (run,) = [run.name for run in await place.runs()]
    both = json.loads((await place.cli("compare", run, run, "--json")).out)
    told = re.search(r"the pace of the run while sending: ([\d.]+) rows/s", ended.shown)
    assert told, ended.shown
    assert float(told[1]) == pytest.approx(both["runs"][0]["per_second"], rel=0.05) == pytest.approx(20, rel=0.2)
