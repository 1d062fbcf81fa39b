"""`plan`: shows what a run would do, by reading the billing only; nothing is sent and no real run is changed.

The rows are saved in a journal of plans beside the real one, which is opened for reading only. The previous plan of
the same input is kept there, so that a new plan can show what has changed.
"""

import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import anyio
import anyio.to_thread
import typer

from billing.directory.models import AMOUNTS
from billing.profile import Profile
from checkpoints.earlier_runs import earlier_runs, runs_of
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Run
from checkpoints.states import State
from cli.commands.execution import execute
from cli.commands.job_help import JobCommand
from cli.jobfile.job_file import TOML, JobFileStep, read_file
from cli.jobfile.steps import files_made, is_to_be_made
from cli.output.item_files import OutputFile, header_of, of_item, refuse_present, write_items, written_to
from cli.output.tables import KINDS, TableRow, write_table
from cli.session.order import Order, per_billing, typed_order
from cli.session.plans import plans_beside, remembered_by_plan
from cli.session.run_session import caution_unended, new_run, rehearse
from cli.session.session import open_billing
from cli.session.which_billing import remembered, target_among
from cli.settings.flags import Flags, argument, flag, grouped, typed
from cli.settings.order_flags import CallFlags, ImportFlags, OrderFlags, RowFlags
from cli.settings.pacing_flags import Pacing, ReadingRate, with_file
from cli.settings.settings import Settings
from cli.show.preview import look_alikes, next_step, plan_facts, plan_object, plan_screen, shared_accounts
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import labelled
from cli.terminal.screen import Screen, Voice
from cli.terminal.texts import printable, reason_of
from cli.terminal.waiting import waiting
from engine.pacing.policy import ALL, Policy, policy_with
from engine.pipeline.intake import Rehearsal
from jobs.job import build
from jobs.shared_accounts import question_of, settle
from jobs.value_changes import ChangeKind, RowChange, row_changes
from texts.remedies import PROGRAM
from texts.said import said, text_of

app: Final = typer.Typer(add_completion=False)


@app.command("plan", cls=JobCommand)
@grouped
def _plan(  # noqa: PLR0913 - each is a flag or a group of them
    context: typer.Context,
    job: Annotated[str, argument("JOB", f"What to do, of `{PROGRAM} jobs`; or a job file, FILE.toml.")],
    file: Annotated[str | None, argument("FILE", "The rows; - for standard input.")] = None,
    *,
    order_flags: OrderFlags,
    out: Annotated[
        Path | None,
        flag(
            "-o --output",
            "DIR|FILE",
            "Save the rows of each kind into this folder; or old and new values alone: .csv, .xlsx or .jsonl.",
        ),
    ] = None,
    overwrite: Annotated[bool, flag("--force", None, "Overwrite the files there.")] = False,
    rate: ReadingRate = None,
    rows: RowFlags,
    importing: ImportFlags,
    calling: CallFlags,
    flags: Flags,
    voice: Voice,
) -> None:
    """Show what a run would do; nothing is sent.

    It reads the billing, and touches no real run.
    """
    given = typed(context)
    pacing = Pacing(rate=rate)
    folder = None if out is None else OutputFile(out, force=overwrite)

    async def work(settings: Settings, screen: Screen) -> Exit:
        if job.endswith(TOML):
            return await plan_file(job, folder, settings, pacing, screen, typed=given)
        order = await typed_order(
            job, file, order_flags, rows, calling, screen, settings.catalogue, importing=importing
        )
        code, planned = await plan(order, folder, settings, pacing.given, screen)
        if screen.voice.as_json:
            screen.emit(planned)
        return code

    execute(work, flags, voice, failure=lambda code, error: {"job": job, "exit": int(code), "error": text_of(error)})


