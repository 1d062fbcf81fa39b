from collections.abc import Mapping

import msgspec

from checkpoints.records import Item
from checkpoints.states import State
from engine.pacing.canary import Canary, canary_of
from tests.engine.doubles import A_RUN, MemoryJournal, item


def answered(canary: Canary, rows: int) -> None:
    for _ in range(rows):
        canary.answered()


def test_the_steps_are_one_ten_a_hundred_and_all() -> None:
    canary = Canary(wanted=True)
    steps = []
    while canary.rows is not None:
        steps.append((canary.rows, canary.why))
        answered(canary, canary.rows)
        canary.passed()
    assert steps == [(1, "canary: 1 first"), (10, "canary: 10 first"), (100, "canary: 100 first")]
    assert canary.why == ""
    canary.passed()
    assert canary.rows is None


def alarm(canary: Canary, error: str, of: Item | None = None) -> str | None:
    return canary.alarm(of or item(3), error, "k7m2q")


def test_a_new_error_among_the_first_ten_is_an_alarm_that_says_what_where_and_how_to_go_on() -> None:
    canary = Canary(wanted=True, known=["account 4 is locked"])
    answered(canary, 10)
    assert alarm(canary, "account 17 is locked") is None
    assert alarm(canary, "no such tariff") == (
        "one of the first 10 rows met an error that this run has not met before: row 3, line 4 (subscriber 3): "
        "no such tariff. If it is only this row, `carbon-migrate resume k7m2q` goes on with the others; "
        "with --no-canary it does not begin with a few rows"
    )
    assert "row 3 (subscriber 3)" in (
        alarm(canary, "no such tariff", msgspec.structs.replace(item(3), line=None)) or ""
    )


async def counts(journal: MemoryJournal) -> Mapping[State, int]:
    return (await journal.totals(A_RUN)).counts


async def test_one_that_has_only_been_refused_begins_again_and_knows_the_errors() -> None:
    rejected = msgspec.structs.replace(item(1, state=State.REJECTED), message="no such tariff 7")
    journal = MemoryJournal(rejected, item(2))
    canary = await canary_of(A_RUN, journal, await counts(journal), wanted=True)
    assert canary.rows == 1
    assert alarm(canary, "no such tariff 12") is None
    assert alarm(canary, "no such folder 12") is not None
    journal = MemoryJournal(rejected)
    assert (await canary_of(A_RUN, journal, await counts(journal), wanted=False)).rows is None
