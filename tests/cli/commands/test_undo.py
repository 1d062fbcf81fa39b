"""The way back as an operator takes it, held against the whole database; what has ended for good is never sent."""

import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_plus

import pytest
from aiohttp import web

from billing.money import SCALE
from checkpoints.records import Change, Stage
from checkpoints.states import State
from tests.cli.conftest import Balances, Ended, Place
from tests.cli.settings.test_profiles import storno_restores
from tests.cli.terminal.terminals import answered, at_a_terminal, killed_at
from tests.cli.test_import import subscriber, table
from tests.jobs.whole_database import changes

ROWS = 12
SETTLE = ("--settle", "0.1")
STORNO = ("--set", "way=storno")
OPPOSITE = ("--set", "way=opposite")
SLOW = ("--rate", "4", "--in-flight", "1", "--no-canary")
REASON = "the file was that of October"
REVERSED = "select count(*), count(distinct op_id) from finance_operations where op_type = 8 and storno = 1"


def subscribers(place: Place) -> list[int]:
    """Writes a file of subscribers, each with an account of its own."""
    ids = place.subscribers(ROWS)
    place.rows("abonent_id", *map(str, ids), name="subscribers.csv")
    return ids


async def set_threshold(place: Place, abonent: int, roubles: int) -> None:
    """What somebody does by hand, behind the billing's back."""
    sql = "update admin_accounts set limit_warning = ? where id = (select account_id from abonents where id = ?)"
    await place.execute(sql, roubles * SCALE, abonent)


async def undo(place: Place, name: str, *more: str, may_end_with: tuple[int, ...] = (0,)) -> Ended:
    return await place.cli("undo", name, "--yes", "--json", *SETTLE, *more, may_end_with=may_end_with)


async def untouched(_: str) -> None:
    """Nobody does anything meanwhile."""


async def undone(place: Place, name: str, *more: str) -> str:
    """The name of the undo of a run, all of whose rows are taken back."""
    ended = await undo(place, name, *more)
    assert ended.closing["states"].keys() == {"accepted"}
    return str(ended.closing["run"])


# ---- there and back ----------------------------------------------------------------------------------------------


async def test_undo_undo_of_undo_and_undo_again_give_each_state_as_it_was(place: Place) -> None:
    first = place.tables
    subscribers(place)
    run = (await place.run("warning-threshold", "subscribers.csv", "--set", "amount=-77"))["run"]
    second = place.tables
    assert len(changes(first, second)["ADMIN_ACCOUNTS"]) == ROWS
    back = (await undo(place, run)).closing
    assert (back["job"], back["states"]) == ("undo", {"accepted": ROWS})
    assert changes(first, place.tables) == {}
    assert (await place.cli.closing("verify", back["run"]))["states"] == {"applied": ROWS}
    await undone(place, back["run"])
    assert changes(second, place.tables) == {}
    again = await undone(place, run)
    assert changes(first, place.tables) == {}
    number = len(await place.runs())
    nothing = await undo(place, run)
    assert (nothing.closing["run"], nothing.closing["states"]) == (None, {})
    assert f"run {run} is taken back already, by run {again}. Nothing was sent." in nothing.words
    assert len(await place.runs()) == number


@pytest.mark.parametrize(
    ("status", "left", "is_late", "database"),
    [(500, "unknown", False, True), (400, "unconfirmed", False, False), (504, "unknown", True, False)],
)
async def test_a_row_that_has_its_effect_and_no_answer_that_says_so_is_taken_back_too(
    place: Place, status: int, left: str, *, is_late: bool, database: bool
) -> None:
    asked, first = place, place.tables
    if not database:
        place.without_database()
    ids = subscribers(asked)
    asked.traffic.model, asked.traffic.method = "AdminAccounts", "save"

    async def answered_by_a_proxy(body: str) -> None:
        is_second = re.search(rf"account_id_abonents\D+{ids[1]}\D", unquote_plus(body)) is not None
        if is_second and not is_late:
            await set_threshold(asked, ids[1], -77)
        asked.traffic.answer = lambda _: web.Response(status=status) if is_second else None

    asked.traffic.meanwhile = answered_by_a_proxy
    name = await asked.stopped(
        "warning-threshold", "subscribers.csv", "--set", "amount=-77", "--in-flight", "1", "--no-canary", calls=4
    )
    states = (await asked.cli.closing("status", name))["states"]
    assert states[left] >= 1
    assert states["accepted"] >= 1
    asked.traffic.meanwhile, asked.traffic.answer = untouched, lambda _: None
    in_doubt = f"is in doubt: settle it first, carbon-migrate reconcile {name}"
    await asked.cli.refused("undo", name, "--yes", says=in_doubt)
    async with asked.cli.started("reconcile", name, "--settle", "3" if is_late else "0.1") as settling:
        if is_late:
            # The billing comes to the call only now.
            await settling.said("1 in doubt: a call may still be under way, going on in")
            await set_threshold(asked, ids[1], -77)
        assert (await settling.ended()).exit == 3
    says = "1 row may have had its effect, though no answer says so"
    closed = await asked.cli("close", name, "--reason", REASON)
    assert says in " ".join(closed.out.split())
    ended = await undo(asked, name)
    assert f"{says}: each is looked at, and taken back where it has had it" in ended.words
    assert ended.closing["states"] == {"accepted": states["accepted"] + 1}
    assert changes(first, asked.tables) == {}


