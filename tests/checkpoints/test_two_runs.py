"""Two runs in one journal, alike to the last row: what is done to one leaves the other as it is, whole.

Each statement names the run that it is about. Without its `where run_id`, one that writes changes the other run here,
and one that reads finds the other's rows."""

import os
import re
import shutil
import socket
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from msgspec import structs

from checkpoints.errors import ForbiddenTransition, RunTakenOver
from checkpoints.journal import Journal, open_journal
from checkpoints.journal_file import JournalAddress
from checkpoints.records import Change, Correction, Item, LookUps, Merged, NewItem, NewRun, NewRunner, Refusal, Run
from checkpoints.states import State
from checkpoints.transitions import Purge
from tests.checkpoints.samples import (
    EVERY_STATE,
    NEW_RUN,
    all_items,
    come_to,
    frozen_run,
    keep,
    new_item,
    page,
    within,
)
from tests.checkpoints.shells import shell

OF_RUN: Final = {
    "runs": "select * from runs where run_id = ?",
    "items": "select * from items where run_id = ?",
    "refusals": "select * from refusals where run_id = ?",
    "commands": "select * from commands where run_id = ?",
    "decisions": "select * from decisions where item_id in (select item_id from items where run_id = ?)",
    "runners": "select * from runners where run_id = ?",
    "verifications": "select * from verifications where run_id = ?",
    "reports": "select * from reports where run_id = ?",
}
"""All that the journal has of one run."""

STATES: Final = {
    "pending": (),
    "sending": (),
    "accepted": (State.ACCEPTED,),
    "rejected": (State.REJECTED,),
    "unknown": (State.UNKNOWN,),
    "manual": (State.UNKNOWN, State.MANUAL),
    "decided": (State.UNKNOWN, State.MANUAL),
    "undone": (State.ACCEPTED,),
}
"""The items of a run by their keys, each with the steps behind its claim."""

CONFLICT: Final = Refusal(9, None, "pending", "contradicts line 1", ("x",), conflict="conflict")


async def made(journal: Journal, *, approve: bool) -> Run:
    """A run with an item in each state, refused rows, a cursor, a command, a decision, a policy, paused."""
    run = await journal.create_run(NEW_RUN)
    new = [new_item(key, lane="shared" if key in {"pending", "conflict"} else None) for key in (*STATES, "conflict")]
    refusals = (CONFLICT, Refusal(10, "сумма", "ten", "no amount", ("10", "")))
    await journal.freeze(run, page(*new, refusals=refusals, cursor="first"), keep)
    named = {item.key: item for item in await all_items(journal, run)}
    await journal.claim(run, [named[key].item_id for key in STATES if key != "pending"])
    for key, steps in STATES.items():
        for step in steps:
            await journal.record(run, [Change(named[key].item_id, step, message=f"{step}: {key}", answer="5")])
    await journal.decide(run, named["decided"], State.ACCEPTED, who="olga", why="seen")
    await journal.keep_policy(run, {"rate": "20"})
    await journal.pause(run, "olga")
    await journal.history.note_command(run, "olga", "pause", "paused")
    run = await journal.take_up(run, NewRunner("run", "olga"))
    await journal.history.note_verification(run, "olga", {"as_wanted": 1})
    await journal.history.note_report(run, f"root of {run.name}")
    undo = await journal.create_run(NewRun("undo", {"run": run.name}, NEW_RUN.target, "run"))
    back = NewItem("undone", "undone", "account undone", "{}", undoes=named["undone"].item_id)
    await journal.freeze(undo, page(back), keep)
    (taking,) = await all_items(journal, undo)
    await journal.claim(undo, [taking.item_id])
    await journal.record(undo, [Change(taking.item_id, State.ACCEPTED)])
    if approve:
        await journal.approve(run)
    return await journal.run(run.name)


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Mapping[bool, Path]:
    """A journal with three such runs, approved or not, for tests that each work on a copy of their own."""

    async def three(journal: Journal, approve: bool) -> None:
        for _ in range(3):
            await made(journal, approve=approve)

    places = {approve: tmp_path_factory.mktemp("alike") / "journal.db" for approve in (False, True)}
    for approve, place in places.items():
        within(place, partial(three, approve=approve))
    return places


async def no_undos(journal: Journal) -> list[Run]:
    return [run for run in await journal.runs() if run.job == NEW_RUN.job]


