"""Small rounds of a fleet on seeds that never change: green as the program is, red with a promise of it broken.

A round takes half a minute, most of it waiting.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lab.crash.fleet import FleetRound, run_round
from lab.crash.loops import loops
from lab.crash.plan import Act, AnswerTraits, RoundPlan, Target, What, draw_round
from lab.crash.program import ProgramUnderTest, without_settings
from tests.cli.conftest import clean_environment
from tests.lab.crash import fleet_saboteur as saboteur
from tests.postgres_server import open_the_way

pytestmark = pytest.mark.prove

ROOT = Path(__file__).parents[3]
SEED = 19
"""A restart of PostgreSQL, a freeze and kills of a worker, with the processes of its runs and alone."""

WHATEVER_THE_LOAD = loops(60)
"""Seconds more for a takeover, where other tests have the processor."""

QUICK = 1.2
"""Seconds of a loop on a quick machine."""

FROZEN = replace(
    draw_round(1, quick=True),
    billings=1,
    rows=50,
    lease=loops(1),
    # After another worker has taken over: longer than the lease, and yet no call times out.
    away=loops(2),
    until_taken_over=True,
    timeout=loops(12),
    in_flight=6,
    rate=20,
    traits=AnswerTraits(latency=0.3, faults={}, silence=0.0),
    single=(Act(What.FREEZE, target=Target.ALL),),
    storm=(),
)
KILLED = replace(FROZEN, single=(Act(What.KILL, target=Target.ALL),))


@pytest.fixture
def environment() -> Mapping[str, str]:
    open_the_way()
    return without_settings(clean_environment()) | {"PYTHONPATH": str(ROOT)}


async def sabotaged(folder: Path, environment: Mapping[str, str], plan: RoundPlan, *ways: object) -> FleetRound:
    names = ",".join(getattr(way, "__name__", "") for way in ways)
    program = ProgramUnderTest(environment, launcher=("-m", saboteur.__name__, names, "machine"))
    return await run_round(folder, plan, program)


@pytest.mark.loops(300)
async def test_a_small_fleet_goes_through_all_of_it(tmp_path: Path, environment: Mapping[str, str]) -> None:
    drawn = draw_round(SEED, quick=True)
    # As slow as the machine, like all else of the plan: else the runs end before a blow meets any of them.
    plan = replace(drawn, slack=WHATEVER_THE_LOAD, rate=round(drawn.rate / loops(1 / QUICK)))
    one = await run_round(tmp_path, plan, ProgramUnderTest(environment))
    assert one.problems == []
    tally = one.tally
    assert (tally["once"], tally["twice"], tally["lost"]) == (plan.rows * plan.billings, 0, 0)
    assert tally["unknown"]
    assert one.injected
    assert one.take_overs


BROKEN = [
    (saboteur.never_looks_at_the_lease, FROZEN, "after"),
    (saboteur.counts_the_lease_by_the_wall_clock, FROZEN, "after"),
    (saboteur.leaves_the_epoch_out_of_outcomes, FROZEN, "were written under epoch"),
    (saboteur.sends_again_at_takeover, KILLED, "were made pending without a look"),
]


@pytest.mark.loops(300)
@pytest.mark.parametrize(("how", "plan", "what"), BROKEN, ids=[how.__name__ for how, _, _ in BROKEN])
async def test_the_lab_goes_red_when_a_promise_of_the_fleet_is_broken(
    how: object, plan: RoundPlan, what: str, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    red = await sabotaged(tmp_path, environment, plan, saboteur.widens_the_gap, how)
    assert any(what in problem.what for problem in red.problems), red


@pytest.mark.loops(300)
async def test_a_freeze_just_before_the_write_and_a_stepped_clock_do_no_harm(
    tmp_path: Path, environment: Mapping[str, str]
) -> None:
    green = await sabotaged(tmp_path, environment, FROZEN, saboteur.widens_the_gap, saboteur.steps_the_clock)
    assert green.problems == []