async def test_what_somebody_sets_while_a_killed_run_lies_is_what_an_undo_brings_back(asked: Place) -> None:
    first = asked.tables
    ids = subscribers(asked)
    asked.traffic.model = "AdminAccounts/"
    planning = 0 if "CARBON_MIGRATE_DATABASE" in asked.cli.environment else ROWS

    def slow(number: int) -> None:
        asked.billing.latency = 0.5 if number > planning else 0.0

    asked.traffic.answer = slow
    arguments = ("run", "warning-threshold", "subscribers.csv", "--set", "amount=-77", "--yes", "--in-flight", "1")
    await asked.kill_at(planning + 3, *arguments, "--no-canary")
    asked.traffic.answer = lambda _: None
    asked.billing.latency = 0.0
    (run,) = await asked.runs()
    for one in ids[-2:]:
        await set_threshold(asked, one, -555)
    ended = await asked.cli("resume", "--json", *SETTLE)
    assert ended.closing["states"] == {"accepted": ROWS}
    assert "accepted 2 × changed between plan and call" in ended.words
    assert "and then limit_warning -555; an undo brings the latter back" in ended.words
    await undone(asked, run.name)
    left = changes(first, asked.tables)
    assert left.keys() == {"ADMIN_ACCOUNTS"}
    assert [now for row in left["ADMIN_ACCOUNTS"].values() for _, now in row.values()] == [-555 * SCALE] * 2


async def test_an_undo_killed_in_the_middle_is_taken_up_and_reverses_each_row_once(place: Place) -> None:
    """Its run, which was stopped, has ended by then."""
    run, _, rows = await stopped(place, 20)
    await place.kill_at(place.traffic.arrived + 1, "undo", run, *STORNO, "--yes", *SLOW, *SETTLE)
    half = (await place.runs())[-1]
    assert half.stage is Stage.APPROVED
    await sends_nothing(place, "resume", run, "--yes", *SETTLE, says=f"its undo is run {half.name}")
    await place.cli.refused("undo", run, *STORNO, "--yes", says=f"resume {half.name}")
    says = f"run {half.name} takes run {run} back and is not at its end"
    await place.cli.refused("undo", run, *OPPOSITE, "--yes", says=says)
    # A bare resume knows of one run that is not at its end: the undo.
    ended = await place.cli.closing("resume", "--yes", "--rate", "none", *SETTLE)
    assert (ended["run"], ended["states"]) == (half.name, {"accepted": rows})
    assert place.query(REVERSED) == [(rows, rows)]
    async with place.journal() as journal:
        assert await journal.in_effect(await journal.run(run)) == []


async def test_what_a_storno_took_back_is_entered_again_as_the_refusal_advises(place: Place) -> None:
    storno_restores(place)
    run = await place.entered(2)
    storno = await undone(place, run, *STORNO)
    says = "export the rows of the run that was taken back, and run its job on that file"
    await place.cli.refused("undo", storno, "--yes", says=says)
    for command in ("status", "verify"):
        assert f"undo {storno}" not in await place.cli.told(command, run)
    await place.cli("export", run, "--state", "accepted", "-o", "again.csv")
    assert (await place.run("balances", "again.csv"))["states"] == {"accepted": 2}
    # Nothing was switched off: what stands is not entered on top.
    assert (await place.run("balances", "again.csv"))["states"] == {"skipped": 2}


async def test_what_an_undo_has_taken_back_is_restored_by_that_one_and_not_by_the_last(place: Place) -> None:
    """The last one has found that nothing can be taken back."""
    payers = place.subscribers(3)
    file = place.rows("abonent_id;amount", *(f"{one};500" for one in payers))
    run = (await place.run("payment", file))["run"]
    ((last,),) = place.query("select max(op_id) from finance_operations")
    await place.execute("update finance_operations set op_summa = op_summa + 1 where op_id = ?", last)
    first = (await undo(place, run, *OPPOSITE, may_end_with=(1,))).closing
    second = (await undo(place, run, *OPPOSITE, may_end_with=(1,))).closing
    assert [one["states"] for one in (first, second)] == [{"skipped": 1, "accepted": 2}, {"skipped": 1}]
    await place.cli.told("status", run, says=f"undo {first['run']}")
    restored = await undo(place, first["run"], *OPPOSITE)
    assert restored.closing["states"] == {"accepted": 2}
    assert "restore what was taken back" not in await place.cli.told("status", run)


