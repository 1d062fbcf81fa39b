"""A log that several processes share: bounded, whole, private, and moved away by others without harm."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cli.terminal.log_file import KEPT, LARGEST, LogFile

WRITERS = 3
LINES = 2_000
WRITES = """
import sys
from pathlib import Path
from cli.terminal.log_file import LogFile
name, lines, kept = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
file = LogFile(Path("run.log"), largest=5_000, kept=kept)
for number in range(lines):
    file.add(f"{name} {number}")
file.close()
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
    file.close()
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
    file.close()
    assert path.read_text(encoding="utf-8") == "last\n"
    assert path.with_name("run.log-20260301").read_text(encoding="utf-8") == "earlier\nbefore \\udcff\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_is_kept_when_another_process_has_just_put_the_log_aside(path: Path) -> None:
    file = LogFile(path, largest=10)
    file.add("a line of more than that")

    def gone(*_: object) -> None:
        raise FileNotFoundError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "stat", gone)
        file.add("the next")
    file.close()
    assert path.read_text(encoding="utf-8") == "a line of more than that\nthe next\n"


def test_a_device_is_never_renamed() -> None:
    file = LogFile(Path(os.devnull), largest=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: pytest.fail("renamed"))
        patch.setattr("os.path.samestat", lambda *_: False)
        file.add("nothing")
    file.close()


def test_the_bounds_are_those_that_the_page_tells() -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "personal-data.md").read_text(encoding="utf-8")
    assert f"{LARGEST // 1_000_000} MB" in page
    assert f"{KEPT} earlier ones" in page
