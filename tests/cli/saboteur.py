"""`python -m tests.cli.saboteur HOW COMMAND …`: the program with one promise broken, for the lab to find."""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from http import HTTPStatus
from typing import Any

import msgspec
from yarl import URL

from billing.api import answers, client, wire
from billing.api.wire import Flight, Wire
from billing.directory.models import ACT
from checkpoints import journal
from checkpoints.journal_file import JournalFile
from checkpoints.queries import blocks
from checkpoints.records import Change, Item, Run
from checkpoints.transitions import NO_PAYLOADS
from cli.main import main
from cli.session import journal as session_journal
from cli.session import session
from engine.evidence import Accepted, Evidence
from engine.pipeline import witness
from engine.pipeline.foreign_entries import ForeignEntries
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.progress import LivePolicy
from engine.pipeline.witness import Witness
from jobs.access.gateway import Gateway, OneBilling
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

    async def taken_for_shown(self: Pipeline) -> bool:
        self._looks_at_first = False
        return True

    _replace(Pipeline, "_first_is_shown", taken_for_shown)
    _replace(Gateway, "unfinished_work", _none)


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
    for name in ("take_up", "at_call"):
        _replace(Witness, name, _none)


def ignores_unknown_marks() -> None:
    """Entries with the mark of a run that the journal does not know count for nothing."""
    looks_for_its_own_mark_alone()
    _replace(ForeignEntries, "_judged", lambda _, item, *__, **___: item)


def runs_without_the_lock() -> None:
    """Whoever finds a run locked goes on all the same, on the machine and in the journal."""
    lock = JournalFile.lock
    _replace(JournalFile, "lock", lambda self, run_id: lock(self, run_id) or True)
    _replace(JournalFile, "is_locked", lambda *_: False)
    lets_two_journals_send()


def leaves_the_epoch_out() -> None:
    """There is no lock, and an old epoch writes as the new one does."""
    runs_without_the_lock()
    _replace(journal, "check_epoch", lambda *_: None)


def takes_what_was_sent_for_done() -> None:
    """At start what was being sent becomes accepted, not unknown."""
    _at_start_becomes("accepted")


def charges_what_was_paid() -> None:
    """Payments are entered with the type of acts."""
    _replace(built_in, "_OPERATION", OPERATION.replace("{op_type}", str(ACT)))


def looks_for_its_own_mark_alone() -> None:
    """What other journals and people enter between list and call counts for nothing."""
    _replace(ForeignEntries, "judge_at_call", _empty)


def lets_two_journals_send() -> None:
    """Whoever sends to a billing on this machine does not look for others that do."""
    _replace(session_journal, "only_journal", lambda *_: nullcontext())


def believes_proxies() -> None:
    """An answer with a known status is believed, whoever gives it."""
    read = answers.read_answer

    def believed(status: int, *given: Any, **more: Any) -> Evidence:
        evidence = read(status, *given, **more)
        is_known = status >= HTTPStatus.BAD_REQUEST and hasattr(evidence, "recognised")
        return msgspec.structs.replace(evidence, recognised=True) if is_known else evidence

    _replace(client, "read_answer", believed)


def leaves_an_undone_run_open() -> None:
    """An undo does not end the run that it takes back."""
    blocks()["end_undone"] += " and 1 = 0"


def believes_two_addresses() -> None:
    """API and database are taken for one billing, unseen; nor is the first row looked for."""

    async def unseen(*_: object) -> OneBilling:
        return OneBilling()

    _replace(session, "one_billing", unseen)
    _replace(Pipeline, "_first_is_shown", _true)


def never_reads_numbers_again() -> None:
    """Whose a contract number is counts as it was when the list was made."""
    _replace(CallEffect, "_moved_since", _empty)


def overwrites_what_has_come() -> None:
    """A balance is set, whatever has come to the account since the list was made."""
    _replace(CreateEffect, "outdated", CallEffect.outdated)


def takes_what_is_there_for_its_own() -> None:
    """What somebody else has created since the list was made counts as made by the run."""
    _replace(witness, "AlreadyThere", lambda text, answer=None: Accepted(answer, text))


def pauses_in_words_alone() -> None:
    """`pause` is answered and noted, and the run goes on."""
    _replace(LivePolicy, "pause", lambda *_: None)


async def _true(*_: object) -> bool:
    return True


async def _none(*_: object, **__: object) -> None:
    return None


async def _empty(*_: object) -> dict[int, object]:
    return {}


def _replace(owner: object, name: str, new: object) -> None:
    """Replace what is there; a name that has moved would break no promise, and nobody would see it."""
    assert hasattr(owner, name), f"{owner} has no {name} any more"
    setattr(owner, name, new)


def _at_start_becomes(state: str) -> None:
    blocks()["doubt"] = blocks()["doubt"].replace("state = 'unknown'", f"state = '{state}'")


if __name__ == "__main__":
    globals()[sys.argv.pop(1)]()
    main()
