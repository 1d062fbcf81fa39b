"""The way back as an operator takes it: the whole database is held against what it was."""

import signal
from collections.abc import Sequence
from datetime import UTC, datetime

import anyio.to_thread
import pytest

from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.money import SCALE
from checkpoints.states import State
from tests.cli.conftest import MODEL, Ended, Place
from tests.jobs.whole_database import Changes, Tables, changes, whole

ROWS = 12
FIRST_OF_MONTH = datetime.now(UTC).strftime("%Y-%m-01")
SETTLE = ("--settle", "0.1")


async def all_of(place: Place) -> Tables:
    def read() -> Tables:
        with Database(Dsn(str(place.file))) as database:
            return whole(database)

    return await anyio.to_thread.run_sync(read)


async def since(place: Place, before: Tables) -> Changes:
    return changes(before, await all_of(place))


def subscribers(place: Place) -> list[int]:
    """Writes a file of subscribers, each with an account of its own."""
    query = (
        "select first 12 min(id) from abonents where is_folder = 0 and deleted = 0 and account_id is not null "
        "group by account_id order by 1"
    )
    ids = [number for (number,) in place.billing.database.query(query)]
    place.write("\n".join(["abonent_id", *map(str, ids)]) + "\n", "subscribers.csv")
    return ids


async def set_thresholds(place: Place, ids: Sequence[int], roubles: int) -> None:
    """What somebody does by hand, behind the billing's back."""

    def work() -> None:
        connection = attach(Dsn(str(place.file)))
        try:
            for one in ids:
                connection.cursor().execute(
                    "update admin_accounts set limit_warning = ? "
                    "where id = (select account_id from abonents where id = ?)",
                    (roubles * SCALE, one),
                )
            connection.commit()
        finally:
            connection.close()

    await anyio.to_thread.run_sync(work)


async def threshold(place: Place, amount: str = "-77") -> Ended:
    """Sets the warning threshold of some subscribers, in several folders."""
    subscribers(place)
    return await place.cli(
        "run", "warning-threshold", "subscribers.csv", "--set", f"amount={amount}", "--yes", "--json"
    )


async def undo(place: Place, name: str, *more: str, may_end_with: tuple[int, ...] = (0,)) -> Ended:
    return await place.cli("undo", name, "--yes", "--json", *SETTLE, *more, may_end_with=may_end_with)


async def test_undo_undo_of_undo_and_undo_again_give_each_state_as_it_was(place: Place) -> None:
    first = await all_of(place)
    run = (await threshold(place)).closing["run"]
    second = await all_of(place)
    assert len(changes(first, second)["ADMIN_ACCOUNTS"]) == ROWS

    back = (await undo(place, run)).closing
    assert (back["job"], back["states"]) == ("undo", {"accepted": ROWS})
    assert await since(place, first) == {}
    assert (await place.cli("verify", back["run"], "--json")).closing["states"] == {"applied": ROWS}

    forth = (await undo(place, back["run"])).closing
    assert forth["states"] == {"accepted": ROWS}
    assert await since(place, second) == {}

    again = (await undo(place, run)).closing
    assert again["states"] == {"accepted": ROWS}
    assert await since(place, first) == {}
    number = len(await place.runs())
    nothing = await undo(place, run)
    assert (nothing.closing["run"], nothing.closing["states"]) == (None, {})
    assert f"run {run} is taken back already, by run {again['run']}. Nothing was sent." in nothing.words
    assert len(await place.runs()) == number


async def test_what_somebody_changed_since_is_left_alone_and_named(place: Place) -> None:
    first = await all_of(place)
    run = (await threshold(place)).closing["run"]
    # Somebody sets other values for three of them, with a tool that may be this one.
    head = (place.cli.folder / "subscribers.csv").read_text(encoding="utf-8").splitlines()[:4]
    place.write("\n".join(head) + "\n", "three.csv")
    await place.cli("run", "warning-threshold", "three.csv", "--set", "amount=-55", "--yes")
    ended = await undo(place, run)
    assert ended.closing["states"] == {"accepted": ROWS - 3, "skipped": 3}
    assert "changed since: the run set" in ended.words
    left = await since(place, first)
    assert left.keys() == {"ADMIN_ACCOUNTS"}
    assert len(left["ADMIN_ACCOUNTS"]) == 3


