"""A person's decision: which row it is about, what it needs, and that it is heard."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiohttp import web

from checkpoints.journal import Journal
from checkpoints.records import Change, NewItem, NewRun
from checkpoints.states import State
from cli.terminal.exits import Exit
from jobs.access.payload import Payload, chain_of, encode_payload
from jobs.spec.import_words import IMPORT
from tests.checkpoints.samples import NEW_RUN, all_items, frozen_run, new_item, within
from tests.cli.conftest import Place, Typed, clean_environment
from tests.cli.terminal.terminals import opened

SETTLE = ("--settle", "0.1")
WHY = ("--why", "seen by Olga")


def journal_with(path: Path, items: Sequence[NewItem], *, manual: Sequence[int], new: NewRun = NEW_RUN) -> str:
    """A journal with a run of these rows, those of these numbers left to a person; the run's name."""

    async def make(journal: Journal) -> str:
        run = await frozen_run(journal, *items, new=new)
        await journal.end_intake(run)
        await journal.approve(run)
        ids = [item.item_id for item in await all_items(journal, run) if item.number in manual]
        await journal.claim(run, ids)
        for state in (State.UNKNOWN, State.MANUAL):
            await journal.record(run, [Change(item_id, state) for item_id in ids])
        return run.name

    return within(path, make)


def states_in(path: Path, name: str) -> dict[int, tuple[State, str | None]]:
    async def read(journal: Journal) -> dict[int, tuple[State, str | None]]:
        items = await all_items(journal, await journal.run(name))
        return {item.number: (item.state, item.answer) for item in items}

    return within(path, read)


# ---- which row ---------------------------------------------------------------------------------------------------


