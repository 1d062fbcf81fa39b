"""`selftest`: runs the crash lab's experiments one after the other, and keeps the failed ones.

On the screen experiments are called rounds, as in `--rounds`.
"""

import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Final

import anyio
import anyio.to_thread
import msgspec
import typer
from rich.text import Text

from cli.settings.flags import COMMON_PART, FaultWords, Flags, flag
from cli.settings.settings import load
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import command, one_line, render
from cli.terminal.screen import Screen, Voice
from cli.terminal.signals import heeding, run_command
from cli.terminal.texts import LONGEST, WHOLE, duration, printable, reason_of
from cli.terminal.waiting import waiting
from texts.remedies import PROGRAM, SETTINGS_FILE, setting
from texts.said import Quantity, Said, counted, said, text_of

if TYPE_CHECKING:
    from lab.crash.experiment import Experiment, Lab
    from lab.crash.trials import Trial
    from lab.fleet.fleet_round import FleetLab, FleetRound
    from lab.simulation.campaign import Campaign, Violation


# ---- the rounds of a crash lab, of one load or of a fleet ---------------------------------------------------------


_MAX_PROBLEMS_SHOWN: Final = 10
"""Problems of one round that are shown; the JSON has them all."""


def show_problems(problems: Sequence[str], folder: Path, repeat: str, screen: Screen) -> None:
    """Show the problems of a round that has failed, where all of it is, and the command that repeats it."""
    for problem in problems[:_MAX_PROBLEMS_SHOWN]:
        screen.say_always(Text.assemble(("  ✗ ", "red"), render(problem, limit=LONGEST)))
    if len(problems) > _MAX_PROBLEMS_SHOWN:
        more = said("… and {number} more", number=Quantity(len(problems) - _MAX_PROBLEMS_SHOWN))
        screen.say_always(Text.assemble("    ", render(more)))
    screen.say_always(one_line("    ", render(said("all of it:")), " ", str(folder)))
    screen.say_always(Text.assemble("    ", render(said("the same once more:"), "dim")))
    screen.say_always(command(repeat))


def close_rounds(
    path: Path, content: bytes, rounds: int, failed: Sequence[int], seconds: float, screen: Screen
) -> Exit:
    """Write the JSON of all rounds to `path`, and show what they come to; `failed` has the seeds of failed ones."""
    try:
        path.write_bytes(content)
        where = render(said("all of it: {file}", file=path), "dim")
    except OSError as error:
        where = render(said("{file} could not be written: {why}", file=path, why=reason_of(error)), "yellow")
    if screen.voice.as_json:
        screen.out.file.write(content.decode())
    if failed:
        sentence = counted(
            "{failed} of {n} round failed, of the seeds {seeds}",
            "{failed} of {n} rounds failed, of the seeds {seeds}",
            rounds,
            failed=Quantity(len(failed)),
            seeds=tuple(map(str, failed)),
        )
        screen.say_always(Text.assemble(("✗ ", "bold red"), render(sentence, "bold red"), "  ", where))
        return Exit.REJECTED
    sentence = counted(
        "{n} round in {time}: each effect once, every sum to the kopeck",
        "{n} rounds in {time}: each effect once, every sum to the kopeck",
        rounds,
        time=duration(seconds),
    )
    screen.say(Text.assemble(("✓ ", "bold green"), render(sentence, "bold green"), "  ", where))
    return Exit.DONE


# ---- `selftest --fleet` -------------------------------------------------------------------------------------------


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
                await _run_fleet(series, done, screen, keep=keep)
            except (NoPostgres, HandInFailed) as error:
                raise CommandRefused(text_of(error), Exit.STOPPED) from error
    code = _close_fleet(series, done, anyio.current_time() - began, screen) if done else Exit.DONE
    return _interrupted(code, screen) if whole.cancel_called else code


def _interrupted(code: Exit, screen: Screen) -> Exit:
    """Say that somebody has ended it before its end; what was wrong until then counts all the same."""
    screen.say_always(render(said("interrupted; all that was started is stopped as well"), "yellow"))
    return Exit.INTERRUPTED if code is Exit.DONE else code


async def _run_fleet(series: FleetSeries, done: "list[FleetRound]", screen: Screen, *, keep: bool) -> None:
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
            _show_round(one, lab, series, screen)
            if one.holds and not keep:
                shutil.rmtree(lab.folder_of(plan), ignore_errors=True)
    finally:
        if not keep and all(one.holds for one in done):
            shutil.rmtree(folder, ignore_errors=True)


def _show_round(one: "FleetRound", lab: "FleetLab", series: FleetSeries, screen: Screen) -> None:
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


