"""`carbon-migrate`: the commands, and the one place where an error becomes a sentence and an exit code."""

import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from cli import demo
from cli.commands import control as steering
from cli.commands import correct as correcting
from cli.commands import doctor, mock, selftest, status, translate
from cli.commands import export as exporting
from cli.commands import jobs as jobs_list
from cli.commands import plan as planning
from cli.commands import probe as probing
from cli.commands import reconcile as reconciling
from cli.commands import replay as recordings
from cli.commands import resume as resuming
from cli.commands import undo as undoing
from cli.commands import verify as verifying
from cli.commands import watch as watching
from cli.commands.replay import record_into
from cli.jobfile import run_file as jobfile
from cli.jobfile.job_file import TOML
from cli.output.answer_files import ANSWERS
from cli.output.item_files import STDOUT, OutputFile
from cli.session import start as commands
from cli.session.order import given_values, parse_input, parse_order, parse_repeat
from cli.session.plans import planned
from cli.settings.flags import CallFlags, Consent, Flags, Pacing, RowFlags, grouped, names_of, typed
from cli.settings.places import IN_FOLDER
from cli.settings.settings import Settings, load
from cli.show.closing import Closing, closing_object
from cli.terminal.exits import OPERATOR_ERRORS, CommandRefused, Exit, code_of
from cli.terminal.logs import logging_to
from cli.terminal.screen import Screen, Voice, asked_for
from cli.terminal.signals import Interrupted, run_command
from cli.terminal.texts import PROGRAM, markup_safe, printable
from engine.pacing.policy import Policy
from jobs.shared_accounts import SharedAccountsRule
from jobs.undo import UNDO

Result = TypeVar("Result")

app: Final = typer.Typer(
    name=PROGRAM,
    help="Moves a Carbon Billing's subscribers in bulk: each row's effect lands exactly once, whatever happens.",
    epilog=f"Begin with: {PROGRAM} demo, {PROGRAM} doctor, {PROGRAM} jobs",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(mock.app, name="mock")
recordings.register(mock.app)
selftest.register(app)
translate.register(app)

CONTINUING: Final = (
    frozenset({"job", "file", "corrects", "record"}) | names_of(RowFlags, Consent, Pacing, Flags, Voice)
) - {"limit", "only", "exclude"}
"""What `--continue` heeds, by parameter; all else the run remembers."""

PLANNED: Final = frozenset({"plan_", "record", "output"}) | names_of(Consent, Pacing, Flags, Voice)
"""What `--plan` heeds, by parameter; all else the plan says."""

RunName = Annotated[str, typer.Argument(metavar="RUN", help="The run's short name, as `status` lists it.")]
RecordFile = Annotated[
    Path | None,
    typer.Option("--record", metavar="FILE", help="Keep every exchange, without secrets, for `mock replay`."),
]
ReadingRate = Annotated[
    str | None,
    typer.Option("--rate", metavar="R", help="Reading calls a second at most, or none."),
]
AnswersFile = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="The answers of a job that reads: .csv, .xlsx or .jsonl."),
]
Ask = Annotated[
    list[str] | None,
    typer.Option(
        "--ask", metavar="NAME", help="Ask for a parameter at the terminal, unseen: for a password; repeatable."
    ),
]
Unpause = Annotated[
    bool, typer.Option("--unpause", help="Let a paused run go on at once; else it waits for `continue`.")
]
Again = Annotated[bool, typer.Option("--again", help="Enter on top what an earlier run has entered already.")]
AnotherBilling = Annotated[
    bool,
    typer.Option("--another-billing", help="What was entered at another address is in another billing."),
]
SharedAccounts = Annotated[
    SharedAccountsRule | None,
    typer.Option(
        "--shared-accounts",
        help="Several opening balances of one account: enter their sum, the last one, or refuse these rows.",
    ),
]
Watch = Annotated[bool, typer.Option("--watch", help="Look again every second, until nobody works on the run.")]
RunNameOrNone = Annotated[
    str | None, typer.Argument(metavar="RUN", help="The run's short name, as `status` lists it.")
]


