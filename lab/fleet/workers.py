"""The workers of a round, each as on a machine of its own: settings, a way to PostgreSQL, processes."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import Process

from lab.crash.program import all_processes, children_of, command_of, send, start, stat_of
from lab.crash.proxy import JournalWay
from lab.fleet.audit import SCHEMA
from lab.fleet.billing_port import WORKER
from lab.fleet.round_plan import Reach, RoundPlan

LAUNCHER: Final = ("-m", "lab.crash.machine")


@dataclass(frozen=True, slots=True)
class FleetProgram:
    """How the program is started: its environment, and the launcher that makes a process one of another machine.

    A test of the lab names a launcher there that breaks the program.
    """

    environment: Mapping[str, str]
    launcher: Sequence[str] = LAUNCHER


class FleetMachine:
    """A machine of the fleet, on which one worker runs, or none. Its files are in a folder of its own."""

    def __init__(self, name: str, folder: Path, plan: RoundPlan, program: FleetProgram, way: JournalWay) -> None:
        self.name = name
        self.way = way
        self.folder = folder / name
        self._plan = plan
        self._program = program
        self._worker: Process | None = None
        self._python = self.folder / "python"

    def prepare(self, billings: Mapping[str, str], postgres: str) -> None:
        """Write its settings: the billings by name, and the address of PostgreSQL by its own way."""
        self.folder.mkdir()
        words = shlex.join([sys.executable, "-P", *self._program.launcher, self.name, str(self._python)])
        self._python.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
        self._python.chmod(0o700)
        write_settings(self.settings, billings, postgres, self._plan, self.name)

    @property
    def settings(self) -> Path:
        """Its settings file."""
        return self.folder / "carbon-migrate.toml"

    @property
    def is_running(self) -> bool:
        """Whether its worker runs, or is frozen."""
        return self._worker is not None and self._worker.returncode is None

    async def start(self) -> None:
        """Start its worker, unless it runs."""
        if self.is_running:
            return
        await self.reap()
        words = ["worker", "--config", str(self.settings), "--billings", str(self._plan.billings_a_worker)]
        with (self.folder / "worker.log").open("ab") as log:
            self._worker = await start(
                [*words, "--stalled-after", f"{self._plan.stalled_after:g}"],
                self.folder,
                {**self._program.environment, "XDG_STATE_HOME": str(self.folder / "state")},
                python=str(self._python),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def processes(self, reach: Reach, place: float) -> list[int]:
        """The processes that a signal reaches; of its children the one at `place` in [0, 1)."""
        if self._worker is None or self._worker.returncode is not None:
            return []
        worker = self._worker.pid
        children = sorted(children_of(worker))
        match reach:
            case Reach.WORKER:
                return [worker]
            case Reach.ALL:
                return [worker, *children]
            case Reach.CHILD:
                return [children[int(place * len(children))]] if children else []

    async def reap(self) -> None:
        """Wait for the end of its worker, if it has one."""
        if self._worker is not None:
            await self._worker.wait()
            await self._worker.aclose()
            self._worker = None

    async def end(self) -> None:
        """Kill everything that runs here, also what has lost its worker."""
        mark = str(self._python).encode()
        while found := [process for process in all_processes() if mark in command_of(process)]:
            send(found, signal.SIGKILL)
            await anyio.sleep(_POLL)
        await self.reap()


_POLL: Final = 0.02


def write_settings(file: Path, billings: Mapping[str, str], postgres: str, plan: RoundPlan, name: str) -> None:
    """Write a settings file that has a profile for each billing; `name` is told to the billings with each call."""
    lines = [f'journal = "{postgres}?schema={SCHEMA}&lease={plan.lease:g}"']
    for billing, url in billings.items():
        lines += [
            f"[profile.{billing}.api]",
            f'url = "{url}"',
            f"timeout = {plan.timeout}",
            f'headers = {{"{WORKER}" = "{name}"}}',
        ]
    file.touch(mode=0o600)
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")


def started_at(process: int) -> float | None:
    """When a process was started, in seconds of the wall clock; None where it has ended."""
    if not (fields := stat_of(process)):
        return None
    since_boot = int(fields[_START]) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot


_START: Final = 19
"""The field of proc(5), stat, behind the name of the process."""
