"""Ends and removes what a run of the tests leaves behind, however the run itself ended.

Each process of pytest has a janitor: `python -m tests.janitor FOLDER`. It waits until its standard input is closed,
which the kernel does also for a pytest that was killed. Then it kills every process whose environment names the
folder and that does not end by itself, and removes the folder: lock tables and temporary files of all that the tests
started.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

MARK = "FOLDER_OF_TESTS"
"""The variable by which a process is known to have been started by tests."""

GRACE = 2.0
"""Seconds for what ends with pytest, as the helpers of `multiprocessing` do."""

HELPER = "multiprocessing.resource_tracker"
"""Python's own helper, which outlives pytest by as long as anything holds its pipe: ended, and not spoken of."""


class Janitor:
    """A folder for what tests leave, and the process that clears it away when this one has ended."""

    def __init__(self) -> None:
        # A short name: that of a worker is inside that of pytest, and a browser has a Unix socket in there, whose
        # path may have 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="cm-tests-"))
        # Not among the processes that it ends, and not reached by the Ctrl-C that ends pytest.
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-I", "-S", __file__, str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        os.environ[MARK] = str(self.folder)

    def close(self) -> None:
        """Let it begin. What tests have started and does not end is named on stderr."""
        del os.environ[MARK]
        assert self._process.stdin is not None
        self._process.stdin.close()
        # It outlives this process, which may not wait for it: what ends with this process is still there.
        self._process.returncode = 0


def clear_away(folder: Path) -> None:
    """End the processes that belong to the folder, then remove it."""
    end = time.monotonic() + GRACE
    while marked(folder) and time.monotonic() < end:
        time.sleep(0.02)
    told: set[int] = set()
    # Again, until there is none: what is killed may just have started another one.
    while found := marked(folder):
        for process in found.keys() - told:
            if HELPER in found[process]:
                continue
            sys.stderr.write(f"the tests have left process {process} running, it is killed: {found[process]}\n")
        told |= found.keys()
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def marked(folder: Path) -> dict[int, str]:
    """The processes that were started with the folder in their environment, and their command lines."""
    mark = f"{MARK}={folder}".encode()
    found: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        # It may have ended meanwhile, or belong to somebody else. One that has ended has no environment any more.
        with suppress(OSError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found[int(process.name)] = (process / "cmdline").read_text(errors="replace").replace("\0", " ")
    return found


if __name__ == "__main__":
    sys.stdin.read()
    clear_away(Path(sys.argv[1]))