def _close_fleet(series: FleetSeries, done: "Sequence[FleetRound]", seconds: float, screen: Screen) -> Exit:
    failed = [one.plan.seed for one in done if not one.holds]
    content = fleet_json(series, done)
    return close_rounds(Path(f"selftest-fleet-{series.seed}.json"), content, len(done), failed, seconds, screen)


def fleet_json(series: FleetSeries, done: "Sequence[FleetRound]") -> bytes:
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


# ---- `selftest --simulate` ----------------------------------------------------------------------------------


_SHOWN: Final = 3
"""Violations that are shown; the JSON has them all."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """A campaign: the seed of its first schedule, how many there are, and the minutes after which it ends."""

    seed: int
    schedules: int
    minutes: float = math.inf


def run_simulation(wanted: Simulation, screen: Screen) -> Exit:
    """Play the schedules, and show what they come to."""
    from lab.simulation.campaign import ENOUGH, Campaign, run

    campaign, seconds, is_whole = Campaign(), wanted.minutes * 60, True
    with waiting(lambda: _campaign_line(campaign), lambda: (campaign.schedules, wanted.schedules)):
        try:
            run(campaign, range(wanted.seed, wanted.seed + wanted.schedules), seconds)
        except KeyboardInterrupt:
            is_whole = False
    if screen.voice.as_json:
        screen.out.file.write(msgspec.json.encode(campaign.as_object()).decode() + "\n")
    for violation in campaign.violations[:_SHOWN]:
        _show_violation(violation, screen)
    say = screen.say if campaign.is_proof else screen.say_always
    say(render(_campaign_line(campaign), "bold red" if campaign.violations else "bold green"))
    if campaign.schedules < ENOUGH and campaign.not_reached:
        screen.say(render(_not_yet(len(campaign.not_reached), ENOUGH), "dim"))
    elif campaign.not_reached:
        say(render(said("not reached: {situations}", situations=tuple(campaign.not_reached)), "yellow"))
    code = Exit.DONE if campaign.is_proof else Exit.REJECTED
    return code if is_whole else _interrupted(code, screen)


def _not_yet(situations: int, enough: int) -> Said:
    return counted(
        "{n} situation is not among them (--json names it); {enough} schedules have to reach all",
        "{n} situations are not among them (--json names them); {enough} schedules have to reach all",
        situations,
        enough=Quantity(enough),
    )


def _campaign_line(campaign: "Campaign") -> Said:
    return counted(
        "{n} schedule, {rate} a minute of the processor: {wrong} wrong",
        "{n} schedules, {rate} a minute of the processor: {wrong} wrong",
        campaign.schedules,
        rate=Quantity(round(campaign.per_minute)),
        wrong=Quantity(len(campaign.violations)),
    )


def _show_violation(violation: "Violation", screen: Screen) -> None:
    """The problems of a schedule, its story, and the command that repeats it."""
    for problem in violation.problems:
        screen.say_always(Text.assemble(("  ✗ ", "red"), render(problem, limit=LONGEST)))
    for moment, process, event in violation.story:
        screen.say_always(Text(f"    {moment:10.3f}  {process:8}  {printable(event)}"))
    screen.say_always(Text.assemble("    ", render(said("the same once more:"), "dim")))
    screen.say_always(command(f"{PROGRAM} selftest --simulate 1 --seed {violation.seed}"))


# ---- `selftest` ---------------------------------------------------------------------------------------------------


MINUTES: Final = 1.0
ROWS: Final = 240
ALL_JOBS: Final = "all"
USUAL_JOBS: Final = ("balances", "warning-threshold", "payment")
"""The jobs that the help names. Repeated from the lab, since help must not import it."""

_SEEDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Series:
    """The series of experiments: the first seed, and the number or the duration.

    With `count_on` the seeds count up from the first one; otherwise each is drawn. `own` is the trial of a job of
    one's own, and `declaration` the file that declares it, where that is checked.
    """

    seed: int
    count_on: bool
    rounds: int | None
    minutes: float
    job: str | None
    rows: int
    faults: Sequence[str]
    config: Path | None
    own: "Trial | None" = None
    declaration: Path | None = None

    def seed_of(self, number: int) -> int:
        """The seed of an experiment, counted from 0."""
        return self.seed + number if self.count_on or not number else secrets.randbelow(_SEEDS)

    def goes_on(self, done: int, seconds: float) -> bool:
        """Whether another experiment is due; none is begun that would end well after the time is up."""
        if self.rounds is not None:
            return done < self.rounds
        mean = seconds / done if done else 0.0
        return seconds + mean / 2 < self.minutes * 60

    def repeat(self, seed: int) -> str:
        """The command that repeats the experiment with this seed."""
        rows = None if self.rows == ROWS else self.rows
        if self.declaration is not None:
            words = ["jobs", "check", str(self.declaration), "--seed", str(seed), "--rounds", "1"]
            return " ".join([PROGRAM, *map(quote, words), *(("--rows", str(rows)) if rows else ())])
        faults = [("--fault", word) for word in self.faults]
        given = [("--job", self.job), *faults, ("--rows", rows), ("--config", self.config)]
        options = (str(word) for flag, value in given if value is not None for word in (flag, value))
        return " ".join([PROGRAM, "selftest", "--seed", str(seed), "--rounds", "1", *map(quote, options)])


app: Final = typer.Typer(add_completion=False)


@app.command("selftest")
def _selftest(  # noqa: PLR0913 - each is a flag
    *,
    rounds: Annotated[int | None, flag("--rounds", "N", "So many rounds, however long they take.", min=1)] = None,
    minutes: Annotated[float, flag("--minutes", "M", "Rounds for so long.", min=0.1, max=1440)] = MINUTES,
    seed: Annotated[
        int | None,
        flag("--seed", "N", "The first round's; those after it count on. Drawn, by default.", min=0),
    ] = None,
    job: Annotated[
        str | None,
        flag(
            "--job",
            "JOB",
            f"One that writes, import, or {ALL_JOBS} of the others; by default {' or '.join(USUAL_JOBS)}.",
        ),
    ] = None,
    fault: FaultWords = None,
    rows: Annotated[int, flag("--rows", "N", "Rows of a round.", min=20, max=20_000)] = ROWS,
    config: Annotated[
        Path | None,
        flag("--config", "FILE", f"Settings of the real job, {SETTINGS_FILE} by default."),
    ] = None,
    as_json: Annotated[bool, flag("--json", None, "The result on stdout, as JSON.")] = False,
    keep: Annotated[bool, flag("--keep", None, "Keep the folders of all rounds.")] = False,
    fleet: Annotated[
        bool, flag("--fleet", None, "Three workers and a journal in PostgreSQL, which is started for it.")
    ] = False,
    quick: Annotated[bool, flag("--quick", None, "A small fleet, for a minute or two.")] = False,
    simulate: Annotated[
        int | None,
        flag("--simulate", "N", "N schedules in virtual time, without processes.", min=1),
    ] = None,
) -> None:
    """Kill loads of a mock billing that fails, and prove the result.

    Each round loads one that fails in every way, and kills the load again and again.
    Everything is real but the billing: processes, sockets, Firebird, signals. Nothing else is touched: address,
    database and journal of the settings are not used.
    """
    drawn = secrets.randbelow(_SEEDS) if seed is None else seed
    screen = Screen(Voice(as_json=as_json))
    if simulate is not None:
        limit = math.inf if minutes == MINUTES else minutes
        # From there on schedules of fleets are among them.
        first = _SEEDS + drawn if seed is None else seed
        raise typer.Exit(run_simulation(Simulation(first, simulate, limit), screen))
    if fleet:
        given = {"job": job, "fault": fault, "config": config, "rows": None if rows == ROWS else rows}
        _refuse_with_fleet(name for name, value in given.items() if value)
        of_fleet = FleetSeries(drawn, rounds or 1, quick)
        raise typer.Exit(run_command(lambda: prove_fleet(of_fleet, screen, keep=keep)))
    if quick:
        raise CommandRefused(
            said(
                "{quick} makes a fleet smaller: give {fleet} as well", quick=setting("quick"), fleet=setting("fleet")
            )
        )
    series = Series(
        seed=drawn,
        count_on=seed is not None,
        rounds=rounds,
        minutes=minutes,
        job=job,
        rows=rows,
        faults=fault or (),
        config=config,
    )

    async def work() -> Exit:
        return await prove([await anyio.to_thread.run_sync(_with_trial, series)], screen, keep=keep)

    raise typer.Exit(run_command(work))


def _refuse_with_fleet(names: Iterable[str]) -> None:
    """Raise `CommandRefused` for the options of a load, which a fleet does not have."""
    for name in names:
        raise CommandRefused(
            said(
                "{fleet} has rows and faults of its own: leave {flag} out", fleet=setting("fleet"), flag=setting(name)
            )
        )


def _with_trial(series: Series) -> Series:
    """The series with the trial of its job, if that is one of one's own. Raises `CommandRefused`."""
    from lab.crash.drawing import ALL
    from lab.crash.errors import NoTrial
    from lab.crash.experiment_plan import IMPORT
    from lab.crash.own_trials import trial_of
    from lab.crash.trials import TRIALS

    if series.job is None or series.job in {ALL, IMPORT, *TRIALS}:
        return series
    spec = load(Flags(config=series.config, profile=COMMON_PART), os.environ, Path.cwd()).catalogue.get(series.job)
    if spec is None or spec.declared is None:
        return series
    try:
        return replace(series, own=trial_of(spec))
    except NoTrial as error:
        option = setting("job", printable(series.job))
        raise CommandRefused(said("{option}: {error}", option=option, error=error)) from error


