"""`python -m tests.cli.saboteur HOW COMMAND …`: the program with one promise broken, for the lab to find."""

import sqlite3
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import msgspec
from yarl import URL

from billing.api import answers, wire
from billing.api.wire import Flight, Wire
from billing.directory.models import ACT
from checkpoints import journal
from checkpoints.journal_file import JournalFile
from checkpoints.queries import blocks
from checkpoints.records import Change, Item, NewItem, Run
from checkpoints.transitions import NO_PAYLOADS
from cli.main import main
from cli.session import journal as session_journal
from cli.session import session
from engine.evidence import Accepted, Evidence
from engine.pipeline import witness
from engine.pipeline.foreign_entries import ForeignEntries
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.witness import Witness
from jobs.access.gateway import Gateway
from jobs.access.one_billing import OneBilling
from jobs.access.payload import Payload
from jobs.catalogue import built_in
from jobs.effects.create import CreateEffect
from jobs.effects.effect import CallEffect
from jobs.spec.entries import OPERATION

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

    async def claim_later(
        self: journal.Journal, run: Run, item_ids: Sequence[int], payloads: Mapping[int, str] = NO_PAYLOADS
    ) -> None:
        await self.keep(run, payloads)
        put_off.update(item_ids)

    async def claim_and_record(self: journal.Journal, run: Run, changes: Sequence[Change]) -> list[Item]:
        mine = [change.item_id for change in changes if change.item_id in put_off]
        put_off.difference_update(mine)
        await claim(self, run, mine)
        return await record(self, run, changes)

    _replace(journal.Journal, "claim", claim_later)
    _replace(journal.Journal, "record", claim_and_record)


def sends_again_at_start() -> None:
    """At start what was being sent becomes pending, not unknown; nor is anything looked for."""
    # The look before each call would find what the journal does not know.
    sends_without_looking()
    _at_start_becomes("pending")


def trusts_an_early_look() -> None:
    """The look-up does not wait for the stacks; nor is anything looked for just before the call."""
    # That look would find what the stacks have worked off since the early one, as would the one for the first row.
    sends_without_looking()
    _replace(Pipeline, "_first_is_shown", _shown)

    async def unfinished_work(
        _: Gateway, accounts: Collection[int], abonents: Collection[int], *, new: bool = False
    ) -> str | None:
        assert accounts or abonents or new
        return None

    _replace(Gateway, "unfinished_work", unfinished_work)


def follows_redirects() -> None:
    """A redirect is followed: a 307 posts again."""
    post = Wire.post

    async def following(self: Wire, path: str, flight: Flight) -> bytes | None:
        body = await post(self, path, flight)
        return await post(self, URL(flight.headers["Location"]).path, flight) if flight.status in MOVED else body

    _replace(Wire, "post", following)


def keeps_connections_after_a_504() -> None:
    """After a 504 the connection is used again, whosever answer comes next."""
    post, finish, clean_ones = Wire.post, Wire.finish, wire._CLEAN

    async def shared(self: Wire, path: str, flight: Flight) -> bytes | None:
        flight.row = _NO_ROW if flight.row is None else flight.row
        return await post(self, path, flight)

    def kept(self: Wire, flight: Flight, *, clean: bool) -> None:
        finish(self, flight, clean=flight.status == GATEWAY_TIMEOUT or (clean and flight.row != _NO_ROW))

    _replace(wire, "_CLEAN", {*clean_ones, GATEWAY_TIMEOUT})
    _replace(Wire, "post", shared)
    _replace(Wire, "finish", kept)


def sends_without_looking() -> None:
    """The mark of a row is not looked for before the row is sent."""

    async def taken_up(_: Witness) -> None:
        return None

    async def ahead(_: Witness, items: Sequence[Item]) -> None:
        assert items

    async def unseen(_: Witness, item: Item) -> None:
        assert item.item_id

    _replace(Witness, "take_up", taken_up)
    _replace(Witness, "ahead", ahead)
    _replace(Witness, "at_call", unseen)


def ignores_unknown_marks() -> None:
    """Entries with the mark of a run that the journal does not know count for nothing."""

    looks_for_its_own_mark_alone()

    def judged(_: ForeignEntries, item: NewItem, *__: object) -> NewItem:
        return item

    _replace(ForeignEntries, "_judged", judged)


