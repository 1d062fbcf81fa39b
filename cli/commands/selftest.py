"""`selftest`: runs the crash lab's experiments one after the other, and keeps the failed ones.

On the screen experiments are called rounds, as in `--rounds`.
"""

import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

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
    from lab.crash.fleet import FleetRound
    from lab.crash.trials import Trial
    from lab.simulation.campaign import Campaign

Play: TypeAlias = Callable[[int, int], Awaitable[tuple[Any, Text, Path]]]
"""Runs the round of a number and a seed; gives it, its line, and its folder."""

MINUTES: Final = 1.0
ROWS: Final = 240
ALL_JOBS: Final = "all"
USUAL_JOBS: Final = ("balances", "warning-threshold", "payment")
"""The jobs that the help names. Repeated from the lab, since help must not import it."""

_SEEDS: Final = 1_000_000
_MAX_PROBLEMS_SHOWN: Final = 10
"""Problems of one round that are shown; the JSON has them all."""

app: Final = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class Series:
    """Rounds one after the other: the first seed, and their number or their duration.

    With `count_on` the seeds count up from the first one; otherwise each is drawn. `own` is the trial of a job of
    one's own, and `declaration` the file that declares it, where that is checked. Of a `fleet` all is drawn by the
    seed, but whether it is a small one.
    """

    seed: int
    count_on: bool
    rounds: int | None
    minutes: float = MINUTES
    job: str | None = None
    rows: int = ROWS
    faults: Sequence[str] = ()
    config: Path | None = None
    own: "Trial | None" = None
    declaration: Path | None = None
    fleet: bool = False
    quick: bool = False

    def seed_of(self, number: int) -> int:
        """The seed of a round, counted from 0."""
        return self.seed + number if self.count_on or not number else secrets.randbelow(_SEEDS)

    def goes_on(self, done: int, seconds: float) -> bool:
        """Whether another round is due; none is begun that would end well after the time is up."""
        if self.rounds is not None:
            return done < self.rounds
        mean = seconds / done if done else 0.0
        return seconds + mean / 2 < self.minutes * 60

    @property
    def name(self) -> str:
        """Begins the names of its files."""
        return f"{PROGRAM}-selftest-fleet" if self.fleet else f"{PROGRAM}-selftest"

    def repeat(self, seed: int) -> str:
        """The command that repeats the round with this seed."""
        rows = None if self.rows == ROWS else self.rows
        if self.fleet:
            return " ".join([PROGRAM, "selftest", "--fleet", *["--quick"] * self.quick, "--seed", str(seed)])
        if self.declaration is not None:
            words = ["jobs", "check", str(self.declaration), "--seed", str(seed), "--rounds", "1"]
            return " ".join([PROGRAM, *map(quote, words), *(("--rows", str(rows)) if rows else ())])
        faults = [("--fault", word) for word in self.faults]
        given = [("--job", self.job), *faults, ("--rows", rows), ("--config", self.config)]
        options = (str(word) for flag, value in given if value is not None for word in (flag, value))
        return " ".join([PROGRAM, "selftest", "--seed", str(seed), "--rounds", "1", *map(quote, options)])


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
        raise typer.Exit(run_simulation(first, simulate, limit, screen))
    if fleet:
        given = {"job": job, "fault": fault, "config": config, "rows": None if rows == ROWS else rows}
        for name in (name for name, value in given.items() if value):
            raise CommandRefused(
                "{fleet} has rows and faults of its own: leave {flag} out", fleet=setting("fleet"), flag=setting(name)
            )
        of_fleet = Series(drawn, count_on=True, rounds=rounds or 1, fleet=True, quick=quick)
        raise typer.Exit(run_command(lambda: prove([of_fleet], screen, keep=keep)))
    if quick:
        raise CommandRefused(
            "{quick} makes a fleet smaller: give {fleet} as well", quick=setting("quick"), fleet=setting("fleet")
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


def _with_trial(series: Series) -> Series:
    """The series with the trial of its job, if that is one of one's own. Raises `CommandRefused`."""
    from lab.crash.errors import NoTrial
    from lab.crash.plan import ALL, IMPORT
    from lab.crash.trials import TRIALS, trial_of

    if series.job is None or series.job in {ALL, IMPORT, *TRIALS}:
        return series
    spec = load(Flags(config=series.config, profile=COMMON_PART), os.environ, Path.cwd()).catalogue.get(series.job)
    if spec is None or spec.declared is None:
        return series
    try:
        return replace(series, own=trial_of(spec))
    except NoTrial as error:
        option = setting("job", printable(series.job))
        raise CommandRefused("{option}: {error}", option=option, error=error) from error


# ---- rounds one after the other: of one load, or of a fleet -------------------------------------------------------


async def prove(
    serieses: Sequence[Series], screen: Screen, *, keep: bool = False, done: list[Any] | None = None
) -> Exit:
    """Run the series; Ctrl-C and SIGTERM end them and all that they have started.

    `done` gets the finished rounds: `Experiment`s, or `FleetRound`s where the series are of a fleet.
    """
    from lab.crash.errors import LabError, LabStopped

    done = [] if done is None else done
    began = anyio.current_time()
    with anyio.CancelScope() as whole:
        async with heeding(lambda _: whole.cancel()):
            try:
                for series in serieses:
                    await _run(series, done, screen, keep=keep)
            except LabError as error:
                code = Exit.STOPPED if isinstance(error, LabStopped) else Exit.REFUSED
                raise CommandRefused(text_of(error), code) from error
    code = _close(serieses[0], done, anyio.current_time() - began, screen) if done else Exit.DONE
    return _interrupted(code, screen) if whole.cancel_called else code


def _interrupted(code: Exit, screen: Screen) -> Exit:
    """Say that somebody has ended it before its end; what was wrong until then counts all the same."""
    screen.say_always(render(said("interrupted; all that was started is stopped as well"), "yellow"))
    return Exit.INTERRUPTED if code is Exit.DONE else code


async def _run(series: Series, done: list[Any], screen: Screen, *, keep: bool) -> None:
    """Run the rounds, each in its own folder; those of passed ones are deleted unless `keep` is set."""
    before, folder = len(done), Path(tempfile.mkdtemp(prefix=f"{series.name}-"))
    began = anyio.current_time()
    try:
        play = (_open_fleet if series.fleet else _open_lab)(series, folder, screen)
        while series.goes_on(number := len(done) - before, anyio.current_time() - began):
            one, line, where = await play(number + 1, series.seed_of(number))
            done.append(one)
            line.stylize("green" if one.holds else "bold red")
            screen.say(line)
            if one.holds and not keep:
                shutil.rmtree(where, ignore_errors=True)
            if one.holds:
                continue
            for problem in one.problems[:_MAX_PROBLEMS_SHOWN]:
                screen.say_always(Text.assemble(("  ✗ ", "red"), render(problem.text, limit=LONGEST)))
            if len(one.problems) > _MAX_PROBLEMS_SHOWN:
                more = said("… and {number} more", number=Quantity(len(one.problems) - _MAX_PROBLEMS_SHOWN))
                screen.say_always(Text.assemble("    ", render(more)))
            screen.say_always(one_line("    ", render(said("all of it:")), " ", str(where)))
            _show_repeat(series.repeat(one.plan.seed), screen)
    finally:
        if not keep and all(one.holds for one in done[before:]):
            shutil.rmtree(folder, ignore_errors=True)


def _show_repeat(typed: str, screen: Screen) -> None:
    screen.say_always(Text.assemble("    ", render(said("the same once more:"), "dim")))
    screen.say_always(command(typed))


def _close(series: Series, done: list[Any], seconds: float, screen: Screen) -> Exit:
    """Write the JSON of all rounds, and show what they come to."""
    from lab.crash.summary import as_json, text_of_line, total

    if not series.fleet:
        screen.say(Text(text_of_line(total(done), screen.err.width, printable), "bold"))
    content = fleet_json(series, done) if series.fleet else as_json(series.seed, done, series.repeat)
    path = Path(f"{series.name}-{series.seed}.json".removeprefix(f"{PROGRAM}-"))
    try:
        path.write_bytes(content)
        where = render(said("all of it: {file}", file=path), "dim")
    except OSError as error:
        where = render(said("{file} could not be written: {why}", file=path, why=reason_of(error)), "yellow")
    if screen.voice.as_json:
        screen.out.file.write(content.decode())
    failed = tuple(str(one.plan.seed) for one in done if not one.holds)
    if failed:
        sentence = counted(
            "{failed} of {n} round failed, of the seeds {seeds}",
            "{failed} of {n} rounds failed, of the seeds {seeds}",
            len(done),
            failed=Quantity(len(failed)),
            seeds=failed,
        )
        screen.say_always(Text.assemble(("✗ ", "bold red"), render(sentence, "bold red"), "  ", where))
        return Exit.REJECTED
    sentence = counted(
        "{n} round in {time}: each effect once, every sum to the kopeck",
        "{n} rounds in {time}: each effect once, every sum to the kopeck",
        len(done),
        time=duration(seconds),
    )
    screen.say(Text.assemble(("✓ ", "bold green"), render(sentence, "bold green"), "  ", where))
    return Exit.DONE


def _open_lab(series: Series, folder: Path, screen: Screen) -> Play:
    """The lab of one load, which is killed; its rounds have a line each in a table."""
    from lab.crash.errors import NoTrial
    from lab.crash.experiment import Lab
    from lab.crash.plan import draw
    from lab.crash.program import ProgramUnderTest, without_settings
    from lab.crash.summary import heading, line_of, text_of_line
    from lab.mock.fault_plan import plan_text

    faults = plan_text(series.faults) if series.faults else None
    given = _settings(series.config) if series.declaration is None else None
    config = given or folder / "no settings.toml"
    if given is None:
        # Settings that name a declaration alone; nothing without one.
        named = [] if series.declaration is None else [msgspec.json.encode(str(series.declaration)).decode()]
        config.write_text("".join(f"jobs = [{one}]\n" for one in named), encoding="utf-8")
    elif not screen.voice.as_json:
        file = printable(given, WHOLE)
        note = said("with the settings of {file}, but for address, database and journal", file=file)
        screen.say(render(note, "dim"))
    lab = Lab(folder, ProgramUnderTest(config, without_settings(os.environ)))
    screen.say(Text(heading(screen.err.width, printable), "dim"))

    async def play(number: int, seed: int) -> tuple[Any, Text, Path]:
        try:
            plan = draw(seed, job=series.job, rows=series.rows, faults=faults, own=series.own)
        except NoTrial as error:
            option = setting("job", printable(series.job))
            raise CommandRefused("{option}: {error}", option=option, error=error) from error
        with waiting(said("round {number}, seed {seed}", number=number, seed=seed)):
            one = await lab.run(plan)
        return one, Text(text_of_line(line_of(one), screen.err.width, printable)), lab.folder_of(plan)

    return play


def _settings(config: Path | None) -> Path | None:
    """The settings of the real job: the file given, or the one in the folder if there is one."""
    if config is None:
        return Path.cwd() / SETTINGS_FILE if Path(SETTINGS_FILE).exists() else None
    if not config.exists():
        raise CommandRefused(
            "there is no file {file} (from {option})", file=printable(config), option=setting("config")
        )
    return config.absolute()


def _open_fleet(series: Series, folder: Path, screen: Screen) -> Play:
    """The lab of a fleet, with a journal in PostgreSQL."""
    from lab.crash.program import without_settings

    try:
        from lab.crash.fleet import FleetLab, FleetProgram
        from lab.crash.fleet_round import draw_round
    except ImportError as error:
        package = "'carbon-migrate[postgres]'"
        raise CommandRefused(
            "a fleet needs libraries that are not installed: pip install {package}", package=package
        ) from error
    lab = FleetLab(folder, FleetProgram(without_settings(os.environ)))

    async def play(_: int, seed: int) -> tuple[Any, Text, Path]:
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
        took = max((found.seconds for found in one.verdict.take_overs), default=0.0)
        line = said(
            "once {once}, twice {twice}, lost {lost}; unknown on the way {unknown}, faults {faults}, blows {blows}; "
            "taken over after {seconds} s at most; {time}",
            once=Quantity(one.verdict.once),
            twice=Quantity(one.verdict.twice),
            lost=Quantity(one.verdict.lost),
            unknown=Quantity(one.verdict.unknown),
            faults=Quantity(one.injected.total()),
            blows=Quantity(len(one.dealt)),
            seconds=f"{took:.1f}",
            time=duration(one.seconds),
        )
        return one, Text.assemble("  ", render(line)), lab.folder_of(plan)

    return play


def fleet_json(series: Series, done: "Sequence[FleetRound]") -> bytes:
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
            "problems": [printable(problem.text) for problem in one.problems],
        }
        for one in done
    ]
    return msgspec.json.format(msgspec.json.encode({"seed": series.seed, "rounds": rounds}), indent=1) + b"\n"


