"""`journal`: copies a whole journal, from a file or PostgreSQL into either; makes the key for its passwords."""

import os
import shlex
from functools import cache
from pathlib import Path

import anyio.to_thread

from checkpoints.copying import copy_journal
from cli.commands.execution import close, run_alone
from cli.session.order import keys_of
from cli.settings.flags import CONFIG, Flags
from cli.settings.places import typed_journal
from cli.settings.settings import load
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import command, drawn, render, stack
from cli.terminal.options import argument, as_command
from cli.terminal.screen import BriefVoice, Screen
from cli.terminal.streams import waiting
from cli.terminal.texts import printable
from jobs.access.vault import SecretCopy, VaultKeys, new_key, vault_path
from texts.said import VAULT_KEY, reason_of, said


@as_command("journal copy")
def _copy(
    source: str = argument("FROM", "The journal: a file, or postgresql://HOST/DATABASE?schema=NAME."),
    target: str = argument("TO", "A new or empty journal, named in the same way."),
    *,
    config: Path | None = CONFIG,
    voice: BriefVoice,
) -> None:
    """Copy a whole journal: from a file to PostgreSQL, back, or to another file.

    Nothing may work on it meanwhile. Totals and roots of all runs are compared; the copy is there as a whole or not
    at all. From then on the copy is the journal.
    """
    screen = Screen(voice)

    @cache
    def keys() -> VaultKeys | None:
        settings = load(Flags(config=config), os.environ, Path.cwd())
        screen.mask.hide(settings.secrets)
        return keys_of(settings)

    async def copy() -> Exit:
        old, new = (typed_journal(text, name, os.environ) for text, name in ((source, "FROM"), (target, "TO")))
        secrets = SecretCopy(old, new, keys)
        await anyio.to_thread.run_sync(secrets.check)
        copying = said("copying {journal} to {target}", journal=printable(str(old)), target=printable(str(new)))
        try:
            with waiting(copying):
                copied = await copy_journal(old, new, secrets)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(secrets.undo)
            raise
        runs = [
            {"run": one.run.name, "job": one.run.job, "rows": one.totals.read, "sum": one.totals.amount}
            | {"root": one.root}
            for one in copied.runs
        ]
        facts = {"from": str(old), "to": str(new), "runs": runs, "rows": copied.rows, "secrets": secrets.copied}
        vault = vault_path(old.path.resolve()) if secrets.copied and not old.is_shared else None
        left = {"secrets": secrets.copied, "vault": vault, "remove": vault and shlex.join(["rm", str(vault)])}
        # The copy is to be used by the name that leads to it.
        advised = printable(target if new.postgres else str(new))
        shown = drawn("journal.j2", runs=copied.runs, source=old, target=new, advised=advised, **left)
        return close(screen, Exit.DONE, shown, facts)

    run_alone(copy, screen, calls=False)


@as_command("journal key")
def _key(
    file: Path = argument("FILE", "The file to be made; one that is there is left alone."),
    *,
    voice: BriefVoice,
) -> None:
    """Make a key for the passwords of rows in PostgreSQL.

    They are kept there encrypted. All machines that work on the runs need the same key, in a file that only its owner
    can read, which vault_key in their settings names.
    """
    screen = Screen(voice)
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
    made = VaultKeys.parse(text).first
    is_there = said("✓ key {key} is in {file}, which only you can read", key=made, file=printable(file))
    shown = stack(
        render(is_there, "bold green"),
        "",
        said("Copy the file to each machine that works on the runs, and name it in its settings:"),
        command(f'{VAULT_KEY} = "{file}"'),
        said("Keep a copy apart from the database: without the key, the rows have to be given again."),
    )
    close(screen, Exit.DONE, shown, {"file": str(file.absolute()), "key": made})
