"""`resume`: continues a run that was stopped, interrupted or killed."""

from functools import partial
from pathlib import Path

import anyio.to_thread
import click

from checkpoints.records import Stage
from checkpoints.stores import is_there
from cli.commands.execution import execute_run
from cli.session.control_client import unpause_run
from cli.session.journal import (
    open_existing,
    ourselves,
    refuse_ended,
    require_content,
    require_unlocked,
    unfinished,
    which_of,
)
from cli.session.run_session import RunSession, close_ended
from cli.session.session import Invocation, open_session, own_journal
from cli.settings.flags import (
    CHANGED_DECLARATION,
    RECORD,
    RECORD_NAMES,
    RUN_NAME_OR_NONE,
    WITH_PAGE,
    Consent,
    Detaching,
    Flags,
    Pacing,
)
from cli.show.closing import Closing, show_closing
from cli.terminal.exits import AWAY, CommandRefused, Exit
from cli.terminal.options import as_command, switch, typed
from cli.terminal.screen import Voice
from jobs.spec.spec import DECLARATION_DIGEST
from texts.remedies import command_line, setting
from texts.said import said


@as_command("resume")
def _resume(  # noqa: PLR0913 - each is a flag or a group of them
    context: click.Context,
    name: str | None = RUN_NAME_OR_NONE,
    *,
    unpause: bool = switch("Let a paused run go on at once; else it waits for `continue`."),
    changed_declaration: bool = CHANGED_DECLARATION,
    ends_outside_hours: bool = switch(
        "Outside the hours of the run end with exit code 3, in place of waiting.", "--end-outside-hours"
    ),
    record: Path | None = RECORD,
    record_names: bool = RECORD_NAMES,
    page: bool = WITH_PAGE,
    detaching: Detaching,
    consent: Consent,
    pacing: Pacing,
    flags: Flags,
    voice: Voice,
) -> None:
    """Go on with a run that was stopped, interrupted or killed.

    Without a name, with the only one there is. The limits that it was begun with, and what was set since, hold on; a
    flag changes them.
    """
    execute_run(
        partial(resume, name, unpause=unpause),
        flags,
        voice,
        None,
        consent,
        pacing,
        changed_declaration=changed_declaration,
        detaching=detaching,
        typed=typed(context),
        record=record,
        record_names=record_names,
        page=page,
        ends_outside_hours=ends_outside_hours,
    )


async def resume(name: str | None, told: Invocation, *, unpause: bool) -> Closing:
    """Resume the run of that name, or the only one not at its end; it keeps its pacing, but for given settings."""
    where, screen = await own_journal(told.settings), told.screen
    if name is None and not await anyio.to_thread.run_sync(is_there, where):
        screen.result(said("There is nothing to resume: there is no journal {journal}.", journal=str(where)))
        return Closing(Exit.DONE)
    async with open_existing(where) as journal:
        if name is not None:
            run = await journal.run(name)
            await require_content(run, journal)
            if run.stage is Stage.DISCARDED:
                raise CommandRefused("run {run} was given up before anything was sent: begin a new one", run=run.name)
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
                    await unpause_run(run, journal)
                return await RunSession(run, job, session, fresh=False).run()
        except AWAY as error:
            raise CommandRefused(
                "{error}\nRun {run} stays as it is. When the billing is back:\n{command}",
                Exit.STOPPED,
                error=error,
                run=run.name,
                command=command_line("resume", run.name),
            ) from error