async def prove(
    serieses: Sequence[Series], screen: Screen, *, keep: bool = False, done: "list[Experiment] | None" = None
) -> Exit:
    """Run the series; Ctrl-C and SIGTERM end them and their processes. Finished results are kept, in `done`."""
    from lab.crash.errors import LabError, MockNotStarted, UnknownJob

    done = [] if done is None else done
    began = anyio.current_time()
    with anyio.CancelScope() as whole:
        async with heeding(lambda _: whole.cancel()):
            try:
                for series in serieses:
                    await _run(series, done, screen, keep=keep)
            except UnknownJob as error:
                option = setting("job", printable(serieses[0].job))
                raise CommandRefused(said("{option}: {error}", option=option, error=error)) from error
            except LabError as error:
                code = Exit.STOPPED if isinstance(error, MockNotStarted) else Exit.REFUSED
                raise CommandRefused(text_of(error), code) from error
    code = _close(serieses[0], done, anyio.current_time() - began, screen) if done else Exit.DONE
    return _interrupted(code, screen) if whole.cancel_called else code


async def _run(series: Series, done: "list[Experiment]", screen: Screen, *, keep: bool) -> None:
    """Run the experiments, each in its own folder; those of passed experiments are deleted unless `keep` is set."""
    from lab.crash.drawing import draw
    from lab.crash.experiment import Lab
    from lab.crash.program import ProgramUnderTest, without_settings
    from lab.crash.summary import heading
    from lab.mock.fault_plan import plan_text

    faults = plan_text(series.faults) if series.faults else None
    given = _settings(series.config) if series.declaration is None else None
    before = len(done)
    folder = Path(tempfile.mkdtemp(prefix=f"{PROGRAM}-selftest-"))
    config = given or folder / "no settings.toml"
    if given is None:
        config.write_text(_declaring(series.declaration), encoding="utf-8")
    elif not screen.voice.as_json:
        note = said(
            "with the settings of {file}, but for address, database and journal", file=printable(given, WHOLE)
        )
        screen.say(render(note, "dim"))
    lab = Lab(folder, ProgramUnderTest(config, without_settings(os.environ)))
    began = anyio.current_time()
    try:
        screen.say(Text(heading(screen.err.width, printable), "dim"))
        while series.goes_on(len(done) - before, anyio.current_time() - began):
            seed = series.seed_of(len(done) - before)
            plan = draw(seed, job=series.job, rows=series.rows, faults=faults, own=series.own)
            number = len(done) - before + 1
            with waiting(said("round {number}, seed {seed}", number=number, seed=seed)):
                experiment = await lab.run(plan)
            done.append(experiment)
            _show(experiment, lab, series, screen)
            if experiment.holds and not keep:
                shutil.rmtree(lab.folder_of(plan), ignore_errors=True)
    finally:
        if not keep and all(experiment.holds for experiment in done[before:]):
            shutil.rmtree(folder, ignore_errors=True)


