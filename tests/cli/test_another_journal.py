"""The billing is the witness: what another journal, or a newer copy of this one, has entered is not entered again."""

import shutil
import sqlite3
from pathlib import Path

import anyio.to_thread
import pytest

from billing.database.database import attach
from billing.database.dsn import Dsn
from tests.cli.conftest import MODEL, Cli, Ended, Place

SELECT = "select id as abonent_id, 1.50 as amount from abonents where is_folder = 0 and deleted = 0 and id < 2010"


def told(ended: Ended) -> str:
    return f"{ended.words} {' '.join(ended.out.split())}"


def copied(journal: Path, to: Path) -> None:
    """A copy of a journal as a backup makes it, of one moment and whole."""
    source, target = sqlite3.connect(journal), sqlite3.connect(to)
    with target:
        source.backup(target)
    source.close()
    target.close()


def put_back(copy: Path, journal: Path) -> None:
    for behind in ("", "-wal", "-shm"):
        journal.with_name(journal.name + behind).unlink(missing_ok=True)
    shutil.copy(copy, journal)


@pytest.fixture(params=["with a database", "without a database"])
def asked(request: pytest.FixtureRequest, place: Place) -> Place:
    if request.param == "without a database":
        del place.cli.environment["CARBON_MIGRATE_DATABASE"]
    return place


async def test_the_same_file_with_another_journal_is_refused_and_says_which_run_has_entered_it(asked: Place) -> None:
    balances = asked.balances(5)
    run = (await asked.cli("run", "balances", balances.path, "--yes", "--json")).closing["run"]
    elsewhere = ("balances", balances.path, "--journal", "elsewhere.journal")
    for command, code in ((("plan", *elsewhere), 1), (("run", *elsewhere, "--yes"), 2)):
        ended = await asked.cli(*command, may_end_with=(code,))
        assert f"entered from another journal: run {run}" in told(ended)
        assert "--again" in told(ended)
    assert (await asked.found()).rows == 5


async def test_from_another_folder_it_is_the_same_journal(place: Place, tmp_path: Path) -> None:
    balances = place.balances(3)
    environment = place.cli.environment | {"XDG_STATE_HOME": str(tmp_path / "state")}
    del environment["CARBON_MIGRATE_JOURNAL"]
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    first, second = (Cli(folder, environment) for folder in folders)
    run = (await first("run", "balances", balances.path, "--yes", "--json")).closing["run"]
    ended = await second("run", "balances", balances.path, "--yes", "--json")
    assert ended.closing["states"] == {"skipped": 3}
    assert f"entered by an earlier run: {run}" in told(await second("status", ended.closing["run"]))
    assert [list(folder.iterdir()) for folder in folders] == [[], []]
    assert (await place.found()).rows == 3


async def test_with_again_it_is_entered_on_top(place: Place) -> None:
    balances = place.balances(3)
    await place.cli("run", "balances", balances.path, "--yes")
    elsewhere = ("run", "balances", balances.path, "--journal", "elsewhere.journal", "--yes", "--again")
    await place.cli(*elsewhere)
    assert (await place.found()).rows == 6


@pytest.mark.parametrize("rest", [None, b""], ids=["lost", "of 0 bytes"])
async def test_a_lost_journal_is_the_same_case(place: Place, rest: bytes | None) -> None:
    balances = place.balances(4)
    run = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing["run"]
    for behind in ("", "-wal", "-shm"):
        place.cli.journal.with_name(place.cli.journal.name + behind).unlink(missing_ok=True)
    if rest is not None:
        place.cli.journal.write_bytes(rest)
    ended = await place.cli("run", "balances", balances.path, "--yes", may_end_with=(2,))
    assert f"entered from another journal: run {run}" in told(ended)
    assert (await place.found()).rows == 4


