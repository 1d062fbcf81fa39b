"""`run`: sends a job, a job file, a plan or corrected rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.commands.execution import execute_run
from cli.commands.job_help import JobCommand
from cli.settings.flags import (
    ASIDE,
    EARLIER,
    ChangedDeclaration,
    Consent,
    Detaching,
    Flags,
    RecordFile,
    RecordNames,
    WithPage,
    argument,
    flag,
    grouped,
    names_of,
    typed,
)
from cli.settings.order_flags import CallFlags, ImportFlags, OrderFlags, RowFlags
from cli.settings.pacing_flags import Pacing
from cli.show.closing import Closing
from cli.terminal.exits import CommandRefused
from cli.terminal.screen import Voice
from cli.terminal.texts import printable
from texts.remedies import PROGRAM, Remedy, setting
from texts.said import said

if TYPE_CHECKING:
    from cli.session.session import Invocation

CONTINUING: Final = (
    frozenset({"job", "file", "corrects", "again", "record", "changed_declaration"})
    | names_of(RowFlags, Consent, Pacing, Flags, Voice)
) - {"limit", "only", "exclude"}
"""Parameters allowed beside `--continue`; the run keeps all others."""

PLANNED: Final = frozenset({"plan", "record", "output", "page", "changed_declaration"}) | names_of(
    Consent, Detaching, Pacing, Flags, Voice
)
"""Parameters allowed beside `--plan`; the plan keeps all others."""

app: Final = typer.Typer(add_completion=False)


@app.command("run", cls=JobCommand)
@grouped
def _run(  # noqa: PLR0913 - each is a flag or a group of them
    context: typer.Context,
    job: Annotated[
        str | None,
        argument("JOB", f"What to do, of `{PROGRAM} jobs`; or a job file, FILE.toml."),
    ] = None,
    file: Annotated[
        str | None,
        argument("FILE", "The rows; - for standard input. Else --sql, or the job's own."),
    ] = None,
    *,
    order_flags: OrderFlags,
    corrects: Annotated[
        str | None,
        flag("--continue", "RUN", "FILE holds corrected rows of this run: take them into it.", EARLIER),
    ] = None,
    plan: Annotated[
        str | None,
        flag("--plan", "ID", "Send what this plan has planned, of its job and rows; or nothing.", EARLIER),
    ] = None,
    save: Annotated[
        Path | None,
        flag("--save", "FILE.toml", "Write what was typed as a job file, and send nothing.", ASIDE),
    ] = None,
    force: Annotated[bool, flag("--force", None, "Overwrite the file of --save.", ASIDE)] = False,
    changed_declaration: ChangedDeclaration = False,
    record: RecordFile = None,
    record_names: RecordNames = False,
    page: WithPage = False,
    output: Annotated[
        Path | None,
        flag("-o --output", "FILE", "The answers of a job that reads: .csv, .xlsx or .jsonl."),
    ] = None,
    rows: RowFlags,
    importing: ImportFlags,
    calling: CallFlags,
    detaching: Detaching,
    consent: Consent,
    pacing: Pacing,
    flags: Flags,
    voice: Voice,
) -> None:
    """Show what a job will do, ask, and do it.

    Every row is remembered, and the run can be taken up again.
    """
    given = typed(context)

    async def work(told: "Invocation") -> Closing:
        # Imported here, so that `run --help` and a mistyped flag stay fast; what few runs need, where they do.
        from cli.session.order import parse_input, typed_order
        from cli.session.run_session import begin

        settings, screen = told.settings, told.screen
        if plan is not None:
            from cli.session.plans import planned_order

            if ignored := [words for name, words in given.items() if name not in PLANNED]:
                raise CommandRefused(
                    "{flags}: plan {plan} says itself what is done; leave it out, or run without {flag}",
                    flags=tuple(ignored),
                    plan=printable(plan),
                    flag=setting("plan"),
                )
            return await begin(await planned_order(plan, settings), told, output=output, plan=plan)
        if job is None:
            raise CommandRefused(
                "name what is to be done: a job of {jobs}, a job file, or {plan}",
                jobs=Remedy("jobs"),
                plan=setting("plan", "ID"),
            )
        if corrects is not None:
            from cli.commands.correct import continue_run

            if ignored := [words for name, words in given.items() if name not in CONTINUING]:
                raise CommandRefused(
                    "{flags}: run {run} remembers what it was told; leave it out",
                    flags=tuple(ignored),
                    run=printable(corrects),
                )
            return await continue_run(corrects, job, parse_input(file, rows), told, again=order_flags.again)
        if job.endswith(".toml"):
            from cli.jobfile import steps

            if told.hand_in:
                raise CommandRefused(
                    "{flag}: the steps of a job file wait for each other, and are sent by one process: hand in its "
                    "jobs one by one",
                    flag=setting("detach"),
                )
            return await steps.run(job, told, pacing, typed=given)
        order = await typed_order(
            job, file, order_flags, rows, calling, screen, settings.catalogue, importing=importing
        )
        if told.hand_in:
            from cli.session.queue import refuse_files_of

            refuse_files_of(order.kind)
        if save is not None:
            from cli.jobfile import job_file

            return job_file.save_order(order, save, told, pacing, given, output=output, force=force)
        if force:
            raise CommandRefused(said("--force overwrites the file of --save, and none is named: leave it out"))
        return await begin(order, told, output=output)

    execute_run(
        work,
        flags,
        voice,
        job,
        consent,
        pacing,
        changed_declaration=changed_declaration,
        detaching=detaching,
        typed=given,
        record=record,
        record_names=record_names,
        page=page,
    )