async def test_a_list_for_the_accountant_names_the_command_that_writes_it(place: Place) -> None:
    storno_restores(place)
    run = await place.entered(2)
    before = place.traffic.arrived
    ended = await undo(place, run, may_end_with=(1,))
    listing = ended.closing["run"]
    assert (ended.closing["states"], place.traffic.arrived) == ({"skipped": 2}, before)
    file = f"{listing}-for-the-accountant.csv"
    command = ("export", listing, "--state", "skipped", "-o", file)
    typed = f"carbon-migrate {' '.join(command)}"
    ended.saying([f"! run {listing} has sent nothing: to take run {run} back, the accountant has to enter", typed])
    assert "is done" not in ended.words
    await place.cli.told("undo", run, "--yes", "--quiet", ends=1, says="has sent nothing")
    await place.cli(*command)
    header, *lines = (place.cli.folder / file).read_text(encoding="utf-8-sig").splitlines()
    assert header.startswith("run;row;key;label;amount;answer;")
    operations = place.query("select op_id from finance_operations where op_type = 8 order by op_id")
    for line, (operation,) in zip(lines, operations, strict=True):
        assert f"for the accountant: reverse operation {operation} of " in line
    # In the language of the reader, whatever that of the undo was.
    russian = (await undo(place, run, "--lang", "ru", may_end_with=(1,))).saying(
        [f"загрузка {run}", "бухгалтеру: сторнировать (операция", "на −0,01 ₽ от"]
    )
    export = ("export", russian.closing["run"], "--state", "skipped", "-o", "-")
    assert "бухгалтеру: сторнировать (операция" in (await place.cli(*export, "--lang", "ru")).out
    assert "for the accountant: reverse operation " in (await place.cli(*export)).out


# ---- what has ended for good: taken back by its undo, or closed by a person --------------------------------------


async def stopped(place: Place, rows: int = ROWS) -> tuple[str, Balances, int]:
    """A run that was interrupted in the middle, with nothing in doubt; its name, its file and what it has entered."""
    storno_restores(place)
    balances = place.balances(rows)
    run = await place.stopped("balances", balances.path, *SLOW, by=signal.SIGINT)
    return run, balances, (await states_of(place, run))["accepted"]


async def states_of(place: Place, name: str) -> dict[str, int]:
    totals = await place.totals(name)
    return {str(state): number for state, number in totals.counts.items()}


async def sends_nothing(
    place: Place, *words: str | Path, says: str | Sequence[str] = (), may_end_with: Sequence[int] = (2,)
) -> Ended:
    """What a command says that sends nothing."""
    before = place.tables
    ended = await place.cli(*words, may_end_with=may_end_with)
    assert place.tables == before
    return ended.saying(says)


async def resumed(place: Place, name: str, rows: int = ROWS) -> None:
    assert (await place.cli.closing("resume", name, "--yes", *SETTLE))["states"] == {"accepted": rows}


async def test_what_a_run_that_was_taken_back_has_not_sent_is_never_sent(place: Place) -> None:
    run, balances, rows = await stopped(place)
    back = (await undo(place, run, *STORNO)).closing
    assert back["states"] == {"accepted": rows}
    says = [
        f"run {run} has ended: its undo is run {back['run']} (",
        f"{ROWS - rows} rows of it were not sent, and never are",
        f"carbon-migrate run balances {balances.path}",
    ]
    resumed = await sends_nothing(place, "resume", run, "--yes", *SETTLE, says=says)
    # A storno is final.
    assert f"undo {back['run']}" not in resumed.words
    bare = await sends_nothing(place, "resume", "--yes", *SETTLE, may_end_with=(0,))
    assert "nothing to resume" in bare.out
    status = await place.cli.told("status", run)
    for words in ("taken back", f"its undo is run {back['run']}", "still in the billing: 0, 0.00"):
        assert words in status
    assert (f"{ROWS - rows} rows never sent" in status, f"resume {run}" in status) == (True, False)
    facts = await place.cli.closing("status", run)
    assert (facts["stage"], facts["taken_back"], facts["ended"]["undone_by"]) == ("taken back", rows, back["run"])
    assert "@" in facts["ended"]["by"]
    (one,) = [one for one in (await place.cli.closing("status", "--all"))["runs"] if one["run"] == run]
    assert (one["stage"], one["group"], one["needs"], one["rows"]) == ("taken back", "ended", [], rows)
    assert "in the billing: 0" in (await place.cli("status", "--all")).out
    report = await place.cli("report", run, "-o", "-", may_end_with=(0, 1, 3))
    assert f"its undo is run {back['run']}" in report.told
    # The corrected file is held back by nothing.
    assert (await place.run("balances", balances.path))["states"] == {"accepted": ROWS}
    await sends_nothing(place, "purge", run, "--yes", may_end_with=(0,))


