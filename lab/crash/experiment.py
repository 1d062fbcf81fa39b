"""Experiments: each runs from an empty folder to its verdict."""

import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from lab.crash.books import read_books, read_import, read_undone, strangers_have
from lab.crash.disturbances import Disturbances, Event
from lab.crash.experiment_plan import AT_REST, ENDING, Disturbance, ExperimentPlan
from lab.crash.import_table import RequestedImport
from lab.crash.judge import Problem, RefusedLoad, Verdict, judge, judge_import, judge_refusal, judge_undone
from lab.crash.load import Ended, Load, RequestedLoad, prepare_load
from lab.crash.mock_process import BILLING, OTHER_BILLING, MockProcess
from lab.crash.observer import Observer
from lab.crash.program import JOURNAL, SAYS_TWICE, ExitCode, ProgramUnderTest
from lab.mock.population import create
from texts.said import said

_UNDER_FAULTS: Final = 12
"""Processes that may resume the run while the billing still fails."""
_WHEN_WELL: Final = 4
"""Processes that may resume it without faults: one is enough, unless it finds unknown rows."""

_TEMPLATE: Final = "template.fdb"


@dataclass(frozen=True, slots=True)
class Experiment:
    """The result of an experiment. `rows` is the number requested, `processes` the number of load processes used."""

    plan: ExperimentPlan
    rows: int
    verdict: Verdict | None
    injected: Counter[str]
    events: tuple[Event, ...]
    processes: int
    seconds: float
    problems: tuple[Problem, ...]

    @property
    def holds(self) -> bool:
        """Whether the experiment has passed."""
        return not self.problems and self.verdict is not None


