"""Experiments, each from an empty folder to its verdict: its billing, the acts of its plan, its line in a table."""

import resource
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Final, TypeAlias

import aiohttp
import anyio
import anyio.to_thread
import msgspec

from billing.database.dsn import Dsn
from checkpoints.states import State, states_where
from lab.crash import launch, load, program
from lab.crash.judge import (
    Problem,
    Tally,
    changed_tables,
    judge,
    judge_refusal,
    judge_undone,
    read_books,
    strangers_have,
)
from lab.crash.load import STANDING, RequestedLoad, Statement, must_not_be_sent, prepare_load, statements_of
from lab.crash.loops import loops
from lab.crash.observer import POLL, JournalView, Observer, aliased, set_aside
from lab.crash.plan import ENDING, MOST_IN_FLIGHT, Act, Alias, Deed, Elsewhere, ExperimentPlan, Machine, What
from lab.crash.program import JOURNAL, ExitCode, LabStopped, ProgramUnderTest, Running, start
from lab.crash.proxy import Proxy
from lab.crash.trials import OPERATIONS
from lab.mock.faults import FaultPlan
from lab.mock.population import create
from lab.mock.port import LOOPBACK, bound
from texts.said import Said, counted, said

# ---- the billing --------------------------------------------------------------------------------------------------

BILLING: Final = "billing.fdb"
OTHER_BILLING: Final = "other-billing.fdb"
PLAN: Final = "faults.toml"
_PORTS: Final = range(20_000, 32_000)
"""Below the ports of outgoing connections, which could take a port while the server is down."""
_BETWEEN_TRIES: Final = 0.05


