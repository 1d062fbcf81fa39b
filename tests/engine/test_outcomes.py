"""Every line of the table "Evidence and outcome", both columns."""

from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.states import State
from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused
from engine.outcomes import Cause, Outcome, decide
from engine.statistics import (
    BUCKETS,
    LONGEST,
    MOST,
    OTHER,
    SHORTEST,
    SPAN,
    ErrorGroups,
    Histogram,
    Pace,
    RecentCalls,
    error_group,
)

P, U = State.PENDING, State.UNKNOWN
Follows: TypeAlias = tuple[State, Cause]
"""The state and the cause; what was said, the answer and the time to wait are those of the evidence."""
TABLE: list[tuple[str, Evidence, Follows, Follows | None]] = [
    ("no byte of the request left", NotSent("refused"), (P, Cause.NOT_REACHED), None),
    ("busy, and it says until when", Busy("429", 7.5), (P, Cause.NOT_NOW), None),
    ("busy, without saying until when", Busy("locked"), (P, Cause.BUSY), None),
    ("busy with what the row itself has begun", Busy("locked", halfway=True), (P, Cause.HALFWAY), None),
    ("an error of the row", RowRefused("no such account"), (State.REJECTED, Cause.ANSWERED), None),
    (
        "an answer whose error nobody knows",
        RowRefused("что-то пошло не так", recognised=False),
        (State.UNCONFIRMED, Cause.ANSWERED),
        (State.REJECTED, Cause.ANSWERED),
    ),
    # Whoever stands before the billing may have written such a page.
    ("a page that asks for a pause", Busy("429", 7.5, recognised=False), (U, Cause.NOT_NOW), (P, Cause.NOT_NOW)),
    (
        "a page that refuses everything",
        SystemRefused("HTTP 403", recognised=False),
        (U, Cause.REFUSES_ALL),
        (P, Cause.REFUSES_ALL),
    ),
    ("an error of the whole system", SystemRefused("read-only"), (P, Cause.REFUSES_ALL), None),
    ("sent, and nobody knows what came of it", Lost("time-out"), (U, Cause.NO_ANSWER), (P, Cause.NO_ANSWER)),
    ("an answer of the expected shape", Accepted("777"), (State.ACCEPTED, Cause.ANSWERED), None),
]


def outcome(evidence: Evidence, follows: Follows) -> Outcome:
    if isinstance(evidence, Accepted):
        return Outcome(*follows, answer=evidence.answer)
    wait = evidence.retry_after if isinstance(evidence, Busy) else None
    return Outcome(*follows, message=evidence.text, retry_after=wait)


@pytest.mark.parametrize(("evidence", "once", "again"), [line[1:] for line in TABLE], ids=[line[0] for line in TABLE])
def test_the_table_says_what_follows_from_evidence(evidence: Evidence, once: Follows, again: Follows | None) -> None:
    assert decide(evidence) == outcome(evidence, once)
    assert decide(evidence, only_reads=True) == outcome(evidence, again or once)


def test_every_kind_of_evidence_stands_in_the_table() -> None:
    assert {type(evidence) for _, evidence, _, _ in TABLE} == set(Evidence.__args__)


@given(
    times=st.lists(st.floats(2 * SHORTEST, 900), min_size=1, max_size=200),
    share=st.sampled_from([0.05, 0.5, 0.95, 1]),
)
def test_a_quantile_is_right_to_five_percent(times: list[float], share: float) -> None:
    histogram = Histogram()
    for seconds in times:
        histogram.add(seconds)
    exact = sorted(times)[max(0, -(-len(times) * share // 1) - 1).__int__()]
    assert histogram.quantile(share) == pytest.approx(exact, rel=0.051)


def test_its_size_stays_whatever_it_is_told() -> None:
    histogram = Histogram()
    for exponent in range(-12, 13):
        histogram.add(10.0**exponent)
    assert max(histogram._counts) == BUCKETS - 1
    assert (histogram.quantile(1.0) or 0) > 900


def test_recent_calls_forget_what_was_before_their_marks() -> None:
    times, recent = Histogram(), RecentCalls()
    times.add(100.0)
    assert recent.mark(0.0, 1, times)[1].quantile(0.5) is None, "before the first mark nobody knows when they came"
    slowest: list[float | None] = []
    for second in range(1, 2 * SPAN + 1):
        for _ in range(4):
            times.add(10.0 if second <= SPAN else 0.1)
        rate, found = recent.mark(float(second), 1 + 4 * second, times)
        assert rate == 4.0
        slowest.append(found.quantile(0.95))
    assert slowest[-2] == pytest.approx(10.0, rel=0.051), "the last seconds, one of them slow"
    assert slowest[-1] == pytest.approx(0.1, rel=0.051)
    assert times.quantile(0.95) == pytest.approx(10.0, rel=0.051), "all calls are counted as before"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("account 17 is locked", "account is locked"),
        ("account 4711 is locked", "account is locked"),
        ("HTTP 500: at 03:14:15", "HTTP : at ::"),
        ("нет  счета\nдля 00123", "нет счета для"),
        ("", ""),
        ("a1" * 10_000, "a" * LONGEST),
    ],
    ids=lambda given: given[:20],
)
def test_a_kind_is_a_text_without_its_numbers(text: str, kind: str) -> None:
    assert error_group(text) == kind


def test_a_kind_keeps_the_digits_of_its_first_text_and_only_so_many_kinds_are_kept() -> None:
    kinds = ErrorGroups()
    for text in (
        "HTTP 503: account 17 is locked",
        "HTTP 503: account 4 is locked",
        "no  connection to 10.0.0.1:8082",
    ):
        kinds.add(text)
    assert kinds.counted() == {"HTTP 503: account 17 is locked": 2, "no connection to 10.0.0.1:8082": 1}
    kinds = ErrorGroups()
    for number in range(1000):
        kinds.add("x" * (number % 50 + 1))
    counted = kinds.counted()
    assert len(counted) == MOST + 1
    assert sum(counted.values()) == 1000
    assert counted[OTHER] == 1000 - 20 * MOST


def test_the_pace_is_that_of_the_last_seconds() -> None:
    pace = Pace(1000.0)
    for tenth in range(300):
        pace.add(1000.0 + tenth / 10, 10)  # a hundred a second
    assert pace.recent(1030.0) == pytest.approx(100.0, rel=0.12)
    for tenth in range(300):
        pace.add(1030.0 + tenth / 10)  # ten a second
    assert pace.recent(1060.0) == pytest.approx(10.0, rel=0.12)
    assert pace.average(1060.0) == pytest.approx(55.0)
