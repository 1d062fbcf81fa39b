"""Several opening balances of one account: nothing is sent before somebody has said what is meant."""

import re
import shlex
from decimal import Decimal

import pytest

from tests.cli.conftest import MODEL, Ended, Place
from tests.cli.test_another_journal import OPENS

RUN = ("run", "balances", "shared.csv", "--yes", "--json")


def shared(place: Place) -> tuple[int, list[int]]:
    """Writes three balances, the first two on one account; the account, and the three subscribers."""
    account, *two = place.of_one_account()
    ids = [*two, *place.subscribers(1)]
    amounts = zip(ids, ("-459,90", "953,24", "7,00"), strict=True)
    place.rows("abonent_id;amount", *(f"{i};{a}" for i, a in amounts), name="shared.csv")
    return account, ids


async def run(place: Place, *more: str, may_end_with: tuple[int, ...] = (0,)) -> Ended:
    return await place.cli(*RUN, *more, may_end_with=may_end_with)


async def test_without_a_word_nothing_is_sent_and_the_rows_are_shown(place: Place) -> None:
    account, ids = shared(place)
    ended = (await run(place, may_end_with=(2,))).saying(
        [
            f"account {account}: line 2",
            "−459.90, line 3",
            "--shared-accounts sum (one operation of their sum)",
            "Nothing was sent.",
        ]
    )
    probe = rf"carbon-migrate probe --abonent ID --journal \S+ --api-url {place.billing.url} --database \S+"
    assert re.search(rf"This asks the billing whether it does so: {probe}", ended.words)
    planned = await place.cli("plan", "balances", "shared.csv", "--json", may_end_with=(1,))
    planned.saying("2 of them only once it is said what is meant: --shared-accounts")
    planned.saying("as it is, this plan cannot be sent")
    assert "run --plan" not in planned.words
    assert planned.closing["shared_accounts_to_be_said"] == 1
    # Refused, they are left out with their lines.
    refused = ("--shared-accounts", "refuse")
    says = "2 rows reach one account, and each sets its balance anew"
    await place.cli.refused(*RUN, *refused, says=says)
    before = place.balance(ids[0])
    assert (await place.found()).rows == 0
    ended = await run(place, *refused, "--skip-bad", may_end_with=(1,))
    assert (ended.closing["states"], ended.closing["refused"]) == ({"accepted": 1}, 2)
    assert place.balance(ids[0]) == before


async def test_no_screen_promises_rows_that_nobody_has_decided_on(place: Place) -> None:
    _, ids = shared(place)
    place.rows("abonent_id;amount", f"{ids[0]};1", f"{ids[1]};2", f"{ids[2]};3", f"{ids[2]};1O0", name="shared.csv")
    ended = await run(place, may_end_with=(2,))
    assert "--skip-bad --shared-accounts with sum, last or refuse" in ended.words
    assert "sends the good ones" not in ended.words
    # What is advised does go through.
    await run(place, "--skip-bad", "--shared-accounts", "sum", may_end_with=(1,))


async def test_their_sum_is_one_operation_and_all_adds_up(place: Place) -> None:
    _, ids = shared(place)
    before = place.balance(ids[0])
    ended = (await run(place, "--shared-accounts", "sum")).closing
    assert ended["states"] == {"accepted": 2, "skipped": 1}
    assert ended["amounts"] == {"accepted": "500.34", "skipped": "0"}
    assert place.balance(ids[0]) == Decimal("493.34")
    assert (await place.found()).rows == 2
    verified = await place.cli.closing("verify", ended["run"])
    assert (verified["expected"], verified["found"]) == ("500.34", "500.34")
    assert verified["accounts"]["different"] == 0
    # The same file once more: all of its rows are in.
    assert (await run(place, "--shared-accounts", "sum")).closing["states"] == {"skipped": 3}
    assert (await place.found()).rows == 2
    # And taken back, all of them are free again.
    await place.cli("undo", ended["run"], "--set", "way=opposite", "--yes")
    assert place.balance(ids[0]) == before
    assert (await run(place, "--shared-accounts", "sum")).closing["states"] == {"accepted": 2, "skipped": 1}
    assert place.balance(ids[0]) == Decimal("493.34")


