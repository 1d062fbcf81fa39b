"""A round: from an empty folder to its verdict."""

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from cli.terminal.exits import Exit
from cli.terminal.texts import JOURNAL
from lab.crash.books import books
from lab.crash.disturbances import Disturbances, Done
from lab.crash.experiment_plan import AT_REST, ENDING, Disturbance, ExperimentPlan
from lab.crash.judge import Problem, Refused, Verdict, judge, judge_refusal
from lab.crash.load import Ended, Load, ProgramUnderTest, RequestedLoad, order
from lab.crash.mock_process import BILLING, MockProcess
from lab.crash.observer import Observer
from lab.mock.population import create

LONGEST: Final = 240.0
"""Seconds after which a round that does not come to its end has failed."""

_UNDER_FAULTS: Final = 12
"""Processes that may take the run up while the billing still fails."""
_WHEN_WELL: Final = 4
"""Processes that may take it up when it fails no more: one is enough, unless that one found something unknown."""

_TEMPLATE: Final = "template.fdb"
_ABONENTS_A_ROW: Final = 5
"""Four folders and some deleted subscribers: so many let one folder have about as many as a round has rows."""


@dataclass(frozen=True, slots=True)
class Round:
    """What a round came to. `rows` is what was asked for, `processes` how many of the load it took."""

    plan: ExperimentPlan
    rows: int
    verdict: Verdict | None
    injected: Counter[str]
    happened: tuple[Done, ...]
    processes: int
    seconds: float
    problems: tuple[Problem, ...]

    @property
    def holds(self) -> bool:
        """Whether all is as it must be."""
        return not self.problems and self.verdict is not None


class Lab:
    """Plays rounds in folders under `folder`."""

    def __init__(self, folder: Path, outfit: ProgramUnderTest) -> None:
        self._folder = folder
        self._outfit = outfit
        self._preparing = anyio.Lock()

    def folder_of(self, plan: ExperimentPlan) -> Path:
        """The folder of a round."""
        return self._folder / f"seed-{plan.seed}"

    async def play(self, plan: ExperimentPlan) -> Round:
        """Play a round to its verdict; its folder is left as it is."""
        began = anyio.current_time()
        folder = self.folder_of(plan)
        async with self._preparing:
            await anyio.to_thread.run_sync(self._prepare, folder, plan)
        billing = MockProcess(folder, plan, self._outfit.environment)
        watched = Observer(folder / JOURNAL).prepared()
        asked = await anyio.to_thread.run_sync(order, folder, plan, billing.database)
        load = Load(folder, plan, billing, asked, self._outfit)
        scene = Disturbances(load, billing, watched, len(asked.wanted), began)
        verdict: Verdict | None = None
        game = _Game(scene, plan.mischief)
        try:
            with anyio.fail_after(LONGEST):
                async with billing.proxied():
                    await billing.start()
                    verdict = await (game.refused(plan.refused_for) if plan.refused_for else game.judged(plan, asked))
        except TimeoutError:
            scene.wrong.append(f"it did not come to its end in {LONGEST:.0f} s: {dict(watched.glance().counts)}")
        finally:
            with anyio.CancelScope(shield=True):
                await load.end()
                await billing.end()
        problems = [Problem("", what) for what in scene.wrong]
        if verdict is not None:
            problems += verdict.problems
        seconds = anyio.current_time() - began
        happened = tuple(scene.happened)
        return Round(
            plan, len(asked.wanted), verdict, billing.injected, happened, game.processes, seconds, tuple(problems)
        )

    def _prepare(self, folder: Path, plan: ExperimentPlan) -> None:
        """An empty folder with a billing that nothing was done to yet."""
        template = self._folder / "-".join((str(plan.rows), *plan.lacking, _TEMPLATE))
        if not template.exists():
            create(template, abonents=_ABONENTS_A_ROW * plan.rows, seed=1, without=plan.lacking)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.copyfile(template, folder / BILLING)


class _Game:
    """The processes of one round, one after the other, and the acts of its plan."""

    def __init__(self, scene: Disturbances, mischief: tuple[Disturbance, ...]) -> None:
        self._scene = scene
        self._left = list(mischief)
        self.processes = 0

    async def judged(self, plan: ExperimentPlan, asked: RequestedLoad) -> Verdict | None:
        """Play it, and judge what the billing has then; the billing is ended by that."""
        run, scene = await self.played(), self._scene
        if run is None:
            return None
        verified = await scene.verified(run)
        await scene.billing.end()
        return judge(await books(plan, asked, scene.watched, scene.billing.database, run, verified.exit))

    async def refused(self, column: str) -> Verdict:
        """Begin a load that must be refused for a column that is not there, and judge that."""
        self.processes += 1
        ended = await self._scene.refused()
        return judge_refusal(Refused(column, ended.exit, ended.said, await self._scene.billing.effects()))

    async def played(self) -> str | None:
        """Let the load run to its end through all that happens to it; the name of its run, None where it has none."""
        run = await self._run_to_its_end()
        for mischief in self._left:
            if mischief.act in AT_REST:
                await self._scene.act_at_rest(mischief)
        return run

    async def _run_to_its_end(self) -> str | None:
        for _ in range(_UNDER_FAULTS):
            if self._is_over(await self._one()):
                return self._scene.watched.glance().run
        await self._scene.billing.clear_faults()
        last = await self._one()
        for _ in range(_WHEN_WELL):
            if self._is_over(last):
                break
            last = await self._one()
        else:
            left = dict(self._scene.watched.glance().counts)
            self._scene.wrong.append(f"the billing is well and {last.command} ended with {last.exit}: {left}")
        return self._scene.watched.glance().run

    async def _one(self) -> Ended:
        """One process, to its own end or to that which the plan has for it."""
        self.processes += 1
        running = await self._scene.load.started(self._scene.watched.glance())
        if self._scene.paused:
            await self._scene.let_go_on(running)
        while self._left and await self._scene.act(self._left[0], running):
            if self._left.pop(0).act in ENDING:
                break
        ended = await running.ended()
        self._scene.look_at(ended)
        return ended

    def _is_over(self, ended: Ended) -> bool:
        """Whether nothing is left to send; acts whose moment has not come by then are let go."""
        glance = self._scene.watched.glance()
        return ended.exit in _ENDS and glance.run is not None and not glance.open


_ENDS: Final = frozenset({Exit.DONE, Exit.REJECTED, Exit.UNDECIDED})
