"""The line of a command that writes nothing: what it says, and when it stays away."""

import io
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from cli.terminal import waiting as module
from cli.terminal.streams import Output
from cli.terminal.waiting import WaitingLine, bytes_read, waiting
from lab.crash.loops import loops
from texts.said import Said, said

SOON = 0.02
PATIENCE = loops(60)


class Shown(io.StringIO):
    """A terminal, or a file; `drawn` is set by each text that holds `wanted`."""

    encoding = "utf-8"

    def __init__(self, *, is_terminal: bool = True) -> None:
        super().__init__()
        self._is_terminal = is_terminal
        self.wanted = ""
        self.drawn = Event()

    def isatty(self) -> bool:
        return self._is_terminal

    def write(self, text: str) -> int:
        written = super().write(text)
        if self.wanted in text:
            self.drawn.set()
        return written

    def waits_for(self, text: str) -> None:
        self.drawn.clear()
        self.wanted = text
        assert self.drawn.wait(PATIENCE)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SILENCE", "EVERY", "LINE_AFTER"):
        monkeypatch.setattr(module, name, SOON)


@contextmanager
def a_terminal(columns: int | None = 80) -> Iterator[tuple[Shown, Output, WaitingLine]]:
    """A terminal with an output and its line."""
    line, shown = WaitingLine(), Shown(is_terminal=columns is not None)
    output = Output(shown, line)
    with line.shown_by(output.draw, None if columns is None else lambda: columns):
        yield shown, output, line


def test_it_says_what_is_waited_for_how_far_it_is_and_how_long_it_takes() -> None:
    done = 0

    def rows() -> Said:
        return said("reading {file}: {n} rows", file="rows.csv", n=str(done))

    with a_terminal() as (shown, _, _), waiting(rows, lambda: (done, 400)):
        shown.waits_for("\r\x1b[Kreading rows.csv: 0 rows, 0:00")
        done = 100
        shown.waits_for("\r\x1b[Kreading rows.csv: 100 rows, 25 %, 0:00, 0:00 left")
        # The number was an estimate.
        done = 500
        shown.waits_for("\r\x1b[Kreading rows.csv: 500 rows, 100 %, 0:00, 0:00 left")


def test_it_says_after_how_long_a_command_gives_up_until_then() -> None:
    with a_terminal() as (shown, _, _):
        with waiting(said("asking"), most=10.0):
            shown.waits_for("asking, 0:00 of at most 0:10")
        with waiting(said("asking"), most=SOON / 2):
            shown.waits_for("asking, 0:00")
            assert "of at most 0:00" not in shown.getvalue().rpartition("asking")[2]


def test_answers_of_the_billing_are_counted_while_it_is_asked() -> None:
    with a_terminal() as (shown, _, line), waiting(said("reading")):
        line.questions = lambda: (30, 40, 90.0)
        shown.waits_for("reading, answers 30 of 40, 0:00, 0:30 left")


def test_output_removes_it_and_it_comes_back() -> None:
    with a_terminal() as (shown, output, _), waiting(said("asking")):
        shown.waits_for("asking")
        output.write("a result\n")
        assert shown.getvalue().endswith("\r\x1b[Ka result\n")
        shown.waits_for("asking")
    assert shown.getvalue().endswith("\r\x1b[K")


def test_a_question_and_a_bar_are_left_alone_and_what_is_erased_is_not() -> None:
    with a_terminal() as (shown, output, line):
        for unfinished in ("Send 4 rows? [y/N] ", "\r\x1b[2K━━━━ 4 of 7\x1b[0m", "\x1b[?25h"):
            output.write(unfinished)
            time.sleep(10 * SOON)
            assert shown.getvalue().endswith(unfinished)
        # As a bar ends.
        output.write("\r\x1b[1A\x1b[2K\x1b[?25h")
        shown.waits_for("working")
        output.write("Send 4 rows? [y/N] ")
        line.note("\n")
        shown.waits_for("working")


def test_it_is_not_shown_with_quiet_in_the_background_nor_while_a_child_has_the_terminal() -> None:
    with a_terminal(columns=0) as (background, _, _), a_terminal() as (quiet, _, line), a_terminal() as (shown, _, _):
        line.is_quiet = True
        shown.waits_for("working")
        with waiting(None):
            before = shown.getvalue()
            assert before.endswith("\r\x1b[K")
            time.sleep(10 * SOON)
            assert (background.getvalue(), quiet.getvalue(), shown.getvalue()) == ("", "", before)
        shown.waits_for("working")


def test_a_long_name_loses_its_middle_and_a_wide_one_fits() -> None:
    for file in ("/srv/" + "much/" * 40 + "rows.csv", "表" * 100 + "rows.csv"):
        with a_terminal() as (shown, _, _), waiting(said("reading {file}: {n} rows", file=file, n="12")):
            shown.waits_for("rows.csv: 12 rows, 0:00")
            drawn = shown.getvalue().rpartition("\x1b[K")[2]
            assert drawn.startswith("reading ")
            assert "…" in drawn
            assert len(drawn) + drawn.count("表") < 80


def test_secrets_are_hidden_in_it() -> None:
    with a_terminal() as (shown, _, line), waiting(said("asking {who}", who="hunter22")):
        line.mask = lambda text: text.replace("hunter22", "•••")
        shown.waits_for("asking •••, 0:00")


def test_a_file_gets_whole_lines_and_fewer_with_time() -> None:
    began = time.monotonic()
    with a_terminal(columns=None) as (shown, output, _), waiting(said("asking")):
        shown.waits_for("asking, 0:00\n")
        time.sleep(40 * SOON)
        # After 1, 2, 4, 8, 16 and 32 times as long.
        assert shown.getvalue().count("\n") <= 2 + math.log2((time.monotonic() - began) / SOON)
        output.write("a line\n")
        shown.waits_for("asking, ")
    assert "\x1b" not in shown.getvalue()


def test_the_part_of_a_file_that_is_read_is_known_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"x" * 1000)
    with path.open("rb", buffering=0) as file:
        file.read(250)
        assert bytes_read(str(path)) == (250, 1000)
        file.read()
        assert bytes_read(str(path)) == (0, 0)
    assert bytes_read(str(path)) == (0, 0)
