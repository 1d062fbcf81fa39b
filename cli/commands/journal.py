"""`journal`: copies a whole journal, from a file or PostgreSQL into either."""

import os
from collections.abc import Mapping
from typing import Annotated, Final

import anyio.to_thread
import typer
from rich.console import Group, RenderableType
from rich.text import Text

from checkpoints.address import JournalAddress
from checkpoints.copying import CopiedJournal, copy_journal
from checkpoints.rows import to_run
from checkpoints.stores import look_into
from cli.commands.execution import errors_shown
from cli.settings.flags import grouped
from cli.settings.places import typed_journal
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import Facts, command, labelled, render
from cli.terminal.screen import BriefVoice, Screen
from cli.terminal.signals import run_command
from cli.terminal.texts import printable
from jobs.access.vault import BATCH, Vault, vault_path
from texts.remedies import command_line, setting
from texts.said import counted, said

app: Final = typer.Typer(add_completion=False, help="Move a journal: from a file to PostgreSQL, or back.")


@app.callback()
def _journal() -> None:
    """Move a journal: from a file to PostgreSQL, or back."""


@app.command("copy")
@grouped
def _copy(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="The journal: a file, or postgresql://HOST/DATABASE?schema=NAME.")
    ],
    target: Annotated[str, typer.Argument(metavar="TO", help="A new or empty journal, named in the same way.")],
    *,
    voice: BriefVoice,
) -> None:
    """Copy a whole journal: from a file to PostgreSQL, back, or to another file.

    Nothing may work on it meanwhile. Totals and roots of all runs are compared; the copy is there as a whole or not
    at all. From then on the copy is the journal.
    """
    screen = Screen(voice.whole())
    with errors_shown(screen):
        old, new = (typed_journal(text, name, os.environ) for text, name in ((source, "FROM"), (target, "TO")))
        advised = target if new.postgres else str(new)
        code = run_command(lambda: copy(old, new, screen, advised=advised), calls=False)
    raise typer.Exit(code)


async def copy(source: JournalAddress, target: JournalAddress, screen: Screen, *, advised: str) -> Exit:
    """Copy a journal, and say which one is to be used, by the name that is `advised`.

    Raises `CommandRefused` and `JournalError`.
    """
    await anyio.to_thread.run_sync(_refuse_kept_passwords, source)
    copied = await copy_journal(source, target)
    if screen.voice.as_json:
        screen.emit(_object(copied, source, target))
    screen.result(_closing(copied, source, target, advised))
    return Exit.DONE


def _refuse_kept_passwords(source: JournalAddress) -> None:
    """Refuse a journal with passwords of rows that are to be sent: they are in a file of their own, beside it."""
    path = vault_path(source.path.resolve())
    if not path.exists():
        return
    with look_into(source) as db:
        runs = [] if db is None else [to_run(row) for row in db.all("runs")]
    for run in runs:
        if BATCH in run.parameters and Vault(path, run.parameters[BATCH]).holds:
            raise CommandRefused(
                said(
                    "run {run} is not at its end, and its passwords are in {file}, which is not copied: end it "
                    "first, with {command}",
                    run=run.name,
                    file=printable(path),
                    command=command_line("resume", run.name),
                )
            )


def _closing(copied: CopiedJournal, source: JournalAddress, target: JournalAddress, advised: str) -> RenderableType:
    runs = Facts(indent=2)
    for one in copied.runs:
        rows = counted(
            "{job}: {n} row, {sum}", "{job}: {n} rows, {sum}", one.totals.read, job=one.run.job, sum=one.totals.amount
        )
        runs.add(one.run.name, render(rows))
        runs.add("", render(one.root, "dim"))
    copied_runs = counted(
        "✓ {n} run is copied; its totals and its root are equal in both journals",
        "✓ {n} runs are copied; totals and roots of all are equal in both journals",
        len(copied.runs),
    )
    old, new = printable(str(source)), printable(str(target))
    return Group(
        render(copied_runs, "bold green"),
        runs,
        Text(""),
        render(said("From now on the journal is {journal}. Name it in the settings, or with:", journal=new)),
        command(str(setting("journal", printable(advised)))),
        labelled(
            "!",
            said(
                "do not go on with {journal}: what was sent would be found in the billing, but pauses, decisions and "
                "undone rows of the copy would be missing there. Keep it as a backup, under another name",
                journal=old,
            ),
            "yellow",
        ),
    )


def _object(copied: CopiedJournal, source: JournalAddress, target: JournalAddress) -> Mapping[str, object]:
    """The object of `--json`."""
    return {
        "from": str(source),
        "to": str(target),
        "runs": [
            {
                "run": one.run.name,
                "job": one.run.job,
                "rows": one.totals.read,
                "sum": one.totals.amount,
                "root": one.root,
            }
            for one in copied.runs
        ],
        "rows": copied.rows,
        "exit": int(Exit.DONE),
    }