def runs_without_the_lock() -> None:
    """Whoever finds a run locked goes on all the same, on the machine and in the journal."""
    lock = JournalFile.lock

    def locked(self: JournalFile, run_id: int) -> bool:
        return lock(self, run_id) or True

    def unlocked(_: JournalFile, run_id: int) -> bool:
        return not run_id

    _replace(JournalFile, "lock", locked)
    _replace(JournalFile, "is_locked", unlocked)
    _replace(session_journal, "only_journal", lambda *_: nullcontext())


def leaves_the_epoch_out() -> None:
    """There is no lock, and an old epoch writes as the new one does."""

    def unchecked(_: sqlite3.Connection, run: Run) -> None:
        assert run.run_id

    runs_without_the_lock()
    _replace(journal, "check_epoch", unchecked)


def takes_what_was_sent_for_done() -> None:
    """At start what was being sent becomes accepted, not unknown."""
    _at_start_becomes("accepted")


def charges_what_was_paid() -> None:
    """Payments are entered with the type of acts."""
    _replace(built_in, "_OPERATION", OPERATION.replace("{op_type}", str(ACT)))


def looks_for_its_own_mark_alone() -> None:
    """What other journals and people enter between list and call counts for nothing."""

    async def judged(_: ForeignEntries, looked_at: Sequence[object]) -> dict[int, object]:
        assert isinstance(looked_at, list)
        return {}

    _replace(ForeignEntries, "judge_at_call", judged)


def lets_two_journals_send() -> None:
    """Whoever sends to a billing on this machine does not look for others that do."""
    _replace(session_journal, "only_journal", lambda *_: nullcontext())


def believes_proxies() -> None:
    """An answer with a known status is believed, whoever gives it."""
    read = answers._read_failure

    def believed(*given: Any, **more: Any) -> Evidence:
        evidence = read(*given, **more)
        return msgspec.structs.replace(evidence, recognised=True) if hasattr(evidence, "recognised") else evidence

    _replace(answers, "_read_failure", believed)


def leaves_an_undone_run_open() -> None:
    """An undo does not end the run that it takes back."""
    blocks()["end_undone"] += " and 1 = 0"


def believes_two_addresses() -> None:
    """API and database are taken for one billing, unseen; nor is the first row looked for."""

    async def unseen(*_: object) -> OneBilling:
        return OneBilling()

    _replace(session, "one_billing", unseen)
    _replace(Pipeline, "_first_is_shown", _shown)


def never_reads_numbers_again() -> None:
    """Whose a contract number is counts as it was when the list was made."""

    async def moved_since(_: CallEffect, items: Sequence[Item], payloads: Sequence[Payload]) -> dict[int, str]:
        assert len(items) == len(payloads)
        return {}

    _replace(CallEffect, "_moved_since", moved_since)


def overwrites_what_has_come() -> None:
    """A balance is set, whatever has come to the account since the list was made."""
    _replace(CreateEffect, "outdated", CallEffect.outdated)


def takes_what_is_there_for_its_own() -> None:
    """What somebody else has created since the list was made counts as made by the run."""

    def made(text: str, answer: str | None = None) -> Evidence:
        return Accepted(answer, text)

    _replace(witness, "AlreadyThere", made)


def pauses_in_words_alone() -> None:
    """`pause` is answered and noted, and the run goes on."""

    def only_said(_: LivePolicy, who: str) -> None:
        assert who

    _replace(LivePolicy, "pause", only_said)


async def _shown(_: Pipeline) -> bool:
    return True


def _replace(owner: object, name: str, new: object) -> None:
    """Replace what is there; a name that has moved would break no promise, and nobody would see it."""
    assert hasattr(owner, name), f"{owner} has no {name} any more"
    setattr(owner, name, new)


def _at_start_becomes(state: str) -> None:
    blocks()["doubt"] = blocks()["doubt"].replace("state = 'unknown'", f"state = '{state}'")


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
        charges_what_was_paid,
        looks_for_its_own_mark_alone,
        lets_two_journals_send,
        believes_proxies,
        leaves_an_undone_run_open,
        believes_two_addresses,
        never_reads_numbers_again,
        overwrites_what_has_come,
        takes_what_is_there_for_its_own,
    )
}

if __name__ == "__main__":
    WAYS[sys.argv.pop(1)]()
    main()
