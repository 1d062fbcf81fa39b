"""`python -m tests.cli.saboteur HOW COMMAND …`: the program with one promise broken, for the lab to find."""

import sqlite3
import sys
from collections.abc import Awaitable, Callable, Collection, Sequence

from yarl import URL

from billing.api import wire
from billing.api.wire import Flight, Wire
from checkpoints import journal, queries
from checkpoints.journal_file import JournalFile
from checkpoints.records import Change, Item, NewItem, Run
from cli.main import main
from engine.pipeline.foreign_entries import ForeignEntries
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.witness import Witness
from jobs.access.gateway import Gateway

MOVED = {307, 308}
GATEWAY_TIMEOUT = 504
_NO_ROW = -1
"""Marks a flight whose answer names no row."""

Claim = Callable[[journal.Journal, Run, Sequence[int]], Awaitable[None]]
Record = Callable[[journal.Journal, Run, Sequence[Change]], Awaitable[list[Item]]]


def claims_after_the_call() -> None:
    """The intent is written with the outcome, not before the first byte leaves; nor is anything looked for."""
    # The look before each call would find what the journal does not know.
    sends_without_looking()
    claim: Claim = journal.Journal.claim
    record: Record = journal.Journal.record
    put_off: set[int] = set()

    async def claim_later(_: journal.Journal, run: Run, item_ids: Sequence[int]) -> None:
        assert run.epoch
        put_off.update(item_ids)

    async def claim_and_record(self: journal.Journal, run: Run, changes: Sequence[Change]) -> list[Item]:
        mine = [change.item_id for change in changes if change.item_id in put_off]
        put_off.difference_update(mine)
        await claim(self, run, mine)
        return await record(self, run, changes)

    setattr(journal.Journal, "claim", claim_later)  # noqa: B010 - mypy would not have it otherwise
    setattr(journal.Journal, "record", claim_and_record)  # noqa: B010 - the same


def sends_again_at_start() -> None:
    """At start what was being sent becomes pending, not unknown; nor is anything looked for."""
    # The look before each call would find what the journal does not know.
    sends_without_looking()
    _at_start_becomes("pending")


def trusts_an_early_look() -> None:
    """The look-up does not wait for the stacks; nor is anything looked for just before the call."""
    # That look would find what the stacks have worked off since the early one.
    sends_without_looking()

    async def unfinished_work(_: Gateway, accounts: Collection[int], abonents: Collection[int]) -> str | None:
        assert accounts or abonents
        return None

    setattr(Gateway, "unfinished_work", unfinished_work)  # noqa: B010 - the same


def follows_redirects() -> None:
    """A redirect is followed: a 307 posts again."""
    post = Wire.post

    async def following(self: Wire, path: str, flight: Flight) -> bytes | None:
        body = await post(self, path, flight)
        return await post(self, URL(flight.headers["Location"]).path, flight) if flight.status in MOVED else body

    setattr(Wire, "post", following)  # noqa: B010 - the same


def keeps_connections_after_a_504() -> None:
    """After a 504 the connection is used again, whosever answer comes next."""
    post, finish, clean_ones = Wire.post, Wire.finish, wire._CLEAN

    async def shared(self: Wire, path: str, flight: Flight) -> bytes | None:
        flight.row = _NO_ROW if flight.row is None else flight.row
        return await post(self, path, flight)

    def kept(self: Wire, flight: Flight, *, clean: bool) -> None:
        finish(self, flight, clean=flight.status == GATEWAY_TIMEOUT or (clean and flight.row != _NO_ROW))

    setattr(wire, "_CLEAN", {*clean_ones, GATEWAY_TIMEOUT})  # noqa: B010 - the same
    setattr(Wire, "post", shared)  # noqa: B010 - the same
    setattr(Wire, "finish", kept)  # noqa: B010 - the same


def sends_without_looking() -> None:
    """The mark of a row is not looked for before the row is sent."""

    async def taken_up(_: Witness) -> None:
        return None

    async def ahead(_: Witness, items: Sequence[Item]) -> None:
        assert items

    async def unseen(_: Witness, item: Item) -> None:
        assert item.item_id

    setattr(Witness, "take_up", taken_up)  # noqa: B010 - the same
    setattr(Witness, "ahead", ahead)  # noqa: B010 - the same
    setattr(Witness, "at_call", unseen)  # noqa: B010 - the same


def ignores_unknown_marks() -> None:
    """Entries with the mark of a run that the journal does not know count for nothing."""

    def judged(_: ForeignEntries, item: NewItem, *__: object) -> NewItem:
        return item

    setattr(ForeignEntries, "_judged", judged)  # noqa: B010 - the same


def runs_without_the_lock() -> None:
    """Whoever finds a run locked goes on all the same."""
    lock = JournalFile.lock

    def locked(self: JournalFile, run_id: int) -> bool:
        return lock(self, run_id) or True

    def unlocked(_: JournalFile, run_id: int) -> bool:
        return not run_id

    setattr(JournalFile, "lock", locked)  # noqa: B010 - the same
    setattr(JournalFile, "is_locked", unlocked)  # noqa: B010 - the same


def leaves_the_epoch_out() -> None:
    """There is no lock, and an old epoch writes as the new one does."""

    def unchecked(_: sqlite3.Connection, run: Run) -> None:
        assert run.run_id

    runs_without_the_lock()
    setattr(journal, "_check_epoch", unchecked)  # noqa: B010 - the same


def takes_what_was_sent_for_done() -> None:
    """At start what was being sent becomes accepted, not unknown."""
    _at_start_becomes("accepted")


def pauses_in_words_alone() -> None:
    """`pause` is answered and noted, and the run goes on."""

    def only_said(_: LivePolicy, who: str) -> None:
        assert who

    setattr(LivePolicy, "pause", only_said)  # noqa: B010 - the same


def _at_start_becomes(state: str) -> None:
    blocks = queries.blocks()
    twisted = {**blocks, "doubt": blocks["doubt"].replace("state = 'unknown'", f"state = '{state}'")}
    setattr(queries, "blocks", lambda: twisted)  # noqa: B010 - the same


WAYS = {
    way.__name__: way
    for way in (
        claims_after_the_call,
        sends_again_at_start,
        trusts_an_early_look,
        follows_redirects,
        takes_what_was_sent_for_done,
        pauses_in_words_alone,
        keeps_connections_after_a_504,
        sends_without_looking,
        ignores_unknown_marks,
        runs_without_the_lock,
        leaves_the_epoch_out,
    )
}

if __name__ == "__main__":
    WAYS[sys.argv.pop(1)]()
    main()
