"""`selftest` and `demo`: what the lab proves, by killed loads of a mock billing, and how that is shown.

`selftest` runs the crash lab's experiments one after the other, and keeps the failed ones; on the screen they are
called rounds, as in `--rounds`.
"""

import itertools
import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
import anyio.to_thread
import msgspec
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from checkpoints.states import State
from cli.settings.flags import FAULTS
from cli.settings.places import in_full
from cli.settings.settings import OwnJobs, declared_jobs
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import Hanging, command, one_line, render, section, stack, steps_list
from cli.terminal.options import as_command, option, switch
from cli.terminal.screen import Screen, Voice
from cli.terminal.signals import heeding, run_command
from cli.terminal.streams import waiting
from cli.terminal.texts import LONGEST, WHOLE, count, duration, money, printable, reader
from texts.said import (
    PROGRAM,
    SETTINGS_FILE,
    Quantity,
    Said,
    command_line,
    counted,
    reason_of,
    said,
    setting,
    text_of,
)

if TYPE_CHECKING:
    from lab.crash.trials import Trial
    from lab.demo import Proof
    from lab.simulation.campaign import Campaign

Play: TypeAlias = Callable[[int, int], Awaitable[tuple[Any, Text, Path]]]
"""Runs the round of a number and a seed; gives it, its line, and its folder."""

MINUTES: Final = 1.0
ROWS: Final = 240
ALL_JOBS: Final = "all"
USUAL_JOBS: Final = ("balances", "warning-threshold", "payment")
"""The jobs that the help names. Repeated from the lab, since help must not import it."""
SEED: Final = "\0"
"""Stands for the seed in the words that repeat a round."""
SEEDS: Final = 1_000_000
_MAX_PROBLEMS_SHOWN: Final = 10
"""Problems of one round that are shown; the JSON has them all."""
_VIOLATIONS_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Series:
    """Rounds one after the other: the first seed, and their number or their duration.

    `opened` makes their lab in a folder; `words` are the command that repeats one of them. With `count_on` the seeds
    count up from the first one; otherwise each is drawn.
    """

    seed: int
    words: Sequence[str]
    opened: Callable[[Path, Screen], Play]
    count_on: bool = True
    rounds: int | None = None
    minutes: float = MINUTES

    def seed_of(self, number: int) -> int:
        return self.seed + number if self.count_on or not number else secrets.randbelow(SEEDS)

    def goes_on(self, done: int, seconds: float) -> bool:
        """Whether another round is due; none is begun that would end well after the time is up."""
        if self.rounds is not None:
            return done < self.rounds
        mean = seconds / done if done else 0.0
        return seconds + mean / 2 < self.minutes * 60

    @property
    def fleet(self) -> bool:
        return "--fleet" in self.words

    @property
    def name(self) -> str:
        return "selftest-fleet" if self.fleet else "selftest"

    def repeat(self, seed: int) -> str:
        return " ".join([PROGRAM, *(str(seed) if word == SEED else quote(word) for word in self.words)])


