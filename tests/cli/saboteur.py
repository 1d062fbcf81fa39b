"""`python -m tests.cli.saboteur HOW COMMAND …`: the program with one promise broken, for the lab to find."""

import sys
from collections.abc import Awaitable, Callable, Collection, Sequence

from yarl import URL

from billing.wire import Flight, Wire
from checkpoints import journal
from checkpoints.records import Change, Item, Run
from checkpoints.statements import statement
from cli.main import main
from engine.steering import Steering
from jobs.services import Services

MOVED = {307, 308}

Claim = Callable[[journal.Journal, Run, Sequence[int]], Awaitable[None]]
Record = Callable[[journal.Journal, Run, Sequence[Change]], Awaitable[list[Item]]]


def claims_after_the_call() -> None:
    """The intent is written with the outcome, not before the first byte leaves."""
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
    """At start what was being sent becomes pending, not unknown."""

    _at_start_becomes("pending")


def trusts_an_early_look() -> None:
    """The look-up does not wait for the stacks."""

    async def drained(_: Services, accounts: Collection[int], abonents: Collection[int]) -> str | None:
        assert accounts or abonents
        return None

    setattr(Services, "undrained", drained)  # noqa: B010 - the same


def follows_redirects() -> None:
    """A redirect is followed: a 307 posts again."""
    post = Wire.post

    async def following(self: Wire, path: str, flight: Flight) -> bytes | None:
        body = await post(self, path, flight)
        return await post(self, URL(flight.headers["Location"]).path, flight) if flight.status in MOVED else body

    setattr(Wire, "post", following)  # noqa: B010 - the same


def takes_what_was_sent_for_done() -> None:
    """At start what was being sent becomes accepted, not unknown."""
    _at_start_becomes("accepted")


def pauses_in_words_alone() -> None:
    """`pause` is answered and noted, and the run goes on."""

    def only_said(_: Steering, who: str) -> None:
        assert who

    setattr(Steering, "pause", only_said)  # noqa: B010 - the same


def _at_start_becomes(state: str) -> None:
    def twisted(name: str) -> str:
        text = statement(name)
        return text.replace("state = 'unknown'", f"state = '{state}'") if name == "doubt" else text

    setattr(journal, "statement", twisted)  # noqa: B010 - the same


WAYS = {
    way.__name__: way
    for way in (
        claims_after_the_call,
        sends_again_at_start,
        trusts_an_early_look,
        follows_redirects,
        takes_what_was_sent_for_done,
        pauses_in_words_alone,
    )
}

if __name__ == "__main__":
    WAYS[sys.argv.pop(1)]()
    main()