async def test_an_undo_that_asks_ends_nothing_and_one_that_was_killed_there_is_out_of_date(place: Place) -> None:
    """While it asks nothing sends the run; given up, it has ended nothing."""
    run, _, _ = await stopped(place)
    await sends_nothing(place, "undo", run, *STORNO)
    await answered(place, "undo", run, *STORNO, says=[("[y/N]", "n")], ends=2)
    with at_a_terminal(place, "undo", run, *STORNO) as terminal:
        await terminal.shows("[y/N]")
        says = "another process works on this run"
        await sends_nothing(place, "resume", run, "--yes", *SETTLE, says=says)
        terminal.dies()
        await terminal.ends()
    back = (await place.runs())[-1].name
    await resumed(place, run)
    says = f"run {run} has other rows in the billing than when this undo was listed"
    await sends_nothing(place, "resume", back, "--yes", *SETTLE, says=says)
    assert (await place.runs())[-1].stage is Stage.DISCARDED
    # Typed again, it takes back all of them, each once.
    assert (await undo(place, run, *STORNO)).closing["states"] == {"accepted": ROWS}
    assert place.query(REVERSED) == [(ROWS, ROWS)]


async def test_after_the_undo_of_the_undo_the_effects_stand_and_the_rest_stays_unsent(place: Place) -> None:
    run, balances, rows = await stopped(place)
    await undone(place, await undone(place, run, *OPPOSITE), *OPPOSITE)
    facts = await place.cli.closing("status", run)
    assert (facts["stage"], facts["taken_back"]) == ("closed", 0)
    await sends_nothing(place, "resume", run, "--yes", *SETTLE)
    again = await place.run("balances", balances.path)
    assert again["states"] == {"accepted": ROWS - rows, "skipped": rows}


async def test_close_ends_a_stopped_run_by_name_and_with_a_reason(place: Place) -> None:
    run, balances, rows = await stopped(place)
    await sends_nothing(place, "run", "balances", balances.path, "--yes", says=f"resume {run}")
    await sends_nothing(place, "close", run, "--reason", "  ")
    closed = (await sends_nothing(place, "close", run, "--reason", REASON, "--json", may_end_with=(0,))).closing
    assert (closed["states"], closed["ended"]["why"]) == ({"accepted": rows, "pending": ROWS - rows}, REASON)
    says = f": {REASON}. {ROWS - rows} rows of it were not sent, and never are"
    await sends_nothing(place, "resume", run, "--yes", *SETTLE, says=says)
    await sends_nothing(place, "close", run, "--reason", "x", says="has ended: closed by ")
    status = await place.cli.told("status", run)
    assert [words for words in (f"{run}, closed", f"close: {REASON} (") if words not in status] == []
    assert f"resume {run}" not in status
    # Nobody reads of these rows that they are still to be sent, and the report has each of them.
    reported = ("report", run, "-o", "report.html", "--force")
    for words in (("status", run), ("status",), ("verify", run), reported):
        told = await place.cli.told(*words)
        assert [said for said in ("pending", "to be sent") if said in told] == []
    assert (await place.cli.closing(*reported))["exceptions"] == ROWS - rows
    page = (place.cli.folder / "report.html").read_text()
    assert (page.count("never sent"), "to be sent" in page) == (ROWS - rows + 2, False)
    assert (await place.cli.closing("verify", run))["states"] == {"applied": rows, "pending": ROWS - rows}
    # What is in the list counts, and what is not sent holds nothing back.
    again = await place.run("balances", balances.path)
    assert again["states"] == {"accepted": ROWS - rows, "skipped": rows}
    # What stands can be taken back all the same.
    assert (await undo(place, run, *STORNO)).closing["states"] == {"accepted": rows}


async def test_a_run_that_works_is_in_doubt_or_is_done_is_neither_closed_nor_taken_back(place: Place) -> None:
    path, close = place.balances(ROWS).path, ("--reason", REASON)
    async with place.cli.started("run", "balances", path, "--yes", *SLOW) as going:
        await place.traffic.reaches(2)
        (run,) = await place.runs()
        await place.cli.refused("close", run.name, *close, says="another process works on this run")
        says = f"Wait for it, or stop it: carbon-migrate stop {run.name}"
        await place.cli.refused("undo", run.name, *STORNO, "--yes", says=says)
        # The answer to the next call is still to come when it is killed.
        async with place.holding():
            await place.traffic.reaches(place.traffic.arrived + 1)
            going.signal(signal.SIGKILL)
            await going.ended()
    assert (await states_of(place, run.name)).keys() & {"sending", "unknown"}
    says = f"reconcile {run.name}"
    await sends_nothing(place, "close", run.name, *close, says=says)
    await sends_nothing(place, "undo", run.name, *STORNO, "--yes", says=["in doubt", says])
    await place.billing.wait_for_requests()
    await resumed(place, run.name)
    await sends_nothing(place, "close", run.name, *close, says="is at its end")