# ---- `selftest --simulate` ----------------------------------------------------------------------------------


_SHOWN: Final = 3
"""Violations that are shown; the JSON has them all."""


def run_simulation(seed: int, schedules: int, minutes: float, screen: Screen) -> Exit:
    """Play so many schedules from this seed on, for so long at most, and show what they come to."""
    from lab.simulation.campaign import ENOUGH, Campaign, run

    campaign, is_whole = Campaign(), True
    with waiting(lambda: _campaign_line(campaign), lambda: (campaign.schedules, schedules)):
        try:
            run(campaign, range(seed, seed + schedules), minutes * 60)
        except KeyboardInterrupt:
            is_whole = False
    if screen.voice.as_json:
        screen.out.file.write(msgspec.json.encode(campaign.as_object()).decode() + "\n")
    for violation in campaign.violations[:_SHOWN]:
        # Its problems, its story, and the command that repeats it.
        for problem in violation.problems:
            screen.say_always(Text.assemble(("  ✗ ", "red"), render(problem, limit=LONGEST)))
        for moment, process, event in violation.story:
            screen.say_always(Text(f"    {moment:10.3f}  {process:8}  {printable(event)}"))
        _show_repeat(f"{PROGRAM} selftest --simulate 1 --seed {violation.seed}", screen)
    say = screen.say if campaign.is_proof else screen.say_always
    say(render(_campaign_line(campaign), "bold red" if campaign.violations else "bold green"))
    if campaign.schedules < ENOUGH and campaign.not_reached:
        not_yet = counted(
            "{n} situation is not among them (--json names it); {enough} schedules have to reach all",
            "{n} situations are not among them (--json names them); {enough} schedules have to reach all",
            len(campaign.not_reached),
            enough=Quantity(ENOUGH),
        )
        screen.say(render(not_yet, "dim"))
    elif campaign.not_reached:
        say(render(said("not reached: {situations}", situations=tuple(campaign.not_reached)), "yellow"))
    code = Exit.DONE if campaign.is_proof else Exit.REJECTED
    return code if is_whole else _interrupted(code, screen)


def _campaign_line(campaign: "Campaign") -> Said:
    return counted(
        "{n} schedule, {rate} a minute of the processor: {wrong} wrong",
        "{n} schedules, {rate} a minute of the processor: {wrong} wrong",
        campaign.schedules,
        rate=Quantity(round(campaign.per_minute)),
        wrong=Quantity(len(campaign.violations)),
    )
