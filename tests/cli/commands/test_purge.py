"""`purge` as an operator has it: what it takes and what it leaves alone in journal, plans and copies.

`transcripts/purge.txt` has what is said of it, which runs are left alone and why, and what is refused afterwards.
"""

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from checkpoints.journal import Journal
from checkpoints.journal_file import JournalFile
from checkpoints.records import NewItem, NewRun, Refusal, Run
from checkpoints.states import State
from tests.checkpoints import format5
from tests.checkpoints.samples import come_to, keep, page, within
from tests.cli.conftest import Place, Typed

CANARY = "Канарейкина"
JOURNAL = Path("carbon-migrate.journal")
PLANS = Path("carbon-migrate.journal-plans")
NEW = NewRun(
    "balances",
    {"op_type": "8", "descr": CANARY, "contract_number": CANARY, "shared_accounts": "sum"},
    "http://billing",
    f"/home/{CANARY}.csv",
    "d1",
    ("contract_number", "amount"),
)
ITEM = NewItem("2003/8", CANARY, "account:7", "{}", Decimal(5), 2, (CANARY, "5"))
REFUSED = Refusal(3, None, CANARY, f"there is no {CANARY}", (CANARY, "x"))


async def listed(journal: Journal, new: NewRun) -> Run:
    """A run, or in the journal of plans a plan, whose rows are read and nothing more."""
    run = await journal.create_run(new)
    await journal.freeze(run, page(ITEM, refusals=[REFUSED]), keep)
    await journal.end_intake(run)
    return run


async def sent(journal: Journal, new: NewRun) -> Run:
    """A run of one row that is accepted."""
    run = await listed(journal, new)
    await journal.approve(run)
    await come_to(journal, run, {1: State.ACCEPTED})
    return run


def finished(*, new: NewRun = NEW) -> str:
    return within(JOURNAL, lambda journal: sent(journal, new)).name


def frozen(path: Path = JOURNAL, *, new: NewRun = NEW) -> str:
    return within(path, lambda journal: listed(journal, new)).name


def purged() -> dict[str, bool]:
    return {run.name: run.purged_at is not None for run in within(JOURNAL, lambda journal: journal.runs())}


def test_what_was_removed_is_told_to_scripts_and_which_files_stay(typed: Typed, tmp_path: Path) -> None:
    answers, gone = tmp_path / "answers.csv", tmp_path / "gone.csv"
    answers.touch()
    _, name = [
        finished(new=replace(NEW, parameters={**NEW.parameters, "input_answers": str(file)}, source=str(file)))
        for file in (answers, gone)
    ]
    closing = typed("purge", name, "--yes", "--json", "--keep-totals").closing
    (one,) = closing["purged"]
    assert (one["run"], one["job"]) == (name, "balances")
    expected = {"emptied": 1, "removed": 0, "refusals": 1, "calls": 1, "answers": 1, "messages": 0}
    assert one["removed"] == expected
    assert (closing["plans"], closing["left_alone"], closing["files"], closing["exit"]) == (0, [], [], 0)
    assert closing["bytes_before"] > closing["bytes_after"] - 20_000 > 0
    other = typed("purge", "--older-than", "0d", "--yes", "--json", "--keep-totals").closing
    assert other["files"] == [str(answers)]
    assert [path for path in Path().iterdir() if path.is_file() and CANARY.encode() in path.read_bytes()] == []


def test_nothing_is_purged_while_a_run_of_the_journal_is_worked_on(typed: Typed) -> None:
    name, working = finished(), frozen()

    (run,) = [run for run in within(JOURNAL, lambda journal: journal.runs()) if run.name == working]
    with contextlib.closing(JournalFile(JOURNAL)) as file:
        assert file.lock(run.run_id)
        ended = typed("purge", name, "--yes")
    assert ended.exit == 2
    assert f"works on run {working}: rewriting the journal would hold it up" in ended.words
    assert purged()[name] is False


def test_the_plans_of_a_run_s_input_go_with_it(typed: Typed) -> None:
    name, plan = finished(), frozen(PLANS)
    other = frozen(PLANS, new=replace(NEW, source="other"))
    told = typed("purge", name, "--yes")
    assert "the list of 1 plan is removed: nothing of it was sent" in told.words
    assert "✓ the list of 1 plan is removed, " in told.out
    plans = within(PLANS, lambda journal: journal.runs())
    assert {one.name: one.purged_at is not None for one in plans} == {plan: True, other: False}
    typed.refused("run", "--plan", plan, "--api-url", NEW.target, says="was purged on")
    typed("purge", other, "--yes")
    assert CANARY.encode() not in PLANS.read_bytes()


# ---- what is left ------------------------------------------------------------------------------------------------


def parameters_after(typed: Typed, job: str, parameters: Mapping[str, str]) -> Mapping[str, str]:
    name = finished(new=replace(NEW, job=job, parameters=parameters))
    typed("purge", name, "--yes")
    return within(JOURNAL, lambda journal: journal.run(name)).parameters