async def test_a_run_that_nobody_agreed_to_is_given_up_by_close(place: Place) -> None:
    await killed_at("[y/N]", place, "run", "balances", place.balances(3).path)
    (run,) = await place.runs()
    await sends_nothing(place, "close", run.name, "--reason", REASON, may_end_with=(0,))
    assert (await place.runs())[0].stage is Stage.DISCARDED
    await sends_nothing(place, "close", run.name, "--reason", REASON, says="given up")


async def test_a_row_that_a_person_has_to_decide_on_is_named_and_stays_decidable(place: Place) -> None:
    run, _, _ = await stopped(place)
    async with place.journal() as journal, journal.taken_up(await journal.run(run)) as ours:
        item, *_ = await journal.items(ours, {State.PENDING})
        await journal.claim(ours, [item.item_id])
        for state in (State.UNKNOWN, State.MANUAL):
            await journal.record(ours, [Change(item.item_id, state)])
    closed = await sends_nothing(place, "close", run, "--reason", REASON, may_end_with=(0,))
    assert "1 row still waits for a person to decide whether it is in the billing" in closed.told
    await place.cli("decide", run, f"{run}/{item.number}", "pending", "--why", "not there")
    states = await states_of(place, run)
    assert (sum(states.values()), "manual" in states) == (ROWS, False)
    await sends_nothing(place, "resume", run, "--yes", *SETTLE)


@pytest.mark.parametrize("change", [False, True], ids=["the same file", "a changed file"])
async def test_what_an_undo_is_still_to_take_back_is_not_loaded_meanwhile(place: Place, *, change: bool) -> None:
    ids = place.subscribers(ROWS)
    rows = ["abonent_id;amount;document", *(f"{one};500;D{one}" for one in ids)]
    file = place.rows(*rows, name="pay.csv")
    pays = ("run", "payment", file, "--yes", "--no-canary", *SETTLE)
    run = (await place.cli.closing(*pays))["run"]
    # The call that it is killed with is in doubt.
    place.billing.latency = 0.5
    await place.kill_at(place.traffic.arrived + 3, "undo", run, *OPPOSITE, "--yes", *SLOW, *SETTLE)
    place.billing.latency = 0.0
    half = (await place.runs())[-1].name
    if change:
        place.rows(*rows[:-1], f"{ids[-1]};700;other", name="pay.csv")
    says = [f"undo {half} of run {run} is not finished", f"carbon-migrate resume {half}", f"close {half} --reason"]
    for more in ((), ("--again",), ("--skip-bad",)):
        await sends_nothing(place, *pays, *more, says=says)
    await sends_nothing(place, "plan", *pays[1:3], says=says)
    # Rows that the undo does not concern are loaded.
    place.rows(rows[0], f"{ids[0]};500;a further one", name="pay.csv")
    assert (await place.cli.closing("plan", *pays[1:3]))["states"] == {"pending": 1}
    assert (await place.cli.closing(*pays))["states"] == {"accepted": 1}
    if change:
        # Given up in its stead, as it was told, row by row.
        doubt = await sends_nothing(place, *pays[:2], place.rows(*rows, name="pay.csv"), *pays[3:])
        assert re.search(rf"settle \w+ first, carbon-migrate reconcile {half} .*\n.*migrate close {half}", doubt.err)
        await sends_nothing(place, "close", half, "--reason", REASON, says=f"reconcile {half}")
        await place.cli("reconcile", half, *SETTLE, may_end_with=(3,))
        closed = await sends_nothing(place, "close", half, "--reason", REASON, may_end_with=(0,))
        assert f"take back what stands of run {run} carbon-migrate undo {run} --set way=opposite" in closed.told
        await sends_nothing(place, "resume", half, "--yes", says=f"To take back what stands of run {run}:")
        await undone(place, run, *OPPOSITE)
    else:
        await place.cli.closing("resume", half, "--yes", "--rate", "none", *SETTLE)
    place.rows(*rows, name="pay.csv")
    assert (await place.cli.closing(*pays))["states"] == {"accepted": ROWS}
    ((entered,),) = place.query("select sum(op_summa) from finance_operations where descr containing '[cm '")
    assert entered == 500 * (ROWS + 1) * SCALE


