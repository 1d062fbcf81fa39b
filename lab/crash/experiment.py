"""Experiments: each runs from an empty folder to its verdict."""

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from lab.crash.course import Course, Event
from lab.crash.judge import Problem, Verdict
from lab.crash.load import Load, prepare_load
from lab.crash.mock_process import BILLING, OTHER_BILLING, MockProcess
from lab.crash.observer import Observer
from lab.crash.plan import ExperimentPlan
from lab.crash.program import JOURNAL, ProgramUnderTest
from lab.mock.population import create
from texts.said import said

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
        course = Course(load, billing, observer, began)
        verdict: Verdict | None = None
        try:
            with anyio.fail_after(plan.longest):
                async with billing.serve_proxy():
                    await billing.start()
                    verdict = await course.judge()
        except TimeoutError:
            seconds, counts = f"{plan.longest:.0f}", str(dict(observer.view().counts))
            late = said("it did not come to its end in {seconds} s: {counts}", seconds=seconds, counts=counts)
            course.problems.append(Problem("", late))
        finally:
            with anyio.CancelScope(shield=True):
                await load.end()
                await billing.end()
        return Experiment(
            plan=plan,
            rows=len(requested.wanted),
            verdict=verdict,
            injected=billing.injected,
            events=tuple(course.events),
            processes=course.processes,
            seconds=anyio.current_time() - began,
            problems=(*course.problems, *(verdict.problems if verdict is not None else ())),
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
