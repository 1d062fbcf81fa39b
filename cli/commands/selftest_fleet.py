"""`selftest --fleet`: the crash lab of a fleet, several workers with a journal in PostgreSQL."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec
from rich.text import Text

from cli.show.lab_rounds import close_rounds, show_problems
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import render
from cli.terminal.screen import Screen
from cli.terminal.signals import heeding
from cli.terminal.texts import duration, printable
from cli.terminal.waiting import waiting
from texts.remedies import PROGRAM
from texts.said import Quantity, counted, said, text_of

if TYPE_CHECKING:
    from lab.fleet.fleet_round import FleetLab, FleetRound


@dataclass(frozen=True, slots=True)
class FleetSeries:
    """The rounds of a fleet: the seed of the first, from which the others count on, their number and their size."""

    seed: int
    rounds: int
    quick: bool

    def repeat(self, seed: int) -> str:
        """The command that repeats the round of this seed."""
        return " ".join([PROGRAM, "selftest", "--fleet", *(("--quick",) if self.quick else ()), "--seed", str(seed)])


async def prove_fleet(series: FleetSeries, screen: Screen, *, keep: bool) -> Exit:
    """Run the rounds; Ctrl-C and SIGTERM end them and all that they have started."""
    try:
        from lab.fleet.fleet_round import HandInFailed
        from lab.fleet.postgres_server import NoPostgres
    except ImportError as error:
        raise CommandRefused(
            said(
                "a fleet needs libraries that are not installed: pip install {package}",
                package="'carbon-migrate[postgres]'",
            )
        ) from error
    done: list[FleetRound] = []
    began = anyio.current_time()
    with anyio.CancelScope() as whole:
        async with heeding(lambda _: whole.cancel()):
            try:
                await _run(series, done, screen, keep=keep)
            except (NoPostgres, HandInFailed) as error:
                raise CommandRefused(text_of(error), Exit.STOPPED) from error
    code = _close(series, done, anyio.current_time() - began, screen) if done else Exit.DONE
    if not whole.cancel_called:
        return code
    screen.say_always(render(said("interrupted; all that was started is stopped as well"), "yellow"))
    return Exit.INTERRUPTED if code is Exit.DONE else code


async def _run(series: FleetSeries, done: "list[FleetRound]", screen: Screen, *, keep: bool) -> None:
    from lab.crash.program import without_settings
    from lab.fleet.fleet_round import FleetLab
    from lab.fleet.round_plan import draw_round
    from lab.fleet.workers import FleetProgram

    folder = Path(tempfile.mkdtemp(prefix=f"{PROGRAM}-fleet-"))
    lab = FleetLab(folder, FleetProgram(without_settings(os.environ)))
    try:
        for seed in range(series.seed, series.seed + series.rounds):
            plan = draw_round(seed, quick=series.quick)
            screen.say(
                counted(
                    "seed {seed}: {workers} workers, {n} billing, {rows} rows, {blows} blows; at most {time}",
                    "seed {seed}: {workers} workers, {n} billings, {rows} rows, {blows} blows; at most {time}",
                    plan.billings,
                    seed=str(seed),
                    workers=Quantity(plan.workers),
                    rows=Quantity(plan.rows * plan.billings),
                    blows=Quantity(len(plan.single) + len(plan.storm)),
                    time=duration(plan.longest),
                )
            )
            with waiting(said("seed {seed}: the fleet works", seed=seed)):
                one = await lab.run(plan, lambda line: screen.say(Text.assemble("  ", render(line, "dim"))))
            done.append(one)
            _show(one, lab, series, screen)
            if one.holds and not keep:
                shutil.rmtree(lab.folder_of(plan), ignore_errors=True)
    finally:
        if not keep and all(one.holds for one in done):
            shutil.rmtree(folder, ignore_errors=True)


def _show(one: "FleetRound", lab: "FleetLab", series: FleetSeries, screen: Screen) -> None:
    verdict = one.verdict
    took = max((found.seconds for found in verdict.take_overs), default=0.0)
    line = said(
        "once {once}, twice {twice}, lost {lost}; unknown on the way {unknown}, faults {faults}, blows {blows}; "
        "taken over after {seconds} s at most; {time}",
        once=Quantity(verdict.once),
        twice=Quantity(verdict.twice),
        lost=Quantity(verdict.lost),
        unknown=Quantity(verdict.unknown),
        faults=Quantity(one.injected.total()),
        blows=Quantity(len(one.dealt)),
        seconds=f"{took:.1f}",
        time=duration(one.seconds),
    )
    screen.say(Text.assemble("  ", render(line, "green" if one.holds else "bold red")))
    if one.holds:
        return
    problems = [str(problem) for problem in one.problems]
    show_problems(problems, lab.folder_of(one.plan), series.repeat(one.plan.seed), screen)


def _close(series: FleetSeries, done: "Sequence[FleetRound]", seconds: float, screen: Screen) -> Exit:
    failed = [one.plan.seed for one in done if not one.holds]
    content = as_json(series, done)
    return close_rounds(Path(f"selftest-fleet-{series.seed}.json"), content, len(done), failed, seconds, screen)


def as_json(series: FleetSeries, done: "Sequence[FleetRound]") -> bytes:
    """All rounds, with their blows, takeovers and problems."""
    rounds = [
        {
            "seed": one.plan.seed,
            "holds": one.holds,
            "seconds": round(one.seconds, 1),
            "repeat": series.repeat(one.plan.seed),
            "plan": asdict(one.plan),
            "once": one.verdict.once,
            "twice": one.verdict.twice,
            "lost": one.verdict.lost,
            "unknown": one.verdict.unknown,
            "faults": dict(one.injected),
            "blows": [asdict(dealt) for dealt in one.dealt],
            "take_overs": [asdict(found) for found in one.verdict.take_overs],
            "problems": [printable(str(problem)) for problem in one.problems],
        }
        for one in done
    ]
    return msgspec.json.format(msgspec.json.encode({"seed": series.seed, "rounds": rounds}), indent=1) + b"\n"