def test_parameters_stay_that_can_hold_nothing_of_a_person(typed: Typed) -> None:
    assert parameters_after(typed, *(NEW.job, NEW.parameters)) == {"op_type": "8", "shared_accounts": "sum"}
    typed_call = {"op_type": CANARY, "run": CANARY, "enter": "again"}
    assert parameters_after(typed, "call", typed_call) == {"enter": "again"}
    payment = {"way": "add_payment", "amount": "5", "abonent_id": "94", "document": CANARY}
    assert parameters_after(typed, "payment", payment) == {"way": "add_payment"}


async def test_the_same_file_enters_nothing_twice_after_its_run_was_purged(place: Place) -> None:
    balances = place.balances(3)
    name = (await place.run("balances", balances.path))["run"]
    await place.cli("purge", name, "--yes")
    again = await place.run("balances", balances.path)
    assert again["states"] == {"skipped": 3}
    place.write(f"contract_number;amount\n{balances.numbers[0]};99\n", "other.csv")
    refused = await place.cli("run", "balances", "other.csv", "--yes", may_end_with=(2,))
    assert f"run {name} has entered a value that is purged for this key" in refused.words
    # A purged run is none that a delta can come behind.
    assert "--since" not in refused.words
    await place.each_landed_once(balances)


# ---- a journal of the program before: taken over, gone on with, and gone back to ---------------------------------

RESUME = ("resume", format5.STOPPED, "--yes", "--json", "--limit-money")
COPY = "carbon-migrate.journal.format5"


def put_back(journal: Path, copy: Path) -> None:
    for behind in ("", "-wal", "-shm"):
        journal.with_name(journal.name + behind).unlink(missing_ok=True)
    shutil.move(copy, journal)


async def test_a_run_goes_on_after_an_upgrade_and_from_the_copy_it_enters_nothing_twice(place: Place) -> None:
    journal = place.cli.journal
    format5.write(journal, place.billing.url)
    first = await place.cli(*RESUME, "2", may_end_with=(3,))
    assert f"for going back to the program before copy={journal}.format5" in first.words
    assert COPY in await anyio.Path(f"{journal}.log").read_text(encoding="utf-8")
    entered = (await place.found()).rows
    assert 0 < entered < 12
    second = await place.cli(*RESUME, "none")
    assert second.closing["states"] == {"accepted": 12}
    assert "going back" not in second.words, "it is said once"
    # The program before has this journal again, in which none of the twelve was sent.
    put_back(journal, journal.with_name(COPY))
    ended = await place.cli(*RESUME, "none")
    assert ended.closing["states"] == {"accepted": 12}
    assert "an earlier call of it had arrived" in ended.words
    found = await place.found()
    assert (found.rows, found.sum, found.most_for_one) == (12, Decimal("5.14"), 1)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal of format 5 where commands are typed."""
    path = tmp_path / "carbon-migrate.journal"
    format5.write(path)
    return path


def test_purge_removes_the_copies_that_hold_what_it_purges(typed: Typed, journal: Path) -> None:
    assert "going back" in typed("status").words
    assert "others on this machine" not in typed("status").err
    journal.with_name(COPY).chmod(0o644)
    assert f"chmod 600 {journal}.format5" in typed("status").err
    copy = journal.with_name(COPY)
    typed.refused("purge", format5.DONE, says=f"{journal}.format5 is removed: it was kept for going back")
    assert copy.exists()
    ended = typed("purge", format5.DONE, "--yes", "--json")
    assert (ended.closing["copies"], ended.closing["exit"]) == ([str(copy)], 0)
    assert not copy.exists()
    assert "Д94/2018".encode() not in journal.read_bytes()


def test_a_copy_that_cannot_be_removed_is_named_and_tried_again(typed: Typed, journal: Path) -> None:
    typed("status")
    copy = journal.with_name(COPY)
    copy.unlink()
    copy.mkdir()
    ended = typed("purge", format5.DONE, "--yes")
    assert ended.exit == 3
    assert f"{copy} cannot be removed, and holds what is purged" in ended.words
    copy.rmdir()
    copy.write_bytes(b"")
    assert typed("purge", format5.DONE, "--yes", "--json").exit == 0
    assert copy.exists(), "made after the purge, it holds nothing of it"


def test_by_age_a_copy_goes_where_no_run_does(typed: Typed, journal: Path) -> None:
    typed("status")
    copy = journal.with_name(COPY)
    assert "There is nothing to purge." in typed("purge", "--older-than", "90d").out
    assert copy.exists()
    os.utime(copy, (0, 0))
    typed.refused("purge", "--older-than", "90d", says="Purge 1 kept copy of the journal? This cannot be taken back.")
    ended = typed("purge", "--older-than", "90d", "--yes")
    assert f"✓ removed: {copy}" in ended.out
    assert "rewritten" not in ended.out
    assert not copy.exists()
