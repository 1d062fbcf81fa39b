"""A run that has ended for good: taken back by its undo, or closed by a person. What it did not send never is."""

import contextlib
import signal
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from checkpoints.records import Change, Stage
from checkpoints.states import State
from tests.cli.conftest import Balances, Ended, Place
from tests.cli.terminal.terminals import at_a_terminal
from tests.cli.test_import_trial import FILES, TRIAL, people, proposed_and_checked

SETTLE = ("--settle", "0.1")
STORNO = ("--set", "way=storno")
SLOW = ("--rate", "4", "--in-flight", "1", "--no-canary")
REASON = "the file was that of October"


async def stopped(place: Place, rows: int = 12) -> tuple[str, Balances]:
    """A run that was interrupted in the middle, with nothing in doubt; its name and its file."""
    balances = place.balances(rows)
    async with place.cli.started("run", "balances", balances.path, "--yes", *SLOW) as going:
        await place.traffic.reaches(place.traffic.arrived + 3)
        going.signal(signal.SIGINT)
        ended = await going.ended()
    assert ended.exit == 130, ended.err
    return (await place.runs())[-1].name, balances


async def states_of(place: Place, name: str) -> dict[str, int]:
    async with place.journal() as journal:
        totals = await journal.totals(await journal.run(name))
    return {str(state): number for state, number in totals.counts.items()}


async def sends_nothing(place: Place, *words: str | Path, may_end_with: Sequence[int] = (2,)) -> Ended:
    """What a command says that sends nothing."""
    before = place.traffic.arrived
    ended = await place.cli(*words, may_end_with=may_end_with)
    assert place.traffic.arrived == before
    return ended


async def test_what_a_run_that_was_taken_back_has_not_sent_is_never_sent(place: Place) -> None:
    run, balances = await stopped(place)
    entered = (await states_of(place, run))["accepted"]
    undo = (await place.cli("undo", run, *STORNO, "--yes", "--json", *SETTLE)).closing
    assert undo["states"] == {"accepted": entered}

    refused = await sends_nothing(place, "resume", run, "--yes", *SETTLE)
    assert f"run {run} has ended: taken back by run {undo['run']} (" in refused.words
    assert f"{12 - entered} rows of it were not sent, and never are" in refused.words
    assert f"carbon-migrate run balances {balances.path}" in refused.words
    assert f"carbon-migrate undo {undo['run']}" in refused.words
    bare = await sends_nothing(place, "resume", "--yes", *SETTLE, may_end_with=(0,))
    assert "nothing to resume" in bare.out

    status = (await place.cli("status", run)).out
    assert "taken back" in status
    assert f"resume {run}" not in status
    assert f"taken back by run {undo['run']}" in status
    assert "still in the billing: 0, 0.00" in " ".join(status.split())
    assert f"{12 - entered} rows never sent" in " ".join(status.split())
    facts = (await place.cli("status", run, "--json")).closing
    assert (facts["stage"], facts["taken_back"], facts["ended"]["undone_by"]) == ("taken back", entered, undo["run"])
    assert "@" in facts["ended"]["by"]
    every = (await place.cli("status", "--all", "--json")).closing
    (one,) = [one for one in every["runs"] if one["run"] == run]
    assert (one["stage"], one["group"], one["needs"], one["rows"]) == ("taken back", "ended", [], entered)
    assert "in the billing: 0" in (await place.cli("status", "--all")).out
    report = await place.cli("report", run, "-o", "-", may_end_with=(0, 1, 3))
    assert f"taken back by run {undo['run']}" in " ".join(report.out.split())

    # The corrected file is held back by nothing.
    again = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing
    assert again["states"] == {"accepted": 12}
    assert (await sends_nothing(place, "purge", run, "--yes", may_end_with=(0,))).exit == 0


async def test_killed_within_the_undo_the_run_has_ended_and_the_undo_goes_on(place: Place) -> None:
    run, _ = await stopped(place, 20)
    await place.kill_at(place.traffic.arrived + 1, "undo", run, *STORNO, "--yes", *SLOW, *SETTLE)
    undo = (await place.runs())[-1]
    assert undo.stage is Stage.APPROVED
    refused = await sends_nothing(place, "resume", run, "--yes", *SETTLE)
    assert f"taken back by run {undo.name}" in refused.words
    # A bare resume knows of one run that is not at its end: the undo.
    ended = await place.cli("resume", "--yes", "--json", *SETTLE)
    assert ended.closing["run"] == undo.name
    async with place.journal() as journal:
        assert await journal.in_effect(await journal.run(run)) == []


