"""`run`, `import`, `resume` and `undo`: the commands that work on a run until nothing is left to send.

What they do to it is the same (`cli/session/run_session.py`); they differ in where the run comes from. What few runs
need is imported where it is needed, so that help and a mistyped flag stay fast.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyio.to_thread import run_sync
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Run
from checkpoints.states import State
from checkpoints.stores import is_there
from cli.commands.execution import JobCommand, with_settings
from cli.session.journal import open_existing, ourselves, refuse_ended, require_unlocked, usable_run, which_of
from cli.settings.flags import (
    ASIDE,
    EARLIER,
    RUN_NAME,
    RUN_NAME_OR_NONE,
    Beside,
    CallFlags,
    Consent,
    Declared,
    Detaching,
    Flags,
    ImportFlags,
    OrderFlags,
    Pacing,
    RepeatFlags,
    RowFlags,
    TableFlags,
    parse_pairs,
)
from cli.show.closing import Closing, perhaps_in_effect, show_closing
from cli.terminal.exits import AWAY, CommandRefused, Exit
from cli.terminal.layout import labelled, render
from cli.terminal.options import argument, names_of, option, switch
from cli.terminal.screen import Voice
from cli.terminal.texts import printable
from jobs.runs import require_undoable, unfinished
from jobs.spec.words import IMPORT, LEAVE, RUN, TAKE, UNDO, UNPROVEN
from texts.said import PROGRAM, Said, advised, command_line, counted, said, setting

if TYPE_CHECKING:
    from cli.session.order import Order
    from cli.session.session import Invocation

CONTINUING: Final = (
    frozenset({"job", "file", "corrects", "again"})
    | names_of(RowFlags, Beside, Declared, Consent, Pacing, Flags, Voice)
) - {"limit", "only", "exclude", "record_names", "page"}
"""Parameters allowed beside `--continue`; the run keeps all others."""

PLANNED: Final = (
    frozenset({"plan", "output"}) | names_of(Beside, Declared, Consent, Detaching, Pacing, Flags, Voice)
) - {"record_names"}
"""Parameters allowed beside `--plan`; the plan keeps all others."""


# ---- `run` and `import`: a run of rows ----------------------------------------------------------------------------


@with_settings("run", Declared, Beside, Detaching, Consent, Pacing, Flags, Voice, cls=JobCommand, sends=True)
async def _run(  # noqa: PLR0913 - each is a flag or a group of them
    told: "Invocation",
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
    output: Path | None = option("FILE", "The answers of a job that reads: .csv, .xlsx or .jsonl.", "-o", "--output"),
    rows: RowFlags,
    importing: ImportFlags,
    calling: CallFlags,
) -> Closing:
    """Show what a job will do, ask, and do it.

    Every row is remembered, and the run can be taken up again.
    """
    from cli.session.order import parse_input, planned_order, typed_order

    if plan is not None:
        if ignored := [words for name, words in told.typed.items() if name not in PLANNED]:
            raise CommandRefused(
                "{flags}: plan {plan} says itself what is done; leave it out, or run without --plan",
                flags=tuple(ignored),
                plan=printable(plan),
            )
        from cli.session.run_session import begin

        return await begin(await planned_order(plan, told.settings), told, output=output, plan=plan)
    if job is None:
        raise CommandRefused(
            "name what is to be done: a job of {jobs}, a job file, or --plan ID", jobs=advised("jobs")
        )
    if corrects is not None:
        from cli.commands.correct import continue_run

        if ignored := [words for name, words in told.typed.items() if name not in CONTINUING]:
            raise CommandRefused(
                "{flags}: run {run} remembers what it was told; leave it out",
                flags=tuple(ignored),
                run=printable(corrects),
            )
        return await continue_run(corrects, job, parse_input(file, rows), told, again=order_flags.again)
    if job.endswith(".toml"):
        from cli.session import job_file

        if told.hand_in:
            raise CommandRefused(
                said(
                    "--detach: the steps of a job file wait for each other, and are sent by one process: hand in its "
                    "jobs one by one"
                )
            )
        return await job_file.run(job, told)
    order = await typed_order(job, file, order_flags, rows, calling, importing, told)
    return await _begin_or_save(order, told, save, output, force=force)


@with_settings(
    "import",
    Beside,
    Consent,
    Pacing,
    Flags,
    Voice,
    cls=JobCommand,
    sends=True,
    reads="check",
    job=IMPORT,
    about=lambda given: {"file": given["file"], "rows": None, "workbook": None},
)
async def _import(  # noqa: PLR0913 - each is a flag or a group of them
    told: "Invocation",
    file: str = argument("FILE", "The table, a row a subscriber; - for standard input."),
    *,
    table: TableFlags,
    importing: ImportFlags,
    check: bool = switch("Check all rows, and send nothing: faults by kind, with their lines."),
    output: Path | None = option(
        "FILE",
        "With --check, an .xlsx file: the table with the faulty cells marked, to be corrected and imported.",
        "-o",
        "--output",
    ),
    repeating: RepeatFlags,
    save: Path | None = option("FILE.toml", "Write what was typed as a job file, and send nothing.", panel=ASIDE),
    force: bool = switch("Overwrite the file of --save or -o."),
) -> Exit | Closing:
    """Show what a table makes of subscribers, ask, and create them.

    Each gets its folder, account, tariff, services, attributes, limits and balance.
    What is there already is left as it is, so the same command completes what is missing.
    """
    from cli.session.order import typed_order

    if check and save is not None:
        raise CommandRefused(said("--check sends nothing and begins no run: leave --save out"))
    if output is not None and not check:
        raise CommandRefused(said("-o names the workbook of --check, and that is not given: add it"))
    order = await typed_order(IMPORT, file, repeating, table, CallFlags(), importing, told)
    if not check:
        return await _begin_or_save(order, told, save, force=force)
    from cli.session.input_check import check_order
    from cli.show.files import OutputFile

    target = None if output is None else OutputFile(output, force=force)
    return await check_order(order, file, target, told.settings, told.screen)


async def _begin_or_save(
    order: "Order", told: "Invocation", save: Path | None, output: Path | None = None, *, force: bool
) -> Closing:
    if told.hand_in:
        from cli.session.queue import refuse_files_of

        refuse_files_of(order.kind)
    if save is not None:
        from cli.session import job_file

        return job_file.save_order(order, save, told, output=output, force=force)
    if force:
        raise CommandRefused(said("--force overwrites the file of --save, and none is named: leave it out"))
    from cli.session.run_session import begin

    return await begin(order, told, output=output)


# ---- `resume`: a run that was stopped, interrupted or killed ------------------------------------------------------


@with_settings("resume", Declared, Beside, Detaching, Consent, Pacing, Flags, Voice, sends=True)
async def _resume(
    told: "Invocation",
    name: str | None = RUN_NAME_OR_NONE,
    *,
    unpause: bool = switch("Let a paused run go on at once; else it waits for `continue`."),
    ends_outside_hours: bool = switch(
        "Outside the hours of the run end with exit code 3, in place of waiting.", "--end-outside-hours"
    ),
) -> Closing:
    """Go on with a run that was stopped, interrupted or killed.

    Without a name, with the only one there is. The limits that it was begun with, and what was set since, hold on; a
    flag changes them.
    """
    from cli.session.run_session import RunSession, close_ended
    from cli.session.session import open_session, own_journal
    from jobs.spec.spec import DECLARATION_DIGEST

    where, screen = await own_journal(told.settings), told.screen
    if name is None and not await run_sync(is_there, where):
        screen.result(said("There is nothing to resume: there is no journal {journal}.", journal=str(where)))
        return Closing(Exit.DONE)
    async with open_existing(where) as journal:
        if name is not None:
            run = await usable_run(name, journal, "resume")
            refuse_ended(run, await journal.totals(run))
        else:
            open_runs = [run for run in await journal.runs() if await unfinished(run, journal)]
            if not open_runs:
                screen.result(said("There is nothing to resume: all runs are at their end."))
                return Closing(Exit.DONE)
            if len(open_runs) > 1:
                raise await which_of(open_runs, journal, "resume")
            run = open_runs[0]
        if not await unfinished(run, journal):
            closing, shown = await close_ended(run, journal, told.settings.catalogue)
            screen.say(said("There is nothing to resume: this run is at its end."))
            screen.result(await show_closing(closing, run, journal), good=closing.exit is Exit.DONE)
            if shown is not None:
                screen.result(shown)
            return closing
        await require_unlocked(run, journal)
        try:
            async with open_session(told, journal, of=run) as opened:
                session = opened.for_run(run)
                job, spec = await session.rebuild(run), session.settings.catalogue.known(run)
                digest = spec.declared.digest if spec and spec.declared else None
                if digest is not None and digest != run.parameters.get(DECLARATION_DIGEST):
                    # It goes on with another content of its declaration.
                    now = said("SHA-256 of the declaration: {digest}", digest=digest)
                    command = f"taken up with {setting('changed-declaration')}"
                    await journal.history.note_command(run, ourselves(), command, now)
                if unpause and run.paused_at:
                    await journal.unpause(run)
                    await journal.history.note_command(run, ourselves(), "resume --unpause", said("it goes on"))
                works = RunSession(run, job, session, fresh=False, ends_outside_hours=ends_outside_hours)
                return await works.run()
        except AWAY as error:
            raise CommandRefused(
                "{error}\nRun {run} stays as it is. When the billing is back:\n{command}",
                Exit.STOPPED,
                error=error,
                run=run.name,
                command=command_line("resume", run.name),
            ) from error


# ---- `undo`: a run that takes another one back --------------------------------------------------------------------


@with_settings("undo", Declared, Consent, Pacing, Flags, Voice, sends=True, job=UNDO)
async def _undo(
    told: "Invocation",
    name: str = RUN_NAME,
    set_: list[str] | None = option("NAME=VALUE", "How it is taken back; repeatable.", "--set"),
) -> Closing:
    """Take a run back; what was changed since is left alone.

    Old values are set again, created entries reversed.
    """
    from cli.session.run_session import RunSession, create_run
    from cli.session.session import open_session, own_journal, profile_of
    from jobs.spec.parameters import check_parameters, contradictions, with_facts
    from jobs.undo import build_undo

    settings, screen, given = told.settings, told.screen, dict(parse_pairs(set_ or [], "--set"))
    async with open_existing(await own_journal(settings)) as journal:
        run = await usable_run(name, journal, "undo")
        await require_unlocked(run, journal)
        await require_undoable(run, journal, given=given)
        totals = await journal.totals(run)
        notes: list[Said] = []
        if undecided := totals.count(State.MANUAL):
            notes.append(
                counted(
                    "nobody has decided on {n} row[s] of run {run}: [it is|they are] not taken back. Decide "
                    "({command}), and undo the run once more",
                    undecided,
                    run=run.name,
                    command=command_line("reconcile", run.name),
                )
            )
        if perhaps := perhaps_in_effect(totals):
            notes.append(said("{rows}: each is looked at, and taken back where it has had it", rows=perhaps))
        # The job whose effect is reversed in the end, through any chain of undos.
        first = run
        while first.job == UNDO:
            first = await journal.run(first.parameters[RUN])
        wanted, profile = settings.catalogue.of(first), profile_of(settings)
        options = {option: text for option, text in given.items() if option != UNPROVEN}
        for note in (*notes, *contradictions(wanted.undo_parameters, options, profile)):
            screen.say_always(labelled(said("note:"), note, "yellow"))
        # Those given, else those that a probe has found.
        way = check_parameters(
            said("the undo of {job}", job=wanted.name),
            wanted.undo_parameters,
            with_facts(wanted.undo_parameters, options, profile),
        )
        parameters = {RUN: run.name, **way}
        async with open_session(told, journal, of=run) as session:
            # What cannot be taken back is refused before anything is asked.
            await build_undo(session.gateway, journal, parameters, settings.catalogue)
            if totals.standing or totals.unanswered:
                parameters |= await _what_may_be_others(run, journal, given, told)
                job = await build_undo(session.gateway, journal, parameters, settings.catalogue)
                created = await create_run(job, parameters, await session.target(), session)
                return await RunSession(created, job, session, fresh=True).run()
            # No run is made for it.
            why = said("run {run} has nothing to take back: none of its rows had an effect.", run=run.name)
            if by := tuple(await journal.taken_back(run)):
                why = said("run {run} is taken back already, by run {others}.", run=run.name, others=by)
            screen.result(Text.assemble(render(why, "bold"), " ", render(said("Nothing was sent."))))
            return Closing(Exit.DONE, job=UNDO)


async def _what_may_be_others(
    run: Run, journal: Journal, given: Mapping[str, str], told: "Invocation"
) -> dict[str, str]:
    """What becomes of the rows that may be somebody else's, nothing without any: asked, or left alone unless told."""
    from jobs.spec.entries import OF_UNPROVEN
    from jobs.spec.parameters import check_parameters

    if not (unproven := await journal.unproven(run)):
        return {}
    if UNPROVEN in given:
        return check_parameters(said("the undo of {job}", job=run.job), (OF_UNPROVEN,), {UNPROVEN: given[UNPROVEN]})
    found = counted(
        "{n} row[s] of run {run} [was|were] found without a mark when [its|their] outcome was looked up: [it|they] "
        "may be another's",
        unproven,
        run=run.name,
    )
    left = said(
        "{found}: left alone. To take it back as well, add {flag}",
        found=found,
        flag=setting("set", f"{UNPROVEN}={TAKE}"),
    )
    if told.screen.is_attended and not told.consent.yes:
        question = said("{found}. Take what was found back as well?", found=found)
        return {UNPROVEN: TAKE if await told.screen.agrees(question, CommandRefused(left)) else LEAVE}
    told.screen.say_always(labelled(said("note:"), left, "yellow"))
    return {UNPROVEN: LEAVE}