@pytest.mark.parametrize("database", ["with a database", "without a database"])
async def test_what_somebody_sets_while_a_killed_run_lies_is_what_an_undo_brings_back(
    place: Place, database: str
) -> None:
    if database == "without a database":
        del place.cli.environment["CARBON_MIGRATE_DATABASE"]
    first = await all_of(place)
    ids = subscribers(place)
    place.traffic.model = "AdminAccounts/"
    planning = 0 if database == "with a database" else ROWS

    def slow(number: int) -> None:
        place.billing.latency = 0.5 if number > planning else 0.0

    place.traffic.answer = slow
    arguments = ("run", "warning-threshold", "subscribers.csv", "--set", "amount=-77", "--yes", "--in-flight", "1")
    await place.kill_at(planning + 3, *arguments, "--no-canary")
    place.traffic.answer = lambda _: None
    place.billing.latency = 0.0
    (run,) = await place.runs()
    await set_thresholds(place, ids[-2:], -555)

    ended = await place.cli("resume", "--json", *SETTLE)
    assert ended.closing["states"] == {"accepted": ROWS}
    assert "accepted 2 × changed between plan and call" in ended.words
    assert "and then limit_warning -555; an undo brings the latter back" in ended.words
    assert (await undo(place, run.name)).closing["states"] == {"accepted": ROWS}
    left = (await since(place, first))["ADMIN_ACCOUNTS"]
    assert [now for row in left.values() for _, now in row.values()] == [-555 * SCALE] * 2
    assert (await since(place, first)).keys() == {"ADMIN_ACCOUNTS"}


async def test_an_undo_killed_in_the_middle_is_taken_up_and_reverses_each_row_once(place: Place) -> None:
    place.billing.latency = 0.02
    balances = place.balances(40)
    run = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing["run"]
    before = place.traffic.arrived
    arguments = ("undo", run, "--set", "way=storno", "--yes", *SETTLE, "--in-flight", "4")
    await place.kill_at(before + 10, *arguments)
    half = (await place.runs())[-1].name

    await undo.refused(place, run, "--set", "way=storno", says=f"resume {half}")
    other_way = await undo(place, run, "--set", "way=opposite", may_end_with=(2,))
    assert f"run {half} takes run {run} back and is not at its end" in other_way.words

    ended = await place.cli("resume", half, "--json", *SETTLE)
    assert ended.closing["states"] == {"accepted": 40}
    query = "select count(*), count(distinct op_id) from finance_operations where op_type = 8 and storno = 1"
    assert list(place.billing.database.query(query)) == [(40, 40)]


async def test_what_was_taken_back_can_be_entered_again_and_only_once(place: Place) -> None:
    balances = place.balances(3)
    enter = ("run", "balances", balances.path, "--yes", "--json")
    run = (await place.cli(*enter)).closing["run"]
    await undo(place, run, "--set", "way=storno")
    assert (await place.cli(*enter)).closing["states"] == {"accepted": 3}
    assert (await place.cli(*enter)).closing["states"] == {"skipped": 3}
    assert place.billing.ledger.effects(MODEL).keys()


async def test_an_undo_whose_accounts_had_later_operations_is_verified_by_its_entries(place: Place) -> None:
    balances = place.balances(3)
    enter = ("run", "balances", balances.path, "--yes", "--json")
    opposite = (await undo(place, (await place.cli(*enter)).closing["run"], "--set", "way=opposite")).closing["run"]
    await place.cli(*enter)
    verified = await place.cli("verify", opposite, "--json")
    told = verified.closing
    assert (told["as_wanted"], told["different"], told["with_later_operations"]) == (3, 0, 3)
    assert told["states"] == {"applied": 3}
    assert "3 rows with later operations, whose balances say nothing of this run" in verified.words


async def test_the_undo_of_an_undo_does_not_restore_what_was_entered_anew(place: Place) -> None:
    balances = place.balances(3)
    enter = ("run", "balances", balances.path, "--yes", "--json")
    run = (await place.cli(*enter)).closing["run"]
    opposite = (await undo(place, run, "--set", "way=opposite")).closing["run"]
    anew = (await place.cli(*enter)).closing
    assert anew["states"] == {"accepted": 3}
    ended = await undo(place, opposite, "--set", "way=storno")
    assert ended.closing["states"] == {"skipped": 3}
    assert f"entered anew since: run {anew['run']} has this row again" in ended.words


async def test_a_row_that_an_undo_of_an_undo_has_restored_is_not_entered_again(place: Place) -> None:
    balances = place.balances(3)
    enter = ("run", "balances", balances.path, "--yes", "--json")
    run = (await place.cli(*enter)).closing["run"]
    opposite = (await undo(place, run, "--set", "way=opposite")).closing["run"]
    assert (await undo(place, opposite, "--set", "way=storno")).closing["states"] == {"accepted": 3}
    assert (await place.cli(*enter)).closing["states"] == {"skipped": 3}


