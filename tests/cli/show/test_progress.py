"""The lines and the screen of a run that is under way: what they say, and that they fit."""

from collections.abc import Mapping
from dataclasses import replace
from io import StringIO

from rich.console import Console

from checkpoints.states import State
from cli.show.progress import line, screen_of
from engine.pipeline.progress import Progress, Status

COUNTS: Mapping[str, int] = {"pending": 86_420, "skipped": 10, "sending": 12, "accepted": 12_345, "rejected": 3}

UNDER_WAY = Status(
    counts=COUNTS,
    total=98_790,
    done=12_358,
    skipped=10,
    refused=2,
    intake_ended=True,
    calls=12_400,
    retries=42,
    seconds=150.0,
    rate=85.2,
    average=79.8,
    eta=1014.0,
    in_flight=12,
    window=16,
    p50=0.045,
    p95=1.25,
    why="window 16 (the server's limit)",
    held=None,
    held_seconds={},
    paused=False,
    errors={"no account": 3},
    last_error="00123: \x1b[31mbad\nnews",
)
HELD = replace(UNDER_WAY, held="EVENTS_STACK 5,120 > 1,000", why="EVENTS_STACK 5,120 > 1,000", eta=None, rate=0.0)


def drawn(status: Status, width: int) -> list[str]:
    console = Console(file=StringIO(), width=width, force_terminal=False, highlight=False)
    console.print(screen_of(status))
    file = console.file
    assert isinstance(file, StringIO)
    return [text.rstrip() for text in file.getvalue().splitlines()]


def test_the_line_says_where_it_stands_how_fast_it_goes_and_why_not_faster() -> None:
    assert line(UNDER_WAY).plain == (
        "12\u202f348 of 98\u202f780 rows (12 %), 85 rows/s, 16:54 left, 12/16 in flight, "
        "window 16 (the server's limit), 80/s on average, latency p50 45 ms, p95 1.2 s, "
        "3 rejected, 42 sent again, errors: 3 × no account"
    )


def test_what_matters_most_stands_in_its_first_80_columns() -> None:
    assert line(UNDER_WAY).plain[:80].endswith("16:54 left, 12/16 in flight, window 16 ")
    assert "held: EVENTS_STACK 5,120 > 1,000" in line(HELD).plain[:100]


def test_what_is_nothing_is_left_out_of_the_line() -> None:
    at_first = replace(
        UNDER_WAY, counts={"pending": 5}, retries=0, average=0.0, p50=None, p95=None, why="", errors={}
    )
    assert line(at_first).plain.endswith("16:54 left, 12/16 in flight")


def test_a_line_with_many_errors_is_read_in_200_columns() -> None:
    errors = {f"no account {letter * 90}": 1_234 for letter in "abcdefgh"}
    text = line(replace(UNDER_WAY, errors=errors)).plain
    assert ", errors: 1\u202f234 × no acco" in text
    assert text.endswith("…")
    assert len(text) <= 200
    short = replace(UNDER_WAY, why="rate 20", errors={"no account": 3, "locked": 2, "fault": 1, "fourth": 1})
    assert ", --rate 20, " in line(short).plain
    assert line(short).plain.endswith(", errors: 3 × no account, 2 × locked, 1 × fault")
    counts = {"pending": 1, "sending": 4, "accepted": 7, "rejected": 12_345, "unknown": 12, "manual": 3}
    assert ", 12\u202f345 rejected, 12 unknown, 3 manual, " in line(replace(UNDER_WAY, counts=counts)).plain


def test_while_it_is_held_it_says_what_holds_and_promises_no_end() -> None:
    text = line(HELD).plain
    assert "held: EVENTS_STACK 5,120 > 1,000" in text
    assert "left" not in text
    assert text.count("EVENTS_STACK") == 1


def test_while_rows_are_still_read_there_is_no_share_and_no_end() -> None:
    status = replace(UNDER_WAY, intake_ended=False, eta=None)
    assert line(status).plain.startswith("12\u202f348 of 98\u202f780 rows so far, 85 rows/s, 12/16 in flight")


def test_a_slow_run_shows_tenths_and_one_at_its_end_no_time_left() -> None:
    assert ", 0.4 rows/s, " in line(replace(UNDER_WAY, rate=0.4)).plain
    assert ", 0 rows/s, " in line(replace(UNDER_WAY, rate=0.0)).plain
    at_its_end = replace(UNDER_WAY, done=98_790, eta=0.0)
    assert "left" not in line(at_its_end).plain
    assert "(100 %)" in line(at_its_end).plain


def test_a_run_without_rows_is_whole() -> None:
    empty = replace(
        UNDER_WAY, total=0, done=0, skipped=0, counts={}, in_flight=0, window=0, errors={}, last_error=None
    )
    assert line(empty).plain.startswith("0 of 0 rows (100 %)")


def test_the_screen_has_a_thought_a_line_and_fits_80_columns() -> None:
    shown = drawn(UNDER_WAY, 80)
    assert max(map(len, shown)) <= 80
    assert shown[0].endswith("12\u202f348 of 98\u202f780 rows (12 %)")
    assert shown[1:] == [
        "85 rows/s, 16:54 left, 12/16 in flight, 80/s on average",
        "latency p50 45 ms, p95 1.2 s",
        "pending 86\u202f420   skipped 10   sending 12   accepted 12\u202f345   rejected 3   sent",
        "again 42",
        "limited by window 16 (the server's limit)",
        "error 3 × no account",
        "last error 00123: \\x1b[31mbad news",
    ]


def test_on_a_narrow_terminal_it_wraps_and_loses_nothing() -> None:
    shown = drawn(replace(HELD, held=f"EVENTS_STACK cannot be read: {'the database is away ' * 3}"), 40)
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
    progress.frozen(100, 10, 2)
    progress.moved(State.PENDING, State.ACCEPTED, 50)
    progress.intake_ended = True
    progress.hold("9 in doubt: looking them up in 30 s")
    text = line(progress.status()).plain
    assert text.startswith("50 of 100 rows (50 %), ")
    assert "held: 9 in doubt: looking them up in 30 s" in text
    assert "/s on average" in text
    assert not text.endswith(", ")