def whole(path: Path, run: Run) -> Mapping[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as shell:
        return {table: shell.execute(select, (run.run_id,)).fetchall() for table, select in OF_RUN.items()}


async def one_of(journal: Journal, run: Run, key: str) -> Item:
    return next(item for item in await all_items(journal, run) if item.key == key)


Write = Callable[[Journal, Run], Awaitable[object]]


async def _correct(journal: Journal, run: Run) -> None:
    rejected = await one_of(journal, run, "rejected")
    ((refusal_id, _), *_) = await journal.refusals(run)
    rows = [
        Correction(new_item("corrected"), number=rejected.number),
        Correction(new_item("mended"), refusal_id=refusal_id),
    ]
    await journal.correct(run, rows, keep)


def of(key: str, write: Callable[[Journal, Run, Item], Awaitable[object]]) -> Write:
    """A write about the item of this key."""

    async def written(journal: Journal, run: Run) -> None:
        await write(journal, run, await one_of(journal, run, key))

    return written


async def _doubt_answers(journal: Journal, run: Run) -> None:
    await journal.doubt_answers(run, [item.item_id for item in await all_items(journal, run)], "late")


async def _merge(journal: Journal, run: Run) -> None:
    carrier, carried = [await one_of(journal, run, key) for key in ("pending", "conflict")]
    merged = Merged(carrier.item_id, (carried.item_id,), "its sum is in another row", "{}", Decimal(5))
    await journal.merge(run, [merged])


WRITES: Final[Mapping[str, Write]] = {
    "approve": lambda journal, run: journal.approve(run),
    "end_intake": lambda journal, run: journal.end_intake(run),
    "pause": lambda journal, run: journal.pause(run, "ivan"),
    "unpause": lambda journal, run: journal.unpause(run),
    "keep_policy": lambda journal, run: journal.keep_policy(run, {"rate": "5"}),
    "note_command": lambda journal, run: journal.history.note_command(run, "ivan", "stop", "stops"),
    "note_wait": lambda journal, run: journal.history.note_wait(run, "breaker", "the billing is away"),
    "take_up": lambda journal, run: journal.take_up(run),
    "end_runner": lambda journal, run: journal.history.end_runner(run),
    "note_look_ups": lambda journal, run: journal.history.note_look_ups(run, LookUps(found=2, left=1)),
    "note_assumptions": lambda journal, run: journal.history.note_assumptions(run, "type 8 sets"),
    "note_verification": lambda journal, run: journal.history.note_verification(run, "ivan", {"as_wanted": 2}),
    "note_report": lambda journal, run: journal.history.note_report(run, "another root"),
    "freeze": lambda journal, run: journal.freeze(run, page(new_item("new"), cursor="second"), keep),
    "correct": _correct,
    "claim": of("pending", lambda journal, run, item: journal.claim(run, [item.item_id])),
    "keep": of("pending", lambda journal, run, item: journal.keep(run, {item.item_id: '{"anew":1}'})),
    "record": of("sending", lambda journal, run, item: journal.record(run, [Change(item.item_id, State.REJECTED)])),
    # A second row with the id of a new object that another row of the run has: both are in doubt.
    "record (one id)": of(
        "sending",
        lambda journal, run, item: journal.record(run, [Change(item.item_id, State.ACCEPTED, "5", created=True)]),
    ),
    "doubt": lambda journal, run: journal.doubt(run),
    "doubt_answers": _doubt_answers,
    "decide": of(
        "manual", lambda journal, run, item: journal.decide(run, item, State.PENDING, who="ivan", why="not there")
    ),
    "end": lambda journal, run: journal.end(run, "olga", "the wrong file"),
    "note_seen": of("manual", lambda journal, run, item: journal.note_seen(run, {item.item_id: ["4711"]})),
    "merge": _merge,
    "refuse": of("pending", lambda journal, run, item: journal.refuse(run, {item.item_id: "nobody can tell"})),
}
BEFORE_APPROVAL: Final = frozenset({"approve", "merge", "refuse"})
"""Change nothing of a run that is approved."""
NEVER_PAUSED_ANEW: Final = "pause"
"""Changes nothing of a run that is paused already."""


@pytest.mark.parametrize("approved", [False, True], ids=["not approved", "approved"])
@pytest.mark.parametrize("name", WRITES)
async def test_what_is_written_to_one_run_leaves_the_other_whole(
    name: str, path: Path, alike: Mapping[bool, Path], *, approved: bool
) -> None:
    shutil.copy(alike[approved], path)
    async with open_journal(path) as journal:
        before, run, behind = await no_undos(journal)
        if name == NEVER_PAUSED_ANEW:
            for one in (before, run, behind):
                await journal.unpause(one)
        others = [whole(path, other) for other in (before, behind)]
        own = whole(path, run)
        await WRITES[name](journal, run)
        assert [whole(path, other) for other in (before, behind)] == others
        assert (whole(path, run) != own) is not (approved and name in BEFORE_APPROVAL)


@pytest.mark.parametrize("keep_totals", [False, True])
async def test_to_purge_one_run_leaves_the_other_whole(path: Path, *, keep_totals: bool) -> None:
    async with open_journal(path) as journal:
        runs: list[Run] = []
        for _ in range(3):
            run = await frozen_run(journal, new_item("a"), new_item("b", skip_reason="entered"), new_item("c"))
            await journal.freeze(run, page(refusals=[CONFLICT]), keep)
            await journal.end_intake(run)
            await journal.approve(run)
            await come_to(journal, run, {1: State.ACCEPTED, 3: State.MANUAL})
            await journal.decide(run, await one_of(journal, run, "c"), State.ACCEPTED, who="olga", why="seen")
            await journal.history.note_command(run, "olga", "pause", "paused")
            runs.append(await journal.run(run.name))
        before, own, behind = [whole(path, run) for run in runs]
        await journal.purge(runs[1], Purge({}, lambda payload: payload, keep_totals=keep_totals))
        assert (whole(path, runs[0]), whole(path, runs[2])) == (before, behind)
        assert whole(path, runs[1]) != own


def test_each_write_of_the_journal_is_held_against_a_second_run() -> None:
    room = Path(__file__).parents[2] / "checkpoints"
    source = "".join((room / name).read_text(encoding="utf-8") for name in ("journal.py", "history.py"))
    methods = re.split(r"\n    async def ", source)[1:]
    by_hand = re.compile(r"self\._(write|do|store\.(write|do))\(")
    writing = {method.partition("(")[0] for method in methods if by_hand.search(method)}
    writing |= set(re.findall(r"^    (\w+) = _(?:writes|doubts)\(", source, re.MULTILINE))
    # Leases, a queue and secrets has only a journal in PostgreSQL: test_lease.py, tests/cli/fleet/test_worker.py, and
    # tests/jobs/test_passwords.py.
    of_postgres = {"note_free", "note_calls_ended", "take_out", "forget"}
    # What an undo has found gone is noted of the run that it takes back: tests/cli/commands/test_undo.py.
    others = {"_write", "_do", "method", "create_run", "discard", "purge", "note_gone"} | of_postgres
    assert writing - others == {name.partition(" ")[0] for name in WRITES}


Read = Callable[[Journal, Run], Awaitable[object]]

READS: Final[Mapping[str, Read]] = {
    "run": lambda journal, run: journal.run(run.name),
    "again": lambda journal, run: journal.again(run),
    "commands": lambda journal, run: journal.history.commands(run),
    "find": lambda journal, run: journal.find(run, "pending"),
    "find_refusal": lambda journal, run: journal.find_refusal(run, line=9),
    "decisions": lambda journal, run: journal.history.decisions(run),
    "runners": lambda journal, run: journal.history.runners(run),
    "of_run": lambda journal, run: journal.history.of_run(run),
    "last_verification": lambda journal, run: journal.history.last_verification(run),
    "items": lambda journal, run: journal.items(run, EVERY_STATE),
    "items_by_key": lambda journal, run: journal.items_by_key(run, EVERY_STATE),
    "last_unsettled": lambda journal, run: journal.last_unsettled(run, 1_000),
    "in_effect": lambda journal, run: journal.in_effect(run),
    "in_effect_last_first": lambda journal, run: journal.in_effect_last_first(run),
    "lane_mates": lambda journal, run: journal.lane_mates(run, {"account accepted", "account undone"}),
    "mates_in_shared_lanes": lambda journal, run: journal.mates_in_shared_lanes(run, {"account undone"}),
    "standing_by_lane": lambda journal, run: journal.standing_by_lane(run),
    "refusals": lambda journal, run: journal.refusals(run),
    "totals": lambda journal, run: journal.totals(run),
    "absolute_sum": lambda journal, run: journal.absolute_sum(run, EVERY_STATE),
    "reasons": lambda journal, run: journal.reasons(run, State.MANUAL),
    "shared_lanes": lambda journal, run: journal.shared_lanes(run),
    "taken_back": lambda journal, run: journal.taken_back(run),
}


async def without_others(path: Path, run: Run) -> None:
    """The journal as it would be if this run were the only one of its job; its undo stays."""
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("pragma foreign_keys = off")
        for name, select in OF_RUN.items():
            if name != "runs":
                shell.execute(select.replace("select *", "delete").replace("= ?", "not in (?, ?)"), _own(run))
        shell.execute("delete from runs where run_id not in (?, ?)", _own(run))


def _own(run: Run) -> tuple[int, int]:
    """The ids of a run that `made` has made, and of its undo."""
    return run.run_id, run.run_id + 1


@pytest.mark.parametrize("name", READS)
async def test_what_is_read_of_one_run_is_not_the_others(name: str, path: Path, alike: Mapping[bool, Path]) -> None:
    shutil.copy(alike[False], path)
    async with open_journal(path) as journal:
        _, run, _ = await no_undos(journal)
        found = await READS[name](journal, run)
        await without_others(path, run)
        assert await READS[name](journal, run) == found


async def test_of_two_refusals_of_one_line_the_one_that_was_not_mended_is_found(journal: Journal) -> None:
    run = await journal.create_run(NEW_RUN)
    twice = [structs.replace(CONFLICT, conflict=None, reason=reason) for reason in ("first", "second")]
    await journal.freeze(run, page(refusals=twice), keep)
    ((first, _), (second, _)) = await journal.refusals(run)
    await journal.correct(run, [Correction(new_item("a"), refusal_id=first)], keep)
    assert await journal.find_refusal(run, line=9) == (second, False)
    await journal.correct(run, [Correction(new_item("b"), refusal_id=second)], keep)
    assert await journal.find_refusal(run, line=9) == (first, True)


NO_EPOCH: Final = frozenset(
    {
        *("pause", "unpause", "take_up", "note_seen", "end_runner"),
        *("note_command", "note_wait", "note_look_ups", "note_assumptions", "note_verification", "note_report"),
    }
)
"""Writes of others than the runner of a run, or about themselves alone."""


def dump(place: JournalAddress) -> list[object]:
    with shell(place) as tables:
        return [
            list(tables.execute(f"select * from {table} order by 1, 2"))  # noqa: S608 - our own tables
            for table in ("runs", "items", "refusals", "decisions", "commands", "runners")
        ]


@pytest.mark.parametrize("name", [*(WRITES.keys() - NO_EPOCH), "discard"])
async def test_under_an_old_epoch_nothing_is_written_and_it_is_told(
    name: str, journal_address: JournalAddress
) -> None:
    async with open_journal(journal_address) as journal, open_journal(journal_address) as other:
        run = await journal.take_up(await made(journal, approve=False))
        # The lock is left out: this is a second runner that it has not kept away.
        await other.take_up(run)
        before = dump(journal_address)
        us = re.escape(f"process {os.getpid()} on {socket.gethostname()}")
        with pytest.raises(RunTakenOver, match=f"run {run.name} was taken over by {us}, since .*sends and records"):
            await (journal.discard(run) if name == "discard" else WRITES[name](journal, run))
        assert dump(journal_address) == before


async def test_a_step_that_may_not_follow_the_next_runners_is_refused_too(journal_address: JournalAddress) -> None:
    async with open_journal(journal_address) as journal, open_journal(journal_address) as other:
        run = await journal.take_up(await made(journal, approve=False))
        pending, sent = [await one_of(journal, run, key) for key in ("pending", "sending")]
        theirs = await other.take_up(run)
        await other.record(theirs, [Change(sent.item_id, State.ACCEPTED)])
        await other.claim(theirs, [pending.item_id])
        before = dump(journal_address)
        for write in (
            journal.claim(run, [pending.item_id]),
            journal.record(run, [Change(sent.item_id, State.PENDING)]),
            journal.confirm(run),
            journal.again(run),
        ):
            with pytest.raises(RunTakenOver):
                await write
        assert dump(journal_address) == before


async def test_an_item_of_another_run_is_not_written(journal_address: JournalAddress, journal: Journal) -> None:
    run, other = [await made(journal, approve=False) for _ in range(2)]
    item = await one_of(journal, run, "pending")
    before = dump(journal_address)
    await journal.keep(other, {item.item_id: "{}"})
    for write in (
        journal.claim(other, [item.item_id]),
        journal.record(other, [Change(item.item_id, State.SENDING)]),
    ):
        with pytest.raises(ForbiddenTransition, match="1 items were to be written and 0 are of this run"):
            await write
    with pytest.raises(ForbiddenTransition, match="is not manual"):
        await journal.decide(other, item, State.PENDING, who="olga", why="seen")
    assert dump(journal_address) == before


async def test_a_refusal_of_another_run_is_not_mended(path: Path, journal: Journal) -> None:
    one, other = [await frozen_run(journal) for _ in range(2)]
    for run in (one, other):
        await journal.freeze(run, page(refusals=[CONFLICT]), keep)
    ((refusal_id, _),) = await journal.refusals(other)
    before = whole(path, other)
    await journal.correct(one, [Correction(new_item("a"), refusal_id=refusal_id)], keep)
    assert whole(path, other) == before
