"""Acts of the lab on a load that ends in the same moment."""

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lab.crash import disturbances as acts
from lab.crash.disturbances import Disturbances
from lab.crash.experiment_plan import FROZEN, Act, Disturbance
from lab.crash.journals import Alias
from lab.crash.load import Ended, Running
from lab.crash.observer import JournalView
from lab.crash.program import SAYS_TAKEN_OVER, ExitCode, send_signal, start

NOBODY: Any = None
ACTS = {
    Act.KILL: Disturbances.kill,
    Act.FREEZE: Disturbances.freeze,
    Act.TERMINATE: Disturbances.terminate,
    Act.INTERRUPT: Disturbances.interrupt,
    Act.FULL_DISK: Disturbances.fill_disk,
    Act.CLOCK: Disturbances.set_clock_back,
}


@pytest.mark.parametrize("act", ACTS)
async def test_an_act_on_a_load_that_has_just_ended_does_nothing(tmp_path: Path, act: Act) -> None:
    said = tmp_path / "run.log"
    said.touch()
    running = Running(await start(["-c", ""], tmp_path, {}, program=()), "run", said)
    assert (await running.wait()).exit == 0
    disturbances = Disturbances(NOBODY, NOBODY, NOBODY, 1, 0.0)
    await ACTS[act](disturbances, Disturbance(act, 0.5), running)
    assert disturbances.problems == []


class NoLongerHeld:
    """The journal of a run that its process has let go, and that another may take up."""

    path = NOBODY

    def view(self) -> JournalView:
        return JournalView("k7m2q", Counter())

    def is_held(self, run: str, process: int) -> bool:
        return False

    def is_writable(self) -> bool:
        return True


class LetIn:
    """A load whose second process works on the run to its end, while the first gets a signal."""

    def __init__(self, running: Running, number: signal.Signals | None) -> None:
        self._running = running
        self._number = number

    async def start_second(self, run: str, journal: Path | None = None) -> Ended:
        if self._number is not None:
            send_signal(self._running.process, self._number)
        # Nothing was awaited: nobody knows yet that the first has ended.
        assert self._running.alive
        return Ended("resume", ExitCode.UNDECIDED, "")


@pytest.mark.parametrize(
    ("number", "said", "problems"),
    [
        (signal.SIGKILL, "", []),
        (signal.SIGKILL, f"run k7m2q was {SAYS_TAKEN_OVER}", ["a second runner was not refused: it ended with 4"]),
        (None, "", ["a second runner was not refused: it ended with 4"]),
    ],
    ids=["that is ending", "that was taken over", "that goes on"],
)
async def test_a_second_may_work_on_what_the_first_has_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals | None, said: str, problems: list[str]
) -> None:
    if number is None:
        monkeypatch.setattr(acts, "_LONGEST_GIVING_WAY", 0.0)
    log = tmp_path / "run.log"
    log.write_text(said, encoding="utf-8")
    running = Running(await start(["-c", "import signal; signal.pause()"], tmp_path, {}, program=()), "run", log)
    load: Any = LetIn(running, number)
    observer: Any = NoLongerHeld()
    disturbances = Disturbances(load, NOBODY, observer, 1, 0.0)
    await disturbances.start_second(Disturbance(Act.SECOND, 0.5), running)
    await running.kill()
    assert list(map(str, disturbances.problems)) == problems


async def test_a_process_that_has_let_its_run_go_is_not_frozen_to_be_taken_over(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.touch()
    running = Running(await start(["-c", "import signal; signal.pause()"], tmp_path, {}, program=()), "run", log)
    observer: Any = NoLongerHeld()
    disturbances = Disturbances(NOBODY, NOBODY, observer, 1, 0.0)
    aliased = Disturbance(Act.ALIAS, 0.5, words=(Alias.SYMBOLIC_LINK, FROZEN))
    assert await disturbances.try_alias(aliased, running) == "symbolic-link, the first had let the run go"
    # It goes on, and can be ended.
    send_signal(running.process, signal.SIGTERM)
    assert (await running.wait()).exit == -signal.SIGTERM
    assert disturbances.problems == []
