"""The file of the metrics is whole at each instant, and no trouble with it is the run's."""

import asyncio
import stat
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cli.metrics.reader import MetricsFile


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_file_is_replaced_whole_and_readable_by_the_exporter(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "carbon-migrate.prom", "k7m2q")
    await file.write("old 1\n")
    with file.path.open() as open_before:
        await file.write("new 2\n")
        assert open_before.read() == "old 1\n"
    assert file.path.read_text() == "new 2\n"
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o644
    assert names(tmp_path) == ["carbon-migrate.prom"]


async def test_what_a_killed_process_left_or_somebody_put_there_is_in_nobodys_way(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "carbon-migrate.prom", "k7m2q")
    theirs = tmp_path / "theirs"
    theirs.write_text("untouched")
    (tmp_path / ".carbon-migrate.prom.k7m2q.new").symlink_to(theirs)
    file.path.symlink_to(theirs)
    await file.write("new 2\n")
    assert theirs.read_text() == "untouched"
    assert (file.path.is_symlink(), file.path.read_text()) == (False, "new 2\n")


async def test_a_folder_that_is_not_there_is_said_once_and_again_after_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "textfile"
    file = MetricsFile(folder / "carbon-migrate.prom", "k7m2q")
    with capture_logs() as logs:
        await file.write("a 1\n")
        await file.write("a 2\n")
        assert [(one["log_level"], one["file"]) for one in logs] == [("warning", str(file.path))]
        folder.mkdir()
        await file.write("a 3\n")
        file.path.unlink()
        folder.rmdir()
        await file.write("a 4\n")
        assert len(logs) == 2
        # A name that a folder has is said, and leaves nothing behind.
        file.path.mkdir(parents=True)
        another = MetricsFile(file.path, "k7m2q")
        await another.write("a 5\n")
    assert len(logs) == 3
    assert names(folder) == ["carbon-migrate.prom"]


WRITER = """
import sys
from pathlib import Path
import anyio
from cli.metrics.reader import MetricsFile

async def write_on():
    file = MetricsFile(Path(sys.argv[1]), "k7m2q")
    while True:
        for text in ("a 1\\n" * 50_000, "b 2\\n" * 40_000):
            await file.write(text)
            print("written", flush=True)

anyio.run(write_on)
"""


@pytest.mark.parametrize("writings", [1, 4, 8])
async def test_a_writer_that_is_killed_leaves_one_of_its_texts_whole(tmp_path: Path, writings: int) -> None:
    path = tmp_path / "carbon-migrate.prom"
    writer = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, path, stdout=asyncio.subprocess.PIPE)
    assert writer.stdout is not None
    for _ in range(writings):
        assert await writer.stdout.readline() == b"written\n"
    # In the middle of the next one, or where chance has it.
    writer.kill()
    await writer.wait()
    assert path.read_text() in {"a 1\n" * 50_000, "b 2\n" * 40_000}