def main() -> None:
    """The entry point: run the command, and end with its exit code."""
    try:
        app()
    except OPERATOR_ERRORS as error:
        Screen().complain(str(error))
        sys.exit(code_of(error))
    except BrokenPipeError:
        # Whoever read stdout has gone; what is still buffered has nowhere to go either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.REJECTED)
    except Interrupted as error:
        Screen().complain(f"interrupted ({error})")
        sys.exit(Exit.INTERRUPTED)
    except KeyboardInterrupt:
        # Before the command has begun to hear signals, or after it.
        sys.exit(Exit.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a fault of ours
        sys.exit(_fault(error, None, Screen()))


# ---- commands ---------------------------------------------------------------------------------------------------


@app.callback(invoke_without_command=True)
def _program(
    show_version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,  # noqa: FBT002 - typer's way of a flag
) -> None:
    if show_version:
        sys.stdout.write(f"{PROGRAM} {version(PROGRAM)}\n")
        raise typer.Exit


@app.command()
@grouped
def run(  # noqa: PLR0913 - each is a flag or a group of them
    context: typer.Context,
    job: Annotated[
        str | None,
        typer.Argument(metavar="JOB", help=f"What to do, of `{PROGRAM} jobs`; or a job file, FILE.toml."),
    ] = None,
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="The rows; - for standard input. Else --sql, or the job's own."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the job; repeatable.")
    ] = None,
    *,
    ask: Ask = None,
    again: Again = False,
    another_billing: AnotherBilling = False,
    shared_accounts: SharedAccounts = None,
    corrects: Annotated[
        str | None,
        typer.Option("--continue", metavar="RUN", help="FILE holds corrected rows of this run: take them into it."),
    ] = None,
    plan_: Annotated[
        str | None,
        typer.Option(
            "--plan", metavar="ID", help="Send what this plan has planned, of its job and rows; or nothing."
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE.toml", help="Write what was typed as a job file, and send nothing."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --save.")] = False,
    record: RecordFile = None,
    output: AnswersFile = None,
    rows: RowFlags,
    calling: CallFlags,
    consent: Consent,
    pacing: Pacing,
    flags: Flags,
    voice: Voice,
) -> None:
    """Show what a job will do, ask, and do it; every row is remembered and can be taken up again."""
    said = typed(context)

    async def work(settings: Settings, screen: Screen) -> Closing:
        if plan_ is not None:
            if ignored := [words for name, words in said.items() if name not in PLANNED]:
                raise CommandRefused(
                    f"{', '.join(ignored)}: plan {printable(plan_)} says itself what is done; leave it out, or run "
                    "without --plan"
                )
            order = (await planned(plan_, settings)).order
            return await commands.run(
                order, settings, pacing.said, consent, screen, record=record_into(record), output=output, plan=plan_
            )
        if job is None:
            raise CommandRefused(f"name what is to be done: a job of `{PROGRAM} jobs`, a job file, or --plan ID")
        if corrects is not None:
            if ignored := [words for name, words in said.items() if name not in CONTINUING]:
                raise CommandRefused(f"{', '.join(ignored)}: run {corrects} remembers what it was told; leave it out")
            return await correcting.continue_run(
                corrects,
                job,
                parse_input(file, rows),
                settings,
                pacing.said,
                consent,
                screen,
                record=record_into(record),
            )
        if job.endswith(TOML):
            return await jobfile.run(job, settings, pacing, consent, screen, typed=said, record=record_into(record))
        values = await asked_for(ask or [], given_values(set_ or [], calling), file, screen)
        enter = parse_repeat(again=again, another_billing=another_billing)
        order = parse_order(job, parse_input(file, rows), values, enter, shared_accounts)
        if save is not None:
            wish = jobfile.wish_of(order, output, consent, pacing, said)
            return jobfile.saved(wish, save, screen, force=force)
        if force:
            raise CommandRefused("--force overwrites the file of --save, and none is named: leave it out")
        return await commands.run(
            order, settings, pacing.said, consent, screen, record=record_into(record), output=output
        )

    _close(flags, voice, job, work)


@app.command()
@grouped
def plan(  # noqa: PLR0913 - each is a flag or a group of them
    context: typer.Context,
    job: Annotated[
        str, typer.Argument(metavar="JOB", help=f"What to do, of `{PROGRAM} jobs`; or a job file, FILE.toml.")
    ],
    file: Annotated[str | None, typer.Argument(metavar="FILE", help="The rows; - for standard input.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the job; repeatable.")
    ] = None,
    *,
    ask: Ask = None,
    again: Again = False,
    another_billing: AnotherBilling = False,
    shared_accounts: SharedAccounts = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Save the rows of each kind into this folder.")
    ] = None,
    rate: ReadingRate = None,
    rows: RowFlags,
    calling: CallFlags,
    flags: Flags,
    voice: Voice,
) -> None:
    """Say what a run would do, from reading the billing: nothing is sent, and no real run is touched."""
    said = typed(context)
    pacing = Pacing(rate=rate)

    async def work(settings: Settings, screen: Screen) -> Exit:
        try:
            if job.endswith(TOML):
                return await planning.plan_file(job, out, settings, pacing, screen, typed=said)
            values = await asked_for(ask or [], given_values(set_ or [], calling), file, screen)
            enter = parse_repeat(again=again, another_billing=another_billing)
            order = parse_order(job, parse_input(file, rows), values, enter, shared_accounts)
            return await planning.plan(order, out, settings, pacing.said, screen)
        except OPERATOR_ERRORS as error:
            if voice.as_json:
                screen.emit({"job": job, "exit": int(code_of(error)), "error": str(error)})
            raise

    _end(flags, voice, work)


