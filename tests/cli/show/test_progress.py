"""The lines and the screen of a run that is under way: what they say, and that they fit."""

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from queue import Queue
from typing import Any

import pytest
from rich.console import Console

from checkpoints.records import NewItem, Totals
from checkpoints.states import State
from cli.show.progress import line, screen_of, show_intake
from cli.terminal import waiting
from cli.terminal.streams import lasting, plain
from cli.terminal.waiting import WaitingLine
from engine.pipeline.progress import Progress, Status
from tests.cli.test_screens import UNDER_WAY as LOAD
from texts.said import reason

COUNTS: Mapping[str, int] = {"pending": 86_420, "skipped": 10, "sending": 12, "accepted": 12_345, "rejected": 3}

UNDER_WAY = replace(
    LOAD,
    counts=COUNTS,
    done=12_358,
    refused=2,
    why="window 16 (the server's limit)",
    errors={"no account": 3},
    last_error="00123: \x1b[31mbad\nnews",
    entered=Decimal("1234567.5"),
)
HELD: Mapping[str, Any] = {
    "held": "EVENTS_STACK 5,120 > 1,000",
    "why": "EVENTS_STACK 5,120 > 1,000",
    "eta": None,
    "rate": 0.0,
}


def drawn(status: Status, width: int, name: str = "") -> list[str]:
    file = StringIO()
    Console(file=lasting(file), width=width, force_terminal=False, highlight=False).print(screen_of(status, name))
    return [text.rstrip() for text in file.getvalue().splitlines()]


def said(status: Status, name: str = "") -> str:
    return plain(line(status, name).plain)


WHOLE = (
    "12 348 of 98 780 rows (12 %), 85 rows/s, 16:54 left, 12/16 in flight, "
    "window 16 (the server's limit), 1 234 567.50 entered, 80/s on average, latency p50 45 ms, p95 1.2 s, "
    "3 rejected, 42 sent again, errors: 3 × no account"
)
BARE: Mapping[str, Any] = {
    "retries": 0,
    "average": 0.0,
    "p50": None,
    "p95": None,
    "why": "",
    "errors": {},
    "entered": Decimal(0),
}
EMPTY = {"total": 0, "done": 0, "skipped": 0, "counts": {}, "in_flight": 0, "window": 0, "errors": {}}
KINDS = {"no account": 3, "locked": 2, "fault": 1, "fourth": 1}
MANY = {f"no account {letter * 90}": 1_234 for letter in "abcdefgh"}
IN_STATES = {"pending": 1, "sending": 4, "accepted": 7, "rejected": 12_345, "unknown": 12, "manual": 3}


@pytest.mark.parametrize(
    ("change", "says", "never"),
    [
        ({}, f"^{WHOLE}$", ""),
        ({**BARE, "counts": {"pending": 5}}, "16:54 left, 12/16 in flight$", ""),
        ({"entered": Decimal(0), "errors": MANY}, ", errors: 1 234 × no acco.*…$", ""),
        ({"entered": Decimal(0), "why": reason("rate {rate}", "rate", rate="20")}, ", --rate 20, ", ""),
        ({**BARE, "errors": KINDS}, ", errors: 3 × no account, 2 × locked, 1 × fault$", ""),
        ({"counts": IN_STATES}, ", 12 345 rejected, 12 unknown, 3 manual, ", ""),
        (HELD, "held: EVENTS_STACK 5,120 > 1,000", "left|EVENTS_STACK.*EVENTS_STACK"),
        ({"intake_ended": False, "eta": None}, "^12 348 of 98 780 rows so far, 85 rows/s, 12/16 in flight", ""),
        ({"rate": 0.4}, ", 0.4 rows/s, ", ""),
        ({"rate": 0.0}, ", 0 rows/s, ", ""),
        ({"done": 98_790, "eta": 0.0}, "(100 %)", "left"),
        ({**EMPTY, "last_error": None}, "^0 of 0 rows (100 %)", ""),
        ({"in_flight": 43, "window": 10}, ", 43 in flight, 10 from now on, ", ""),
    ],
)
def test_the_line_says_where_it_stands_how_fast_it_goes_and_why_not_faster(
    change: Mapping[str, Any], says: str, never: str
) -> None:
    text = said(replace(UNDER_WAY, **change))
    assert re.search(re.sub(r"[()]", r"\\\g<0>", says), text), text
    assert not never or not re.search(never, text), text
    assert not text.endswith("…") or len(text) <= 200


