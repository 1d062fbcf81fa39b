"""Lines for people on the screen, JSON in the file, secrets in neither."""

import io
import json
import logging
import math
import os
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from threading import Event

import pytest
import structlog
from rich.console import Console

from cli.terminal import streams as module
from cli.terminal.exits import SettingsRefused
from cli.terminal.logs import KEPT, LARGEST, LogFile, logging_to
from cli.terminal.screen import Screen, Voice
from cli.terminal.streams import Output, WaitingLine, bytes_read, waiting
from cli.terminal.texts import RUSSIAN, reader, set_reader
from lab.crash.loops import loops
from texts.said import Said, SaidError, said


def screen(*, quiet: bool = False) -> tuple[Screen, StringIO]:
    heard = StringIO()
    return Screen(Voice(quiet=quiet), err=Console(file=heard, width=200)), heard


def test_a_line_goes_to_the_screen_and_as_json_to_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.log"
    shown, heard = screen()
    with logging_to(path, shown):
        structlog.contextvars.bind_contextvars(run="k7m2q")
        structlog.get_logger("engine").info("all rows are read and saved", rows=5)
        structlog.get_logger("engine").debug("too much")
        # What libraries log comes to the same place.
        logging.getLogger("asyncio").warning("slow %s", "callback")
    entry, of_library = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert (
        entry.items() >= {"event": "all rows are read and saved", "rows": 5, "run": "k7m2q", "level": "info"}.items()
    )
    assert of_library["event"] == "slow callback"
    assert not any("_Bridge" in repr(handler) for handler in logging.getLogger().handlers)
    assert "all rows are read and saved rows=5" in heard.getvalue()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("voice", "shown"),
    [
        (Voice(), ["all well", "rejected", "decide"]),
        (Voice(quiet=True), ["rejected", "decide"]),
        (Voice(verbose=True), ["all well", "rejected", "sent again", "decide"]),
    ],
    ids=["usual", "quiet", "verbose"],
)
def test_all_is_in_the_file_and_on_screen_what_is_wanted(voice: Voice, shown: list[str], tmp_path: Path) -> None:
    path, heard = tmp_path / "run.log", StringIO()
    with logging_to(path, Screen(voice, err=Console(file=heard, width=200))):
        structlog.get_logger().info("all well")
        structlog.get_logger().warning("rejected", label="[red]\x1b[2J")
        structlog.get_logger().info("sent again", item=7)
        structlog.get_logger().warning("a person has to decide", item=8)
    assert [word for word in ("all well", "rejected", "sent again", "decide") if word in heard.getvalue()] == shown
    assert "rejected label=[red]\\x1b[2J" in heard.getvalue()
    assert len(path.read_text(encoding="utf-8").splitlines()) == 4


@pytest.mark.parametrize("is_terminal", [True, False])
def test_stderr_has_the_log_in_the_language_of_its_reader_and_a_file_in_english(
    is_terminal: bool, tmp_path: Path
) -> None:
    heard, before = StringIO(), reader().name
    console = Console(file=heard, width=200, force_terminal=is_terminal, color_system=None)
    set_reader(RUSSIAN)
    try:
        with logging_to(tmp_path / "run.log", Screen(err=console)):
            why = said("there is no account {id}", id="5")
            structlog.get_logger().warning("rejected", item=7, label="00012", why=why)
            structlog.get_logger().info("held no longer", by="breaker", seconds=1.5, why=SaidError(why))
    finally:
        set_reader(before)
    shown = " ".join(heard.getvalue().split())
    assert "внимание отклонено биллингом строка=7 метка=00012 причина=учётной записи 5 нет" in shown
    assert is_terminal or "отправка снова идёт кто=breaker секунд=1,5 причина=учётной записи 5 нет" in shown
    first, second = map(json.loads, (tmp_path / "run.log").read_text(encoding="utf-8").splitlines())
    assert (first["event"], first["why"]) == ("rejected", "there is no account 5")
    assert (second["event"], second["seconds"], second["why"]) == ("held no longer", 1.5, "there is no account 5")


def test_a_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shown, _ = screen()
    with pytest.raises(SettingsRefused, match="cannot be written"), logging_to(tmp_path / "file" / "log", shown):
        pass