async def test_the_last_counts_and_the_others_are_skipped_by_name_as_a_job_file_says_it_too(place: Place) -> None:
    _, ids = shared(place)
    step = '[[step]]\njob = "balances"\nfile = "shared.csv"\nshared_accounts = "{}"\n'
    place.write(step.format("both"), "wrong.toml")
    says = "shared_accounts: one of sum, last, refuse is expected, not 'both'"
    await place.cli.refused("run", "wrong.toml", "--yes", says=says)
    ended = await run(place, "--shared-accounts", "last")
    assert ended.closing["states"] == {"accepted": 2, "skipped": 1}
    assert ended.closing["amounts"] == {"accepted": "960.24", "skipped": "-459.90"}
    assert place.balance(ids[0]) == Decimal("953.24")
    ended.saying("another row of its account counts (--shared-accounts last)")
    assert (await place.cli.closing("verify", ended.closing["run"]))["accounts"]["different"] == 0
    assert (await run(place)).closing["states"] == {"skipped": 3}
    await place.cli("undo", ended.closing["run"], "--set", "way=opposite", "--yes")
    place.write(step.format("last"), "load.toml")
    assert (await place.run("load.toml"))["states"] == {"accepted": 2, "skipped": 1}


async def test_rows_of_a_select_are_refused_where_they_would_replace_an_earlier_one(place: Place) -> None:
    _, ids = shared(place)
    sql = f"select id as abonent_id, 5 as amount from abonents where id in ({', '.join(map(str, ids))}) order by id"  # noqa: S608
    ended = await place.cli("run", "balances", "--sql", sql, "--yes", "--json", may_end_with=(1,))
    assert (ended.closing["states"], ended.closing["refused"]) == ({"accepted": 2}, 1)
    assert "this row would replace it" in ended.words
    assert place.balance(ids[0]) == Decimal(5)
    continued = await continue_refused(place, ended.closing["run"])
    assert "would replace it. Leave it out, or take the balance back" in continued.words
    await place.cli(*advised_undo(continued), "--yes")
    told = await place.run("balances", "--sql", sql, "--shared-accounts", "sum")
    assert told["states"] == {"accepted": 2, "skipped": 1}
    assert place.balance(ids[0]) == Decimal(10)


async def test_corrected_rows_of_one_account_do_not_replace_each_other(place: Place) -> None:
    _, ids = shared(place)
    first, second, _ = ids
    before = place.balance(ids[0])
    other = place.subscribers(2)[-1]
    place.rows("abonent_id;amount", f"{first};1,5E+03", f"{second};1O0,00", f"{other};5,00", name="shared.csv")
    name = (await run(place, "--skip-bad", may_end_with=(1,))).closing["run"]
    await place.cli("export", name, "--state", "refused", "-o", "refused.csv")
    exported = (place.cli.folder / "refused.csv").read_text(encoding="utf-8-sig")
    corrected = place.write(exported.replace("1,5E+03", "1500,00").replace("1O0,00", "100,00"), "corrected.csv")
    words = ("run", "balances", corrected, "--continue", name, "--yes")
    await place.cli.refused(*words, says="reach one account, and each sets its balance anew")
    assert place.balance(ids[0]) == before


async def continue_refused(place: Place, name: str) -> Ended:
    """Give the refused rows of a run back to it, as they are: they are refused again."""
    await place.cli("export", name, "--state", "refused", "-o", "refused.csv", "--force")
    return await place.cli("run", "balances", "refused.csv", "--continue", name, "--yes", may_end_with=(2,))


def advised_undo(ended: Ended) -> list[str]:
    found: set[str] = set(re.findall(r"`carbon-migrate (undo [^`]+)`", ended.words))
    (typed,) = found
    return shlex.split(typed)


async def first_of_them(place: Place, *more: str) -> str:
    """Enter the first balance of the account in a run of its own; its name."""
    ended = await run(place, "--limit", "1", *more)
    assert ended.closing["states"] == {"accepted": 1}
    return str(ended.closing["run"])