async def test_a_list_for_the_accountant_names_the_command_that_writes_it(place: Place) -> None:
    balances = place.balances(2)
    run = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing["run"]
    before = place.traffic.arrived
    ended = await undo(place, run)
    listing = ended.closing["run"]
    assert ended.closing["states"] == {"skipped": 2}
    assert place.traffic.arrived == before
    file = f"{listing}-for-the-accountant.csv"
    command = ("export", listing, "--state", "skipped", "-o", file)
    typed = f"carbon-migrate {' '.join(command)}"
    assert f"The list for the accountant; nothing is sent: {typed}" in ended.words
    assert "is done" not in ended.words
    assert f"! run {listing} has sent nothing: to take run {run} back, the accountant has to enter" in ended.words
    assert f"carbon-migrate undo {run} --set way=opposite" in ended.words
    quiet = await place.cli("undo", run, "--yes", "--quiet")
    assert "has sent nothing" in " ".join(quiet.out.split())
    assert (
        f"next: write the accountant's list: operation, sum, subscriber, and what is to be done {typed}"
        in ended.words
    )
    assert typed in (await place.cli("status", listing)).out

    await place.cli(*command)
    header, *lines = (place.cli.folder / file).read_text(encoding="utf-8-sig").splitlines()
    assert header.startswith("run;row;key;label;amount;answer;")
    query = "select op_id from finance_operations where op_type = 8 order by op_id"
    for line, (operation,) in zip(lines, place.billing.database.query(query), strict=True):
        assert f"for the accountant: reverse operation {operation} of " in line


async def test_what_a_storno_took_back_is_entered_again_as_the_refusal_advises(place: Place) -> None:
    balances = place.balances(2)
    run = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing["run"]
    storno = (await undo(place, run, "--set", "way=storno")).closing["run"]
    refused = await undo(place, storno, may_end_with=(2,))
    assert "export the rows of the run that was taken back, and run its job on that file" in refused.words
    await place.cli("export", run, "--state", "accepted", "-o", "again.csv")
    enter = ("run", "balances", "again.csv", "--yes", "--json")
    assert (await place.cli(*enter)).closing["states"] == {"accepted": 2}
    # Nothing was switched off: what stands is not entered on top.
    assert (await place.cli(*enter)).closing["states"] == {"skipped": 2}


async def test_a_run_that_goes_or_is_in_doubt_is_not_taken_back(place: Place) -> None:
    balances = place.balances(30)
    arguments = ("run", "balances", balances.path, "--yes", "--rate", "2", "--in-flight", "1", "--no-canary")
    async with place.cli.started(*arguments) as going:
        await place.traffic.reaches(2)
        (run,) = await place.runs()
        await undo.refused(place, run.name, "--set", "way=storno", says=f"works on run {run.name} now: stop it first")
        going.signal(signal.SIGKILL)
        await going.ended()
    async with place.journal() as journal:
        doubtful = (await journal.totals(run)).count(State.SENDING, State.UNKNOWN)
    assert doubtful
    await undo.refused(place, run.name, "--set", "way=storno", says=["in doubt", f"reconcile {run.name}"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("recalculate", "one.csv", "--set", f"since={FIRST_OF_MONTH}"), "cannot be taken back: a recalculation"),
        (("administrators",), "cannot be taken back"),
    ],
)
async def test_a_kind_without_a_way_back_says_why(place: Place, arguments: tuple[str, ...], words: str) -> None:
    query = "select min(id) from abonents where is_folder = 0 and deleted = 0 and account_id is not null"
    ((subscriber,),) = place.billing.database.query(query)
    place.write(f"abonent_id\n{subscriber}\n", "one.csv")
    ended = await place.cli("run", *arguments, "--yes", "--json", may_end_with=(0, 1, 2))
    await undo.refused(place, ended.closing["run"], says=words)
    assert (await place.runs())[-1].name == ended.closing["run"]


async def test_a_list_for_the_accountant_is_told_in_the_language_of_the_reader(place: Place) -> None:
    ids = subscribers(place)[:1]
    place.write(f"abonent_id;amount\n{ids[0]};-7.50\n", "one.csv")
    run = (await place.cli("run", "balances", "one.csv", "--yes", "--json")).closing["run"]
    back = await place.cli("undo", run, "--yes", "--json", "--lang", "ru")
    assert f"загрузка {run}" in back.words
    assert "бухгалтеру: сторнировать (операция" in back.words
    assert "на −7,50 ₽ от" in back.words
    export = ("export", back.closing["run"], "--state", "skipped", "-o", "-")
    assert "бухгалтеру: сторнировать (операция" in (await place.cli(*export, "--lang", "ru")).out
    assert "for the accountant: reverse operation " in (await place.cli(*export)).out