@as_command("selftest")
def _selftest(  # noqa: PLR0913 - each is a flag
    *,
    rounds: int | None = option("N", "So many rounds, however long they take.", least=1),
    minutes: float = option("M", "Rounds for so long.", default=MINUTES, least=0.1, most=1440),
    seed: int | None = option("N", "The first round's; those after it count on. Drawn, by default.", least=0),
    job: str | None = option(
        "JOB", f"One that writes, import, or {ALL_JOBS} of the others; by default {' or '.join(USUAL_JOBS)}."
    ),
    fault: list[str] | None = FAULTS,
    rows: int = option("N", "Rows of a round.", default=ROWS, least=20, most=20_000),
    config: Path | None = option("FILE", f"Settings of the real job, {SETTINGS_FILE} by default."),
    as_json: bool = switch("The result on stdout, as JSON.", "--json"),
    keep: bool = switch("Keep the folders of all rounds."),
    fleet: bool = switch("Three workers and a journal in PostgreSQL, which is started for it."),
    quick: bool = switch("A small fleet, for a minute or two."),
    simulate: int | None = option("N", "N schedules in virtual time, without processes.", least=1),
) -> None:
    """Kill loads of a mock billing that fails, and prove the result.

    Each round loads one that fails in every way, and kills the load again and again.
    Everything is real but the billing: processes, sockets, Firebird, signals. Nothing else is touched: address,
    database and journal of the settings are not used.
    """
    drawn = secrets.randbelow(SEEDS) if seed is None else seed
    screen = Screen(Voice(as_json=as_json))
    if simulate is not None:
        from lab.simulation.campaign import SECONDS

        # From there on schedules of all kinds are among them.
        first, limit = SECONDS + drawn if seed is None else seed, math.inf if minutes == MINUTES else minutes
        raise SystemExit(run_simulation(first, simulate, limit, screen))
    own_rows = None if rows == ROWS else str(rows)
    if fleet:
        for name, value in {"job": job, "fault": fault, "config": config, "rows": own_rows}.items():
            if value:
                raise CommandRefused("--fleet has rows and faults of its own: leave {flag} out", flag=setting(name))
        words = ["selftest", "--fleet", *["--quick"] * quick, "--seed", SEED]
        series = Series(drawn, words, partial(_open_fleet, quick=quick), rounds=rounds or 1)
    elif quick:
        raise CommandRefused(said("--quick makes a fleet smaller: give --fleet as well"))
    else:
        from lab.crash.plan import ALL, IMPORT
        from lab.crash.program import NoTrial
        from lab.crash.trials import TRIALS, trial_of

        own, faults = None, fault or []
        if job is not None and job not in {ALL, IMPORT, *TRIALS}:
            # One of their own, or unknown.
            spec = declared_jobs(config).get(job)
            try:
                own = None if spec is None or spec.declared is None else trial_of(spec)
            except NoTrial as error:
                raise CommandRefused(
                    "{option}: {error}", option=setting("job", printable(job)), error=error
                ) from error
        given = [("--job", job), *(("--fault", one) for one in faults), ("--rows", own_rows), ("--config", config)]
        words = ["selftest", "--seed", SEED, "--rounds", "1"]
        words += [str(word) for pair in given if pair[1] is not None for word in pair]
        opened = partial(open_lab, job=job, rows=rows, faults=faults, config=config, own=own)
        series = Series(drawn, words, opened, seed is not None, rounds, minutes)
    raise SystemExit(run_command(lambda: prove([series], screen, keep=keep)))


# ---- rounds one after the other: of one load, or of a fleet -------------------------------------------------------


async def prove(
    serieses: Sequence[Series], screen: Screen, *, keep: bool = False, finished: list[Any] | None = None
) -> Exit:
    """Run the series, each round in a folder of its own; those of passed ones are deleted unless `keep` is set.

    Ctrl-C and SIGTERM end them and all that they have started. `finished` gets the rounds: `Experiment`s, or
    `FleetRound`s where the series are of a fleet.
    """
    from lab.crash.program import LabError, LabStopped

    done: list[Any] = [] if finished is None else finished

    async def run(series: Series) -> None:
        before, began = len(done), anyio.current_time()
        folder = Path(tempfile.mkdtemp(prefix=f"{PROGRAM}-{series.name}-"))
        try:
            play = series.opened(folder, screen)
            while series.goes_on(number := len(done) - before, anyio.current_time() - began):
                one, line, where = await play(number + 1, series.seed_of(number))
                done.append(one)
                line.stylize("green" if one.holds else "bold red")
                screen.say(line)
                if not one.holds:
                    place = one_line("    ", render(said("all of it:")), " ", str(where))
                    problems = [problem.text for problem in one.problems]
                    _show_failure(problems, _MAX_PROBLEMS_SHOWN, [place], series.repeat(one.plan.seed), screen)
                elif not keep:
                    shutil.rmtree(where, ignore_errors=True)
        finally:
            if not keep and all(one.holds for one in done[before:]):
                shutil.rmtree(folder, ignore_errors=True)

    start = anyio.current_time()
    with anyio.CancelScope() as whole:
        async with heeding(lambda _: whole.cancel()):
            try:
                for series in serieses:
                    await run(series)
            except LabError as error:
                code = Exit.STOPPED if isinstance(error, LabStopped) else Exit.REFUSED
                raise CommandRefused(text_of(error), code) from error
    code = _close(serieses[0], done, anyio.current_time() - start, screen) if done else Exit.DONE
    return _interrupted(code, screen) if whole.cancel_called else code


def _interrupted(code: Exit, screen: Screen) -> Exit:
    screen.say_always(render(said("interrupted; all that was started is stopped as well"), "yellow"))
    return Exit.INTERRUPTED if code is Exit.DONE else code