async def plan(
    order: Order,
    out: OutputFile | None,
    settings: Settings,
    pacing: Mapping[str, str],
    screen: Screen,
    *,
    step: str = "",
) -> tuple[Exit, Mapping[str, object]]:
    """Show what `run` would do with this order; with `out`, save the rows there: in a folder, or as a table.

    It reads at the rate of `pacing`; `step` is the order's step of a job file. The plan is kept under its name until
    the next plan of the same input: `run --plan` sends it.

    Returns the exit code and the object of `--json`. The exit code is 1 where `run` would send nothing: rows are
    refused or duplicates, or several rows set the balance of one account and no rule for them was given.
    Raises `CommandRefused`, `InputRefused`, `LookUpFailed`, `BillingError` and `JournalError`.
    """
    real = settings.journal.value
    if out is not None:
        check_free(out)
    async with open_billing(settings) as billing, open_journal(plans_beside(real.path)) as journal:
        billing.gateway.rate.per_second = policy_with(Policy(), pacing, ALL).rate
        job = build(order.kind, billing.gateway, order.parameters, order.rows)
        await job.check()
        await job.try_out()
        async with earlier_runs(real) as earlier:
            runs, identity = await anyio.to_thread.run_sync(runs_of, real), billing.one.identity
            target = target_among(runs, settings.target, identity)
            order = per_billing(order, runs, settings, target, identity)
            rehearsal = Rehearsal(job, target, earlier, enter=order.enter)
            known = {**remembered_by_plan(billing, step), **remembered(settings, identity)}
            new = await new_run(job, {**order.to_parameters(), **known}, target)
            run = await rehearse(rehearsal, new, journal, screen)
        profile = billing.gateway.profile
        with waiting(said("adding up what a run would do")):
            if order.shared_accounts is not None:
                await settle(run, journal, profile, order.shared_accounts)
            question = await question_of(run, journal, profile)
            facts = await plan_facts(run, job, billing.gateway, journal, settings.catalogue.known(run))
        bad = facts.plan.bad or question.accounts
        code = Exit.REJECTED if bad else Exit.DONE
        saving = " ".join((PROGRAM, shlex.join(sys.argv[1:]), "-o DIR"))
        screen.result(plan_screen(facts, billing.target, str(real), saving))
        if question.accounts:
            screen.result(shared_accounts(question, profile), good=False)
        for caution in job.cautions:
            screen.result(labelled(said("caution:"), caution, "yellow"))
        await caution_unended(job, screen)
        if out is not None:
            with waiting(said("writing {file}", file=out.path)):
                await write_plan(out, run, facts.values.lines, journal, profile)
            screen.say(said("The rows are saved in {file}", file=out.path))
        if question.accounts:
            # Sent as it is, the plan would be refused for the same question.
            screen.result(said("Plan again with one of these; as it is, this plan cannot be sent."), good=False)
        elif not step:
            screen.result(next_step(facts.plan, bad=bool(bad)))
        if facts.before is not None:
            # The next plan of this input is compared with this one.
            await journal.discard(facts.before)
        return code, {**plan_object(facts, code), "shared_accounts_to_be_said": question.accounts}


async def plan_file(
    name: str, out: OutputFile | None, settings: Settings, pacing: Pacing, screen: Screen, *, typed: Mapping[str, str]
) -> Exit:
    """Show what each step of a new round would do; each step is planned as if the earlier ones had done nothing.

    `typed` is the command line, by parameter; options that would be ignored are refused.
    """
    if out is not None and is_table(out):
        raise CommandRefused(
            "-o {file}: a job file has a table for each of its steps: name a folder for them",
            file=printable(out.path),
        )
    file = (await read_file(name, typed, settings.catalogue)).at(datetime.now().astimezone())
    given = with_file(pacing, file.pacing).given
    worst = Exit.DONE
    steps: list[Mapping[str, object]] = []
    makers: dict[Path, JobFileStep] = {}
    for step in file.steps:
        step_of = said("Step {number} of {steps}:", number=step.number, steps=len(file.steps))
        screen.result("")
        screen.result(labelled(step_of, step.order.kind.name, "bold"))
        if await anyio.to_thread.run_sync(is_to_be_made, step, makers):
            made = said("Its rows are what an earlier step will write: {file}", file=step.order.rows.file)
            screen.result(made)
            steps.append({"step": step.number, "job": step.order.kind.name, "plan": None, "exit": None})
        else:
            folder = replace(out, path=out.path / f"step-{step.number}") if out else None
            place = said("step {number} of {file}", number=step.number, file=file.path)
            code, planned = await plan(step.order, folder, settings, given, screen, step=place)
            worst = max(worst, code)
            steps.append({"step": step.number, **planned})
        makers |= dict.fromkeys(files_made(step), step)
    if screen.voice.as_json:
        screen.emit({"job": name, "steps": steps, "exit": int(worst), "error": None})
    return worst


