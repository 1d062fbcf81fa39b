"""`journal`: copies a whole journal, from a file or PostgreSQL into either; makes the key for its passwords."""

import os
import shlex
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Final

import anyio.to_thread
import typer
from rich.console import RenderableType
from rich.text import Text

from checkpoints.address import JournalAddress
from checkpoints.copying import CopiedJournal, copy_journal
from cli.commands.execution import errors_shown
from cli.session.vaults import keys_of
from cli.settings.flags import ConfigPath, Flags, argument, grouped
from cli.settings.places import typed_journal
from cli.settings.settings import load
from cli.show.parts import Part, facts, stack
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import command, labelled, render
from cli.terminal.screen import BriefVoice, Screen
from cli.terminal.signals import run_command
from cli.terminal.texts import printable, reason_of
from cli.terminal.waiting import waiting
from jobs.access.vault import FindKeys, SecretCopy, VaultKeys, new_key, vault_path
from texts.remedies import VAULT_KEY, setting
from texts.said import counted, said

app: Final = typer.Typer(add_completion=False, help="Move a journal: from a file to PostgreSQL, or back.")


@app.callback()
def _journal() -> None:
    """Move a journal: from a file to PostgreSQL, or back."""


@app.command("copy")
@grouped
def _copy(
    source: Annotated[str, argument("FROM", "The journal: a file, or postgresql://HOST/DATABASE?schema=NAME.")],
    target: Annotated[str, argument("TO", "A new or empty journal, named in the same way.")],
    *,
    config: ConfigPath = None,
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
        keys = cache(partial(_keys_in, config, screen))
        code = run_command(lambda: copy(old, new, screen, keys, advised=advised), calls=False)
    raise typer.Exit(code)


@app.command("key")
@grouped
def _key(
    file: Annotated[Path, argument("FILE", "The file to be made; one that is there is left alone.")],
    *,
    voice: BriefVoice,
) -> None:
    """Make a key for the passwords of rows in PostgreSQL.

    They are kept there encrypted. All machines that work on the runs need the same key, in a file that only its owner
    can read, which vault_key in their settings names.
    """
    screen = Screen(voice.whole())
    with errors_shown(screen):
        made = make_key(file)
    if voice.as_json:
        screen.emit({"file": str(file.absolute()), "key": made, "exit": int(Exit.DONE)})
    screen.result(
        stack(
            render(
                said("✓ key {key} is in {file}, which only you can read", key=made, file=printable(file)),
                "bold green",
            ),
            "",
            said("Copy the file to each machine that works on the runs, and name it in its settings:"),
            command(f'{VAULT_KEY} = "{file}"'),
            said("Keep a copy apart from the database: without the key, the rows have to be given again."),
        )
    )


def make_key(file: Path) -> str:
    """Write a new key into a new file that only its owner can read; its id. Raises `CommandRefused`."""
    text = new_key()
    try:
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(f"{text}\n")
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError as error:
        raise CommandRefused(
            "{file} is there already, and a key in it may be needed: name another file", file=printable(file)
        ) from error
    except OSError as error:
        raise CommandRefused(
            "{file} cannot be written: {reason}", file=printable(file), reason=reason_of(error)
        ) from error
    return VaultKeys.parse(text).first


async def copy(
    source: JournalAddress, target: JournalAddress, screen: Screen, keys: FindKeys, *, advised: str
) -> Exit:
    """Copy a journal, and say which one is to be used, by the name that is `advised`.

    Raises `CommandRefused`, `JournalError` and `VaultFailed`.
    """
    secrets = SecretCopy(source, target, keys)
    await anyio.to_thread.run_sync(secrets.check)
    copying = said("copying {journal} to {target}", journal=printable(str(source)), target=printable(str(target)))
    try:
        with waiting(copying):
            copied = await copy_journal(source, target, secrets)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(secrets.undo)
        raise
    if screen.voice.as_json:
        runs = [
            {
                "run": one.run.name,
                "job": one.run.job,
                "rows": one.totals.read,
                "sum": one.totals.amount,
                "root": one.root,
            }
            for one in copied.runs
        ]
        rest = {"rows": copied.rows, "secrets": secrets.copied, "exit": int(Exit.DONE)}
        screen.emit({"from": str(source), "to": str(target), "runs": runs, **rest})
    screen.result(_closing(copied, source, target, advised, secrets.copied))
    return Exit.DONE


def _keys_in(config: Path | None, screen: Screen) -> VaultKeys | None:
    """The keys of the vault that the settings name. Raises `SettingsRefused`."""
    settings = load(Flags(config=config), os.environ, Path.cwd())
    screen.mask.hide(settings.secrets)
    return keys_of(settings)


def _closing(
    copied: CopiedJournal, source: JournalAddress, target: JournalAddress, advised: str, secrets: int
) -> RenderableType:
    copied_runs = counted(
        "✓ {n} run is copied; its totals and its root are equal in both journals",
        "✓ {n} runs are copied; totals and roots of all are equal in both journals",
        len(copied.runs),
    )
    runs: list[tuple[str, str | Text]] = []
    for one in copied.runs:
        read, job = one.totals.read, one.run.job
        rows = counted("{job}: {n} row, {sum}", "{job}: {n} rows, {sum}", read, job=job, sum=one.totals.amount)
        runs += [(one.run.name, rows), ("", render(one.root, "dim"))]
    taken = counted(
        "{n} password or session of a row that is to be sent is copied as well",
        "{n} passwords and sessions of rows that are to be sent are copied as well",
        secrets,
    )
    left: list[Part] = []
    if secrets and not source.is_shared:
        file = vault_path(source.path.resolve())
        old = said("{file} still has them, in clear. Once you go on with the copy:", file=printable(file))
        left = [labelled("!", old, "yellow"), command(shlex.join(["rm", str(file)]))]
    return stack(
        render(copied_runs, "bold green"),
        facts(*runs, indent=2),
        "",
        said(
            "From now on the journal is {journal}. Name it in the settings, or with:", journal=printable(str(target))
        ),
        command(str(setting("journal", printable(advised)))),
        labelled(
            "!",
            said(
                "do not go on with {journal}: what was sent would be found in the billing, but pauses, decisions and "
                "undone rows of the copy would be missing there. Keep it as a backup, under another name",
                journal=printable(str(source)),
            ),
            "yellow",
        ),
        taken if secrets else None,
        *left,
    )