@app.command()
@grouped
def resume(  # noqa: PLR0913 - each is a flag or a group of them
    name: RunNameOrNone = None,
    *,
    unpause: Unpause = False,
    record: RecordFile = None,
    consent: Consent,
    pacing: Pacing,
    flags: Flags,
    voice: Voice,
) -> None:
    """Go on with a run that was stopped, interrupted or killed; without a name, with the only one there is.

    The limits that it was begun with, and what was set since, hold on; a flag changes them.
    """

    async def work(settings: Settings, screen: Screen) -> Closing:
        return await resuming.resume(
            name, settings, pacing.said, consent, screen, record=record_into(record), unpause=unpause
        )

    _close(flags, voice, None, work)


@app.command()
@grouped
def undo(
    name: RunName,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="How it is taken back; repeatable.")
    ] = None,
    *,
    consent: Consent,
    pacing: Pacing,
    flags: Flags,
    voice: Voice,
) -> None:
    """Take a run back: old values are set again, created entries reversed; what was changed since is left alone."""

    async def work(settings: Settings, screen: Screen) -> Closing:
        return await undoing.undo(name, set_ or [], settings, pacing.said, consent, screen)

    _close(flags, voice, UNDO, work)


@app.command("status")
@grouped
def show_status(name: RunNameOrNone = None, *, watch: Watch = False, flags: Flags, voice: Voice) -> None:
    """Show all runs, or one of them in detail."""
    show = watching.watch if watch else status.status
    _end(flags, voice, lambda settings, screen: show(name, settings, screen), logged=False)


@app.command()
@grouped
def verify(
    name: RunName,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write all differences to a CSV file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,  # noqa: FBT002 - typer's way of a flag
    *,
    rate: ReadingRate = None,
    flags: Flags,
    voice: Voice,
) -> None:
    """Read back what the billing now says of each row, and hold it against what was sent."""
    target = OutputFile(output, force=force) if output else None

    async def work(settings: Settings, screen: Screen) -> Exit:
        return await verifying.verify_run(name, target, settings, Pacing(rate=rate).said, screen)

    _end(flags, voice, work)


@app.command()
@grouped
def reconcile(name: RunName, *, pacing: Pacing, flags: Flags, voice: Voice) -> None:
    """Look up what is in doubt, also days later and after rows were put right by hand; sends nothing."""
    _end(flags, voice, lambda settings, screen: reconciling.reconcile_run(name, settings, pacing.said, screen))


@app.command()
@grouped
def decide(
    name: RunName,
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="The row: its key, contract number or number in the run.")
    ],
    choice: Annotated[
        str, typer.Argument(metavar="accepted|pending", help="It is in the billing, or it is not and goes again.")
    ],
    *,
    why: Annotated[
        str, typer.Option("--why", metavar="TEXT", help="The reason, kept in the journal with your name.")
    ],
    flags: Flags,
    voice: Voice,
) -> None:
    """Record a person's decision on a row that no look-up can settle."""
    _end(flags, voice, lambda settings, screen: reconciling.decide_row(name, key, choice, why, settings, screen))


@app.command()
@grouped
def export(
    name: RunName,
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help=f"One of: {exporting.CHOICES}; else a file each.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where to; `-` for stdout. A folder without --state."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,  # noqa: FBT002 - typer's way of a flag
    *,
    flags: Flags,
    voice: Voice,
) -> None:
    """Write the rows of a run to CSV files with the input's own columns; a rejected one, corrected, is an input."""

    async def work(settings: Settings, screen: Screen) -> Exit:
        if state is None:
            return await exporting.export_all(name, output or Path(), settings, screen, force=force)
        target = OutputFile(output or STDOUT, force=force)
        if state.strip().casefold() == ANSWERS:
            return await exporting.export_answers(name, target, settings, screen)
        return await exporting.export_state(name, state, target, settings, screen)

    _end(flags, voice, work, logged=False)


@app.command("jobs")
def list_jobs(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A job, for its parameters.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The same on stdout, as JSON.")] = False,
) -> None:
    """List the jobs, or show one with its parameters, its select, its call and an example."""
    jobs_list.show(name, Screen(Voice(as_json=as_json)))


