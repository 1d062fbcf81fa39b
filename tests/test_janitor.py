"""Nothing that a run of the tests has started or written outlives it, not even when the run is killed."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.crash.loops import loops
from tests.janitor import MARK

PATIENCE = loops(30)

RUN = """
import subprocess, sys
from tests.janitor import Janitor
janitor = Janitor()
(janitor.folder / "lock").write_text("")
# A server that has a session of its own, and one that is started by it.
another = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True); input()"
started = subprocess.Popen(
    [sys.executable, "-c", another],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
)
# Python's own helper, whose pipe somebody else holds.
helper = "import time; 'from multiprocessing.resource_tracker import main'; time.sleep(600)"
helps = subprocess.Popen([sys.executable, "-c", helper], start_new_session=True)
child = started.stdout.readline().strip()
print(janitor.folder, started.pid, child, helps.pid, janitor._process.pid, flush=True)
if input() == "close":
    janitor.close()
"""


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "ended"])
def test_processes_and_folder_of_a_run_go_with_it(killed: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    with subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-c", RUN],
        cwd=Path(__file__).parents[1],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        folder, server, child, helper, janitor = run.stdout.readline().split()
        handles = [os.pidfd_open(int(number)) for number in (server, child, helper, janitor)]
        assert Path(folder).is_dir()
        if killed:
            run.send_signal(signal.SIGKILL)
        _, said = run.communicate(None if killed else "close\n", timeout=PATIENCE)
    try:
        for handle in handles:
            assert select.select([handle], [], [], PATIENCE)[0]
    finally:
        for handle in handles:
            os.close(handle)
    assert not Path(folder).exists()
    assert f"have left process {child} running" in said
    assert helper not in said.split()