def _show_failure(problems: Sequence[str], most: int, story: Iterable[Text], repeat: str, screen: Screen) -> None:
    for problem in problems[:most]:
        screen.say_always(Text.assemble(("  ✗ ", "red"), render(problem, limit=LONGEST)))
    if len(problems) > most:
        more = said("… and {number} more", number=Quantity(len(problems) - most))
        screen.say_always(Text.assemble("    ", render(more)))
    for line in story:
        screen.say_always(line)
    screen.say_always(Text.assemble("    ", render(said("the same once more:"), "dim")))
    screen.say_always(command(repeat))


def _close(series: Series, done: list[Any], seconds: float, screen: Screen) -> Exit:
    from lab.crash.experiment import as_json, text_of_line, total

    if series.fleet:
        rounds = [
            {
                "seed": one.plan.seed,
                "holds": one.holds,
                "seconds": round(one.seconds, 1),
                "repeat": series.repeat(one.plan.seed),
                "plan": one.plan.as_json(),
                **{name: one.tally[name] for name in ("once", "twice", "lost", "unknown")},
                "faults": dict(one.injected),
                "blows": [asdict(dealt) for dealt in one.dealt],
                "take_overs": [asdict(found) for found in one.take_overs],
                "problems": [printable(problem.text) for problem in one.problems],
            }
            for one in done
        ]
        content = msgspec.json.encode({"seed": series.seed, "rounds": rounds})
        content = msgspec.json.format(content, indent=1) + b"\n"
    else:
        screen.say(Text(text_of_line(total(done), screen.err.width, printable), "bold"))
        content = as_json(series.seed, done, series.repeat)
    path = Path(f"{series.name}-{series.seed}.json")
    try:
        path.write_bytes(content)
        where = render(said("all of it: {file}", file=path), "dim")
    except OSError as error:
        where = render(said("{file} could not be written: {why}", file=path, why=reason_of(error)), "yellow")
    if screen.voice.as_json:
        screen.out.file.write(content.decode())
    if failed := tuple(str(one.plan.seed) for one in done if not one.holds):
        sentence = counted(
            "{failed} of {n} round[s] failed, of the seeds {seeds}",
            len(done),
            failed=Quantity(len(failed)),
            seeds=failed,
        )
        screen.say_always(Text.assemble(("✗ ", "bold red"), render(sentence, "bold red"), "  ", where))
        return Exit.REJECTED
    sentence = counted(
        "{n} round[s] in {time}: each effect once, every sum to the kopeck", len(done), time=duration(seconds)
    )
    screen.say(Text.assemble(("✓ ", "bold green"), render(sentence, "bold green"), "  ", where))
    return Exit.DONE


def open_lab(
    folder: Path,
    screen: Screen,
    *,
    job: str | None,
    rows: int,
    faults: Sequence[str] = (),
    config: Path | None = None,
    own: "Trial | None" = None,
    declaration: Path | None = None,
) -> Play:
    """The lab of one load, which is killed; its rounds have a line each in a table.

    `own` is the trial of a job of one's own, and `declaration` the file that declares it, where that is checked.
    """
    from lab.crash.experiment import Lab, heading, line_of, text_of_line
    from lab.crash.plan import draw
    from lab.crash.program import NoTrial, ProgramUnderTest, without_settings
    from lab.mock.faults import plan_text

    fault_plan = plan_text(faults) if faults else None
    if config is not None and not config.exists():
        raise CommandRefused("there is no file {file} (from --config)", file=printable(config))
    settings = Path(config or SETTINGS_FILE).absolute()
    if declaration is not None or not settings.exists():
        # Settings that name a declaration alone; nothing without one.
        settings = folder / "no settings.toml"
        named = f"jobs = [{msgspec.json.encode(str(declaration)).decode()}]\n" if declaration else ""
        settings.write_text(named, encoding="utf-8")
    elif not screen.voice.as_json:
        file = printable(settings, WHOLE)
        note = said("with the settings of {file}, but for address, database and journal", file=file)
        screen.say(render(note, "dim"))
    lab = Lab(folder, ProgramUnderTest(without_settings(os.environ), settings))
    screen.say(Text(heading(screen.err.width, printable), "dim"))

    async def play(number: int, seed: int) -> tuple[Any, Text, Path]:
        try:
            plan = draw(seed, job=job, rows=rows, faults=fault_plan, own=own)
        except NoTrial as error:
            raise CommandRefused("{option}: {error}", option=setting("job", printable(job)), error=error) from error
        with waiting(said("round {number}, seed {seed}", number=number, seed=seed)):
            one = await lab.run(plan)
        return one, Text(text_of_line(line_of(one), screen.err.width, printable)), lab.folder_of(plan)

    return play