def test_the_name_of_the_run_stands_first_and_what_matters_most_in_80_columns() -> None:
    assert said(UNDER_WAY, "k7m2q").startswith("k7m2q: 12 348 of 98 780 rows (12 %)")
    assert drawn(UNDER_WAY, 80, "k7m2q")[0].startswith("run k7m2q")
    assert said(UNDER_WAY)[:80].endswith("16:54 left, 12/16 in flight, window 16 ")
    assert "held: EVENTS_STACK 5,120 > 1,000" in said(replace(UNDER_WAY, **HELD))[:100]


def test_what_is_claimed_is_not_said_to_be_sent() -> None:
    counts = {"pending": 86_000, "sending": 16, "accepted": 7}
    change = {**HELD, "counts": counts, "in_flight": 0, "window": 10, "held": "paused by root", "paused": True}
    shown = " ".join(drawn(replace(UNDER_WAY, **change), 80))
    assert "pending 86 000   claimed 16   accepted 7" in shown
    assert "sending" not in shown
    assert "in flight" not in shown


def test_on_a_narrow_terminal_it_wraps_and_loses_nothing() -> None:
    shown = drawn(
        replace(UNDER_WAY, **{**HELD, "held": f"EVENTS_STACK cannot be read: {'the database is away ' * 3}"}), 40
    )
    assert max(map(len, shown)) <= 40
    words = " ".join(" ".join(shown).split())
    assert "held EVENTS_STACK cannot be read: the database is away the database is away" in words
    assert "12/16 in flight" in words
    assert "accepted 12 345" in words


def test_only_the_commonest_kinds_of_error_are_shown_while_it_goes() -> None:
    many = replace(UNDER_WAY, errors={f"kind {letter}": 9 for letter in "abcdefgh"})
    assert [text for text in drawn(many, 80) if text.startswith("error ")] == [
        "error 9 × kind a",
        "error 9 × kind b",
        "error 9 × kind c",
    ]


async def test_it_shows_what_the_progress_of_a_run_says() -> None:
    progress = Progress()
    row = NewItem("7", "subscriber 7", "7", "{}")
    progress.frozen([row] * 100 + [replace(row, skip_reason="already as wanted")] * 10, 2)
    progress.moved(State.PENDING, State.ACCEPTED, 50)
    progress.intake_ended = True
    progress.hold("9 in doubt: looking them up in 30 s")
    text = said(progress.status())
    assert text.startswith("50 of 100 rows (50 %), ")
    assert "held: 9 in doubt: looking them up in 30 s" in text
    assert "/s on average" in text
    assert not text.endswith(", ")


@pytest.mark.parametrize("change", [{}, {"intake_ended": False}, {"done": 98_790}])
def test_no_bar_is_red_while_all_is_well(change: dict[str, Any]) -> None:
    file = StringIO()
    console = Console(file=lasting(file), width=80, force_terminal=True, color_system="truecolor", highlight=False)
    well = replace(UNDER_WAY, counts={"pending": 4, "accepted": 5}, errors={}, last_error=None)
    console.print(screen_of(replace(well, **change)))
    colours = re.findall(r"\x1b\[([0-9;]*)m", file.getvalue())
    # rich's own bar is pink.
    assert [codes for codes in colours if re.search(r"\b(31|91|249;38;114)\b", codes)] == []


async def test_the_money_so_far_is_that_of_rows_in_the_billing() -> None:
    progress = Progress()
    totals = Totals(
        {State.ACCEPTED: 1, State.PENDING: 2}, {State.ACCEPTED: Decimal("10.5"), State.PENDING: Decimal(7)}
    )
    progress.take_up(totals, intake_ended=True)
    progress.moved(State.SENDING, State.ACCEPTED, amount=Decimal("2.25"))
    progress.moved(State.SENDING, State.REJECTED, amount=Decimal(100))
    progress.moved(State.ACCEPTED, State.UNKNOWN, amount=Decimal("0.25"))
    progress.moved(State.ACCEPTED, State.APPLIED, amount=Decimal(1))
    assert progress.status().entered == Decimal("12.50")


async def test_rows_that_are_only_seen_are_counted_before_the_first_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SILENCE", "EVERY"):
        monkeypatch.setattr(waiting, name, 0.01)
    progress = Progress()
    texts: Queue[str] = Queue()
    seen = 0

    def until(text: str) -> None:
        while text not in plain(texts.get(timeout=60)):
            pass

    with WaitingLine().shown_by(texts.put, lambda: 200), show_intake(progress, "subscribers.csv", lambda: seen):
        until("reading subscribers.csv: 0 rows, 0:00")
        seen = 41_310
        until("reading subscribers.csv for what stands twice: 41 310 rows, 0:00")
        progress.frozen([], 2)
        progress.counts[State.PENDING] = 1
        until("reading subscribers.csv: 1 row, 2 refused, 0:00")
