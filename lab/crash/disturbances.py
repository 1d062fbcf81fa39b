"""What is done to the processes of a round: the acts of its plan, each at its moment."""

import resource
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import anyio
import anyio.to_thread

from cli.terminal.exits import Exit
from lab.crash import clock
from lab.crash.experiment_plan import ENDING, FROZEN, Act, Disturbance
from lab.crash.journals import Alias, Elsewhere, aliased, back_up, put_back, set_aside
from lab.crash.load import Ended, Load, Running
from lab.crash.mock_process import MockProcess
from lab.crash.observer import JournalView, Observer

POLL: Final = 0.005
"""Seconds between two looks at the journal: there is no other way to see from outside how far it has come."""

_FULL_AT: Final = 64 * 1024
"""Bytes that no file may grow beyond on a full disk: less than any journal with rows."""


@dataclass(frozen=True, slots=True)
class Done:
    """An act that came to pass, or the end of a process: when, in seconds of the round, and how far the load was."""

    at: float
    act: Act | None
    done: int
    in_flight: int
    followed: str = ""


@dataclass(slots=True)
class Disturbances:
    """The round as it stands. `wrong` collects what must not be, whatever the ledger says in the end."""

    load: Load
    billing: MockProcess
    watched: Observer
    rows: int
    began: float
    happened: list[Done] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    paused: bool = False
    """Whether the run was left paused by an act that ended its process."""

    async def act(self, mischief: Disturbance, running: Running) -> bool:
        """Wait for the moment of an act and do it; False when the process ended before."""
        if not await self._moment(mischief, running):
            return False
        glance = self.watched.glance()
        followed = await _ACTS[mischief.act](self, mischief, running)
        self.note(mischief.act, glance, followed)
        return True

    async def act_at_rest(self, mischief: Disturbance) -> None:
        """Do an act of `AT_REST` when the run is at its end."""
        glance = self.watched.glance()
        self.note(mischief.act, glance, await self._entered_elsewhere(Elsewhere(mischief.words[0])))

    async def _moment(self, mischief: Disturbance, running: Running) -> bool:
        """Wait until the load has come as far as the act wants it; False when the process ended before."""
        begun = self.watched.glance()
        # A process that takes up must first do something itself, or all later acts would hit its first second.
        least = begun.done + 1 if mischief.act in ENDING else 0
        wanted = 0.0 if mischief.early else max(mischief.share * self.rows, least)
        while running.alive:
            glance = self.watched.glance()
            if glance.run is not None and glance.done >= wanted and self.watched.is_held(glance.run, running.pid):
                break
            await anyio.sleep(POLL)
        with anyio.move_on_after(mischief.delay):
            await running.process.wait()
        return running.alive

    # ---- the acts ----

    async def kill(self, _: Disturbance, running: Running) -> str:
        """SIGKILL to the load."""
        running.process.kill()
        return ""

    async def freeze(self, mischief: Disturbance, running: Running) -> str:
        """SIGSTOP, and SIGCONT when its time is over."""
        running.process.send_signal(signal.SIGSTOP)
        await anyio.sleep(mischief.seconds)
        running.process.send_signal(signal.SIGCONT)
        return f"for {mischief.seconds:g} s"

    async def terminate(self, _: Disturbance, running: Running) -> str:
        """SIGTERM to the load."""
        running.process.send_signal(signal.SIGTERM)
        return ""

    async def interrupt(self, _: Disturbance, running: Running) -> str:
        """SIGINT to the load, and again."""
        running.process.send_signal(signal.SIGINT)
        # Two of a kind that are pending at one time arrive as one.
        await anyio.sleep(_BETWEEN_SIGNALS)
        if running.alive:
            running.process.send_signal(signal.SIGINT)
        return ""

    async def restart(self, _: Disturbance, __: Running) -> str:
        """SIGTERM to the billing, and started again."""
        await self.billing.restart(signal.SIGTERM)
        return ""

    async def crash(self, _: Disturbance, running: Running) -> str:
        """SIGKILL to the billing and to the load's keeper, and the billing started again.

        One that is killed inside the embedded engine can leave a shared mutex locked, on which all others hang that
        have the file open: they go with it, and the engine makes its table of locks anew.
        """
        await self.billing.end(signal.SIGKILL)
        keepers = await running.kill_keepers()
        await self.billing.start()
        return f"with {keepers} keepers"

    async def full_disk(self, _: Disturbance, running: Running) -> str:
        """No file of the load grows any more."""
        hard = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (_FULL_AT, hard))
        return ""

    async def second(self, _: Disturbance, running: Running) -> str:
        """Another process on the same run; harmless, and refused while the first is there."""
        run = self.watched.glance().run
        if run is None:
            return "there was no run"
        ended = await self.load.second(run)
        self.look_at(ended)
        if not running.alive:
            return f"the first had ended; the second ended with {ended.exit}"
        if ended.exit != Exit.REFUSED or "another process works on this run" not in " ".join(ended.said.split()):
            self.wrong.append(f"a second runner was not refused: it ended with {ended.exit}")
        return f"ended with {ended.exit}"

    async def clock(self, mischief: Disturbance, running: Running) -> str:
        """The load's wall clock is set back."""
        running.process.send_signal(clock.SIGNAL)
        return f"by {mischief.seconds:g} s"

    async def pause(self, mischief: Disturbance, running: Running) -> str:
        """`pause`, a while in which nothing is claimed, and `continue`."""
        ended = await self._typed("pause", running)
        await self._nothing_leaves(mischief.seconds, running)
        await self._typed("continue", running)
        return f"for {mischief.seconds:g} s, ended with {ended.exit}"

    async def pause_and_kill(self, mischief: Disturbance, running: Running) -> str:
        """`pause`, a while in which nothing is claimed, and SIGKILL."""
        ended = await self._typed("pause", running)
        await self._nothing_leaves(mischief.seconds, running)
        # Where the run came to its end before, there is nothing that could stay paused.
        self.paused = running.alive and ended.exit == Exit.DONE
        if running.alive:
            running.process.kill()
        return f"for {mischief.seconds:g} s, ended with {ended.exit}"

    async def let_go_on(self, running: Running) -> None:
        """`continue` to a run that was killed while it was paused, once what has taken it up says that it waits."""
        while running.alive and "is paused" not in running.said:  # noqa: ASYNC110 - a file tells nobody
            await anyio.sleep(POLL)
        await self._nothing_leaves(_WHILE, running)
        await self._typed("continue", running)
        self.paused = False

    async def set(self, mischief: Disturbance, running: Running) -> str:
        """`set` what the plan says."""
        ended = await self._typed("set", running, *mischief.words)
        return f"{' '.join(mischief.words)}, ended with {ended.exit}"

    async def stop(self, _: Disturbance, running: Running) -> str:
        """`stop`, and the end of the process."""
        ended = await self._typed("stop", running)
        return f"ended with {ended.exit}"

    async def restore(self, mischief: Disturbance, running: Running) -> str:
        """A copy of the journal, rows that it knows nothing of, SIGKILL, and the copy in the journal's place."""
        journal = self.watched.path
        copy = journal.with_name(f"copy-{journal.name}")
        await anyio.to_thread.run_sync(back_up, journal, copy)
        before = self.watched.glance().done
        while running.alive and self.watched.glance().done <= before + mischief.more * self.rows:  # noqa: ASYNC110
            await anyio.sleep(POLL)
        if running.alive:
            running.process.kill()
        await running.process.wait()
        done = self.watched.glance().done
        await anyio.to_thread.run_sync(put_back, copy, journal)
        return f"{done - before} rows fewer are done"

    async def alias(self, mischief: Disturbance, running: Running) -> str:
        """Another process on the same run, by another way to its journal; refused, or the first gives way to it."""
        run, alias = self.watched.glance().run, Alias(mischief.words[0])
        if run is None:
            return "there was no run"
        is_frozen = FROZEN in mischief.words
        if is_frozen:
            await self._freeze_between_writes(running)
        with aliased(self.watched.path, alias) as journal:
            ended = await self.load.second(run, journal)
        if is_frozen:
            running.process.send_signal(signal.SIGCONT)
        self.look_at(ended)
        if ended.exit != Exit.REFUSED:
            with anyio.move_on_after(_LONGEST_GIVING_WAY):
                await running.process.wait()
            if running.alive or "taken over" not in running.said:
                self.wrong.append(f"a second runner ({alias}) ended with {ended.exit}, and the first goes on")
        return f"{alias}, ended with {ended.exit}"

    async def _freeze_between_writes(self, running: Running) -> None:
        """SIGSTOP at a moment at which it does not write: nobody else could open the journal then."""
        running.process.send_signal(signal.SIGSTOP)
        while running.alive and not self.watched.is_writable():
            running.process.send_signal(signal.SIGCONT)
            await anyio.sleep(POLL)
            running.process.send_signal(signal.SIGSTOP)

    async def second_journal(self, mischief: Disturbance, _: Running) -> str:
        """The same input with another journal."""
        return await self._entered_elsewhere(Elsewhere(mischief.words[0]))

    async def kill_and_second_journal(self, mischief: Disturbance, running: Running) -> str:
        """SIGKILL, and the same input with another journal."""
        running.process.kill()
        await running.process.wait()
        return await self._entered_elsewhere(Elsewhere(mischief.words[0]))

    async def _entered_elsewhere(self, elsewhere: Elsewhere) -> str:
        """Type the same input again where nothing is known of the run: what the billing has already is refused."""
        run = self.watched.glance().run
        if run is None or not await self._has_entered():
            return "nothing was entered yet"
        with set_aside(self.watched.path, elsewhere) as journal:
            looks = 0
            while True:
                ended = await self.load.anew(journal)
                self.look_at(ended)
                looks += 1
                if looks == _LOOKS or ended.exit not in _WITHOUT_EFFECT or run in ended.said:
                    break
        if ended.exit != Exit.REFUSED or run not in ended.said:
            said = " ".join(ended.said.split())
            self.wrong.append(f"the rows of {run} were not refused ({elsewhere}): it ended with {ended.exit}: {said}")
        return f"{elsewhere}, ended with {ended.exit}"

    async def _has_entered(self) -> bool:
        """Whether the billing has applied anything of the load, which may take as long as its stacks do."""
        with anyio.move_on_after(_LONGEST_STACK):
            while not await self.billing.effects():  # noqa: ASYNC110 - the ledger tells nobody
                await anyio.sleep(_WHILE)
            return True
        return False

    async def _typed(self, command: str, running: Running, *words: str) -> Ended:
        """Type a command to the run, which may be refused only where nobody listens or nothing is left to do."""
        ended = await self.load.steered(command, self.watched.glance().run or "none", *words)
        self.look_at(ended)
        must_count = command in _COUNTS_AT_REST and running.alive and self.watched.glance().open > 0
        if ended.exit != Exit.DONE and (must_count or ended.exit != Exit.REFUSED):
            self.wrong.append(f"{command} ended with {ended.exit}: {' '.join(ended.said.split())}")
        return ended

    async def _nothing_leaves(self, seconds: float, running: Running) -> None:
        """Watch a paused run for a while: what it had begun to claim by then is claimed, and nothing more."""
        before, since = None, self.watched.claims()
        with anyio.move_on_after(_LONGEST_CLAIM):
            while running.alive and before != since:
                await anyio.sleep(_WHILE)
                before, since = since, self.watched.claims()
        await anyio.sleep(seconds)
        after = self.watched.claims()
        if running.alive and after != since:
            self.wrong.append(f"while it was paused, intents went from {since} to {after}")

    async def refused(self) -> Ended:
        """The load that a billing without a column must not begin; the billing itself behaves."""
        await self.billing.clear_faults()
        ended = await (await self.load.started(self.watched.glance())).ended()
        self.look_at(ended)
        return ended

    async def verified(self, run: str) -> Ended:
        """`verify`, once the billing behaves and has worked off all that it took."""
        await self.billing.clear_faults()
        await self.billing.drained()
        ended = await self.load.verified(run)
        self.look_at(ended)
        return ended

    def note(self, act: Act | None, glance: JournalView, followed: str) -> None:
        """Keep what happened for the report."""
        at = round(anyio.current_time() - self.began, 2)
        self.happened.append(Done(at, act, glance.done, glance.in_flight, followed))

    def look_at(self, ended: Ended) -> None:
        """Note the end of a process, and what must not be in it."""
        self.note(None, self.watched.glance(), f"{ended.command} ended with {ended.exit}")
        if ended.broke:
            self.wrong.append(ended.broke)


