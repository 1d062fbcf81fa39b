"""The blows of a round, dealt one after the other to the fleet and to PostgreSQL."""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

import anyio
import anyio.to_thread
import psycopg
from anyio.abc import TaskGroup

from lab.crash.program import send
from lab.fleet.audit import JournalAudit, Owner, TakeUp
from lab.fleet.fleet_judge import DealtBlow
from lab.fleet.postgres_server import PostgresServer
from lab.fleet.round_plan import Blow, FleetBlow, Reach, RoundPlan
from lab.fleet.workers import FleetMachine, started_at


class Blows:
    """Deals the blows of a plan; `dealt` are those so far.

    `started` says, by run and epoch, when the process was started that has taken the run up, where it was seen.
    """

    def __init__(
        self, plan: RoundPlan, machines: Sequence[FleetMachine], server: PostgresServer, audit: JournalAudit
    ) -> None:
        self.dealt: list[DealtBlow] = []
        self.started: dict[tuple[int, int], float] = {}
        self._plan = plan
        self._machines = machines
        self._server = server
        self._audit = audit
        self._frozen: set[int] = set()
        self._ended_at: dict[str, float] = {}

    async def deal_single(self, beside: TaskGroup, is_over: Callable[[], bool]) -> None:
        """Deal the single blows, until all rows are entered; what lasts goes on in the group `beside`."""
        for blow in self._plan.single:
            await self._wait_for_work()
            if is_over():
                return
            if (dealt := await self._deal(blow, beside)) is not None:
                await self._wait_until_recovered(dealt)

    async def deal_storm(self, beside: TaskGroup, is_over: Callable[[], bool]) -> None:
        """Deal the blows of the storm, as `deal_single` does."""
        for blow in self._plan.storm:
            await anyio.sleep(self._plan.every)
            await self.start_workers()
            if is_over():
                return
            await self._deal(blow, beside)

    async def _wait_for_work(self) -> None:
        """Wait until some more rows of each run are in the billing, or it has come to its end."""
        began: dict[int, int] = {}
        while True:
            await self.start_workers()
            with suppress(psycopg.Error):
                runs = await anyio.to_thread.run_sync(self._audit.runs)
                working = {one.run_id for one in await self._owners() if one.is_at_work}
                for run in runs:
                    began.setdefault(run.run_id, run.entered_rows)
                at_work = {run.run_id for run in runs if run.entered_rows >= began[run.run_id] + self._plan.in_flight}
                if all(run.run_id in at_work & working or run.is_entered for run in runs):
                    return
            await anyio.sleep(_LOOK)

    async def _wait_until_recovered(self, dealt: DealtBlow) -> None:
        """Wait until what lasts of a blow is over, and others have taken up its runs, if they must."""
        await anyio.sleep(max(dealt.until - time.time(), 0.0))
        if dealt.must_be_taken_over:
            await self._wait_until_taken_over(dealt)
        while self._frozen:  # noqa: ASYNC110 - looked at as all else
            await anyio.sleep(_LOOK)

    async def _wait_until_taken_over(self, dealt: DealtBlow) -> None:
        while True:
            await self.start_workers()
            with suppress(psycopg.Error):
                ups = await self._take_ups()
                runs = await anyio.to_thread.run_sync(self._audit.runs)
                ended = {run.run_id for run in runs if run.is_entered}
                if dealt.hit <= ended | {up.run_id for up in ups if up.at > dealt.at}:
                    return
            await anyio.sleep(_LOOK)

    async def start_workers(self) -> None:
        """Start the workers that have ended some time ago, as a service manager does."""
        now = time.time()
        for machine in self._machines:
            if machine.is_running:
                self._ended_at.pop(machine.name, None)
            elif now - self._ended_at.setdefault(machine.name, now) > RESTARTED_AFTER:
                await machine.start()

    async def recover(self) -> None:
        """Let everything go on that was frozen, cut or killed."""
        send(self._frozen, signal.SIGCONT)
        self._frozen.clear()
        for machine in self._machines:
            machine.way.mend()
            await machine.start()

    async def _deal(self, blow: FleetBlow, beside: TaskGroup) -> DealtBlow | None:
        """Deal a blow, None where there was nothing to hit."""
        machine = self._machine_of(blow)
        now = time.time()
        begun = DealtBlow(blow.blow, blow.reach, machine.name, now, now)
        dealt: DealtBlow | None
        match blow.blow:
            case Blow.KILL | Blow.FREEZE:
                dealt = await self._strike(machine, blow, begun, beside)
            case Blow.CUT | Blow.BLACK_HOLE:
                (machine.way.cut if blow.blow is Blow.CUT else machine.way.swallow)()
                dealt = replace(begun, until=now + self._plan.away)
                beside.start_soon(self._mend, machine)
            case Blow.TERMINATE:
                done = False
                with suppress(psycopg.Error):
                    done = await anyio.to_thread.run_sync(self._audit.terminate_one, blow.place)
                dealt = replace(begun, until=time.time()) if done else None
            case Blow.RESTART:
                await anyio.to_thread.run_sync(self._server.restart)
                dealt = replace(begun, until=time.time())
        if dealt is not None:
            self.dealt.append(dealt)
        return dealt

    def _machine_of(self, blow: FleetBlow) -> FleetMachine:
        """The machine of a blow, or the next one that works on a run."""
        following = [*self._machines[blow.worker :], *self._machines[: blow.worker]]
        return next((one for one in following if one.processes(Reach.CHILD, blow.place)), following[0])

    async def _strike(
        self, machine: FleetMachine, blow: FleetBlow, begun: DealtBlow, beside: TaskGroup
    ) -> DealtBlow | None:
        processes = machine.processes(blow.reach, blow.place)
        if not processes:
            return None
        freezes, whole = blow.blow is Blow.FREEZE, blow.reach is not Reach.CHILD
        # The worker's own death ends its children in order: their runs need somebody else as well.
        orphans = machine.processes(Reach.ALL, 0) if whole and not freezes else ()
        hit = await self._runs_of({*processes, *orphans})
        send(processes, signal.SIGSTOP if freezes else signal.SIGKILL)
        now = time.time()
        dealt = replace(begun, at=now, until=now + self._plan.away if freezes else now, hit=hit)
        if freezes:
            self._frozen.update(processes)
            beside.start_soon(self._thaw, processes, dealt)
        elif whole:
            await machine.reap()
            self._ended_at[machine.name] = now
        return dealt

    async def _thaw(self, processes: Sequence[int], dealt: DealtBlow) -> None:
        if self._plan.until_taken_over and dealt.must_be_taken_over:
            await self._wait_until_taken_over(dealt)
        await anyio.sleep(self._plan.away)
        send(processes, signal.SIGCONT)
        self._frozen.difference_update(processes)

    async def _mend(self, machine: FleetMachine) -> None:
        await anyio.sleep(self._plan.away)
        machine.way.mend()

    async def _runs_of(self, processes: set[int]) -> frozenset[int]:
        """The runs that these processes work on; none while PostgreSQL is away."""
        try:
            owners = await self._owners()
        except psycopg.Error:
            return frozenset()
        return frozenset(one.run_id for one in owners if one.process in processes and one.is_at_work)

    async def _take_ups(self) -> list[TakeUp]:
        ups = await anyio.to_thread.run_sync(self._audit.take_ups)
        for up in ups:
            if (up.run_id, up.epoch) not in self.started and (moment := started_at(up.process)) is not None:
                self.started[up.run_id, up.epoch] = moment
        return ups

    async def _owners(self) -> list[Owner]:
        return await anyio.to_thread.run_sync(self._audit.owners)


RESTARTED_AFTER: Final = 2.0
"""Seconds until a killed worker is started again."""
_LOOK: Final = 0.25