def _open_fleet(folder: Path, screen: Screen, *, quick: bool) -> Play:
    from lab.crash.plan import draw_round
    from lab.crash.program import ProgramUnderTest, without_settings

    try:
        from lab.crash.fleet import run_round
    except ImportError as error:
        package = "'carbon-migrate[postgres]'"
        raise CommandRefused(
            "a fleet needs libraries that are not installed: pip install {package}", package=package
        ) from error
    program = ProgramUnderTest(without_settings(os.environ))

    async def play(_: int, seed: int) -> tuple[Any, Text, Path]:
        plan = draw_round(seed, quick=quick)
        screen.say(
            counted(
                "seed {seed}: {workers} workers, {n} billing[s], {rows} rows, {blows} blows; at most {time}",
                plan.billings,
                seed=str(seed),
                workers=Quantity(plan.workers),
                rows=Quantity(plan.rows * plan.billings),
                blows=Quantity(len(plan.single) + len(plan.storm)),
                time=duration(plan.longest),
            )
        )
        place = folder / f"fleet-{seed}"
        with waiting(said("seed {seed}: the fleet works", seed=seed)):
            one = await run_round(
                place, plan, program, lambda line: screen.say(Text.assemble("  ", render(line, "dim")))
            )
        took = max((found.seconds for found in one.take_overs), default=0.0)
        line = said(
            "once {once}, twice {twice}, lost {lost}; unknown on the way {unknown}, faults {faults}, blows {blows}; "
            "taken over after {seconds} s at most; {time}",
            **{name: Quantity(one.tally[name]) for name in ("once", "twice", "lost", "unknown")},
            faults=Quantity(one.injected.total()),
            blows=Quantity(len(one.dealt)),
            seconds=round(took, 1),
            time=duration(one.seconds),
        )
        return one, Text.assemble("  ", render(line)), place

    return play


# ---- `selftest --simulate` ----------------------------------------------------------------------------------


def run_simulation(seed: int, schedules: int, minutes: float, screen: Screen) -> Exit:
    from lab.simulation.campaign import ENOUGH, Campaign, run

    campaign, is_whole = Campaign(), True
    with waiting(lambda: _campaign_line(campaign), lambda: (campaign.schedules, schedules)):
        try:
            run(campaign, range(seed, seed + schedules), minutes * 60)
        except KeyboardInterrupt:
            is_whole = False
    if screen.voice.as_json:
        screen.out.file.write(msgspec.json.encode(campaign.as_object()).decode() + "\n")
    for violation in campaign.violations[:_VIOLATIONS_SHOWN]:
        story = (
            Text(f"    {moment:10.3f}  {process:8}  {printable(event)}") for moment, process, event in violation.story
        )
        repeat = f"{PROGRAM} selftest --simulate 1 --seed {violation.seed}"
        _show_failure(violation.problems, len(violation.problems), story, repeat, screen)
    say = screen.say if campaign.is_proof else screen.say_always
    say(render(_campaign_line(campaign), "bold red" if campaign.violations else "bold green"))
    if campaign.schedules < ENOUGH and campaign.not_reached:
        not_yet = counted(
            "{n} situation[s] [is|are] not among them (--json names [it|them]); {enough} schedules have to reach all",
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
        "{n} schedule[s], {rate} a minute of the processor: {wrong} wrong",
        campaign.schedules,
        rate=Quantity(round(campaign.per_minute)),
        wrong=Quantity(len(campaign.violations)),
    )


# ---- `jobs check` -------------------------------------------------------------------------------------------------