def test_a_full_disk_ends_the_log_alone(tmp_path: Path) -> None:
    shown, heard = screen()
    with logging_to(tmp_path / "log", shown):
        # No byte more can be written to any file, as on a full disk.
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            structlog.get_logger().warning("the journal failed")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "log").read_bytes() == b""
    assert "the journal failed" in heard.getvalue()


@pytest.mark.parametrize("leads_there", [True, False])
def test_lines_for_systemd_have_their_priority(
    leads_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "stderr"
    with path.open("w", encoding="utf-8") as stderr:
        there = path.stat()
        monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino + (not leads_there)}")
        shown = Screen(err=Console(file=stderr, width=200))
        with logging_to(None, shown):
            structlog.get_logger().info("all rows are read and saved")
            structlog.get_logger().warning("rejected", label="one\ntwo")
            structlog.get_logger().error("the journal failed")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line[:3] if line.startswith("<") else "" for line in lines] == (
        ["<6>", "<4>", "<3>"] if leads_there else ["", "", ""]
    )
    assert "rejected label=one" in lines[1]


# ---- A log that several processes share: bounded, whole, private, and moved away by others without harm


WRITERS = 3
LINES = 2_000
WRITES = """
import sys
from pathlib import Path
from cli.terminal.logs import LogFile
name, lines, kept = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
file = LogFile(Path("run.log"), largest=5_000, kept=kept)
for number in range(lines):
    file.add(f"{name} {number}")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.log"


def lines_of(folder: Path) -> list[str]:
    return [line for one in folder.iterdir() for line in one.read_text(encoding="utf-8").splitlines()]


def test_several_processes_lose_no_line_while_one_of_them_puts_the_log_aside(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", WRITES]
    writers = [
        subprocess.Popen([*command, str(name), str(LINES), "1000"], cwd=tmp_path, env=environment)  # noqa: S603 - our own words
        for name in range(WRITERS)
    ]
    assert [writer.wait() for writer in writers] == [0] * WRITERS
    assert len(list(tmp_path.iterdir())) > 1
    expected = [f"{name} {number}" for name in range(WRITERS) for number in range(LINES)]
    assert sorted(lines_of(tmp_path)) == sorted(expected)


def test_the_oldest_lines_go_and_all_files_are_bounded_and_private(path: Path) -> None:
    file = LogFile(path, largest=100, kept=2)
    for number in range(100):
        file.add(f"line {number:05}")
    assert sorted(one.name for one in path.parent.iterdir()) == ["run.log", "run.log.1", "run.log.2"]
    assert all(one.stat().st_size <= 110 for one in path.parent.iterdir())
    assert all(stat.S_IMODE(one.stat().st_mode) == 0o600 for one in path.parent.iterdir())
    left = [int(line.split()[1]) for line in lines_of(path.parent)]
    assert sorted(left) == list(range(100 - len(left), 100))
    assert path.read_text(encoding="utf-8").endswith("line 00099\n")


def test_a_log_goes_on_that_was_there_that_was_moved_away_or_cannot_be_opened_for_a_while(path: Path) -> None:
    path.write_text("earlier\n", encoding="utf-8")
    file = LogFile(path)
    file.add("before \udcff")
    # As logrotate does.
    path.rename(path.with_name("run.log-20260301"))
    file.add("after")
    path.unlink()
    path.mkdir()
    file.add("lost")
    file.add("lost too")
    path.rmdir()
    file.add("last")
    assert path.read_text(encoding="utf-8") == "last\n"
    assert path.with_name("run.log-20260301").read_text(encoding="utf-8") == "earlier\nbefore \\udcff\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_is_kept_when_another_process_has_just_put_the_log_aside(path: Path) -> None:
    file = LogFile(path, largest=10)
    file.add("a line of more than that")

    def gone(*_: object) -> None:
        raise FileNotFoundError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.path.samestat", gone)
        file.add("the next")
    assert path.read_text(encoding="utf-8") == "a line of more than that\nthe next\n"


def test_the_bounds_are_those_that_the_page_tells() -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "personal-data.md").read_text(encoding="utf-8")
    assert f"{LARGEST // 1_000_000} MB" in page
    assert f"{KEPT} earlier ones" in page


# ---- The line of a command that writes nothing: what it says, and when it stays away


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
