"""Disturbances of an experiment's processes: the acts of its plan, each at its moment."""

import resource
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import anyio
import anyio.to_thread

from checkpoints.states import State
from lab.crash import clock
from lab.crash.experiment_plan import ENDING, FROZEN, Act, Disturbance
from lab.crash.journals import Alias, Elsewhere, Machine, aliased, back_up, forgotten_by, put_back, set_aside
from lab.crash.load import Ended, Load, Running
from lab.crash.loops import loops
from lab.crash.mock_process import MockProcess
from lab.crash.observer import POLL, JournalView, Observer
from lab.crash.program import (
    SAYS_BUSY,
    SAYS_LICENCE,
    SAYS_PAUSED,
    SAYS_TAKEN_OVER,
    ExitCode,
    send_signal,
)
from lab.crash.stranger import STANDING, Deed, must_not_be_sent, statements_of
from texts.said import said

_FULL_AT: Final = 64 * 1024
"""The largest file in bytes on a full disk: less than any journal with rows."""


@dataclass(frozen=True, slots=True)
class Event:
    """An act that was carried out, or the end of a process: the time in seconds and the progress of the load."""

    at: float
    act: Act | None
    done: int
    in_flight: int
    followed: str = ""


@dataclass(slots=True)
class Disturbances:
    """Carries out the acts of a plan, each at its moment.

    `events` lists what happened, `problems` lists faults that do not depend on the ledger.
    """

    load: Load
    billing: MockProcess
    observer: Observer
    rows: int
    began: float
    events: list[Event] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    paused: bool = False
    """Whether an act left the run paused when its process ended."""
    undone: str | None = None
    """The run that an act has stopped and taken back: nothing more of the plan follows."""
    made: int = 0
    """How many objects strangers have created that are to stand in the end."""

    async def carry_out(self, disturbance: Disturbance, running: Running) -> bool:
        """Wait for the moment of an act and carry it out; False when the process ended before."""
        if not await self._wait_for_moment(disturbance, running):
            return False
        view = self.observer.view()
        self.note(disturbance.act, view, await self._act(disturbance, running))
        return True

    async def carry_out_at_rest(self, disturbance: Disturbance) -> None:
        """Carry out an act of `AT_REST` once the run has ended."""
        view = self.observer.view()
        self.note(disturbance.act, view, await self._enter_elsewhere(Elsewhere(disturbance.words[0])))

    async def _wait_for_moment(self, disturbance: Disturbance, running: Running) -> bool:
        """Wait for the progress that the act requires; False when the process ended before."""
        begun = self.observer.view()
        # A resuming process must first make progress, or all later acts would hit its first second.
        least = begun.done + 1 if disturbance.act in ENDING else 0
        wanted = 0.0 if disturbance.early else max(disturbance.share * self.rows, least)
        while running.alive:
            view = self.observer.view()
            if view.run is not None and view.done >= wanted and self.observer.is_held(view.run, running.pid):
                break
            await anyio.sleep(self.observer.pause)
        with anyio.move_on_after(disturbance.delay):
            await running.process.wait()
        return running.alive

    # ---- the acts ----

    async def _act(self, one: Disturbance, running: Running) -> str:  # noqa: C901, PLR0911, PLR0912 - a case an act
        """Carry out an act, as `Act` has it; returns what has followed."""
        process = running.process
        match one.act:
            case Act.KILL:
                send_signal(process, signal.SIGKILL)
            case Act.FREEZE:
                send_signal(process, signal.SIGSTOP)
                await anyio.sleep(one.seconds)
                send_signal(process, signal.SIGCONT)
                return f"for {one.seconds:g} s"
            case Act.TERMINATE:
                send_signal(process, signal.SIGTERM)
            case Act.INTERRUPT:
                send_signal(process, signal.SIGINT)
                # Two pending signals of the same kind arrive as one.
                await anyio.sleep(_BETWEEN_SIGNALS)
                send_signal(process, signal.SIGINT)
            case Act.RESTART:
                await self.billing.end(signal.SIGTERM)
                await self.billing.start()
            case Act.CRASH:
                # A process killed inside the embedded engine can leave a shared mutex locked, on which all other
                # processes with the file open hang. So they are killed too, and the engine rebuilds its lock table.
                await self.billing.end(signal.SIGKILL)
                killed = await running.kill_file_processes()
                await self.billing.start()
                return f"with {killed} keepers"
            case Act.FULL_DISK:
                with suppress(ProcessLookupError):
                    hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
                    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (_FULL_AT, hard))
            case Act.SECOND:
                return await self._start_second(running)
            case Act.CLOCK:
                send_signal(process, clock.SIGNAL)
                return f"by {one.seconds:g} s"
            case Act.PAUSE | Act.PAUSE_AND_KILL:
                ended = await self._command("pause", running)
                await self._check_nothing_leaves(one.seconds, running)
                if one.act is Act.PAUSE:
                    await self._command("continue", running)
                else:
                    # A run that is at its end cannot stay paused; one whose process ended before the command can.
                    self.paused = ended.exit == ExitCode.DONE and self.observer.view().open > 0
                    send_signal(process, signal.SIGKILL)
                return f"for {one.seconds:g} s, ended with {ended.exit}"
            case Act.SET:
                ended = await self._command("set", running, *one.words)
                return f"{' '.join(one.words)}, ended with {ended.exit}"
            case Act.STOP:
                ended = await self._command("stop", running)
                return f"ended with {ended.exit}"
            case Act.RESTORE:
                return await self._restore(one, running)
            case Act.ALIAS:
                return await self._try_alias(one, running)
            case Act.SECOND_JOURNAL:
                return await self._enter_elsewhere(Elsewhere(one.words[0]))
            case Act.KILL_AND_SECOND_JOURNAL:
                send_signal(process, signal.SIGKILL)
                await process.wait()
                return await self._enter_elsewhere(Elsewhere(one.words[0]))
            case Act.OVERLAP:
                return await self._overlap(one, running)
            case Act.STRANGER:
                return await self._let_stranger_in(one, running)
            case Act.UNDO:
                return await self._undo_stopped(running)
        return ""

    async def _start_second(self, running: Running) -> str:
        run = self.observer.view().run
        if run is None:
            return "there was no run"
        ended = await self.load.start_second(run)
        self.check_end(ended)
        if ended.exit == ExitCode.REFUSED and SAYS_BUSY in " ".join(ended.said.split()):
            return f"ended with {ended.exit}"
        # A process that has let its run go ends a moment later, and another may work on it by then.
        if not await self._ends_soon(running) or SAYS_TAKEN_OVER in running.said:
            self.problems.append(said("a second runner was not refused: it ended with {exit}", exit=ended.exit))
            return f"ended with {ended.exit}"
        return f"the first had ended; the second ended with {ended.exit}"

    async def continue_paused(self, running: Running) -> None:
        """`continue` a run that was killed while paused, once the process that resumed it reports that it waits."""
        while running.alive and SAYS_PAUSED not in running.said:  # noqa: ASYNC110 - a file gives no event
            await anyio.sleep(POLL)
        await self._check_nothing_leaves(_WHILE, running)
        await self._command("continue", running)
        self.paused = False

    async def _restore(self, disturbance: Disturbance, running: Running) -> str:
        journal = self.observer.path
        copy = journal.with_name(f"copy-{journal.name}")
        await anyio.to_thread.run_sync(back_up, journal, copy)
        before = self.observer.view().done
        while running.alive and self.observer.view().done <= before + disturbance.more * self.rows:  # noqa: ASYNC110
            await anyio.sleep(self.observer.pause)
        send_signal(running.process, signal.SIGKILL)
        await running.process.wait()
        done = self.observer.view().done
        self.observer.forgotten |= await anyio.to_thread.run_sync(forgotten_by, copy, journal)
        await anyio.to_thread.run_sync(put_back, copy, journal)
        return f"{done - before} rows fewer are done"

    async def _try_alias(self, disturbance: Disturbance, running: Running) -> str:
        # One of the two must be refused.
        run, alias = self.observer.view().run, Alias(disturbance.words[0])
        if run is None:
            return "there was no run"
        is_frozen = FROZEN in disturbance.words
        if is_frozen:
            await self._freeze_between_writes(running)
            if not self.observer.is_held(run, running.pid):
                send_signal(running.process, signal.SIGCONT)
                return f"{alias}, the first had let the run go"
        with aliased(self.observer.path, alias) as journal:
            ended = await self.load.start_second(run, journal)
        if is_frozen:
            send_signal(running.process, signal.SIGCONT)
        self.check_end(ended)
        if ended.exit != ExitCode.REFUSED and not (
            await self._ends_soon(running) and SAYS_TAKEN_OVER in running.said
        ):
            self.problems.append(
                said(
                    "a second runner ({alias}) ended with {exit}, and the first goes on",
                    alias=alias,
                    exit=ended.exit,
                )
            )
        return f"{alias}, ended with {ended.exit}"

    async def _ends_soon(self, running: Running) -> bool:
        """Whether a process ends within the time that giving way may take."""
        with anyio.move_on_after(loops(_LONGEST_GIVING_WAY)):
            await running.process.wait()
        return not running.alive

    async def _freeze_between_writes(self, running: Running) -> None:
        """SIGSTOP between two writes: a process frozen in a write would block the journal for all others."""
        send_signal(running.process, signal.SIGSTOP)
        while running.alive and not self.observer.is_writable():
            send_signal(running.process, signal.SIGCONT)
            await anyio.sleep(POLL)
            send_signal(running.process, signal.SIGSTOP)

    async def _enter_elsewhere(self, elsewhere: Elsewhere) -> str:
        """Enter the same input where the run is unknown: rows that the billing already has must be refused."""
        run = self.observer.view().run
        if run is None or not await self._has_entered():
            return "nothing was entered yet"
        with set_aside(self.observer.path, elsewhere) as journal:
            looks = 0
            while True:
                ended = await self.load.enter_anew(journal)
                self.check_end(ended)
                looks += 1
                if looks == _LOOKS or ended.exit not in _WITHOUT_EFFECT or run in ended.said:
                    break
        if ended.exit != ExitCode.REFUSED or run not in ended.said:
            answer = " ".join(ended.said.split())
            self.problems.append(
                said(
                    "the rows of {run} were not refused ({elsewhere}): it ended with {exit}: {answer}",
                    run=run,
                    elsewhere=elsewhere,
                    exit=ended.exit,
                    answer=answer,
                )
            )
        return f"{elsewhere}, ended with {ended.exit}"

    async def _overlap(self, disturbance: Disturbance, running: Running) -> str:
        """Enter the same input with another journal while the load, in the middle of sending, lies frozen.

        On this machine it must be refused. On another one it enters what is left of it, of which the load may then
        send only what it was sending when it was frozen: it had looked before.
        """
        machine, run = Machine(disturbance.words[0]), str(self.observer.view().run)
        other = Observer(self.observer.path.parent / machine / self.observer.path.name)
        other.path.parent.mkdir(exist_ok=True)
        await self._freeze_between_writes(running)
        is_held = self.observer.is_held(run, running.pid)
        # What was sent before is in the billing when the other one makes its list, and the other way round.
        await self.billing.wait_for_stacks()
        self.observer.racing |= self.observer.being_sent(run)
        ended = await self.load.enter_beside(other.path, machine)
        await self.billing.wait_for_stacks()
        send_signal(running.process, signal.SIGCONT)
        self.check_end(ended)
        # For whatever reason: where it finds all rows entered by now, it says that before it would send.
        if machine is Machine.THIS and is_held and ended.exit != ExitCode.REFUSED:
            self.problems.append(
                said("another journal was not refused while the load sends: it ended with {exit}", exit=ended.exit)
            )
        if (name := other.view().run) is not None:
            self.observer.others |= {name}
        return f"{machine}, ended with {ended.exit}"

    async def _let_stranger_in(self, disturbance: Disturbance, running: Running) -> str:
        """Let somebody else do something to the last rows, while the load lies frozen for longer than looks count."""
        deed, run = Deed(disturbance.words[0]), str(self.observer.view().run)
        await self._freeze_between_writes(running)
        began = anyio.current_time()
        if not running.alive or not self.observer.is_held(run, running.pid):
            send_signal(running.process, signal.SIGCONT)
            return f"{deed}, the load had let the run go"
        rows = [self.load.victims[key] for key in self.observer.not_sent(run) if key in self.load.victims]
        rows = [
            row for row in rows if row.key not in self.observer.touched and row.key not in self.observer.forgotten
        ]
        victims = {row: done for row in rows[:_VICTIMS] if (done := list(statements_of(deed, row)))}
        if victims:
            await self.billing.let_in([one for done in victims.values() for one in done])
            self.observer.touched |= {
                row.key: must_not_be_sent(deed, row, by_number=self.load.by_number) for row in victims
            }
            self.made += sum(name in STANDING for done in victims.values() for name, _ in done)
            await anyio.sleep(max(0.0, _LOOKS_COUNT - (anyio.current_time() - began)))
        send_signal(running.process, signal.SIGCONT)
        return f"{deed}, {len(victims)} rows"

    async def _undo_stopped(self, running: Running) -> str:
        """Stop the load and take it back, then resume it: nothing more may be sent."""
        run = str(self.observer.view().run)
        send_signal(running.process, signal.SIGTERM)
        await running.process.wait()
        await self.billing.set_faults("")
        self.check_end(await self.load.reconcile(run))
        ended = await self._undo_process(run, [], 0)
        for _try in range(_LOOKS):
            if ended.exit in _AT_ITS_END:
                break
            ended = await self._undo_process(run, [], 0)
        if self.observer.view().run == run:
            return f"was not taken back: it ended with {ended.exit}"
        self.undone = run
        await self.billing.wait_for_stacks()
        before = await self.billing.effects(), self.observer.claims()
        resumed = await (await self.load.resume(run)).wait()
        self.check_end(resumed)
        await self.billing.wait_for_stacks()
        after = await self.billing.effects(), self.observer.claims()
        if resumed.exit != ExitCode.REFUSED or before != after:
            self.problems.append(
                said(
                    "resumed after its undo, {run} ended with {exit}; effects and intents were {before}, and are "
                    "{after}",
                    run=run,
                    exit=resumed.exit,
                    before=str(before),
                    after=str(after),
                )
            )
        return f"the undo ended with {ended.exit}, resume with {resumed.exit}"

    async def _has_entered(self) -> bool:
        """Whether the billing has applied any row of the load, which may take as long as its stacks do."""
        with anyio.move_on_after(loops(_LONGEST_STACK)):
            while not await self.billing.effects():  # noqa: ASYNC110 - the ledger gives no event
                await anyio.sleep(_WHILE)
            return True
        return False

    async def _command(self, command: str, running: Running, *words: str) -> Ended:
        """Send a command to the run; it may be refused only where no process listens or nothing is left to do."""
        ended = await self.load.command(command, self.observer.view().run or "none", *words)
        self.check_end(ended)
        must_count = command in _COUNTS_AT_REST and running.alive and self.observer.view().open > 0
        if ended.exit != ExitCode.DONE and (must_count or ended.exit != ExitCode.REFUSED):
            self.problems.append(
                said(
                    "{command} ended with {exit}: {answer}",
                    command=command,
                    exit=ended.exit,
                    answer=" ".join(ended.said.split()),
                )
            )
        return ended

    async def _check_nothing_leaves(self, seconds: float, running: Running) -> None:
        """Watch a paused run for a while: after the claims in progress there must be no new ones."""
        before, since = None, self.observer.claims()
        with anyio.move_on_after(loops(_LONGEST_CLAIM)):
            while running.alive and before != since:
                await anyio.sleep(_WHILE)
                before, since = since, self.observer.claims()
        await anyio.sleep(seconds)
        after = self.observer.claims()
        if running.alive and after != since:
            self.problems.append(
                said("while it was paused, intents went from {since} to {after}", since=str(since), after=str(after))
            )

    async def extend_licence(self, ended: Ended) -> None:
        """Give the billing a licence for any number, once a process has ended for the lack of room."""
        if self.billing.licence is None or SAYS_LICENCE not in ended.said:
            return
        if ended.exit in _AT_ITS_END:
            self.problems.append(
                said(
                    "the licence has no room, and {command} ended with {exit}",
                    command=ended.command,
                    exit=ended.exit,
                )
            )
        # Who was killed meanwhile leaves it to the next process to come upon it again.
        if ended.exit != ExitCode.STOPPED:
            return
        await self.billing.extend_licence()
        self.note(None, self.observer.view(), "the licence was extended")

    def waits_for_person(self) -> bool:
        """Whether all that is left of an import is of subscribers that a stranger has created, and is in doubt."""
        if not self.load.is_import or not self.observer.touched:
            return False
        numbers = {key.partition("/")[0] for key in self.observer.touched}
        left = self.observer.left(str(self.observer.view().run))
        in_doubt = any(state is State.MANUAL for _, state in left)
        return in_doubt and all(key.partition("/")[0] in numbers for key, _ in left)

    async def undo(self, run: str, kills: Sequence[float], faults: str) -> Ended:
        """Take a run back to its end, with SIGKILL at shares of its rows; the last processes have no faults."""
        await self.billing.set_faults(faults)
        before, left = self.observer.view().done, list(kills)
        ended = await self._undo_process(run, left, before)
        for tries in range(_UNDO_TRIES):
            view = self.observer.view()
            if ended.exit in _AT_ITS_END and view.run != run and not view.open:
                break
            if tries == _UNDO_TRIES // 2:
                await self.billing.clear_faults()
            elif tries > _UNDO_TRIES // 2 and ended.exit == ExitCode.REFUSED:
                # The billing is well: an undo that is refused now is refused for good.
                break
            ended = await self._undo_process(run, left, before)
        await self.billing.clear_faults()
        await self.billing.wait_for_stacks()
        return ended

    async def _undo_process(self, run: str, kills: list[float], before: int) -> Ended:
        """Run one process of an undo to its end, or to the next of the kills, which is taken from the list."""
        name = self.observer.view().run
        alone = not self.observer.touched
        running = await (self.load.undo(run, alone=alone) if name in {None, run} else self.load.resume(str(name)))
        if kills and await self._killed_at(kills[0], before, running):
            kills.pop(0)
        ended = await running.wait()
        self.check_end(ended)
        return ended

    async def _killed_at(self, share: float, before: int, running: Running) -> bool:
        """Send SIGKILL when a share of the undo is done; False when it ended before."""
        while running.alive:
            view = self.observer.view()
            done = view.done - before
            if done > share * (done + view.open) and view.open:
                send_signal(running.process, signal.SIGKILL)
                self.note(Act.KILL, view, "of the undo")
                return True
            await anyio.sleep(self.observer.pause)
        return False

    async def run_to_refusal(self) -> Ended:
        """Run a load that must be refused for a missing column; the billing itself has no faults."""
        await self.billing.clear_faults()
        ended = await (await self.load.start(self.observer.view())).wait()
        self.check_end(ended)
        return ended

    async def verify(self, run: str) -> Ended:
        """`verify`, once the billing has no faults and empty stacks."""
        await self.billing.clear_faults()
        await self.billing.wait_for_stacks()
        ended = await self.load.verify(run)
        self.check_end(ended)
        return ended

    def note(self, act: Act | None, view: JournalView, followed: str) -> None:
        """Record an event for the report."""
        at = round(anyio.current_time() - self.began, 2)
        self.events.append(Event(at, act, view.done, view.in_flight, followed))

    def check_end(self, ended: Ended) -> None:
        """Record the end of a process, and faults in it."""
        self.note(None, self.observer.view(), f"{ended.command} ended with {ended.exit}")
        if ended.broke:
            self.problems.append(ended.broke)


_UNDO_TRIES: Final = 12
_VICTIMS: Final = 3
_LOOKS_COUNT: Final = 1.2
"""Seconds: longer than what the program reads before a call counts."""
_AT_ITS_END: Final = frozenset({ExitCode.DONE, ExitCode.REJECTED, ExitCode.UNDECIDED})
_BETWEEN_SIGNALS: Final = 0.05
_WHILE: Final = 0.2
# In loops.
_LONGEST_CLAIM: Final = 5.0
_LONGEST_STACK: Final = 5.0
_LONGEST_GIVING_WAY: Final = 10.0
_LOOKS: Final = 8
_WITHOUT_EFFECT: Final = frozenset({ExitCode.REFUSED, ExitCode.STOPPED})
"""Exit codes without effect; a run that could not reach a failing billing has them too."""
_COUNTS_AT_REST: Final = frozenset({"pause", "continue"})
"""Commands that have an effect even without a listening process."""