async def test_rows_that_are_streamed_are_refused_as_well(place: Place) -> None:
    rows = ("run", "balances", "--sql", SELECT, "--yes", "--json")
    first = (await place.cli(*rows)).closing
    entered = first["states"]["accepted"]
    assert entered > 3
    ended = await place.cli(*rows, "--journal", "elsewhere.journal", may_end_with=(1,))
    assert (ended.closing["states"], ended.closing["refused"]) == ({}, entered)
    assert f"entered from another journal: run {first['run']}" in told(ended)
    assert (await place.found()).rows == entered


async def test_a_corrected_row_that_was_entered_from_another_journal_is_refused(place: Place) -> None:
    place.write("contract_number;amount\n00003;5\nnobody;6\n")
    first = ("run", "balances", "balances.csv", "--yes", "--skip-bad", "--json")
    run = (await place.cli(*first, may_end_with=(1,))).closing["run"]
    place.write("contract_number;amount\n00004;6\n", "elsewhere.csv")
    elsewhere = ("run", "balances", "elsewhere.csv", "--journal", "other.journal", "--yes", "--json")
    other = (await place.cli(*elsewhere)).closing
    place.write(f"contract_number;amount;carbon_row\n00004;6;{run}/r1\n", "corrected.csv")
    again = ("run", "balances", "corrected.csv", "--continue", run, "--yes")
    ended = await place.cli(*again, may_end_with=(2,))
    assert f"entered from another journal: run {other['run']}" in told(ended)
    assert (await place.found()).rows == 2


async def test_what_was_reversed_does_not_count(place: Place) -> None:
    balances = place.balances(3)
    run = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing["run"]
    await place.cli("undo", run, "--set", "way=storno", "--set", "storno_call=storno", "--yes")
    await place.cli("run", "balances", balances.path, "--journal", "elsewhere.journal", "--yes")
    assert (await place.found()).rows >= 6


async def test_an_equal_entry_without_a_mark_is_shown_by_run_too(place: Place) -> None:
    place.write("contract_number;amount\n00003;40\n00004;50\n")
    place.write("contract_number;amount\n00003;40\n", "before.csv")
    await place.cli("run", "balances", "before.csv", "--journal", "elsewhere.journal", "--yes")
    await anyio.to_thread.run_sync(_by_hand, place.file)
    ended = await place.cli("run", "balances", "balances.csv", "--yes", may_end_with=(2,))
    assert "1 row, 40.00 in total, looks as if entered already" in told(ended)
    assert "(00003): looks as if entered already: operation" in told(ended)
    assert "--yes answers no doubt" in told(ended)


def _by_hand(billing: Path) -> None:
    """Take the marks off, as if all had been entered by hand."""
    connection = attach(Dsn(str(billing)))
    connection.cursor().execute("update finance_operations set descr = 'Остаток'")
    connection.commit()
    connection.close()


async def test_a_restored_copy_of_the_journal_sends_nothing_twice(asked: Place) -> None:
    balances = asked.balances(40)
    run = ("run", "balances", balances.path, "--yes", "--json", "--limit-money", "1", "--settle", "0.3")
    name = (await asked.cli(*run, may_end_with=(3,))).closing["run"]
    before = (await asked.found()).rows
    assert 0 < before < 40
    copied(asked.cli.journal, asked.cli.folder / "nightly.copy")
    resume = ("resume", name, "--yes", "--json", "--limit-money", "none")
    assert (await asked.cli(*resume)).closing["states"] == {"accepted": 40}
    put_back(asked.cli.folder / "nightly.copy", asked.cli.journal)
    ended = await asked.cli(*resume)
    assert ended.closing["states"] == {"accepted": 40}
    assert "this journal is older than the run" in told(ended)
    found = await asked.found()
    assert (found.rows, found.sum, found.most_for_one) == (40, balances.sum, 1)


