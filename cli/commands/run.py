"""`run`: sends a job, a job file, a plan or corrected rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cli.commands.execution import JobCommand, execute_run
from cli.settings.flags import (
    ASIDE,
    CHANGED_DECLARATION,
    EARLIER,
    RECORD,
    RECORD_NAMES,
    WITH_PAGE,
    CallFlags,
    Consent,
    Detaching,
    Flags,
    ImportFlags,
    OrderFlags,
    Pacing,
    RowFlags,
)
from cli.show.closing import Closing
from cli.terminal.exits import CommandRefused
from cli.terminal.options import argument, as_command, names_of, option, switch, typed
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


@as_command("run", cls=JobCommand)
def _run(  # noqa: PLR0913 - each is a flag or a group of them
    context: click.Context,
    job: str | None = argument("JOB", f"What to do, of `{PROGRAM} jobs`; or a job file, FILE.toml.", required=False),
    file: str | None = argument(
        "FILE", "The rows; - for standard input. Else --sql, or the job's own.", required=False
    ),
    *,
    order_flags: OrderFlags,
    corrects: str | None = option(
        "RUN", "FILE holds corrected rows of this run: take them into it.", "--continue", panel=EARLIER
    ),
    plan: str | None = option(
        "ID", "Send what this plan has planned, of its job and rows; or nothing.", panel=EARLIER
    ),
    save: Path | None = option("FILE.toml", "Write what was typed as a job file, and send nothing.", panel=ASIDE),
    force: bool = switch("Overwrite the file of --save.", panel=ASIDE),
    changed_declaration: bool = CHANGED_DECLARATION,
    record: Path | None = RECORD,
    record_names: bool = RECORD_NAMES,
    page: bool = WITH_PAGE,
    output: Path | None = option("FILE", "The answers of a job that reads: .csv, .xlsx or .jsonl.", "-o", "--output"),
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
            from cli.session.order import planned_order

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
            from cli.jobfile import job_file

            if told.hand_in:
                raise CommandRefused(
                    "{flag}: the steps of a job file wait for each other, and are sent by one process: hand in its "
                    "jobs one by one",
                    flag=setting("detach"),
                )
            return await job_file.run(job, told, pacing, typed=given)
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
