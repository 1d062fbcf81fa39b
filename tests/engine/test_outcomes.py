"""Every line of the table "Evidence and outcome", both columns."""

import pytest

from checkpoints.states import State
from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused
from engine.outcomes import Cause, Outcome, decide

TABLE: list[tuple[str, Evidence, Outcome, Outcome | None]] = [
    (
        "no byte of the request left",
        NotSent("refused"),
        Outcome(State.PENDING, Cause.NOT_REACHED, message="refused"),
        None,
    ),
    (
        "busy, and it says until when",
        Busy("429", 7.5),
        Outcome(State.PENDING, Cause.NOT_NOW, message="429", retry_after=7.5),
        None,
    ),
    (
        "busy, without saying until when",
        Busy("locked"),
        Outcome(State.PENDING, Cause.BUSY, message="locked"),
        None,
    ),
    (
        "busy with what the row itself has begun",
        Busy("locked", halfway=True),
        Outcome(State.PENDING, Cause.HALFWAY, message="locked"),
        None,
    ),
    (
        "an answer whose error is of the row",
        RowRefused("no such account"),
        Outcome(State.REJECTED, Cause.ANSWERED, message="no such account"),
        None,
    ),
    (
        "an answer whose error nobody knows",
        RowRefused("что-то пошло не так", recognised=False),
        Outcome(State.UNCONFIRMED, Cause.ANSWERED, message="что-то пошло не так"),
        Outcome(State.REJECTED, Cause.ANSWERED, message="что-то пошло не так", unproven=True),
    ),
    (
        "a page that asks for a pause, which whoever stands before the billing may have written",
        Busy("429", 7.5, recognised=False),
        Outcome(State.UNKNOWN, Cause.NOT_NOW, message="429", retry_after=7.5),
        Outcome(State.PENDING, Cause.NOT_NOW, message="429", retry_after=7.5, unproven=True),
    ),
    (
        "a page that refuses everything",
        SystemRefused("HTTP 403", recognised=False),
        Outcome(State.UNKNOWN, Cause.REFUSES_ALL, message="HTTP 403"),
        Outcome(State.PENDING, Cause.REFUSES_ALL, message="HTTP 403", unproven=True),
    ),
    (
        "an answer that means the whole system",
        SystemRefused("read-only"),
        Outcome(State.PENDING, Cause.REFUSES_ALL, message="read-only"),
        None,
    ),
    (
        "sent, and nobody knows what came of it",
        Lost("time-out"),
        Outcome(State.UNKNOWN, Cause.NO_ANSWER, message="time-out"),
        Outcome(State.PENDING, Cause.NO_ANSWER, message="time-out", unproven=True),
    ),
    (
        "an answer of the expected shape",
        Accepted("777"),
        Outcome(State.ACCEPTED, Cause.ANSWERED, answer="777"),
        None,
    ),
]


@pytest.mark.parametrize(("evidence", "once", "again"), [line[1:] for line in TABLE], ids=[line[0] for line in TABLE])
def test_the_table_says_what_follows_from_what_is_seen(
    evidence: Evidence, once: Outcome, again: Outcome | None
) -> None:
    assert decide(evidence, repeatable=False) == once
    assert decide(evidence, repeatable=True) == (again or once)


def test_every_kind_of_evidence_stands_in_the_table() -> None:
    assert {type(evidence) for _, evidence, _, _ in TABLE} == set(Evidence.__args__)