@app.command("doctor")
@grouped
def check(*, flags: Flags) -> None:
    """Check everything that a run rests on, and say what to do where something is wrong."""
    raise typer.Exit(run_command(lambda: doctor.examine(flags, Screen())))


@app.command("probe")
@grouped
def ask_billing(
    abonent: Annotated[int, typer.Option("--abonent", min=1, metavar="ID", help="The test subscriber.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="storno_call=NAME: the method for storno, to be tried."),
    ] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Probe without asking.")] = False,
    settle: Annotated[
        float,
        typer.Option("--settle", min=0, metavar="S", help="Seconds until a lost call counts as absent."),
    ] = Policy().settle,
    flags: Flags,
    voice: Voice,
) -> None:
    """Ask a live billing, on one test subscriber, what nobody documents of it, and keep the answers."""

    async def work(settings: Settings, screen: Screen) -> Exit:
        try:
            return await probing.probe(abonent, probing.storno_of(set_ or []), settle, settings, screen, yes=yes)
        except OPERATOR_ERRORS as error:
            if voice.as_json:
                screen.emit({"abonent": abonent, "exit": int(code_of(error)), "error": str(error)})
            raise

    _end(flags, voice, work)


@app.command("demo")
def show_demo(
    abonents: Annotated[
        int, typer.Option("--abonents", min=200, max=1_000_000, metavar="N", help="Size of the billing.")
    ] = demo.ABONENTS,
) -> None:
    """Load balances into a billing of its own, kill the load in the middle, resume it, and prove the result."""
    raise typer.Exit(run_command(lambda: demo.show(abonents, Screen())))


# ---- how a command is run ---------------------------------------------------------------------------------------


def _close(
    flags: Flags,
    voice: Voice,
    job: str | None,
    work: Callable[[Settings, Screen], Coroutine[Any, Any, Closing]],
) -> None:
    """Run `work`, print the closing object where it is wanted, and exit. Errors that are known close as well."""

    async def guarded(settings: Settings, screen: Screen) -> Exit:
        try:
            closing = await work(settings, screen)
        except OPERATOR_ERRORS as error:
            screen.complain(str(error))
            closing = Closing(code_of(error), job=job, error=str(error))
        if voice.as_json:
            screen.emit(closing_object(closing))
        return closing.exit

    try:
        _end(flags, voice, guarded)
    except Interrupted as interrupt:
        # A run that is worked on heeds it by itself, and closes as it should.
        screen = Screen(voice)
        why = f"interrupted ({interrupt}) before a run was worked on; {PROGRAM} status shows what there is"
        screen.complain(why)
        if voice.as_json:
            screen.emit(closing_object(Closing(Exit.INTERRUPTED, job=job, stopped=why)))
        raise typer.Exit(Exit.INTERRUPTED) from interrupt


def _end(
    flags: Flags,
    voice: Voice,
    work: Callable[[Settings, Screen], Coroutine[Any, Any, Exit]],
    *,
    logged: bool = True,
) -> None:
    """Run `work` with the settings in force and its log, and exit with its code."""
    screen = Screen(voice)
    try:
        settings = load(flags, os.environ, Path.cwd())
    except CommandRefused as error:
        if voice.as_json:
            screen.emit(closing_object(Closing(error.code, error=str(error))))
        raise
    if settings.journal.origin == IN_FOLDER:
        screen.say(f"[dim]note:[/] the journal is {markup_safe(settings.journal.value)}, {IN_FOLDER}")
    # A command that only reads the journal leaves no trace.
    with logging_to(settings.log if logged else None, screen, settings.secrets):
        try:
            code = run_command(lambda: work(settings, screen))
        except OPERATOR_ERRORS as error:
            screen.complain(str(error))
            code = code_of(error)
        except (typer.Exit, BrokenPipeError, Interrupted):
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours: told, and kept for whoever mends it
            code = _fault(error, settings.log, screen)
    raise typer.Exit(code)


steering.register(app, _end)


def _fault(error: Exception, log: Path | None, screen: Screen) -> Exit:
    """Keep the traceback of a fault of ours where it can be sent from, and say where that is."""
    path = log or Path(tempfile.gettempdir()) / f"{PROGRAM}-{datetime.now(UTC):%Y%m%d-%H%M%S}.log"
    details = "".join(traceback.format_exception(error))
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8") as file:
            file.write(details)
        where = f"The details are at the end of {path}"
    except OSError:
        screen.err.print(details, markup=False)
        where = "The details stand above"
    screen.complain(
        f"a fault of {PROGRAM} itself: {type(error).__name__}: {error}\n{where}: please report them.\n"
        f"What was sent is in the journal; {PROGRAM} status shows it, and resume goes on safely"
    )
    return Exit.FAULT