class MockProcess:
    """The server over the database in `folder`, with a proxy before it where the plan has one."""

    def __init__(self, folder: Path, plan: ExperimentPlan, environment: Mapping[str, str]) -> None:
        self.database = folder / BILLING
        self.licence = plan.licence
        self._injected: Counter[str] = Counter()
        self._folder = folder
        self._environment = environment
        self._running: Running | None = None
        port, control, before = free_ports(3)
        self.proxy = None if plan.proxy is None else Proxy(before, port, plan.proxy)
        self.url = f"http://{LOOPBACK}:{port if self.proxy is None else self.proxy.port}"
        self._control = f"http://{LOOPBACK}:{control}"
        traits = plan.traits
        self._arguments = ["mock", "serve", BILLING, "--port", str(port), "--control-port", str(control)]
        self._arguments += ["--latency-ms", str(traits.latency_ms), "--slots", str(traits.slots), "--fault", PLAN]
        if traits.stack_rate is not None:
            self._arguments += ["--stack-rate", str(traits.stack_rate)]
        for quirk in plan.quirks:
            self._arguments += ["--quirk", quirk]
        (folder / PLAN).write_text(plan.faults, encoding="utf-8")

    @property
    def injected(self) -> Counter[str]:
        return self._injected if self.proxy is None else self._injected + self.proxy.faults.injected

    async def start(self) -> None:
        """Start it and wait until it serves. Raises `LabStopped` when it does not."""
        licence = () if self.licence is None else ("--licence", str(self.licence))
        words, log = (*self._arguments, *licence), self._folder / "billing.log"
        self._running = running = await start(words, self._folder, self._environment, log)
        with anyio.move_on_after(loops(30.0)):
            while running.alive:
                with suppress(aiohttp.ClientError, TimeoutError):
                    await self._ask("GET", "/state")
                    return
                await anyio.sleep(_BETWEEN_TRIES)
        await self.end(signal.SIGKILL)
        if not (why := running.said.strip()):
            raise LabStopped(said("the mock billing did not start, and says nothing"))
        raise LabStopped("the mock billing did not start: {why}", why=why)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal, and count its injected faults."""
        if self._running is not None:
            with suppress(aiohttp.ClientError, TimeoutError):
                self._injected += Counter((await self._ask("GET", "/faults")).get("injected", {}))
            await self._running.end(number)
            self._running = None

    async def clear_faults(self) -> None:
        if self.proxy is not None:
            self.proxy.faults.set(FaultPlan())
        await self.set_faults("")

    async def set_faults(self, plan: str) -> None:
        """Give it another fault plan; the proxy goes on as it is."""
        await self._ask("PUT", "/faults", plan)

    async def extend_licence(self) -> None:
        """Let it have any number of subscribers, also after it is started again."""
        self.licence = None
        await self._ask("PUT", "/state", '{"licence": null}')

    async def let_in(self, statements: Sequence[Statement]) -> None:
        """Let a stranger carry out statements on its tables. Raises `LabStopped` where that fails."""
        words = (str(self.database), msgspec.json.encode(statements).decode())
        log, stranger = self._folder / "stranger.log", ("-m", load.__name__)
        running = await start(words, self._folder, self._environment, log, program=stranger)
        if (await running.wait()).exit:
            raise LabStopped("a stranger has failed, see {file}", file=log.name)

    async def effects(self) -> int:
        return sum(total["effects"] for total in (await self._ask("GET", "/ledger?limit=1")).get("totals", ()))

    async def work_off(self) -> None:
        """Let it apply at once what its stacks hold, now that nobody sends any more."""
        await self._ask("PUT", "/state", '{"stack_rate": 0}')
        await self.wait_for_stacks()

    async def wait_for_stacks(self) -> None:
        with anyio.fail_after(loops(30.0)):
            while any(((await self._ask("GET", "/state")).get("stack") or {}).values()):  # noqa: ASYNC110 - it gives no event
                await anyio.sleep(0.1)

    async def _ask(self, method: str, path: str, body: str = "") -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=5.0)
        async with aiohttp.request(method, self._control + path, data=body.encode(), timeout=timeout) as response:
            found: dict[str, Any] = await response.json()
            return found


def free_ports(number: int) -> list[int]:
    """Ports that no process listens on, outside the range of outgoing connections."""
    draw = Random()
    found: set[int] = set()
    while len(found) < number:
        with suppress(OSError), bound(draw.choice(_PORTS)) as probe:
            found.add(probe.getsockname()[1])
    return [*found]


# ---- the experiment -----------------------------------------------------------------------------------------------

_UNDER_FAULTS: Final = 12
"""Processes that may resume the run while the billing still fails."""
_WHEN_WELL: Final = 4
"""Processes that may resume it without faults: one is enough, unless it finds unknown rows."""
_LOOKS: Final = 8
_FULL_AT: Final = 64 * 1024
"""The largest file in bytes on a full disk: less than any journal with rows."""
_LOOKS_COUNT: Final = 1.2
"""Seconds: longer than what the program reads before a call counts."""
_WHILE: Final = 0.2
_AT_ITS_END: Final = frozenset({ExitCode.DONE, ExitCode.REJECTED, ExitCode.UNDECIDED})
_WITHOUT_EFFECT: Final = frozenset({ExitCode.REFUSED, ExitCode.STOPPED})
"""Exit codes without effect; a run that could not reach a failing billing has them too."""


@dataclass(frozen=True, slots=True)
class Event:
    """An act that was carried out, or the end of a process: the time in seconds and the progress of the load."""

    at: float
    act: What | None
    done: int
    in_flight: int
    followed: str = ""


@dataclass(slots=True)
class Experiment:
    """The result of an experiment: the counts of its verdict, what happened, and what is wrong.

    `rows` is the number requested, `processes` counts those that have begun or resumed the load.
    """

    plan: ExperimentPlan
    rows: int
    tally: Tally = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    events: list[Event] = field(default_factory=list)
    processes: int = 0
    seconds: float = 0.0
    problems: list[Problem] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.problems


class Lab:
    """Runs experiments in folders under `folder`."""

    def __init__(self, folder: Path, program: ProgramUnderTest) -> None:
        self._folder = folder
        self._program = program
        self._preparing = anyio.Lock()

    def folder_of(self, plan: ExperimentPlan) -> Path:
        return self._folder / f"seed-{plan.seed}"

    async def run(self, plan: ExperimentPlan) -> Experiment:
        began = anyio.current_time()
        folder = self.folder_of(plan)
        async with self._preparing:
            await anyio.to_thread.run_sync(self._prepare, folder, plan)
        billing = MockProcess(folder, plan, self._program.environment)
        observer = Observer(folder / JOURNAL).prepare()
        requested = await anyio.to_thread.run_sync(prepare_load, folder, plan, billing.database)
        found = Experiment(plan, len(requested.wanted))
        course = _Course(plan, self._program, billing, requested, observer, began, found, list(plan.acts))
        try:
            with anyio.fail_after(plan.longest):
                # The billing behind the proxy may stop and start.
                async with nullcontext() if billing.proxy is None else billing.proxy.serving():
                    await billing.start()
                    await course.judge()
        except TimeoutError:
            seconds, counts = f"{plan.longest:.0f}", str(dict(observer.view().counts))
            late = said("it did not come to its end in {seconds} s: {counts}", seconds=seconds, counts=counts)
            found.problems.append(Problem("", late))
        finally:
            with anyio.CancelScope(shield=True):
                for running in course.running:
                    if running.alive:
                        await running.end()
                await billing.end()
        found.injected, found.seconds = billing.injected, anyio.current_time() - began
        return found

    def _prepare(self, folder: Path, plan: ExperimentPlan) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for seed, name in enumerate((BILLING, OTHER_BILLING) if plan.two_billings else (BILLING,), 1):
            template = self._folder / "-".join((str(plan.subscribers), *plan.lacking, str(seed), "template.fdb"))
            if not template.exists():
                create(template, subscribers=plan.subscribers, seed=seed, without=plan.lacking)
            shutil.copyfile(template, folder / name)


@dataclass(slots=True)
class _Course:
    """One experiment under way, which began at `began`, and what it has found."""

    plan: ExperimentPlan
    tested: ProgramUnderTest
    billing: MockProcess
    requested: RequestedLoad
    observer: Observer
    began: float
    found: Experiment
    planned: list[Act]
    running: list[Running] = field(default_factory=list)
    paused: bool = False
    """Whether an act left the run paused when its process ended."""
    undone: str | None = None
    """The run that an act has stopped and taken back: nothing more of the plan follows."""
    made: int = 0
    """How many objects strangers have created that are to stand in the end."""

    @property
    def pacing(self) -> list[str]:
        plan = self.plan
        words = ["--yes", "--settle", str(plan.settle), "--stop-after-errors", "0", "--timeout", str(plan.timeout)]
        in_flight = ["--in-flight", str(plan.in_flight)]
        return words + (["--max-in-flight", str(MOST_IN_FLIGHT)] if plan.in_flight is None else in_flight)

    # ---- its processes ----

    async def _start(
        self, *words: str, journal: Path | None = None, database: bool = True, machine: Machine = Machine.THIS
    ) -> Running:
        """Start a command; `journal` is another one, or another name of it."""
        plan, dsn, folder = self.plan, Dsn(str(self.billing.database)), self.observer.path.parent
        # Override URL, database and journal of the settings: the lab never touches the real ones.
        place = ["--config", str(self.tested.config), "--api-url", self.billing.url]
        if database:
            file = str(folder / OTHER_BILLING) if plan.two_billings else dsn.database
            place += ["--database", "" if plan.api_alone else file, "--database-user", dsn.user]
            place += ["--database-password", "", "--database-charset", dsn.charset]
        by = self.tested.program
        if machine is Machine.OTHER:
            by = [*self.tested.launcher, machine, sys.executable, "-P", *by[by.index("-m") :]]
        if plan.clock_back is not None:
            by = ["-m", launch.__name__, "clock", str(plan.clock_back), "-P", "-m", program.MODULE]
        log = folder / f"{len(self.running) + 1:02}-{words[0]}.log"
        words = (*words, *place, "--journal", str(journal or self.observer.path))
        self.running.append(await start(words, folder, self.tested.environment, log, program=by))
        return self.running[-1]

    async def judge(self) -> None:
        """Run the load to its end, and judge the state of the billing, which is stopped for that."""
        plan, requested, billing = self.plan, self.requested, self.billing
        if plan.refused_for:
            self.found.processes += 1
            await billing.clear_faults()
            ended = await self._run(*requested.arguments, "--skip-bad", *self.pacing)
            self.found.tally["foreign"] = effects = await billing.effects()
            self.found.problems += judge_refusal(plan.refused_for, ended.exit, ended.said, effects)
            return
        await self._to_its_end((*requested.arguments, "--skip-bad"), self.planned)
        run = self.undone or self.observer.view().run
        for act in self.planned if self.undone is None else ():
            # This one is judged as well where the run has ended before its moment.
            if act.what is What.SECOND_JOURNAL:
                self._note(act.what, self.observer.view(), await self._enter_elsewhere(Elsewhere(act.words[0])))
        if run is None:
            return
        await billing.clear_faults()
        await billing.work_off()
        verified = await self._run("verify", run)
        await billing.end()
        imported = requested.imported
        if imported is None or self.undone is not None:
            await self._check_strangers()
        if imported is not None and self.undone is not None:
            changed = await anyio.to_thread.run_sync(changed_tables, billing.database, imported)
            self.found.problems += judge_undone(ExitCode.DONE, changed)
            return
        books = await read_books(plan, requested, self.observer, billing.database, run, verified.exit)
        named = program.SAYS_TWICE in verified.words
        self.found.tally, problems = judge(replace(books, named=named, undone=self.undone is not None))
        self.found.problems += problems
        if imported is not None:
            await billing.start()
            ended = await self._undo(run, plan.undo_kills, plan.undo_faults)
            await billing.end()
            await self._check_strangers()
            # Where a stranger was at work, what may be his stays, with all that belongs to it.
            if not (self.observer.traces.touched and any(row.unproven for row in books.rows)):
                changed = await anyio.to_thread.run_sync(changed_tables, billing.database, imported)
                self.found.problems += judge_undone(ended.exit, changed)

    async def _to_its_end(self, begin: Sequence[str], acts: list[Act], taken_back: str | None = None) -> Running:
        """Begin a run, and resume it through all disturbances until it is at its end; the last of its processes.

        `taken_back` is the run that an undo is of. What is not due by its end is left out.
        """
        view = self.observer.view()
        in_effect = sum(view.counts[state] for state in states_where(in_effect=True))
        # The rows that were done before, and those that there are to do.
        before, rows = (0, self.found.rows) if taken_back is None else (view.done, in_effect)
        under_faults = _UNDER_FAULTS if taken_back is None else _UNDER_FAULTS // 2
        number = 0
        while True:
            if number == under_faults:
                await self.billing.clear_faults()
            self.found.processes += taken_back is None
            run = self.observer.view().run
            words = begin if run == taken_back else ("resume", str(run), "--skip-bad")
            running = await self._start(*words, *self.pacing)
            if self.paused:
                # Once it reports that it waits.
                while running.alive and program.SAYS_PAUSED not in running.said:  # noqa: ASYNC110 - a file gives no event
                    await anyio.sleep(POLL)
                await self._check_nothing_leaves(_WHILE, running)
                await self._command("continue", running)
                self.paused = False
            while acts and await self._wait_for_moment(acts[0], running, before, rows):
                act, view = acts.pop(0), self.observer.view()
                followed = await self._act(act, running)
                self._note(act.what, view, followed if taken_back is None else "of the undo")
                if act.what in ENDING:
                    break
            ended = self._checked(await running.wait())
            if self.billing.licence is not None and program.SAYS_LICENCE in ended.said:
                await self._extend_licence(ended)
            view = self.observer.view()
            is_refused = ended.exit == ExitCode.REFUSED and taken_back is not None and number >= under_faults
            at_its_end = ended.exit in _AT_ITS_END and view.run != taken_back and not view.open
            if at_its_end or is_refused or self.undone is not None or self._waits_for_person():
                return ended
            if number == under_faults + _WHEN_WELL:
                self._unexpected(ended, said("the billing is well, and there is {left}", left=str(dict(view.counts))))
                return ended
            number += 1

    async def _extend_licence(self, ended: Running) -> None:
        if ended.exit in _AT_ITS_END:
            self._unexpected(ended, said("the licence has no room"))
        # Who was killed meanwhile leaves it to the next process to come upon it again.
        if ended.exit == ExitCode.STOPPED:
            await self.billing.extend_licence()
            self._note(None, self.observer.view(), "the licence was extended")

    def _waits_for_person(self) -> bool:
        """Whether all that is left of an import is of subscribers that a stranger has created, and is in doubt."""
        if self.requested.imported is None or not self.observer.traces.touched:
            return False
        numbers = {key.partition("/")[0] for key in self.observer.traces.touched}
        states = self.observer.states(str(self.observer.view().run))
        left = {key: state for key, state in states.items() if not state.settled}
        return State.MANUAL in left.values() and all(key.partition("/")[0] in numbers for key in left)

    async def _check_strangers(self) -> None:
        left = await anyio.to_thread.run_sync(strangers_have, self.billing.database) if self.made else 0
        if self.made != left:
            self._wrong(
                said("of {made} objects that somebody else has created {left} are left", made=self.made, left=left)
            )

    async def _run(self, *words: str, journal: Path | None = None, machine: Machine = Machine.THIS) -> Running:
        return self._checked(await (await self._start(*words, journal=journal, machine=machine)).wait())

    def _checked(self, ended: Running) -> Running:
        """A process that has ended, which is recorded with what is wrong with that."""
        self._note(None, self.observer.view(), f"{ended.command} ended with {ended.exit}")
        if ended.broke:
            self._wrong(ended.broke)
        return ended

    def _note(self, what: What | None, view: JournalView, followed: str) -> None:
        at = round(anyio.current_time() - self.began, 2)
        self.found.events.append(Event(at, what, view.done, view.counts[State.SENDING], followed))

    def _wrong(self, what: str) -> None:
        self.found.problems.append(Problem("", what))

    def _unexpected(self, ended: Running, why: Said) -> None:
        command, code, answer = ended.command, ended.exit, ended.words
        self._wrong(
            said("{why}: {command} ended with {code}: {answer}", why=why, command=command, code=code, answer=answer)
        )

    # ---- the acts ----

    async def _wait_for_moment(self, act: Act, running: Running, before: int, rows: int) -> bool:
        """Wait until a share of the rows is done that the act requires; False when the process ended before."""
        # A resuming process must first make progress, or all later acts would hit its first second.
        least = self.observer.view().done + 1 if act.what in ENDING else 0
        wanted = 0.0 if act.early else max(before + act.share * rows, least)
        while running.alive:
            view = self.observer.view()
            if view.run is not None and view.done >= wanted and self.observer.is_held(view.run, running.pid):
                break
            await anyio.sleep(self.observer.pause)
        with anyio.move_on_after(act.delay):
            await running.process.wait()
        return running.alive

    async def _act(self, act: Act, running: Running) -> str:  # noqa: C901, PLR0911, PLR0912 - a case an act
        """Carry out an act, as `Act` has it; returns what has followed."""
        match act.what:
            case What.KILL:
                running.signal(signal.SIGKILL)
            case What.FREEZE:
                running.signal(signal.SIGSTOP)
                await anyio.sleep(act.seconds)
                running.signal(signal.SIGCONT)
                return f"for {act.seconds:g} s"
            case What.TERMINATE:
                running.signal(signal.SIGTERM)
            case What.INTERRUPT:
                running.signal(signal.SIGINT)
                # Two pending signals of the same kind arrive as one.
                await anyio.sleep(0.05)
                running.signal(signal.SIGINT)
            case What.RESTART:
                await self.billing.end(signal.SIGTERM)
                await self.billing.start()
            case What.CRASH:
                # A process killed inside the embedded engine can leave a shared mutex locked, on which all other
                # processes with the file open hang. So they are killed too, and the engine rebuilds its lock table.
                await self.billing.end(signal.SIGKILL)
                killed = await running.kill_keepers()
                await self.billing.start()
                return f"with {killed} keepers"
            case What.FULL_DISK:
                with suppress(ProcessLookupError):
                    hard = resource.prlimit(running.pid, resource.RLIMIT_FSIZE)[1]
                    resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (_FULL_AT, hard))
            case What.SECOND:
                return await self._start_second(running)
            case What.CLOCK:
                running.signal(launch.SIGNAL)
                return f"by {act.seconds:g} s"
            case What.PAUSE | What.PAUSE_AND_KILL:
                ended = await self._command("pause", running)
                await self._check_nothing_leaves(act.seconds, running)
                if act.what is What.PAUSE:
                    await self._command("continue", running)
                else:
                    # A run that is at its end cannot stay paused; one whose process ended before the command can.
                    self.paused = ended.exit == ExitCode.DONE and self.observer.view().open > 0
                    running.signal(signal.SIGKILL)
                return f"for {act.seconds:g} s, ended with {ended.exit}"
            case What.SET:
                ended = await self._command("set", running, *act.words)
                return f"{' '.join(act.words)}, ended with {ended.exit}"
            case What.STOP:
                ended = await self._command("stop", running)
                return f"ended with {ended.exit}"
            case What.RESTORE:
                return await self._restore(act, running)
            case What.ALIAS:
                return await self._start_second(running, Alias(act.words[0]))
            case What.SECOND_JOURNAL | What.KILL_AND_SECOND_JOURNAL:
                if act.what in ENDING:
                    running.signal(signal.SIGKILL)
                    await running.process.wait()
                return await self._enter_elsewhere(Elsewhere(act.words[0]))
            case What.OVERLAP:
                return await self._overlap(Machine(act.words[0]), running)
            case What.STRANGER:
                return await self._let_stranger_in(Deed(act.words[0]), running)
            case What.UNDO:
                return await self._undo_stopped(running)
        return ""

    async def _start_second(self, running: Running, alias: Alias | None = None) -> str:
        """Start a second process on the run, by another name of the journal while the first lies frozen.

        One of them has to give way.
        """
        run = str(self.observer.view().run)
        if alias is not None and not await self._freeze_between_writes(run, running):
            return f"{alias}, the first had let the run go"
        with nullcontext() if alias is None else aliased(self.observer.path, alias) as journal:
            ended = await self._run("resume", run, *self.pacing, journal=journal)
        running.signal(signal.SIGCONT)
        name = alias or "its own name"
        followed = f"{name}, ended with {ended.exit}"
        if ended.exit == ExitCode.REFUSED and (alias is not None or program.SAYS_BUSY in ended.words):
            return followed
        # A process that has let its run go ends a moment later, and another may work on it by then.
        with anyio.move_on_after(loops(10.0)):
            await running.process.wait()
        if running.alive or (program.SAYS_TAKEN_OVER in running.said) is not (alias is not None):
            self._unexpected(
                ended, said("a second runner ({name}) was not refused, and the first goes on", name=name)
            )
        return followed

    async def _restore(self, act: Act, running: Running) -> str:
        copy = await anyio.to_thread.run_sync(self.observer.back_up)
        before = self.observer.view().done
        while running.alive and self.observer.view().done <= before + act.more * self.found.rows:  # noqa: ASYNC110
            await anyio.sleep(self.observer.pause)
        running.signal(signal.SIGKILL)
        await running.process.wait()
        done = self.observer.view().done
        await anyio.to_thread.run_sync(self.observer.put_back, copy)
        return f"{done - before} rows fewer are done"

    async def _freeze_between_writes(self, run: str, running: Running) -> bool:
        """SIGSTOP between two writes: a process frozen in a write would block the journal for all others.

        False, and it goes on, where it had let the run go.
        """
        running.signal(signal.SIGSTOP)
        while running.alive and not self.observer.is_writable():
            running.signal(signal.SIGCONT)
            await anyio.sleep(POLL)
            running.signal(signal.SIGSTOP)
        if self.observer.is_held(run, running.pid):
            return True
        running.signal(signal.SIGCONT)
        return False

    async def _enter_elsewhere(self, elsewhere: Elsewhere) -> str:
        """Enter the same input where the run is unknown: rows that the billing already has must be refused."""
        run, entered = self.observer.view().run, 0
        # As long as its stacks may take.
        with anyio.move_on_after(loops(5.0)):
            while run is not None and not entered:
                await anyio.sleep(_WHILE)
                entered = await self.billing.effects()
        if run is None or not entered:
            return "nothing was entered yet"
        looks = 0
        with set_aside(self.observer.path, elsewhere) as journal:
            while True:
                ended = await self._run(*self.requested.arguments, *self.pacing, journal=journal)
                looks += 1
                if looks == _LOOKS or ended.exit not in _WITHOUT_EFFECT or run in ended.said:
                    break
        if ended.exit != ExitCode.REFUSED or run not in ended.said:
            why = said("the rows of {run} were not refused ({elsewhere})", run=run, elsewhere=elsewhere)
            self._unexpected(ended, why)
        return f"{elsewhere}, ended with {ended.exit}"

    async def _overlap(self, machine: Machine, running: Running) -> str:
        """Enter the same input with another journal while the load, in the middle of sending, lies frozen.

        On this machine it must be refused. On another one it enters what is left of it, of which the load may then
        send only what it was sending when it was frozen: it had looked before.
        """
        run = str(self.observer.view().run)
        other = Observer(self.observer.path.parent / machine / self.observer.path.name)
        other.path.parent.mkdir(exist_ok=True)
        is_held = await self._freeze_between_writes(run, running)
        # What was sent before is in the billing when the other one makes its list, and the other way round.
        await self.billing.wait_for_stacks()
        states = self.observer.states(run).items()
        self.observer.traces.racing |= {key for key, state in states if state is State.SENDING}
        words = (*self.requested.arguments, "--skip-bad", *self.pacing)
        ended = await self._run(*words, journal=other.path, machine=machine)
        await self.billing.wait_for_stacks()
        running.signal(signal.SIGCONT)
        # For whatever reason: where it finds all rows entered by now, it says that before it would send.
        if machine is Machine.THIS and is_held and ended.exit != ExitCode.REFUSED:
            self._unexpected(ended, said("another journal was not refused while the load sends"))
        if (name := other.view().run) is not None:
            self.observer.traces.others |= {name}
        return f"{machine}, ended with {ended.exit}"

    async def _let_stranger_in(self, deed: Deed, running: Running) -> str:
        """Let somebody else do something to the last rows, while the load lies frozen for longer than looks count."""
        run, requested = str(self.observer.view().run), self.requested
        if not await self._freeze_between_writes(run, running):
            return f"{deed}, the load had let the run go"
        began = anyio.current_time()
        known = self.observer.traces.touched.keys() | self.observer.traces.forgotten
        keys = (key for key in self.observer.not_sent(run) if key in requested.victims and key not in known)
        rows = [requested.victims[key] for key in keys][:3]
        victims = {row: done for row in rows if (done := list(statements_of(deed, row)))}
        if victims:
            await self.billing.let_in([one for done in victims.values() for one in done])
            self.observer.traces.touched |= {
                row.key: must_not_be_sent(deed, row, by_number=requested.by_number) for row in victims
            }
            self.made += sum(name in STANDING for done in victims.values() for name, _ in done)
            await anyio.sleep(max(0.0, _LOOKS_COUNT - (anyio.current_time() - began)))
        running.signal(signal.SIGCONT)
        return f"{deed}, {len(victims)} rows"

    async def _command(self, command: str, running: Running, *words: str) -> Running:
        run = self.observer.view().run or "none"
        ended = self._checked(await (await self._start(command, run, *words, database=False)).wait())
        # These have an effect even without a listening process.
        must_count = command in {"pause", "continue"} and running.alive and self.observer.view().open > 0
        if ended.exit != ExitCode.DONE and (must_count or ended.exit != ExitCode.REFUSED):
            self._unexpected(ended, said("typed while the load sends"))
        return ended

    async def _check_nothing_leaves(self, seconds: float, running: Running) -> None:
        """Watch a paused run for a while: after the claims in progress there must be no new ones."""
        before, since = None, self.observer.claims()
        with anyio.move_on_after(loops(5.0)):
            while running.alive and before != since:
                await anyio.sleep(_WHILE)
                before, since = since, self.observer.claims()
        await anyio.sleep(seconds)
        after = self.observer.claims()
        if running.alive and after != since:
            self._wrong(
                said("while it was paused, intents went from {since} to {after}", since=str(since), after=str(after))
            )

    # ---- undo ----

    async def _undo_stopped(self, running: Running) -> str:
        """Stop the load and take it back, then resume it: nothing more may be sent."""
        run = str(self.observer.view().run)
        running.signal(signal.SIGTERM)
        await running.process.wait()
        await self.billing.set_faults("")
        # Rows in doubt are not taken back.
        await self._run("reconcile", run, "--settle", str(self.plan.settle))
        ended = await self._undo(run)
        if self.observer.view().run == run:
            return f"was not taken back: it ended with {ended.exit}"
        self.undone = run
        before = await self.billing.effects(), self.observer.claims()
        resumed = await self._run("resume", run, "--skip-bad", *self.pacing)
        await self.billing.wait_for_stacks()
        after = await self.billing.effects(), self.observer.claims()
        if resumed.exit != ExitCode.REFUSED or before != after:
            change = f"{before} → {after}"
            self._unexpected(resumed, said("resumed after its undo; effects and intents: {change}", change=change))
        return f"the undo ended with {ended.exit}, resume with {resumed.exit}"

    async def _undo(self, run: str, kills: Sequence[float] = (), faults: str = "") -> Running:
        """Take a run back to its end, with SIGKILL at shares of its rows; the last processes have no faults."""
        await self.billing.set_faults(faults)
        trial, way = self.plan.trial, tuple[str, ...]()
        if trial is not None and trial.model == OPERATIONS and trial.once:
            # Otherwise an accountant gets a list of operations.
            way = ("--set", "way=opposite")
        elif not self.observer.traces.touched:
            # Nobody else is at work: what it found after a kill is its own as well.
            way = ("--set", "unproven=take")
        ended = await self._to_its_end(("undo", run, *way), [Act(What.KILL, share) for share in kills], run)
        await self.billing.clear_faults()
        await self.billing.work_off()
        return ended


# ---- its line in a table, and all of it as JSON --------------------------------------------------------------------

Written: TypeAlias = Callable[[object], str]
"""Renders a sentence in the language of its reader."""
Line: TypeAlias = Mapping[str, Said | str | int | float]
"""A line of the table, in the order of the columns; all but the first two are right-aligned."""

COLUMNS: Final[Mapping[str, tuple[Said, int]]] = {
    "seed": (said("seed"), 10),
    "job": (said("job"), 18),
    "rows": (said("rows"), 5),
    "faults": (said("faults"), 7),
    "kills": (said("kills"), 6),
    "other": (said("other"), 6),
    "attempts": (said("attempts"), 9),
    "unknown": (said("unknown"), 8),
    "found": (said("found"), 6),
    "rejected": (said("rejected"), 9),
    "once": (said("once"), 6),
    "twice": (said("twice"), 6),
    "lost": (said("lost"), 5),
    "asked": (said("manual"), 7),
    "seconds": (said("seconds"), 8),
}
"""Headings, and least widths in characters.

