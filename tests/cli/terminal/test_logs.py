"""Lines for people on the screen, JSON in the file, secrets in neither."""

import json
import logging
import resource
import stat
from io import StringIO
from pathlib import Path

import pytest
import structlog
from rich.console import Console

from cli.terminal.exits import SettingsRefused
from cli.terminal.logs import logging_to
from cli.terminal.screen import Screen, Voice


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
    (entry,) = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert (
        entry.items() >= {"event": "all rows are read and saved", "rows": 5, "run": "k7m2q", "level": "info"}.items()
    )
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
def test_all_is_in_the_file_and_on_the_screen_what_its_reader_wants(
    voice: Voice, shown: list[str], tmp_path: Path
) -> None:
    path, heard = tmp_path / "run.log", StringIO()
    with logging_to(path, Screen(voice, err=Console(file=heard, width=200))):
        structlog.get_logger().info("all well")
        structlog.get_logger().warning("rejected", label="[red]\x1b[2J")
        structlog.get_logger().info("sent again", item=7)
        structlog.get_logger().warning("a person has to decide", item=8)
    assert [word for word in ("all well", "rejected", "sent again", "decide") if word in heard.getvalue()] == shown
    assert "rejected label=[red]\\x1b[2J" in heard.getvalue()
    assert len(path.read_text(encoding="utf-8").splitlines()) == 4


def test_what_libraries_log_comes_to_the_same_place(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    shown, _ = screen(quiet=True)
    with logging_to(path, shown):
        logging.getLogger("asyncio").warning("slow %s", "callback")
    assert json.loads(path.read_text(encoding="utf-8"))["event"] == "slow callback"
    assert not any("_Bridge" in repr(handler) for handler in logging.getLogger().handlers)


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
def test_lines_in_systemds_journal_begin_with_their_priority(
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