async def test_an_undo_that_was_given_up_before_a_yes_ends_nothing(place: Place) -> None:
    run, _ = await stopped(place)
    await sends_nothing(place, "undo", run, *STORNO)
    with at_a_terminal(place, "undo", run, *STORNO) as terminal:
        await terminal.shows("[y/N]")
        terminal.types("n\n")
        assert await terminal.ends() == 2
    ended = await place.cli("resume", run, "--yes", "--json", *SETTLE)
    assert ended.closing["states"] == {"accepted": 12}


async def test_while_an_undo_asks_nothing_sends_the_run_and_one_that_was_killed_there_is_out_of_date(
    place: Place,
) -> None:
    run, _ = await stopped(place)
    with at_a_terminal(place, "undo", run, *STORNO) as terminal:
        await terminal.shows("[y/N]")
        refused = await sends_nothing(place, "resume", run, "--yes", *SETTLE)
        assert "another process works on this run" in refused.words
        terminal.dies()
        await terminal.ends()
    undo = (await place.runs())[-1].name
    assert (await place.cli("resume", run, "--yes", "--json", *SETTLE)).closing["states"] == {"accepted": 12}
    ended = await sends_nothing(place, "resume", undo, "--yes", *SETTLE)
    assert f"run {run} has other rows in the billing than when this undo was listed" in ended.words
    assert (await place.runs())[-1].stage is Stage.DISCARDED
    # Typed again, it takes back all of them, each once.
    whole = (await place.cli("undo", run, *STORNO, "--yes", "--json", *SETTLE)).closing
    assert whole["states"] == {"accepted": 12}
    reversed_rows = "select count(*), count(distinct op_id) from finance_operations where op_type = 8 and storno = 1"
    assert list(place.billing.database.query(reversed_rows)) == [(12, 12)]


async def test_an_undo_that_refuses_a_row_is_not_out_of_date_for_that(place: Place) -> None:
    run, _ = await stopped(place)
    entered = (await states_of(place, run))["accepted"]
    with contextlib.closing(sqlite3.connect(place.cli.journal)) as journal, journal:
        journal.execute("update items set answer = null where number = 1")
    with at_a_terminal(place, "undo", run, *STORNO, "--skip-bad") as terminal:
        await terminal.shows("[y/N]")
        terminal.dies()
        await terminal.ends()
    undo = (await place.runs())[-1].name
    ended = await place.cli("resume", undo, "--yes", "--skip-bad", "--json", *SETTLE, may_end_with=(1,))
    assert (ended.closing["states"], ended.closing["refused"]) == ({"accepted": entered - 1}, 1)


async def test_after_the_undo_of_the_undo_the_effects_stand_and_the_rest_stays_unsent(place: Place) -> None:
    run, balances = await stopped(place)
    entered = (await states_of(place, run))["accepted"]
    undo = (await place.cli("undo", run, "--set", "way=opposite", "--yes", "--json", *SETTLE)).closing["run"]
    back = await place.cli("undo", undo, *STORNO, "--yes", "--json", *SETTLE)
    assert back.closing["states"] == {"accepted": entered}
    facts = (await place.cli("status", run, "--json")).closing
    assert (facts["stage"], facts["taken_back"]) == ("closed", 0)
    await sends_nothing(place, "resume", run, "--yes", *SETTLE)
    again = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing
    assert again["states"] == {"accepted": 12 - entered, "skipped": entered}