def _declaring(declaration: Path | None) -> str:
    """Settings that name a declaration alone; nothing without one."""
    return "" if declaration is None else f"jobs = [{msgspec.json.encode(str(declaration)).decode()}]\n"


def _settings(config: Path | None) -> Path | None:
    """The settings of the real job: the file given, or the one in the folder if there is one."""
    if config is None:
        return Path.cwd() / SETTINGS_FILE if Path(SETTINGS_FILE).exists() else None
    if not config.exists():
        raise CommandRefused(
            said("there is no file {file} (from {option})", file=printable(config), option=setting("config"))
        )
    return config.absolute()


def _show(experiment: "Experiment", lab: "Lab", series: Series, screen: Screen) -> None:
    from lab.crash.summary import line_of

    style = "green" if experiment.holds else "bold red"
    screen.say(Text(line_of(experiment).text(screen.err.width, printable), style))
    if experiment.holds:
        return
    problems = [problem.text for problem in experiment.problems]
    show_problems(problems, lab.folder_of(experiment.plan), series.repeat(experiment.plan.seed), screen)


def _close(series: Series, done: "Sequence[Experiment]", seconds: float, screen: Screen) -> Exit:
    from lab.crash.summary import as_json, total

    screen.say(Text(total(done).text(screen.err.width, printable), "bold"))
    failed = [experiment.plan.seed for experiment in done if not experiment.holds]
    content = as_json(series.seed, done, series.repeat)
    return close_rounds(Path(f"selftest-{series.seed}.json"), content, len(done), failed, seconds, screen)