class Lab:
    """Runs experiments in folders under `folder`."""

    def __init__(self, folder: Path, program: ProgramUnderTest) -> None:
        self._folder = folder
        self._program = program
        self._preparing = anyio.Lock()

    def folder_of(self, plan: ExperimentPlan) -> Path:
        """The folder of an experiment."""
        return self._folder / f"seed-{plan.seed}"

    async def run(self, plan: ExperimentPlan) -> Experiment:
        """Run an experiment to its verdict; its folder is kept."""
        began = anyio.current_time()
        folder = self.folder_of(plan)
        async with self._preparing:
            await anyio.to_thread.run_sync(self._prepare, folder, plan)
        billing = MockProcess(folder, plan, self._program.environment)
        observer = Observer(folder / JOURNAL).prepare()
        requested = await anyio.to_thread.run_sync(prepare_load, folder, plan, billing.database)
        load = Load(folder, plan, billing, requested, self._program)
        disturbances = Disturbances(load, billing, observer, len(requested.wanted), began)
        course = _Course(disturbances, plan.disturbances)
        verdict: Verdict | None = None
        try:
            with anyio.fail_after(plan.longest):
                async with billing.serve_proxy():
                    await billing.start()
                    if plan.refused_for:
                        verdict = await course.judge_refusal(plan.refused_for)
                    else:
                        verdict = await course.judge(plan, requested)
        except TimeoutError:
            counts = dict(observer.view().counts)
            disturbances.problems.append(
                said(
                    "it did not come to its end in {seconds} s: {counts}",
                    seconds=f"{plan.longest:.0f}",
                    counts=str(counts),
                )
            )
        finally:
            with anyio.CancelScope(shield=True):
                await load.end()
                await billing.end()
        problems = [Problem("", what) for what in disturbances.problems]
        if verdict is not None:
            problems += verdict.problems
        return Experiment(
            plan=plan,
            rows=len(requested.wanted),
            verdict=verdict,
            injected=billing.injected,
            events=tuple(disturbances.events),
            processes=course.processes,
            seconds=anyio.current_time() - began,
            problems=tuple(problems),
        )

    def _prepare(self, folder: Path, plan: ExperimentPlan) -> None:
        """Prepare an empty folder with a new billing."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for seed, name in enumerate((BILLING, OTHER_BILLING) if plan.two_billings else (BILLING,), 1):
            template = self._folder / "-".join((str(plan.subscribers), *plan.lacking, str(seed), _TEMPLATE))
            if not template.exists():
                create(template, subscribers=plan.subscribers, seed=seed, without=plan.lacking)
            shutil.copyfile(template, folder / name)


class _Course:
    """The processes of one experiment, in order, and the remaining disturbances of its plan."""

    def __init__(self, disturbances: Disturbances, planned: tuple[Disturbance, ...]) -> None:
        self._disturbances = disturbances
        self._observer = disturbances.observer
        self._planned = list(planned)
        self.processes = 0

    async def judge(self, plan: ExperimentPlan, requested: RequestedLoad) -> Verdict | None:
        """Run the load to its end, and judge the state of the billing, which is stopped for that."""
        run = await self._run_to_its_end()
        for disturbance in self._planned if self._disturbances.undone is None else ():
            if disturbance.act in AT_REST:
                await self._disturbances.carry_out_at_rest(disturbance)
        if run is None:
            return None
        billing = self._disturbances.billing
        verified = await self._disturbances.verify(run)
        await billing.end()
        if requested.imported is not None:
            return await self._judge_import(plan, requested.imported, run, verified.exit)
        await self._check_strangers()
        books = await read_books(plan, requested, self._observer, billing.database, run, verified.exit)
        named = SAYS_TWICE in " ".join(verified.said.split())
        return judge(replace(books, named=named, undone=self._disturbances.undone is not None))

    async def _check_strangers(self) -> None:
        """Check that what strangers have created still stands; the billing is stopped."""
        made, left = self._disturbances.made, 0
        if made:
            left = await anyio.to_thread.run_sync(strangers_have, self._disturbances.billing.database)
        if made != left:
            self._disturbances.problems.append(
                said("of {made} objects that somebody else has created {left} are left", made=made, left=left)
            )

    async def _judge_import(
        self, plan: ExperimentPlan, requested: RequestedImport, run: str, verified: int
    ) -> Verdict:
        """Judge an import, then take it back through kills and faults, and judge what is left of it."""
        billing = self._disturbances.billing
        if self._disturbances.undone is not None:
            await self._check_strangers()
            return judge_undone(await read_undone(billing.database, requested, ExitCode.DONE))
        books = await read_import(requested, self._observer, billing.database, run, verified)
        await billing.start()
        ended = await self._disturbances.undo(run, plan.undo_kills, plan.undo_faults)
        await billing.end()
        await self._check_strangers()
        undone = await read_undone(billing.database, requested, ended.exit)
        return judge_import(replace(books, undone=undone))

    async def judge_refusal(self, column: str) -> Verdict:
        """Start a load that must be refused for a missing column, and judge the refusal."""
        self.processes += 1
        ended = await self._disturbances.run_to_refusal()
        effects = await self._disturbances.billing.effects()
        return judge_refusal(RefusedLoad(column, ended.exit, ended.said, effects))

    async def _run_to_its_end(self) -> str | None:
        """Run the load to its end through all disturbances; returns the name of its run, None where it has none."""
        for _ in range(_UNDER_FAULTS):
            if self._is_over(await self._run_process()):
                return self._disturbances.undone or self._observer.view().run
        await self._disturbances.billing.clear_faults()
        last = await self._run_process()
        for _ in range(_WHEN_WELL):
            if self._is_over(last):
                break
            last = await self._run_process()
        else:
            left = dict(self._observer.view().counts)
            self._disturbances.problems.append(
                said(
                    "the billing is well and {command} ended with {exit}: {left}",
                    command=last.command,
                    exit=last.exit,
                    left=str(left),
                )
            )
        return self._observer.view().run

    async def _run_process(self) -> Ended:
        """Run one process to its own end or to the end that the plan has for it."""
        self.processes += 1
        running = await self._disturbances.load.start(self._observer.view())
        if self._disturbances.paused:
            await self._disturbances.continue_paused(running)
        while self._planned and await self._disturbances.carry_out(self._planned[0], running):
            if self._planned.pop(0).act in ENDING:
                break
        ended = await running.wait()
        self._disturbances.check_end(ended)
        await self._disturbances.extend_licence(ended)
        return ended

    def _is_over(self, ended: Ended) -> bool:
        """Whether nothing is left to send; disturbances that are not due by then are skipped."""
        if self._disturbances.undone is not None or self._disturbances.waits_for_person():
            return True
        view = self._observer.view()
        return ended.exit in _ENDS and view.run is not None and not view.open


_ENDS: Final = frozenset({ExitCode.DONE, ExitCode.REJECTED, ExitCode.UNDECIDED})