`faults` counts those that the billing injected, `kills` the acts that ended a process of the load, `other` the rest;
`attempts` are intents to send, `unknown` counts rows that became unknown, `found` look-ups that found the effect.
"""
_NARROW: Final = ("seed", "job", "rows", "kills", "unknown", "once", "twice", "lost", "seconds")
"""The columns of a terminal that is too narrow for all; the JSON has the rest."""
_COUNTS: Final = ("attempts", "unknown", "found", "rejected", "once", "twice", "lost", "asked")


def heading(width: int, written: Written = str) -> str:
    return text_of_line({name: title for name, (title, _) in COLUMNS.items()}, width, written)


def text_of_line(line: Line, width: int, written: Written = str) -> str:
    """A line as it is shown in so many columns; `written` renders its sentences."""
    rooms = {name: max(room, len(written(title)) + 1) for name, (title, room) in COLUMNS.items()}
    words = {name: f"{one:.1f}" if isinstance(one, float) else written(one) for name, one in line.items()}
    return "".join(
        f"{words[name]:<{rooms[name]}}" if name in {"seed", "job"} else f"{words[name]:>{rooms[name]}}"
        for name in (rooms if sum(rooms.values()) <= width else _NARROW)
    ).rstrip()


def line_of(experiment: Experiment) -> Line:
    acts = [event.act for event in experiment.events if event.act is not None]
    ending = sum(act in ENDING for act in acts)
    return {
        "seed": str(experiment.plan.seed),
        "job": experiment.plan.job,
        "rows": experiment.rows,
        "faults": experiment.injected.total(),
        "kills": ending,
        "other": len(acts) - ending,
        **{name: experiment.tally[name] for name in _COUNTS},
        "seconds": round(experiment.seconds, 1),
    }


def total(experiments: Sequence[Experiment]) -> Line:
    lines = [line_of(experiment) for experiment in experiments]
    _, _, *numbers = COLUMNS
    sums = {name: round(sum(line[name] for line in lines), 1) for name in numbers}  # type: ignore[misc]  # numbers
    return {"seed": said("total"), "job": counted("{n} round[s]", len(experiments)), **sums}


def as_json(seed: int, experiments: Sequence[Experiment], repeat: Callable[[int], str]) -> bytes:
    """The whole result as JSON; `repeat` gives the command that repeats the experiment of a seed."""
    rounds = [
        {
            **line_of(one),
            "holds": one.holds,
            "problems": [{"key": problem.key, "what": problem.what} for problem in one.problems],
            "repeat": repeat(one.plan.seed),
            "injected": dict(sorted(one.injected.items())),
            "happened": [asdict(event) for event in one.events],
            "processes": one.processes,
            "foreign": one.tally["foreign"],
            "repeated": one.tally["repeated"],
            "plan": one.plan.as_json(),
        }
        for one in experiments
    ]
    holds = all(one.holds for one in experiments)
    whole = {"seed": seed, "holds": holds, "total": total(experiments), "rounds": rounds}
    return msgspec.json.format(msgspec.json.encode(whole, enc_hook=str), indent=2) + b"\n"