async def renumbered(place: Place, newer: str, older: str, *, may_end_with: int = 0) -> tuple[str, Ended]:
    """A run whose row 2 is `newer` in the billing, and `older` in the journal, which was put back from a copy."""
    place.write("contract_number;amount\n00003;5\nnobody;6\n")
    first = ("run", "balances", "balances.csv", "--yes", "--skip-bad", "--json")
    run = (await place.cli(*first, may_end_with=(1,))).closing["run"]
    copied(place.cli.journal, place.cli.folder / "nightly.copy")
    again = ("run", "balances", "corrected.csv", "--continue", run, "--yes", "--json")
    for row in (newer, older):
        put_back(place.cli.folder / "nightly.copy", place.cli.journal)
        place.write(f"contract_number;amount;carbon_row\n{row};{run}/r1\n", "corrected.csv")
        if row == newer:
            await place.cli(*again)
    return run, await place.cli(*again, may_end_with=(may_end_with,))


@pytest.mark.parametrize("since", [(), ("undo",), ("purge",), ("undo", "purge")], ids=" and ".join)
async def test_a_mark_whose_number_is_another_rows_here_is_no_sign_that_the_row_is_known(
    asked: Place, since: tuple[str, ...]
) -> None:
    run, _ = await renumbered(asked, "00004;7", "00005;8")
    if "undo" in since:
        await asked.cli("undo", run, "--set", "way=storno", "--set", "storno_call=storno", "--yes")
    if "purge" in since:
        await asked.cli("purge", run, "--yes")
    before = dict(asked.billing.ledger.effects(MODEL))
    asked.write("contract_number;amount\n00004;7\n")
    for command, code in ((("plan",), 1), (("run", "--yes"), 2)):
        ended = await asked.cli(*command, "balances", "balances.csv", may_end_with=(code,))
        assert f"bears the mark of row 2 of run {run}, which is another row in this journal" in told(ended)
        assert "--again" in told(ended)
    assert asked.billing.ledger.effects(MODEL) == before


async def test_a_balance_that_a_newer_copy_of_the_journal_has_set_is_not_replaced(asked: Place) -> None:
    pair = asked.billing.database.query(
        "select first 2 contract_number from abonents where is_folder = 0 and deleted = 0 and account_id in "
        "(select min(account_id) from abonents where is_folder = 0 and deleted = 0 group by account_id "
        "having count(*) = 2) order by account_id, id"
    )
    (newer,), (older,) = pair
    _, ended = await renumbered(asked, f"{newer};7", f"{older};8", may_end_with=2)
    assert "this row would replace the opening balance of its account" in told(ended)
    assert "entered from another journal: this run, in a newer copy of this journal" in told(ended)
    assert (await asked.found()).rows == 2


async def test_rows_that_another_journal_has_entered_meanwhile_are_not_sent_by_a_run_that_is_taken_up(
    asked: Place,
) -> None:
    balances = asked.balances(20)
    run = ("run", "balances", balances.path, "--yes", "--json", "--limit-money", "1", "--settle", "0.3")
    name = (await asked.cli(*run, may_end_with=(3,))).closing["run"]
    left = 20 - (await asked.found()).rows
    assert 0 < left < 20
    elsewhere = ("run", "balances", balances.path, "--yes", "--json", "--skip-bad", "--journal", "elsewhere.journal")
    other = (await asked.cli(*elsewhere, may_end_with=(1,))).closing
    assert other["states"] == {"accepted": left}
    ended = await asked.cli("resume", name, "--yes", "--json", "--limit-money", "none", may_end_with=(1,))
    assert ended.closing["states"] == {"accepted": 20 - left, "rejected": left}
    assert f"entered from another journal: run {other['run']}" in told(ended)
    found = await asked.found()
    assert (found.rows, found.sum, found.most_for_one) == (20, balances.sum, 1)


async def test_whoever_trusts_the_journal_is_told_what_was_not_looked_at(place: Place) -> None:
    balances = place.balances(6)
    run = ("run", "balances", balances.path, "--yes", "--json", "--limit-money", "0.2")
    name = (await place.cli(*run, may_end_with=(3,))).closing["run"]
    resume = ("resume", name, "--yes", "--limit-money", "none", "--trust-journal")
    ended = await place.cli(*resume)
    assert "was not asked for rows that another copy of this journal may have sent" in told(ended)
    assert (await place.found()).rows == 6