async def test_what_an_undo_is_still_to_restore_is_neither_gone_nor_entered_by_another_run(place: Place) -> None:
    ids = place.subscribers(ROWS + 1)
    rows = ["abonent_id;amount;document", *(f"{one};500;D{one}" for one in ids[:ROWS])]
    file = place.rows(*rows, name="pay.csv")
    pays = ("run", "payment", file, "--yes", "--no-canary", *SETTLE)
    run = (await place.cli.closing(*pays))["run"]
    # A second run, which has refused a row.
    place.rows(rows[0], f"{ids[ROWS]};500;other", f"{ids[ROWS - 1]};five;D{ids[ROWS - 1]}", name="few.csv")
    few = (await place.run("payment", "few.csv", "--no-canary", "--skip-bad", *SETTLE, ends=1))["run"]
    await place.cli("export", few, "--state", "bad", "-o", "bad.csv")
    bad = place.cli.folder / "bad.csv"
    bad.write_text(bad.read_text("utf-8-sig").replace("five", "500"), encoding="utf-8")
    back = await undone(place, run, *OPPOSITE)
    place.billing.latency = 0.5
    await place.kill_at(place.traffic.arrived + 3, "undo", back, *OPPOSITE, "--yes", *SLOW, *SETTLE)
    place.billing.latency = 0.0
    half = (await place.runs())[-1].name
    says = [f"undo {half} of run {back} is not finished", f"carbon-migrate resume {half}"]
    for more in ((), ("--again",), ("--skip-bad",)):
        await sends_nothing(place, *pays, *more, says=says)
        await sends_nothing(place, *pays[:2], bad, "--continue", few, *pays[3:], *more, says=says)
    await sends_nothing(place, "plan", *pays[1:3], says=says)
    await place.cli.closing("resume", half, "--yes", "--rate", "none", *SETTLE)
    ((entered,),) = place.query("select sum(op_summa) from finance_operations where descr containing '[cm '")
    assert entered == 500 * (ROWS + 1) * SCALE


async def test_a_balance_of_a_new_subscriber_is_taken_back_without_the_database(asked: Place) -> None:
    asked.rows("Договор;ФИО;Остаток", *(f"Н-{one};Имя;{one},50" for one in range(1, 4)), name="subs.csv")
    imports = ("import", "subs.csv", "--yes", "--no-canary", *SETTLE)
    run = (await asked.cli.closing(*imports))["run"]
    # Somebody has paid since: this subscriber stays as a whole.
    paid = abonent_of(asked, "Н-2")
    await asked.execute(
        "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date) values (9000001, ?, 2, ?, ?)",
        *(paid, 50 * SCALE, "2026-11-29"),
    )
    ended = await undo(asked, run, may_end_with=(1,))
    assert ended.closing["by_step"]["balance"]["accepted"] == 2
    ended.saying(["left alone with its subscriber", "once the reasons are mended", f"undo {run}"])
    there = asked.query("select contract_number from abonents where deleted = 0 and contract_number starting 'Н-'")
    assert there == [("Н-2",)]


# ---- a billing that was put back from its backup ------------------------------------------------------------------


NEW: Final = ("finance_operations", "users_usluga", "attribute_values", "users", "abonents", "admin_accounts")
"""What a load makes, the owned before the owners."""


def backup(place: Place) -> dict[str, tuple[str, int]]:
    """The last ids of the billing as it is, by table, each with the column of its ids."""
    keys = {table: "op_id" if table == "finance_operations" else "id" for table in NEW}
    found = {table: place.query(f"select max({key}) from {table}") for table, key in keys.items()}  # noqa: S608 - ours
    return {table: (keys[table], last or 0) for table, ((last,),) in found.items()}


async def put_back(place: Place, backup: Mapping[str, tuple[str, int]]) -> None:
    """The billing as it was: what has come since is gone, and the next has its ids."""
    await place.execute("update abonents set parent_id = null where id > ?", backup["abonents"][1])
    for name, (key, last) in backup.items():
        await place.execute(f"delete from {name} where {key} > ?", last)  # noqa: S608 - ours
        await place.execute(f"set generator gen_{name}_id to {last}")


@pytest.mark.parametrize("way", [STORNO, OPPOSITE], ids=["storno", "opposite"])
async def test_an_undo_leaves_alone_what_has_its_ids_since_the_billing_was_put_back(
    asked: Place, way: Sequence[str]
) -> None:
    """Its own operations are gone, and others of the same subscribers and sums have their ids."""
    rows = [f"{one};500;D{one}" for one in asked.subscribers(3)]
    file = asked.rows("abonent_id;amount;document", *rows, name="pay.csv")
    pays = ("payment", file, "--no-canary", "--in-flight", "1", *SETTLE)
    evening = backup(asked)
    first = (await asked.run(*pays))["run"]
    await put_back(asked, evening)
    second = (await asked.run(*pays, "--again"))["run"]
    marked = "select op_id, descr from finance_operations where descr containing '[cm ' and storno = 0 order by op_id"
    (_, descr), *_ = there = asked.query(marked)
    assert f"[cm {second}/1]" in descr
    ended = await undo(asked, first, *way)
    assert (asked.query(marked), ended.closing["states"]) == (there, {"skipped": 3})
    says = f"✓ run {ended.closing['run']} is done: of what it was to take back, nothing is in effect any more"
    ended.saying([says, "skipped 3 × gone since", "its id is another's by now, operation"])
    # Nor is what a cashier has entered by hand, or has written another comment to.
    comment = "update finance_operations set descr = ? where op_id = ?"
    await asked.execute(comment, "касса", there[0][0])
    its_own = f"If it is the row's own, write [cm {second}/1] at the end of its comment"
    await asked.cli.told("verify", second, ends=1, says=its_own)
    back = await undo(asked, second, *way, may_end_with=(1,))
    assert back.closing["states"] == {"skipped": 1, "accepted": 2}
    kept = "select storno from finance_operations where op_id = :id"
    assert asked.query(kept, id=there[0][0]) == [(0,)]
    name = back.closing["run"]
    back.saying(
        [
            f"! run {name} is done, and 1 row was not taken back: as far as is known, it is in effect",
            f"operation {there[0][0]} of 500.00",
            its_own,
            f"export {name} --state skipped -o {name}-left-alone.csv",
            f"undo {second} --set way=",
        ]
    )
    assert f"undo {second} --set way=" in await asked.cli.told("status", name)
    facts = await asked.cli.closing("status", second)
    assert (facts["stage"], facts["taken_back"]) == ("done", 2)
    assert "done, partly taken back" in await asked.cli.told("status", second)
    await asked.execute(comment, f"касса [cm {second}/1]", there[0][0])
    assert (await undo(asked, second, *way)).closing["states"] == {"accepted": 1}