async def test_close_ends_a_stopped_run_by_name_and_with_a_reason(place: Place) -> None:
    run, balances = await stopped(place)
    entered = (await states_of(place, run))["accepted"]
    other = await sends_nothing(place, "run", "balances", balances.path, "--yes")
    assert f"resume {run}" in other.words
    await sends_nothing(place, "close", run, "--reason", "  ")
    closed = await sends_nothing(place, "close", run, "--reason", REASON, "--json", may_end_with=(0,))
    assert closed.closing["states"] == {"accepted": entered, "pending": 12 - entered}
    assert closed.closing["ended"]["why"] == REASON
    refused = await sends_nothing(place, "resume", run, "--yes", *SETTLE)
    assert f": {REASON}. {12 - entered} rows of it were not sent, and never are" in refused.words
    assert "has ended: closed by " in (await sends_nothing(place, "close", run, "--reason", "x")).words
    status = " ".join((await place.cli("status", run)).out.split())
    assert f"{run}, closed" in status
    assert f"close: {REASON} (" in status
    assert f"resume {run}" not in status
    verified = await place.cli("verify", run, "--json")
    assert verified.closing["states"] == {"applied": entered, "pending": 12 - entered}
    # What is in the list counts, and what is not sent holds nothing back.
    again = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing
    assert again["states"] == {"accepted": 12 - entered, "skipped": entered}
    # What stands can be taken back all the same.
    undone = (await place.cli("undo", run, *STORNO, "--yes", "--json", *SETTLE)).closing
    assert undone["states"] == {"accepted": entered}


async def test_a_run_that_works_is_in_doubt_or_is_done_is_not_closed(place: Place) -> None:
    balances = place.balances(12)
    close = ("--reason", REASON)
    async with place.cli.started("run", "balances", balances.path, "--yes", *SLOW) as going:
        await place.traffic.reaches(2)
        (run,) = await place.runs()
        await place.cli.refused("close", run.name, *close, says="another process works on this run")
        going.signal(signal.SIGKILL)
        await going.ended()
    doubtful = await sends_nothing(place, "close", run.name, *close)
    if (await states_of(place, run.name)).keys() & {"sending", "unknown"}:
        assert f"reconcile {run.name}" in doubtful.words
    assert (await place.cli("resume", run.name, "--yes", "--json", *SETTLE)).closing["states"] == {"accepted": 12}
    assert "is at its end" in (await sends_nothing(place, "close", run.name, *close)).words


async def test_a_run_that_nobody_agreed_to_is_given_up_by_close(place: Place) -> None:
    balances = place.balances(3)
    with at_a_terminal(place, "run", "balances", str(balances.path)) as terminal:
        await terminal.shows("[y/N]")
        terminal.dies()
        await terminal.ends()
    (run,) = await place.runs()
    await sends_nothing(place, "close", run.name, "--reason", REASON, may_end_with=(0,))
    assert (await place.runs())[0].stage is Stage.DISCARDED
    assert "given up" in (await sends_nothing(place, "close", run.name, "--reason", REASON)).words


async def test_a_row_that_a_person_has_to_decide_on_is_named_and_stays_decidable(place: Place) -> None:
    run, _ = await stopped(place)
    async with place.journal() as journal, journal.taken_up(await journal.run(run)) as ours:
        number, *_ = [item.number for item in await journal.items(ours, {State.PENDING})]
        ((item_id),) = [item.item_id for item in await journal.items(ours, {State.PENDING}) if item.number == number]
        await journal.claim(ours, [item_id])
        for state in (State.UNKNOWN, State.MANUAL):
            await journal.record(ours, [Change(item_id, state)])
    closed = await sends_nothing(place, "close", run, "--reason", REASON, may_end_with=(0,))
    assert "1 row still waits for a person to decide whether it is in the billing" in closed.words + closed.out
    await place.cli("decide", run, f"{run}/{number}", "pending", "--why", "not there")
    states = await states_of(place, run)
    assert sum(states.values()) == 12
    assert "manual" not in states
    await sends_nothing(place, "resume", run, "--yes", *SETTLE)


async def test_an_import_goes_through_after_a_trial_that_was_stopped_and_taken_back(place: Place) -> None:
    await proposed_and_checked(place)
    place.traffic.model = "/rest_api/"
    async with place.cli.started("import", *TRIAL, "--yes", "--rate", "20", "--in-flight", "2") as going:
        await place.traffic.reaches(place.traffic.arrived + 12)
        going.signal(signal.SIGINT)
        await going.ended()
    (trial,) = await place.runs()
    async with place.journal() as journal:
        assert (await journal.totals(trial)).count(State.PENDING)
    await place.cli("undo", trial.name, "--yes", *SETTLE)
    assert people(place) == {}
    whole = await place.cli("import", *FILES, "--yes", "--skip-bad", "--json", may_end_with=[1])
    assert (whole.closing["refused"], len(people(place))) == (1, 7), whole.words