_BETWEEN_SIGNALS: Final = 0.05
_WHILE: Final = 0.2
_LONGEST_CLAIM: Final = 5.0
_LONGEST_STACK: Final = 5.0
_LONGEST_GIVING_WAY: Final = 10.0
_LOOKS: Final = 8
_WITHOUT_EFFECT: Final = frozenset({Exit.REFUSED, Exit.STOPPED})
"""What a run that could not even look at a failing billing ends with as well."""
_COUNTS_AT_REST: Final = frozenset({"pause", "continue"})
"""Commands that count also where nobody listens."""
_ACTS: Final[Mapping[Act, Callable[[Disturbances, Disturbance, Running], Awaitable[str]]]] = {
    Act.KILL: Disturbances.kill,
    Act.FREEZE: Disturbances.freeze,
    Act.TERMINATE: Disturbances.terminate,
    Act.INTERRUPT: Disturbances.interrupt,
    Act.RESTART: Disturbances.restart,
    Act.CRASH: Disturbances.crash,
    Act.FULL_DISK: Disturbances.full_disk,
    Act.SECOND: Disturbances.second,
    Act.CLOCK: Disturbances.clock,
    Act.PAUSE: Disturbances.pause,
    Act.PAUSE_AND_KILL: Disturbances.pause_and_kill,
    Act.SET: Disturbances.set,
    Act.STOP: Disturbances.stop,
    Act.RESTORE: Disturbances.restore,
    Act.ALIAS: Disturbances.alias,
    Act.SECOND_JOURNAL: Disturbances.second_journal,
    Act.KILL_AND_SECOND_JOURNAL: Disturbances.kill_and_second_journal,
}