def test_a_row_is_named_as_it_is_printed_and_a_key_has_no_other_reading(typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "carbon-migrate.journal"
    first, second = new_item("9001"), new_item("9002")
    # The contract number of the first row is the number of the second.
    items = [NewItem(first.key, "2", first.lane, first.payload), second, new_item("9003")]
    name = journal_with(path, items, manual=(1, 2, 3))

    for number in ("3", "1"):
        typed.refused("decide", name, number, "accepted", *WHY, says=[f"has no row {number}", f"{name}/{number}"])
    assert typed("decide", name, "2", "pending", *WHY).exit == Exit.DONE
    assert states_in(path, name) == {
        1: (State.PENDING, None),
        2: (State.MANUAL, None),
        3: (State.MANUAL, None),
    }
    assert typed("decide", f"{name}/2", "pending", *WHY).exit == Exit.DONE
    assert typed("decide", name, f"{name}/3", "accepted", *WHY).exit == Exit.DONE
    assert [state for state, _ in states_in(path, name).values()] == [State.PENDING, State.PENDING, State.ACCEPTED]


def test_a_key_that_two_rows_have_is_not_decided_on(typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "carbon-migrate.journal"
    first, second = new_item("7"), new_item("9002")
    # Row 2 is of the contract number 7, and nothing is to be decided on row 1, whose key that is.
    name = journal_with(path, [first, NewItem(second.key, "7", second.lane, second.payload)], manual=(2,))
    refused = typed("decide", name, "7", "accepted", *WHY)
    assert refused.exit == Exit.REFUSED
    assert (
        f"7 may be any of the rows {name}/1 and {name}/2" in refused.words or f"{name}/1, {name}/2" in refused.words
    )
    assert states_in(path, name)[2] == (State.MANUAL, None)


# ---- the id of what others need ----------------------------------------------------------------------------------


def imported(path: Path) -> str:
    """A journal with an import whose subscriber is left to a person; the run's name."""
    payload = Payload("Abonents", chain_of(("objects.create", {"name": "Иванов", "contract_number": "00777"})))
    row = NewItem("00777/subscriber/", "00777", "contract:00777", encode_payload(payload))
    return journal_with(path, [row], manual=(1,), new=NewRun(IMPORT, {}, NEW_RUN.target, "subs.csv"))


@pytest.mark.parametrize("given", [(), ("--id", ""), ("--id", "0"), ("--id", "x"), ("--id", str(2**31))])
def test_an_accepted_subscriber_of_an_import_needs_its_id(
    typed: Typed, tmp_path: Path, given: tuple[str, ...]
) -> None:
    path = tmp_path / "carbon-migrate.journal"
    name = imported(path)
    refused = typed("decide", f"{name}/1", "accepted", *WHY, *given)
    assert refused.exit == Exit.REFUSED
    assert ("no id of the billing" if given else "add --id 4711") in refused.words
    assert states_in(path, name) == {1: (State.MANUAL, None)}
    assert typed("decide", f"{name}/1", "accepted", *WHY, "--id", "9123").exit == Exit.DONE
    assert states_in(path, name) == {1: (State.ACCEPTED, "9123")}


async def test_at_a_terminal_the_id_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "carbon-migrate.journal"
    payload = Payload("Abonents", chain_of(("objects.create", {"contract_number": "00777"})))
    from checkpoints.journal import open_journal  # noqa: PLC0415

    async with open_journal(path) as journal:
        run = await frozen_run(
            journal,
            NewItem("00777/subscriber/", "00777", "contract:00777", encode_payload(payload)),
            new=NewRun(IMPORT, {}, NEW_RUN.target, "subs.csv"),
        )
        await journal.end_intake(run)
        await journal.approve(run)
        (item,) = await all_items(journal, run)
        await journal.claim(run, [item.item_id])
        for state in (State.UNKNOWN, State.MANUAL):
            await journal.record(run, [Change(item.item_id, state)])
    command = [sys.executable, "-m", "cli", "decide", f"{run.name}/1", "accepted", *WHY]
    with opened(command, tmp_path, {**clean_environment(), "TERM": "xterm"}) as terminal:
        await terminal.shows("What is the id of 00777 in the billing?")
        terminal.types("9123\n")
        assert await terminal.ends() == Exit.DONE
    async with open_journal(path) as journal:
        (item,) = await all_items(journal, run)
    assert (item.state, item.answer) == (State.ACCEPTED, "9123")


# ---- what was seen -----------------------------------------------------------------------------------------------


async def a_payment_in_doubt(place: Place) -> tuple[str, int]:
    """A payment whose call crashed, beside an equal entry of somebody else; the run's name and the subscriber."""
    place.traffic.model, place.traffic.method = "Abonents/", "add_payment"
    query = "select min(id) from abonents where is_folder = 0 and deleted = 0 and account_id is not null"
    ((subscriber,),) = place.billing.database.query(query)
    place.write(f"abonent_id;amount\n{subscriber};77\n", "pay.csv")
    place.traffic.answer = lambda _: web.Response(status=500, text="<html>crashed</html>", content_type="text/html")

    async def somebody_else(_body: str) -> None:
        place.traffic.meanwhile = before
        await entered(place, 900001, subscriber)

    before, place.traffic.meanwhile = place.traffic.meanwhile, somebody_else
    run = ("run", "payment", "pay.csv", "--set", "way=add_payment", "--yes", *SETTLE, "--no-canary")
    await place.cli(*run, may_end_with=(Exit.UNDECIDED,))
    place.traffic.answer = lambda _: None
    return (await place.runs())[0].name, subscriber


async def entered(place: Place, op_id: int, subscriber: int) -> None:
    """An operation of the same sum that somebody enters."""
    await place.execute(
        "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date, descr, storno) "
        "values (?, ?, 8, 770000000000, current_timestamp, 'by hand', 0)",
        op_id,
        subscriber,
    )


async def test_what_a_person_has_seen_does_not_ask_again_and_what_came_later_does(place: Place) -> None:
    run, subscriber = await a_payment_in_doubt(place)
    await place.cli("decide", f"{run}/1", "pending", "--why", "900001 is of the cash desk")
    await entered(place, 900002, subscriber)
    asked = await place.cli("resume", run, "--yes", "--json", *SETTLE, may_end_with=(Exit.UNDECIDED,))
    assert asked.closing["states"] == {"manual": 1}
    assert "operation 900002" in asked.words
    assert "operation 900001" not in asked.words

    await place.cli("decide", f"{run}/1", "pending", "--why", "so is 900002")
    sent = await place.cli("resume", run, "--yes", "--json", *SETTLE)
    assert sent.closing["states"] == {"accepted": 1}
    # It is told apart from what was there when it is read back.
    assert (await place.cli("verify", run, "--json")).closing["states"] == {"applied": 1}


async def test_what_reconcile_has_shown_counts_as_seen(place: Place) -> None:
    run, subscriber = await a_payment_in_doubt(place)
    await entered(place, 900002, subscriber)
    shown = await place.cli("reconcile", run, *SETTLE, may_end_with=(Exit.UNDECIDED,))
    assert f"carbon-migrate decide {run}/1 accepted" in " ".join((shown.out + shown.err).split())
    await place.cli("decide", f"{run}/1", "pending", "--why", "both are of the cash desk")
    sent = await place.cli("resume", run, "--yes", "--json", *SETTLE)
    assert sent.closing["states"] == {"accepted": 1}