def check_declaration(file: Path, rounds: int, seed: int | None, rows: int, screen: Screen) -> Exit:
    """Try all jobs of a declaration in the lab, and say what cannot be promised of them.

    0 if all rounds hold and no job leaves anything to a person, 4 if one does, 1 if a round fails.
    Raises `CommandRefused` for a declaration that cannot be used.
    """
    from billing.api.client import BillingClient, ClientSettings
    from jobs.access.gateway import Gateway
    from jobs.effects.factory import NEEDS_A_PERSON, lacks_of
    from jobs.spec.errors import ParameterRefused
    from lab.crash.program import NoTrial
    from lab.crash.trials import trial_of

    (declaration,) = OwnJobs((Path.cwd() / in_full(str(file)),), said("the command line")).catalogue.declarations
    if declaration.fault:
        raise CommandRefused(declaration.fault)
    # Nothing is asked of this billing: an effect says what it can by itself.
    gateway = Gateway(BillingClient(ClientSettings("http://127.0.0.1:1")))
    words = ["jobs", "check", str(declaration.path), "--seed", SEED, "--rounds", "1"]
    words += [] if rows == ROWS else ["--rows", str(rows)]
    first = secrets.randbelow(SEEDS) if seed is None else seed
    serieses, jobs, done = list[Series](), list[dict[str, Any]](), list[Any]()
    sections: list[RenderableType] = []
    asks = False
    for name, spec in declaration.jobs.items():
        untried, found = None, list[tuple[bool, str]]()
        try:
            lacks = tuple(lacks_of(spec, gateway))
        except ParameterRefused as error:
            raise CommandRefused("job {name}: {why}", name=name, why=error) from error
        try:
            opened = partial(open_lab, rows=rows, declaration=declaration.path, job=name, own=trial_of(spec))
            serieses.append(Series(first, words, opened, rounds=rounds))
        except NoTrial as error:
            untried = text_of(error)
            found.append((spec.writes, said("not tried in the lab: {reason}", reason=untried)))
        found += [(lack.kind in NEEDS_A_PERSON, lack.text) for lack in lacks]
        # Sooner or later, also where nobody has seen it work.
        asks |= spec.writes and any(doubt for doubt, _ in found)
        jobs.append(
            {"name": name, "cannot": [{"what": one.kind, "text": one.text} for one in lacks], "untried": untried}
        )
        nothing = render(said("nothing is lacking: it is looked up, repeated, read back and taken back"))
        lines = [Hanging(Text("  ! ", "yellow") if doubt else Text("  – "), render(text)) for doubt, text in found]
        head = Text.assemble((name, "bold"), "  ", render(spec.summary))
        sections.append(section(head, *(lines or [Hanging(Text("  ✓ ", "green"), nothing)])))
    if not screen.voice.as_json:
        of_file = said("{file}, SHA-256 {digest}", file=printable(file), digest=declaration.digest)
        screen.result(stack(of_file, *sections))
    code = Exit.DONE
    if serieses:
        beside = replace(screen, voice=replace(screen.voice, as_json=False))
        code = run_command(lambda: prove(serieses, beside, finished=done))
    if code is Exit.DONE and asks:
        code = Exit.UNDECIDED
    if screen.voice.as_json:
        for job in jobs:
            held = [one.holds for one in done if one.plan.job == job["name"]]
            job.update(rounds=len(held), failed=held.count(False))
        whole = {"declaration": str(declaration.path), "sha256": declaration.digest, "jobs": jobs}
        screen.emit({**whole, "exit": int(code)})
    elif code in {Exit.DONE, Exit.UNDECIDED}:
        usable = said("it can be used: name it in `jobs` of carbon-migrate.toml")
        if code is Exit.UNDECIDED:
            usable = said(
                "it can be used, but not without a person: see the lines with ! above. Name it in `jobs` of "
                "carbon-migrate.toml"
            )
        purpose = said("see it among the others")
        screen.result(section(render(usable, "bold"), steps_list([(command_line("jobs"), purpose)])))
    return code


# ---- `demo` -------------------------------------------------------------------------------------------------------


SUBSCRIBERS: Final = 10_000
QUICK: Final = 300


@as_command("demo")
def _demo(
    abonents: int = option("N", "Size of the billing.", default=SUBSCRIBERS, least=200, most=1_000_000),
    *,
    quick: bool = switch("A billing of 300 subscribers: it takes seconds."),
) -> None:
    """Load balances, kill the load, resume it, and prove the result.

    It makes a billing of its own for that, in a folder.
    """
    raise SystemExit(run_command(lambda: _interruptible(QUICK if quick else abonents, Screen())))