@pytest.mark.parametrize("meant", [(), ("--shared-accounts", "sum")])
async def test_a_row_does_not_replace_the_balance_that_another_run_gave_its_account(
    place: Place, meant: tuple[str, ...]
) -> None:
    _, ids = shared(place)
    first = await first_of_them(place, *meant)
    refused = await run(place, *meant, may_end_with=(2,))
    assert f": its account has its opening balance from run {first}, line 2" in refused.words
    undo = advised_undo(refused)
    assert undo[:4] == ["undo", first, "--set", "way=opposite"]
    planned = await place.cli.closing("plan", "balances", "shared.csv", *meant, ends=1)
    assert planned["refused"] == 1
    ended = await run(place, *meant, "--skip-bad", may_end_with=(1,))
    assert (ended.closing["states"], ended.closing["refused"]) == ({"accepted": 1, "skipped": 1}, 1)
    assert place.balance(ids[0]) == Decimal("-459.90")
    assert advised_undo(await continue_refused(place, ended.closing["run"])) == undo
    # Taken back, it is in nobody's way, and all of them are entered as one.
    await place.cli(*undo, "--yes")
    await run(place, "--shared-accounts", "sum")
    assert place.balance(ids[0]) == Decimal("493.34")
    # The later operation on the account is another subscriber's.
    undone = next(one.name for one in await place.runs() if one.job == "undo")
    assert (await place.cli.closing("verify", undone))["with_later_operations"] == 1


async def test_a_row_does_not_replace_the_balance_that_another_job_gave_its_account(place: Place) -> None:
    _, (first, second, _) = shared(place)
    place.rows("abonent_id;amount", f"{first};5", name="c.csv")
    run = (await place.run("call", "c.csv", "--model", MODEL, "--chain", OPENS))["run"]
    place.rows("abonent_id;amount", f"{second};5", name="b.csv")
    says = f"would replace the opening balance of its account: run {run} (call), operation"
    await place.cli.refused("run", "balances", "b.csv", "--yes", says=[says, "If it is meant to replace it"])


async def test_without_the_balance_before_it_no_undo_is_advised_that_would_refuse(place: Place) -> None:
    """Through the API alone, the balance before an opening balance is not known, and its undo only lists it."""
    shared(place)
    database = place.cli.environment.pop("CARBON_MIGRATE_DATABASE")
    first = await first_of_them(place)
    place.cli.environment["CARBON_MIGRATE_DATABASE"] = database
    refused = await run(place, may_end_with=(2,))
    assert f"by hand only: `carbon-migrate undo {first} --journal " in refused.words
    assert "way=" not in refused.words


async def test_a_purged_run_still_guards_the_balance_that_it_gave_an_account(place: Place) -> None:
    shared(place)
    first = await first_of_them(place)
    await place.cli("purge", first, "--yes")
    refused = await run(place, may_end_with=(2,))
    assert (
        f": its account has its opening balance from run {first}, row 1, and this row would replace" in refused.words
    )
    assert "undo" not in refused.words


async def test_a_row_that_is_to_replace_the_balance_of_another_run_says_so(place: Place) -> None:
    _, ids = shared(place)
    await first_of_them(place)
    place.write(f"abonent_id;amount\n{ids[1]};953,24\n", "shared.csv")
    ended = await run(place, "--again")
    assert ended.closing["states"] == {"accepted": 1}
    assert place.balance(ids[0]) == Decimal("953.24")


async def test_what_a_lost_journal_entered_for_the_account_is_not_replaced(asked: Place) -> None:
    """The sum was entered for one subscriber of the account; the other's row would replace it."""
    _, ids = shared(asked)
    await run(asked, "--shared-accounts", "sum")
    assert asked.balance(ids[0]) == Decimal("493.34")
    asked.cli.journal.unlink()
    ended = await run(asked, "--shared-accounts", "sum", "--skip-bad", may_end_with=(1, 2))
    ended.saying("would replace the opening balance of its account")
    assert asked.balance(ids[0]) == Decimal("493.34")
    assert (await asked.found()).rows == 2


@pytest.mark.parametrize("later", [False, True])
async def test_verify_holds_the_balances_of_accounts_against_the_rows(place: Place, later: bool) -> None:
    """A balance that somebody has set behind the billing's back is a difference; one with later operations is not."""
    account, ids = shared(place)
    name = (await run(place, "--shared-accounts", "sum")).closing["run"]
    if later:
        await place.run("balances", place.rows("abonent_id;amount", f"{ids[1]};1,00"), "--set", "op_type=2")
    else:
        await place.execute("update admin_accounts set ostatok = ostatok + 10000000000 where id = ?", account)
    verified = await place.cli("verify", name, "--json", may_end_with=(0 if later else 1,))
    told = verified.closing["accounts"]
    assert (told["different"], told["with_later_operations"]) == ((0, 1) if later else (1, 0))
    if not later:
        verified.saying(f"account {account} (line 3): 493.34 expected, the balance is 494.34")
