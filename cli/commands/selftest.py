"""`selftest`: the command, its rounds one after the other, and what is kept of them."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import anyio
import anyio.to_thread
import typer
from rich.markup import escape

from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.screen import Screen, Voice
from cli.terminal.signals import heeding, run_command
from cli.terminal.texts import PROGRAM, SETTINGS_FILE, duration, printable
from lab.crash.drawing import ALL, draw
from lab.crash.experiment import Lab, Round
from lab.crash.experiment_plan import JOBS, ROWS, ExperimentPlan
from lab.crash.load import ProgramUnderTest
from lab.crash.summary import Repeat, as_json, heading, line_of, total
from lab.mock.fault_plan import read_plan_file

MINUTES: Final = 1.0
_SEEDS: Final = 1_000_000
_SHOWN: Final = 10
"""Problems of a round that are shown; the JSON has them all."""


@dataclass(frozen=True, slots=True)
class Series:
    """Which rounds: the first one's seed, and how many or how long.

    The seeds `count_on` from the first where it was given; otherwise each is drawn. `repeat` makes a round again.
    """

    seed: int
    count_on: bool
    rounds: int | None
    minutes: float
    job: str | None
    rows: int
    faults: str | None
    config: Path | None
    repeat: Repeat

    def plan(self, number: int) -> ExperimentPlan:
        """The plan of a round, from 0."""
        seed = self.seed + number if self.count_on or not number else secrets.randbelow(_SEEDS)
        return draw(seed, job=self.job, rows=self.rows, faults=self.faults)


app: Final = typer.Typer(add_completion=False)


@app.command("selftest")
def _selftest(  # noqa: PLR0913 - each is a flag
    *,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, metavar="N", help="So many rounds, however long they take.")
    ] = None,
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.1, max=1440, metavar="M", help="Rounds for so long.")
    ] = MINUTES,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, metavar="S", help="The first round's; those after it count on. Drawn, by default."
        ),
    ] = None,
    job: Annotated[
        str | None,
        typer.Option("--job", metavar="JOB", help=f"One that writes, or {ALL}; by default {' or '.join(JOBS)}."),
    ] = None,
    faults: Annotated[
        Path | None, typer.Option("--plan", metavar="PLAN.toml", help="A fault plan, as `mock serve` takes it.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=20, max=20_000, metavar="N", help="Rows of a round.")] = ROWS,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help=f"Settings of the real job, {SETTINGS_FILE} by default."),
    ] = None,
    as_json_: Annotated[bool, typer.Option("--json", help="The result on stdout, as JSON.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folders of all rounds.")] = False,
) -> None:
    """Load a mock billing that fails in every way, kill the load again and again, and prove the result.

    Everything is real but the billing: processes, sockets, Firebird, signals. Nothing else is touched: address,
    database and journal of the settings are not used.
    """
    series = Series(
        seed=secrets.randbelow(_SEEDS) if seed is None else seed,
        count_on=seed is not None,
        rounds=rounds,
        minutes=minutes,
        job=job,
        rows=rows,
        faults=_text_of(faults),
        config=_settings(config),
        repeat=_repeat(job, faults, rows, config),
    )
    screen = Screen(Voice(as_json=as_json_))
    raise typer.Exit(run_command(lambda: _interruptible(series, screen, keep=keep)))


def _text_of(faults: Path | None) -> str | None:
    """The text of a plan that was given, once it is known to be one; raises `PlanError`."""
    if faults is None:
        return None
    read_plan_file(faults)
    return faults.read_text(encoding="utf-8")


def _settings(config: Path | None) -> Path | None:
    """The settings of the real job: those that were named, or those of the folder where there are any."""
    if config is None:
        return Path.cwd() / SETTINGS_FILE if Path(SETTINGS_FILE).exists() else None
    if not config.exists():
        raise CommandRefused(f"there is no file {printable(config)} (from --config)")
    return config.absolute()


def _repeat(job: str | None, faults: Path | None, rows: int, config: Path | None) -> Repeat:
    given = {"--job": job, "--plan": faults, "--rows": None if rows == ROWS else rows, "--config": config}
    return Repeat(tuple(str(word) for flag, value in given.items() if value is not None for word in (flag, value)))


async def _interruptible(series: Series, screen: Screen, *, keep: bool) -> Exit:
    """Run the series; Ctrl-C and SIGTERM end it, and all that it has started. What was played by then is kept."""
    rounds: list[Round] = []
    began = anyio.current_time()
    with anyio.CancelScope() as whole:
        async with heeding(lambda _: whole.cancel()):
            await _run(series, rounds, screen, keep=keep)
    code = _close(series, rounds, anyio.current_time() - began, screen) if rounds else Exit.DONE
    if not whole.cancel_called:
        return code
    screen.insist("[yellow]interrupted; all that was started is stopped as well[/]")
    return Exit.INTERRUPTED if code is Exit.DONE else code


async def _run(series: Series, rounds: list[Round], screen: Screen, *, keep: bool) -> None:
    folder = Path(tempfile.mkdtemp(prefix=f"{PROGRAM}-selftest-"))
    config = series.config or folder / "no settings.toml"
    if series.config is None:
        config.touch()
    elif not screen.voice.as_json:
        screen.say(
            f"[dim]with the settings of {escape(str(series.config))}, but for address, database and journal[/]"
        )
    lab = Lab(folder, ProgramUnderTest(config, _environment(os.environ)))
    began = anyio.current_time()
    try:
        screen.say(f"[dim]{heading()}[/]")
        while _goes_on(series, rounds, anyio.current_time() - began):
            played = await lab.play(series.plan(len(rounds)))
            rounds.append(played)
            _show(played, lab, series, screen)
            if played.holds and not keep:
                shutil.rmtree(lab.folder_of(played.plan), ignore_errors=True)
    finally:
        if not keep and all(played.holds for played in rounds):
            shutil.rmtree(folder, ignore_errors=True)


def _goes_on(series: Series, rounds: list[Round], seconds: float) -> bool:
    """Whether another round is to be played: one that would end well after the time is not begun."""
    if series.rounds is not None:
        return len(rounds) < series.rounds
    mean = seconds / len(rounds) if rounds else 0.0
    return seconds + mean / 2 < series.minutes * 60


def _show(played: Round, lab: Lab, series: Series, screen: Screen) -> None:
    style = "green" if played.holds else "bold red"
    screen.say(f"[{style}]{line_of(played).text()}[/]")
    if played.holds:
        return
    for problem in played.problems[:_SHOWN]:
        screen.insist(f"  [red]✗[/] {escape(printable(problem))}")
    if len(played.problems) > _SHOWN:
        screen.insist(f"    … and {len(played.problems) - _SHOWN} more")
    screen.insist(f"    all of it: {escape(str(lab.folder_of(played.plan)))}")
    screen.insist(f"    again: [bold]{escape(series.repeat.command(played.plan.seed))}[/]")


def _close(series: Series, rounds: list[Round], seconds: float, screen: Screen) -> Exit:
    screen.say(f"[bold]{total(rounds).text()}[/]")
    failed = [played for played in rounds if not played.holds]
    content = as_json(series.seed, rounds, series.repeat)
    path = Path(f"selftest-{series.seed}.json")
    try:
        path.write_bytes(content)
        where = f"[dim]all of it: {path}[/]"
    except OSError as error:
        where = f"[yellow]{path} could not be written: {error.strerror}[/]"
    if screen.voice.as_json:
        screen.out.file.write(content.decode())
    if failed:
        seeds = ", ".join(str(played.plan.seed) for played in failed)
        screen.insist(f"[bold red]✗ {len(failed)} of {len(rounds)} rounds failed, of the seeds {seeds}[/]  {where}")
        return Exit.REJECTED
    sentence = f"✓ {len(rounds)} rounds in {duration(seconds)}: each effect once, every sum to the kopeck"
    screen.say(f"[bold green]{sentence}[/]  {where}")
    return Exit.DONE


def _environment(whole: Mapping[str, str]) -> dict[str, str]:
    """The environment without settings of ours: the lab's own are given by flag."""
    return {name: value for name, value in whole.items() if not name.startswith("CARBON_MIGRATE_")}