@pytest.mark.parametrize("given_again", [False, True], ids=["gone", "ids given again"])
async def test_the_undo_of_what_a_backup_has_lost_leads_on_to_its_file(asked: Place, *, given_again: bool) -> None:
    ids = asked.subscribers(6)
    for name, of in (("pay.csv", ids[:3]), ("other.csv", ids[3:])):
        asked.rows("abonent_id;amount;document", *(f"{one};500;D{one}" for one in of), name=name)
    pays = ("payment", "pay.csv", "--no-canary", *SETTLE)
    evening = backup(asked)
    first = (await asked.run(*pays))["run"]
    await put_back(asked, evening)
    if given_again:
        await asked.run("payment", "other.csv", "--no-canary", *SETTLE)
    there = asked.tables
    await asked.cli.refused("run", *pays, "--yes", says="the billing does not show it any more")
    # Without a way, as it is typed first: there is nothing for the accountant either.
    ended = await undo(asked, first, *SETTLE)
    ended.saying(f"run {ended.closing['run']} is done: of what it was to take back, nothing is in effect any more")
    assert ("accountant" in ended.words, changes(there, asked.tables)) == (False, {})
    assert (await asked.cli.closing("status", first))["stage"] == "taken back"
    again = await undo(asked, first)
    again.saying(f"run {first} is taken back already, by run {ended.closing['run']}. Nothing was sent.")
    assert (await asked.run(*pays))["states"] == {"accepted": 3}
    assert (await asked.run(*pays, ends=1))["states"] == {"skipped": 3}


async def test_what_has_no_mark_is_the_later_runs_where_the_billing_was_put_back(asked: Place) -> None:
    """Subscribers with their accounts, and payments whose operations nobody can mark."""
    evening = backup(asked)
    asked.rows("Договор;ФИО;Логин", *(f"Н-{one};Имя;new{one}" for one in range(1, 4)), name="subs.csv")
    rows = [f"{one};500;D{one}" for one in asked.subscribers(2)]
    asked.rows("abonent_id;amount;document", *rows, name="pay.csv")
    imports = ("import", "subs.csv", "--yes", "--no-canary", "--in-flight", "1", *SETTLE)
    pays = ("payment", "pay.csv", "--set", "way=add_payment", "--no-canary", "--in-flight", "1", *SETTLE)
    firsts = [(await asked.cli.closing(*imports))["run"], (await asked.run(*pays))["run"]]
    await put_back(asked, evening)
    seconds = [(await asked.cli.closing(*imports))["run"], (await asked.run(*pays, "--again"))["run"]]
    there = asked.tables
    for run, how in zip(firsts, ((), STORNO), strict=True):
        ended = await undo(asked, run, *how)
        assert (ended.closing["states"].keys(), changes(there, asked.tables)) == ({"skipped"}, {})
        assert "entered anew since: run" in ended.words
    for run, how in zip(seconds, ((), STORNO), strict=True):
        assert "accepted" in (await undo(asked, run, *how)).closing["states"]
    assert left(asked) == []


async def test_what_came_after_lost_balances_is_told_though_it_has_their_ids(asked: Place) -> None:
    ids = asked.subscribers(4)
    asked.rows("abonent_id;amount", *(f"{one};500" for one in ids), name="balances.csv")
    asked.rows("abonent_id;amount", *(f"{one};50" for one in ids[:3]), name="pay.csv")
    slowly = ("--no-canary", "--in-flight", "1", *SETTLE)
    evening = backup(asked)
    run = (await asked.run("balances", "balances.csv", *slowly))["run"]
    await put_back(asked, evening)
    await asked.run("payment", "pay.csv", *slowly)
    account = "(select account_id from abonents where id = ?)"
    await asked.execute(f"update admin_accounts set ostatok = 0 where id = {account}", ids[3])  # noqa: S608 - ours
    accounts = (await asked.cli.closing("verify", run, ends=1))["accounts"]
    assert (accounts["with_later_operations"], accounts["compared"], accounts["different"]) == (3, 1, 1)