# ---- the files of a plan: a folder with the rows of each kind, or one table of what changes, old and new -----------

COLUMNS_OF_CHANGES: Final = ("line", "row", "label", "model", "object", "change", "field", "old", "new")
"""`line` is that of the input, `row` the number in the plan; `object` is the key by which the billing finds it."""
_CHANGES: Final = {
    ChangeKind.CHANGED: said("changed"),
    ChangeKind.NEW: said("new"),
    ChangeKind.REMOVED: said("removed"),
}
SAVED: Final[Mapping[str, State | None]] = MappingProxyType(
    {"to-send": State.PENDING, "skipped": State.SKIPPED, "refused": None}
)
"""The files of rows, each with the state of its rows; None stands for refused rows."""
LOOK_ALIKES: Final = "look-alikes"
VALUE_CHANGES: Final = "value-changes"


def is_table(out: OutputFile) -> bool:
    """Whether the path is that of one table, and not of a folder."""
    return out.path.suffix.casefold() in KINDS and not out.path.is_dir()


def check_free(out: OutputFile) -> None:
    """Refuse a table that is there, or a folder that has files of a plan. Raises `CommandRefused`."""
    if is_table(out):
        refuse_present(out)
        return
    for name in (*SAVED, LOOK_ALIKES, VALUE_CHANGES):
        refuse_present(_file_in(out, name), is_in_folder=True)


async def write_plan(out: OutputFile, run: Run, lines: int, journal: Journal, profile: Profile) -> None:
    """Write a plan into its folder or table; `lines` are the rows of the table.

    Raises `CommandRefused` and `JournalError`.
    """
    table = out
    if not is_table(out):
        table = _file_in(out, VALUE_CHANGES)
        try:
            await anyio.Path(out.path).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandRefused("{path} cannot be made: {why}", path=out.path, why=reason_of(error)) from error
        for name, state in SAVED.items():
            async with written_to(_file_in(out, name)) as sheet:
                await write_items(sheet, run, (state,), journal)
        async with written_to(_file_in(out, LOOK_ALIKES)) as sheet:
            sheet.row(header_of(run))
            async for page in look_alikes(run, journal):
                await anyio.to_thread.run_sync(sheet.all, [of_item(item, run) for item in page])
    pages = (
        [line for change in page for line in _lines(change)] async for page in row_changes(run, journal, profile)
    )
    # An empty page would end the table.
    await write_table(table, COLUMNS_OF_CHANGES, lines, (page async for page in pages if page))


def _file_in(folder: OutputFile, name: str) -> OutputFile:
    return replace(folder, path=folder.path / f"{name}.csv")


def _lines(change: RowChange) -> Iterator[TableRow]:
    """Old and new value of each field: money is a number, anything else, also an id, a text."""
    item = change.item
    for one in change.fields:
        old, new = (Decimal(value) if value and one.name in AMOUNTS else value for value in (one.old, one.new))
        if one.issued:
            new = said("(issued by the billing)")
        of_row = (item.line, item.number, item.label, change.model, change.key)
        yield (*of_row, _CHANGES[change.kind], one.name, old, new)
