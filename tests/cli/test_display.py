"""The rate, and the line for where there is no terminal."""

from checkpoints.records import Totals
from checkpoints.states import State
from cli.display import Speed, _rate, line
from engine.progress import Progress


def test_the_rate_is_that_of_the_last_seconds() -> None:
    speed = Speed(window=5.0)
    assert speed.now(0.0, 0) == 0.0
    assert speed.now(1.0, 100) == 100.0
    for second in range(2, 20):
        speed.now(float(second), 100 + 10 * second)
    assert round(speed.now(20.0, 300), 1) == 10.0


def test_the_rate_of_no_time_is_none() -> None:
    speed = Speed()
    assert [speed.now(1.0, 5), speed.now(1.0, 9)] == [0.0, 0.0]


async def test_the_line_says_where_it_stands_and_why_it_waits() -> None:
    progress = Progress()
    progress.frozen(100, 10, 2)
    progress.moved(State.PENDING, State.ACCEPTED, 50)
    progress.intake_ended = True
    progress.last_error = "00123: \x1b[31mbad\nnews"
    progress.hold("the billing is away")
    text = line(progress, 25.0).plain
    assert text.startswith("50 of 100 rows (50 %), 25 rows/s, 0:02 left, 50 pending, 10 skipped, 50 accepted")
    assert "waiting: the billing is away" in text
    assert "last error: 00123: \\x1b[31mbad news" in text


async def test_while_rows_are_still_read_there_is_no_share_and_no_end() -> None:
    progress = Progress()
    progress.frozen(100, 0, 0)
    assert line(progress, 5.0).plain == "0 of 100 rows so far, 5 rows/s, 100 pending"


async def test_what_was_done_before_this_process_is_not_its_pace() -> None:
    progress, speed = Progress(), Speed()
    assert _rate(speed, progress) == 0.0
    progress.take_up(Totals({State.ACCEPTED: 5000, State.PENDING: 10}), intake_ended=True)
    assert _rate(speed, progress) == 0.0
    progress.moved(State.PENDING, State.ACCEPTED)
    assert _rate(speed, progress) > 0
