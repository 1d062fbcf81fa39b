"""Acts of the lab on a load that ends in the same moment."""

from pathlib import Path
from typing import Any

import pytest

from lab.crash.disturbances import Disturbances
from lab.crash.experiment_plan import Act, Disturbance
from lab.crash.load import Running
from lab.crash.program import start

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