async def _interruptible(subscribers: int, screen: Screen) -> Exit:
    """Run the whole demonstration; 0 when the proof holds. Ctrl-C and SIGTERM end it and its processes."""
    with anyio.CancelScope() as whole:
        async with heeding(lambda _: whole.cancel()):
            return await _play(subscribers, screen.out)
    screen.out.print()
    screen.out.print(render(said("interrupted; the billing and the load are stopped as well"), "yellow"))
    return Exit.INTERRUPTED


async def _play(subscribers: int, out: Console) -> Exit:
    from lab.crash.program import JOURNAL
    from lab.demo import BALANCES, FOLDER, PACING, DemoStage, make_folder

    began, steps = anyio.current_time(), itertools.count(1)

    def heading(text: str) -> None:
        out.print(Text.assemble((f"{next(steps)}. ", "bold cyan"), render(text, "bold")))

    def typed(words: Sequence[str], program: str = f"{PROGRAM} ") -> None:
        out.print(f"   [dim]$[/] {program}{' '.join(words)}", soft_wrap=True)

    def doing(what: Said) -> AbstractContextManager[None]:
        return waiting(what, lambda: stage.progress)

    stage = DemoStage(await anyio.to_thread.run_sync(make_folder), typed, reader().name)
    question = said(
        "A billing with {subscribers} subscribers, and a load of their balances that is killed in the middle: is "
        "every rouble entered exactly once?",
        subscribers=Quantity(subscribers),
    )
    out.print(render(question))
    with doing(said("making the billing")):
        asked = await stage.make_billing(subscribers)
    heading(
        counted("A billing, and {file}: {n} balance[s], {sum} in total", asked.rows, file=BALANCES, sum=asked.sum)
    )
    async with stage.serve_billing() as billing:
        heading(said("The load starts, and its process is killed in the middle"))
        with doing(said("loading")):
            killed = await stage.kill_load(billing, asked.rows)
        typed(("kill", "-9", str(killed.process)), program="")
        lost = said(
            "{accepted} of {rows} rows were accepted; the answers of {sending} are lost",
            accepted=Quantity(killed.states[State.ACCEPTED]),
            rows=Quantity(asked.rows),
            sending=Quantity(killed.states[State.SENDING]),
        )
        out.print(Text.assemble("   ", render(lost, "red")))
        heading(said("Resumed: what was in doubt is looked up, not sent on a guess"))
        with doing(said("resuming")):
            await stage.run(State.ACCEPTED, "resume", killed.run, *PACING)
        heading(said("Verified: every row read back from the billing"))
        with doing(said("verifying")):
            # Where a row was rejected, the proof says so.
            await stage.run(State.APPLIED, "verify", killed.run, may_end_with=(Exit.DONE, Exit.REJECTED))
            proof = await stage.prove(asked)
    out.print(_table(proof))
    holds = (
        render(said("the proof holds"), "bold green") if proof.holds else render(said("the proof fails"), "bold red")
    )
    time = duration(anyio.current_time() - began)
    out.print(Text.assemble(holds, " ", render(said("after {time}", time=time), "dim")))
    # What the demonstration leaves, and what to type next.
    where = said("{folder}/ has the billing, the file and the journal, which these read:", folder=str(FOLDER))
    out.print(render(where, "dim"))
    for words in (("page",), ("report", killed.run)):
        out.print(command(command_line(*words, "--journal", str(FOLDER / JOURNAL))))
    make = command_line("mock", "init", "billing.fdb", "--abonents", "100")
    out.print(steps_list([(make, said("make a billing to practise on"))]))
    return Exit.DONE if proof.holds else Exit.REJECTED


def _table(proof: "Proof") -> Table:
    table = Table.grid(padding=(0, 3))
    table.add_column(justify="right", style="dim")
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column()
    table.add_row("", render(said("asked"), "dim"), render(said("in the billing"), "dim"), "")
    rows, least, most = count(proof.asked.rows), count(proof.least), count(proof.most)
    for what, asked, found in (
        (said("rows, and operations"), rows, count(proof.operations)),
        (said("sum in roubles"), money(proof.asked.sum), money(proof.sum)),
        (said("operations of a subscriber"), "1", least if least == most else f"{least}–{most}"),
        (said("balances as in the file"), rows, count(proof.balances)),
        (said("rows verified"), rows, count(proof.states[State.APPLIED])),
    ):
        sign = Text("✓", "green") if asked == found else Text("✗", "bold red")
        table.add_row(render(what), asked, found, sign)
    return table