async def test_an_import_that_a_backup_has_lost_and_that_was_made_again_leaves_nothing_of_the_first(
    place: Place,
) -> None:
    """Folders and subscribers have each other's ids by now, and the same subscriber is in a folder of another id."""
    evening = backup(place)
    imports = ("import", "subs.csv", "--yes", "--no-canary", "--in-flight", "1", *SETTLE)
    people = [subscriber(one, folder=f"Новые {one % 2}") for one in range(1, 5)]
    place.write(table(people), "subs.csv")
    first = (await place.cli.closing(*imports))["run"]
    await put_back(place, evening)
    place.write(table([people[1], people[0], *people[2:]]), "subs.csv")
    second = (await place.cli.closing(*imports))["run"]
    there = place.tables
    ended = await undo(place, first)
    assert (ended.closing["states"].keys(), changes(there, place.tables)) == ({"skipped"}, {})
    ended.saying(["of what it was to take back, nothing is in effect any more", f"run {second} has this row again"])
    assert "accepted" in (await undo(place, second, *OPPOSITE)).closing["states"]
    assert left(place) == []


async def test_a_service_that_bears_another_comment_by_now_is_left_alone(
    place: Place,
) -> None:
    ids = place.subscribers(2)
    place.rows("abonent_id", *map(str, ids), name="services.csv")
    ((service,),) = place.query("select min(id) from usluga where deleted = 0")
    given = ("--set", f"usluga={service}", "--set", "manager=1")
    run = (await place.run("connect-service", "services.csv", *given, "--no-canary", *SETTLE))["run"]
    await place.execute(
        "update users_usluga set comment = 'касса' where abonent_id = ? and comment containing '[cm '", ids[0]
    )
    ended = await undo(place, run, may_end_with=(1,))
    assert ended.closing["states"] == {"skipped": 1, "accepted": 1}
    ended.saying(["left alone, for it was changed, or its id is another's by now: connected service", "касса"])


# ---- what others and the run itself set meanwhile ------------------------------------------------------------------


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

CHANGED = "changed between plan and call"


def thresholds(place: Place) -> list[int]:
    """Writes a file of subscribers, the first two with one account; their ids."""
    ids = [*place.of_one_account()[1:], *place.subscribers(2)]
    place.rows("abonent_id;limit_warning", *(f"{one};-{70 + number}" for number, one in enumerate(ids)))
    return ids


async def test_what_a_later_run_has_set_over_names_that_run(asked: Place) -> None:
    """Where it is read back, and where it is left alone; not a run that found it as wanted, nor a person."""
    ids = subscribers(asked)[:3]
    threshold = ("warning-threshold", "some.csv", "--set")
    asked.rows("abonent_id", *map(str, ids), name="some.csv")
    first = (await asked.run(*threshold, "amount=-100"))["run"]
    assert (await asked.run(*threshold, "amount=-100"))["states"] == {"skipped": 3}
    await set_threshold(asked, ids[0], -300)
    told = await asked.cli.told("verify", first, ends=1)
    assert ("✗ " in told, "has set it since" in told) == (True, False)
    asked.rows("abonent_id", *map(str, ids[1:]), name="some.csv")
    later = (await asked.run(*threshold, "amount=-200"))["run"]
    named = f"run {later} has set it since"
    assert (await asked.cli.told("verify", first, ends=1)).count(named) == 2
    ended = await undo(asked, first, may_end_with=(1,))
    assert (ended.closing["states"], named in ended.words) == ({"skipped": 3}, True)


async def test_a_run_that_was_killed_still_knows_what_it_has_set(place: Place) -> None:
    """Two of its rows set one account, and somebody else sets it in between."""
    ids = sorted([*place.of_one_account()[1:], *place.subscribers(2)])
    place.traffic.model = "AdminAccounts/"
    select = f"select id as abonent_id, -700 as limit_warning from abonents where id in {(*ids,)} order by id"  # noqa: S608
    arguments = ("run", "tariff-threshold", "--sql", select, "--yes", "--rate", "1", "--in-flight", "1")
    await place.kill_at(1, *arguments, "--no-canary")
    await set_threshold(place, ids[1], -555)
    ended = await place.cli("resume", "--json", *SETTLE)
    assert ended.closing["states"] == {"accepted": 4}
    # What somebody else has set is told as ever, and what the run itself has set is no warning.
    ended.saying([f"accepted 1 × {CHANGED}", "and then limit_warning -555"])
