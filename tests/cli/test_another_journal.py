"""The billing is the witness: what others have entered is known.

These are another journal, a newer copy of this one, another job of the same journal, and people.

Before the list is made, between the list and the call, while a run lies, and when it is read back.
"""

import shutil
import signal
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import pytest

from billing.api.calls import create
from billing.api.client import BillingClient, ClientSettings
from checkpoints.journal import open_journal
from cli.session.journal import only_journal
from cli.terminal.exits import Exit
from engine.evidence import Accepted
from engine.pipeline.witness import FRESH
from tests.checkpoints.samples import frozen_run, new_item
from tests.cli.conftest import MODEL, Ended, Place
from tests.cli.settings.test_profiles import storno_restores
from tests.cli.terminal.terminals import answered
from tests.cli.test_import import subscriber, table

SELECT = "select id as abonent_id, 1.50 as amount from abonents where is_folder = 0 and deleted = 0 and id < 2010"
STORNO = ("--set", "way=storno", "--set", "storno_call=storno", "--yes")
ELSEWHERE = ("--journal", "elsewhere.journal")


def copied(journal: Path, to: Path) -> None:
    """A copy of a journal as a backup makes it, of one moment and whole."""
    with closing(sqlite3.connect(journal)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


def lost(journal: Path) -> None:
    for behind in ("", "-wal", "-shm"):
        journal.with_name(journal.name + behind).unlink(missing_ok=True)


def put_back(copy: Path, journal: Path) -> None:
    lost(journal)
    shutil.copy(copy, journal)


async def test_what_another_journal_has_entered_is_refused_with_its_run(asked: Place) -> None:
    """By another journal, by one that was lost, and by a file of 0 bytes in its place."""
    path = asked.balances(5).path
    run = (await asked.run("balances", path))["run"]
    says = [f"entered from another journal: run {run}", "If it is meant to replace it, run with --again"]
    planned = await asked.cli.told("plan", "balances", path, *ELSEWHERE, ends=1)
    assert all(words in planned for words in says)
    await asked.cli.refused("run", "balances", path, "--yes", *ELSEWHERE, says=says)
    lost(asked.cli.journal)
    await asked.cli.refused("run", "balances", path, "--yes", says=says)
    lost(asked.cli.journal)
    asked.cli.journal.write_bytes(b"")
    await asked.cli.refused("run", "balances", path, "--yes", says=says)
    assert (await asked.found()).rows == 5
    again = ("run", "balances", path, *ELSEWHERE, "--again")
    shown = await answered(asked, *again, says=[("Send these 5 rows", "n")], ends=2)
    assert says[0] in " ".join(shown.split())
    await asked.run(*again[1:])
    assert (await asked.found()).rows == 10


async def test_rows_that_are_streamed_are_refused_as_well_until_they_are_reversed(place: Place) -> None:
    storno_restores(place)
    rows = ("run", "balances", "--sql", SELECT, "--yes", "--json")
    first = (await place.cli(*rows)).closing
    entered = first["states"]["accepted"]
    assert entered > 3
    ended = await place.cli(*rows, *ELSEWHERE, may_end_with=(1,))
    assert (ended.closing["states"], ended.closing["refused"]) == ({}, entered)
    assert f"entered from another journal: run {first['run']}" in ended.told
    assert (await place.found()).rows == entered
    await place.cli("undo", first["run"], *STORNO)
    assert (await place.cli(*rows, *ELSEWHERE)).closing["states"] == {"accepted": entered}


async def with_a_refused_row(place: Place) -> str:
    """A run that has entered one row, and left one to be corrected."""
    place.write("contract_number;amount\n00003;5\nnobody;6\n")
    return str((await place.run("balances", "balances.csv", "--skip-bad", ends=1))["run"])


async def test_a_corrected_row_that_was_entered_from_another_journal_is_refused(place: Place) -> None:
    run = await with_a_refused_row(place)
    place.write("contract_number;amount\n00004;6\n", "elsewhere.csv")
    other = await place.run("balances", "elsewhere.csv", "--journal", "other.journal")
    place.write(f"contract_number;amount;carbon_row\n00004;6;{run}/r1\n", "corrected.csv")
    again = ("run", "balances", "corrected.csv", "--continue", run, "--yes")
    await place.cli.refused(*again, says=f"entered from another journal: run {other['run']}")
    assert (await place.found()).rows == 2


async def test_whoever_trusts_the_journal_is_told_what_was_not_looked_at(place: Place) -> None:
    path = place.balances(6).path
    name = (await place.run("balances", path, "--limit-money", "0.2", ends=3))["run"]
    ended = await place.cli("resume", name, "--yes", "--limit-money", "none", "--trust-journal")
    assert "was not asked for rows that another copy of this journal may have sent" in ended.told
    assert (await place.found()).rows == 6


# ---- a number of a run that two copies of its journal have given to two rows -------------------------------------


async def renumbered(place: Place, newer: str, older: str, *, may_end_with: int = 0) -> tuple[str, Ended]:
    """A run whose row 2 is `newer` in the billing, and `older` in the journal, which was put back from a copy."""
    run = await with_a_refused_row(place)
    copied(place.cli.journal, place.cli.folder / "nightly.copy")
    again = ("run", "balances", "corrected.csv", "--continue", run, "--yes", "--json")
    for row in (newer, older):
        put_back(place.cli.folder / "nightly.copy", place.cli.journal)
        place.write(f"contract_number;amount;carbon_row\n{row};{run}/r1\n", "corrected.csv")
        if row == newer:
            await place.cli(*again)
    return run, await place.cli(*again, may_end_with=(may_end_with,))


async def test_a_mark_whose_number_is_another_rows_here_is_no_sign_that_the_row_is_known(asked: Place) -> None:
    """Nor is it after an undo, and a purge as well."""
    storno_restores(asked)
    run, _ = await renumbered(asked, "00004;7", "00005;8")
    asked.write("contract_number;amount\n00004;7\n")
    for command in (None, "undo", "purge"):
        if command is not None:
            await asked.cli(command, run, *(STORNO if command == "undo" else ["--yes"]))
        before = dict(asked.billing.ledger.effects(MODEL))
        for words, code in ((["plan"], 1), (["run", "--yes"], 2)):
            told = await asked.cli.told(words[0], "balances", "balances.csv", *words[1:], ends=code)
            assert f"bears the mark of row 2 of run {run}, which is another row in this journal" in told
            assert "--again" in told
        assert asked.billing.ledger.effects(MODEL) == before


async def test_a_balance_that_a_newer_copy_of_the_journal_has_set_is_not_replaced(asked: Place) -> None:
    query = "select contract_number from abonents where id in (:ids) order by id"
    (newer,), (older,) = asked.query(query, ids=list(asked.of_one_account()[1:]))
    _, ended = await renumbered(asked, f"{newer};7", f"{older};8", may_end_with=2)
    assert "this row would replace the opening balance of its account" in ended.told
    assert "entered from another journal: this run, in a newer copy of this journal" in ended.told
    assert (await asked.found()).rows == 2


# ---- between the list and the call, and at the same second -------------------------------------------------------

ROWS = 24
MARK = " [cm zzzzz/7]"
"""Of a run that no journal of this machine has."""
JOBS: dict[str, tuple[str, ...]] = {"balances": ("balances",), "receipts": ("balances", "--set", "op_type=2")}
OP_TYPES = {"balances": 8, "receipts": 2}
MARKS = ("of an unknown run", "of another row of a known run")
WAYS = ("with a database", "without a database")


def amount_of(key: int) -> Decimal:
    return Decimal(100_00 + key) / 100


def rows_of(place: Place, keys: Sequence[int]) -> Path:
    return place.write("\n".join(["abonent_id;amount", *(f"{key};{amount_of(key)}" for key in keys)]) + "\n")


async def mark_of(place: Place, mark: str) -> str:
    """A mark of others. Two copies of a journal may have given one number to two rows."""
    if mark == MARKS[0]:
        return MARK
    file = place.write(f"abonent_id;amount\n{place.subscribers(ROWS + 1)[-1]};3\n", "earlier.csv")
    return f" [cm {(await place.run('balances', file))['run']}/1]"


async def enter(place: Place, op_type: int, entries: Sequence[tuple[int, str]]) -> None:
    """What others enter through the same API: operations of the rows' sums."""
    async with BillingClient(ClientSettings(place.billing.url)) as client:
        for key, text in entries:
            values: dict[str, Any] = {"abonent_id": key, "op_summa": amount_of(key)}
            made = await client.send(create(MODEL, **values, op_type_id=op_type, descr=text))
            assert isinstance(made, Accepted)


async def run_while(place: Place, job: str, keys: Sequence[int], others: Sequence[tuple[int, str]]) -> Ended:
    """A fresh run, during whose first call others enter; what could be looked for ahead was looked for."""
    began: list[str] = []

    async def meanwhile(body: str) -> None:
        if "objects.create" in body and not began:
            began.append(body)
            await enter(place, OP_TYPES[job], others)
            # Longer than a look ahead counts, as a call of a busy billing takes.
            await anyio.sleep(2 * FRESH)

    place.traffic.meanwhile = meanwhile
    flags = ("--yes", "--json", "--in-flight", "1", "--no-canary", "--stop-after-errors", "never")
    return await place.cli("run", *JOBS[job], rows_of(place, keys), *flags, may_end_with=(4,))


@pytest.mark.parametrize(
    ("job", "mark", "way"), [case for number, case in enumerate(product(JOBS, MARKS, WAYS)) if number in {0, 3, 5, 6}]
)
async def test_what_comes_between_list_and_call_is_seen_before_each_call(
    place: Place, job: str, mark: str, way: str
) -> None:
    """Each two of job, mark and way in one case."""
    if way == WAYS[1]:
        place.without_database()
    foreign = await mark_of(place, mark)
    keys = place.subscribers(ROWS)
    by_journal, by_hand = keys[1::3], keys[2::3]
    others = [*((key, "Остаток" + foreign) for key in by_journal), *((key, "Остаток") for key in by_hand)]
    ended = await run_while(place, job, keys, others)
    states = {"accepted": ROWS - len(others), "rejected": len(by_journal), "manual": len(by_hand)}
    assert ended.closing["states"] == states
    assert ("entered from another journal: run zzzzz" in ended.words) == (mark == MARKS[0])
    assert ("which is another row in this journal" in ended.words) == (mark == MARKS[1])
    there = place.billing.ledger.effects(MODEL)
    assert {key: there.get(key, 0) for key in keys} == dict.fromkeys(keys, 1)


@pytest.mark.parametrize(("mark", "way"), [*zip(MARKS, WAYS, strict=True)])
async def test_verify_says_what_another_journal_has_entered_as_well(place: Place, mark: str, way: str) -> None:
    """Two machines at the same second: neither has seen the other."""
    asked = place
    if way == WAYS[1]:
        place.without_database()
    foreign = await mark_of(asked, mark)
    keys = asked.subscribers(6)
    run = (await asked.run("balances", rows_of(asked, keys)))["run"]
    # What was entered by hand, or of another sum, is another entry.
    await enter(asked, 8, [*((key, "Остаток" + foreign) for key in keys[:2]), (keys[2], "Остаток")])
    ended = await asked.cli("verify", run, "--json", may_end_with=(1,))
    sums = [sum(map(amount_of, some), Decimal(0)) for some in (keys, keys[:2])]
    told = ended.closing
    assert (told["different"], told["entered_twice"]) == (2, 2)
    assert (Decimal(told["expected"]), Decimal(told["found"])) == (sums[0], sums[0] + sums[1])
    other, number = foreign.removeprefix(" [cm ").removesuffix("]").split("/")
    twice = f"entered twice: as row 1 of run {run}, and with the marks of others: row {number} of run {other}"
    assert twice in ended.words
    assert "2 of them entered twice" in ended.words
    # Nothing is missing, and nothing is to be entered again.
    assert "no more" not in ended.words


async def test_what_a_person_has_seen_is_not_asked_again(place: Place) -> None:
    keys = place.subscribers(3)
    ended = await run_while(place, "balances", keys, [(key, "Остаток") for key in keys[1:]])
    run = ended.closing["run"]
    assert ended.closing["states"] == {"accepted": 1, "manual": 2}
    for number in ("2", "3"):
        await place.cli("decide", f"{run}/{number}", "pending", "--why", "both are meant")
    # Only one more entry, which nobody has seen, asks once more.
    await enter(place, 8, [(keys[2], "Остаток")])
    again = await place.cli.closing("resume", run, "--yes", "--settle", "0", ends=4)
    assert again["states"] == {"accepted": 2, "manual": 1}
    assert [place.billing.ledger.effects(MODEL)[key] for key in keys] == [1, 2, 2]


# ---- another job of the same journal ------------------------------------------------------------------------------


async def test_an_opening_balance_of_another_job_is_entered_once_and_never_replaced_without_a_word(
    place: Place,
) -> None:
    place.write(table([subscriber(number, balance="200") for number in (1, 2)]), "subs.csv")
    imported = (await place.cli.closing("import", "subs.csv", "--yes"))["run"]
    (other,) = place.subscribers(1)
    ((number,),) = place.query("select contract_number from abonents where id = :id", id=other)
    equal, differing, new = "Н-0001;200", "Н-0002;250", f"{number};5"
    entered = sum(place.billing.ledger.effects(MODEL).values())
    place.rows("contract_number;amount", equal, differing, new, name="b.csv")
    says = f"run {imported} (import)"
    contradicts = "this row says 250.00"
    assert (planned := await place.cli.closing("plan", "balances", "b.csv", ends=1))["states"] == {
        "pending": 1,
        "skipped": 1,
    }
    assert planned["refused"] == 1
    await place.cli.refused("run", "balances", "b.csv", "--yes", says=[says, contradicts, "--again"])
    some = await place.cli("run", "balances", "b.csv", "--yes", "--skip-bad", "--json", may_end_with=(1,))
    assert (some.closing["states"], some.closing["refused"]) == ({"accepted": 1, "skipped": 1}, 1)
    assert f"entered by an earlier run: {imported} (import)" in some.words
    assert sum(place.billing.ledger.effects(MODEL).values()) == entered + 1
    # What is in stays in also from the other side, and money that came meanwhile is not set over.
    place.rows("abonent_id;amount;document", f"{other};33;d1", name="p.csv")
    await place.run("payment", "p.csv")
    ((name,),) = place.query("select name from abonents where id = :id", id=other)
    place.write(table([[number, name, "5"]], ("Договор", "ФИО", "Баланс")), "subs.csv")
    await place.cli.told("import", "subs.csv", "--change", "--yes", says=[f"{some.closing['run']} (balances)"])
    assert place.balance(other) == Decimal(38)


async def test_what_was_taken_back_is_no_entry_of_another_job_and_what_comes_meanwhile_is(place: Place) -> None:
    first, second = place.subscribers(2)
    place.rows("abonent_id;amount", f"{first};5", f"{second};5", name="b.csv")
    run = (await place.run("balances", "b.csv"))["run"]
    await place.cli("undo", run, "--set", "way=opposite", "--yes")
    enters = ("--model", MODEL, "--chain", OPENS)
    stopped = await place.run("balances", "b.csv", "--limit-money", "5", "--in-flight", "1", ends=3)
    place.rows("abonent_id;amount", f"{second};7", name="c.csv")
    called = (await place.run("call", "c.csv", *enters))["run"]
    says = f"run {called} (call) has entered"
    await place.cli.told("resume", stopped["run"], "--yes", "--limit-money", "none", ends=1, says=says)
    assert [place.balance(one) for one in (first, second)] == [5, 7]


OPENS = 'objects.create {"abonent_id": {abonent_id}, "op_summa": "{amount}", "op_type_id": 8}'
PAID: dict[str, tuple[str | Path, ...]] = {
    "payment": ("payment", "p.csv"),
    "add_payment": ("payment", "p.csv", "--set", "way=add_payment"),
    "balances": ("balances", "p.csv", "--set", "op_type=2"),
    "call": (
        *("call", "p.csv", "--model", MODEL, "--chain"),
        OPENS.replace("8", "2"),
    ),
}
SERVICES: dict[str, tuple[str | Path, ...]] = {
    "connect-service": ("connect-service", "p.csv", "--set", "usluga=126", "--set", "manager=33"),
    "call of a service": (
        *("call", "p.csv", "--model", "UsersUsluga", "--chain"),
        'objects.create {"abonent_id": {abonent_id}, "usluga_id": 126, "manager_id": 33}',
    ),
}


@pytest.mark.parametrize(
    ("first", "second"),
    [("payment", "balances"), ("payment", "call"), ("balances", "payment"), ("call", "add_payment")],
)
async def test_an_equal_payment_of_another_job_is_a_question(place: Place, first: str, second: str) -> None:
    one, *_ = place.subscribers(1)
    place.rows("abonent_id;amount;document", f"{one};{amount_of(one)};D1", name="p.csv")
    if second == "call":
        place.without_database()
    run = (await place.run(*PAID[first]))["run"]
    before = place.balance(one)
    says = f"looks as if entered already: run {run} ({PAID[first][0]}), operation"
    await place.cli.told("plan", *PAID[second], says=says)
    await place.cli.refused("run", *PAID[second], "--yes", says=[says, "--yes answers no doubt"])
    assert place.balance(one) == before
    await place.run(*PAID[second], "--again")
    assert place.balance(one) == before + amount_of(one)


async def test_a_payment_that_an_undo_has_restored_is_asked_about_once_by_another_job(place: Place) -> None:
    """What the undo of its undo has entered bears the mark of that one, and is all that the accountant has left."""
    one, *_ = place.subscribers(1)
    place.rows("abonent_id;amount;document", f"{one};{amount_of(one)};D1", name="p.csv")
    run = undo = (await place.run(*PAID["payment"]))["run"]
    for _ in range(2):
        undo = (await place.cli.closing("undo", undo, "--set", "way=opposite", "--yes"))["run"]
    says = f"looks as if entered already: run {run} (payment), operation"
    planned = await place.cli.told("plan", *PAID["balances"], says=says)
    assert planned.count(says) == 1
    await place.execute("update finance_operations set storno = 1 where descr not containing ?", f"[cm {undo}/1]")
    await place.cli.refused("run", *PAID["balances"], "--yes", says=[says, "--yes answers no doubt"])


async def test_a_payment_of_another_sum_is_another_payment_of_another_job_as_well(place: Place) -> None:
    one, *_ = place.subscribers(1)
    for sum_, job in enumerate(PAID, 5):
        place.rows("abonent_id;amount;document", f"{one};{sum_};D{sum_}", name="p.csv")
        assert (await place.run(*PAID[job]))["states"] == {"accepted": 1}


@pytest.mark.parametrize("is_restored", [False, True], ids=["", "restored"])
@pytest.mark.parametrize(("first", "second"), [tuple(SERVICES), tuple(reversed(SERVICES))])
async def test_a_service_that_another_job_has_connected_is_connected_once(
    place: Place, first: str, second: str, *, is_restored: bool
) -> None:
    one, *_ = place.subscribers(1)
    place.rows("abonent_id", str(one), name="p.csv")
    place.traffic.model = "UsersUsluga"
    run = (await place.run(*SERVICES[first]))["run"]
    if is_restored:
        undo = (await place.cli.closing("undo", run, "--yes"))["run"]
        await place.cli("undo", undo, "--yes")
    ended = await place.cli("run", *SERVICES[second], "--yes", "--json")
    assert ended.closing["states"] == {"skipped": 1}
    assert f"entered by an earlier run: {run} ({SERVICES[first][0]})" in ended.words


async def test_what_a_copy_of_the_journal_has_taken_back_is_not_to_be_entered_again(asked: Place) -> None:
    """Nor is it verified as there, nor entered once more without a word of what has taken it back."""
    place = asked
    place.rows("abonent_id;amount", "2003;500", "2004;500", name="payments.csv")
    run = (await place.run("payment", "payments.csv"))["run"]
    copied(place.cli.journal, place.cli.folder / "copy.journal")
    back = ("undo", run, "--set", "way=opposite", "--yes", "--no-canary")
    half = await place.cli(*back, "--limit-money", "500", may_end_with=(3,))
    assert "accepted 1 " in half.told
    verified = await place.cli("verify", run, "--journal", "copy.journal", "--json", may_end_with=(Exit.REJECTED,))
    (undo,) = {one.name for one in await place.runs()} - {run}
    assert f"taken back from another journal: by run {undo}, operation" in verified.told
    assert (verified.closing["taken_back_elsewhere"], verified.closing["found"]) == (1, "500")
    # By the file of the load nothing of it is entered again.
    assert "run payment" not in verified.told
    reported = await place.cli("report", run, "--journal", "copy.journal", "-o", "-")
    assert "1 of these rows was taken back from another journal" in reported.told
    says = [f"taken back from another journal: run {undo}, operation", "Work with that journal"]
    again = await place.cli.refused("run", "payment", "payments.csv", "--yes", "--journal", "copy.journal", says=says)
    assert "entered on top" not in again.told
    # What an undo of the undo has restored is there.
    await place.cli("resume", undo, "--yes", "--limit-money", "none")
    await place.cli("undo", undo, "--set", "way=opposite", "--yes")
    restored = await place.cli.closing("verify", run, "--journal", "copy.journal")
    assert (restored["as_wanted"], restored["taken_back_elsewhere"]) == (2, 0)
    assert (await place.cli.closing(*back, "--journal", "copy.journal"))["states"] == {"accepted": 2}


@pytest.mark.parametrize("way", ["opposite", "storno", "list"])
async def test_what_a_copy_of_the_journal_has_taken_back_is_taken_back_for_an_undo(asked: Place, way: str) -> None:
    """When the list is made, and when it is resumed; the rows that stand are taken back once."""
    place = asked
    payers = place.subscribers(4)
    file = place.rows("abonent_id;amount", *(f"{one};500" for one in payers))
    run = (await place.run("payment", file))["run"]
    copied(place.cli.journal, place.cli.folder / "copy.journal")
    back = ("undo", run, "--set", "way=opposite", "--yes", "--json", "--no-canary", "--in-flight", "1")
    half = (await place.cli.closing(*back, "--limit-money", "500", ends=3))["run"]
    copy = ("--journal", "copy.journal")
    undone = await place.cli("undo", run, "--set", f"way={way}", "--yes", "--json", *copy, may_end_with=(0, 1))
    assert f"taken back from another journal: run {half}, operation" in undone.words
    if way == "list":
        # Only what stands is for the accountant.
        assert (undone.exit, undone.closing["states"]) == (1, {"skipped": 4})
        listed = ("export", undone.closing["run"], *copy, "--state", "skipped", "-o", "-")
        assert (await place.cli(*listed)).out.count("for the accountant: ") == 3
        await place.cli("resume", half, "--yes", "--limit-money", "none")
    else:
        assert (undone.exit, undone.closing["states"]) == (0, {"skipped": 1, "accepted": 3})
        resumed = await place.cli.closing("resume", half, "--yes", "--limit-money", "none", "--settle", "0.1")
        assert resumed["states"] == {"skipped": 3, "accepted": 1}
        assert (await place.cli.closing("status", run, *copy))["stage"] == "taken back"
    assert (await place.cli.closing("status", run))["stage"] == "taken back"
    standing = place.query(
        "select sum(op_summa) from finance_operations where storno = 0 and descr containing '[cm '"
    )
    assert standing == [(0,)]


async def test_two_processes_of_one_number_may_follow_each_other_on_one_billing(tmp_path: Path) -> None:
    """As two containers with one network have them: the first is frozen, and the second takes over."""
    async with open_journal(tmp_path / "journal") as journal:
        run = await frozen_run(journal, new_item("a"))
        with only_journal(run, ["billing"], journal.address), only_journal(run, ["billing"], journal.address):
            pass


@pytest.mark.parametrize(("sends", "comes"), [("payment", "balances"), ("balances", "payment")])
async def test_while_a_balance_is_set_nobody_else_enters_money_on_its_account(
    place: Place, sends: str, comes: str
) -> None:
    """What comes between its look and its call would be out of the balance; other accounts wait for nobody."""
    *payers, apart = place.subscribers(4)
    file = place.rows("abonent_id;amount", *(f"{one};5" for one in payers))
    other = place.rows("abonent_id;amount", f"{payers[-1]};7", name="other.csv")
    beside = place.rows("abonent_id;amount", f"{apart};7", name="beside.csv")
    slow = ("--yes", "--json", "--rate", "0.1", "--in-flight", "1", "--no-canary")
    async with place.cli.started("run", sends, file, *slow) as first:
        await first.until(partial(place.traffic.reaches, 1))
        (run,) = await place.runs()
        says = [f"run {run.name}, which another process works on, enters money on accounts of these rows"]
        await place.cli.refused("run", comes, other, "--yes", says=[*says, "then type the command again"])
        assert (await place.run(comes, beside))["states"] == {"accepted": 1}
        first.signal(signal.SIGTERM)
        assert (await first.ended()).exit == 130
    async with place.journal() as journal:
        refused = [one.discarded_at is not None for one in await journal.runs()]
    assert refused == [False, True, False]


async def test_a_stopped_payment_is_not_taken_up_beside_the_balance_of_its_account(place: Place) -> None:
    payers = place.subscribers(3)
    file = place.rows("abonent_id;amount", *(f"{one};5" for one in payers))
    stopped = await place.stopped("payment", file, "--rate", "1", "--in-flight", "1", "--no-canary", calls=1)
    slow = ("--yes", "--json", "--rate", "0.1", "--in-flight", "1", "--no-canary", "--again")
    other = place.rows("abonent_id;amount", *(f"{one};7" for one in payers), name="other.csv")
    before = place.traffic.arrived
    async with place.cli.started("run", "balances", other, *slow) as first:
        await first.until(partial(place.traffic.reaches, before + 1))
        says = ["enters money on accounts of these rows", f"resume {stopped}"]
        await place.cli.refused("resume", stopped, "--yes", says=says)
        first.signal(signal.SIGTERM)
        await first.ended()
