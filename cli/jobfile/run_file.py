"""The commands on job files: `run FILE.toml`, `plan FILE.toml`, and `run … --save FILE.toml`."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio.to_thread

from cli.jobfile.job_file import TOML, JobFile, read, save
from cli.jobfile.steps import run_file
from cli.session.order import Order
from cli.session.session import Invocation
from cli.settings.flags import Consent, Flags, names_of
from cli.settings.order_flags import CallFlags, ImportFlags, RowFlags
from cli.settings.pacing_flags import Pacing, with_file
from cli.show.closing import Closing
from cli.terminal.exits import AWAY, CommandRefused, Exit
from cli.terminal.screen import Voice
from cli.terminal.texts import WHOLE, printable
from jobs.catalogue.catalogue import Catalogue
from texts.remedies import command_line
from texts.said import counted, said

BESIDE: Final = frozenset({"job", "record", "out", "overwrite"}) | names_of(Consent, Pacing, Flags, Voice)
"""Parameters allowed beside a job file: they apply to all steps, or do not concern the file."""

SAVED: Final = frozenset(
    {"job", "file", "set_", "again", "another_billing", "shared_accounts", "output", "skip_bad"}
) | names_of(RowFlags, CallFlags, ImportFlags, Pacing)
"""Parameters that a job file can hold."""

SAVING: Final = frozenset({"save", "force"}) | names_of(Voice)
"""Parameters of saving itself."""


async def run(name: str, told: Invocation, pacing: Pacing, *, typed: Mapping[str, str]) -> Closing:
    """Run the steps of the job file in order. Raises `JobFileRefused`, and what `run_file` raises.

    A billing that is away is no refusal, for a job file is started at night, when nobody is there: the code says that
    the same command goes on.
    `typed` is the command line, by parameter; options that would be ignored are refused.
    """
    file = await read_file(name, typed, told.settings.catalogue)
    try:
        return await run_file(file, told, with_file(pacing, file.pacing).given)
    except AWAY as error:
        raise CommandRefused(
            "{error}\nWhen the billing is back, the same command goes on:\n{command}",
            Exit.STOPPED,
            error=error,
            command=file.command,
        ) from error


def save_order(  # noqa: PLR0913 - what a job file has of a command line
    order: Order,
    path: Path,
    told: Invocation,
    pacing: Pacing,
    typed: Mapping[str, str],
    *,
    output: Path | None = None,
    force: bool,
) -> Closing:
    """Write the order of a command line as a job file.

    Raises `CommandRefused`, also for options that a job file cannot hold.
    """
    if names := [words for name, words in typed.items() if name not in SAVED | SAVING]:
        raise CommandRefused(
            counted(
                "a job file has no place for {names}: leave it out here, and type it with {command}",
                "a job file has no place for {names}: leave them out here, and type them with {command}",
                len(names),
                names=tuple(names),
                command=command_line("run", f"FILE{TOML}"),
            )
        )
    given = {name: _toml_value(name, value) for name, value in sorted(pacing.typed.items())}
    save(order, path, given, output=output, skip_bad=told.consent.skip_bad, force=force)
    file = printable(path, WHOLE)
    told.screen.result(
        said(
            "Saved as {path}; nothing was sent. Run it with: {command}", path=file, command=command_line("run", file)
        )
    )
    return Closing(Exit.DONE, job=order.kind.name)


def _toml_value(name: str, value: str | bool) -> object:  # noqa: FBT001 - one switch among texts
    """The value as people write it in a job file: a number where the text is one, but money as text."""
    if isinstance(value, bool) or name == "limit_money":
        return value
    for kind in (int, float):
        with suppress(ValueError):
            return kind(value)
    return value


async def read_file(name: str, typed: Mapping[str, str], catalogue: Catalogue) -> JobFile:
    """The job file of that name. Raises `JobFileRefused`; `CommandRefused` where it would ignore what is `typed`."""
    if names := [words for name, words in typed.items() if name not in BESIDE]:
        raise CommandRefused(
            counted(
                "{file} says itself what is done, and {names} would be ignored: nothing was sent.\n"
                "Leave it out, or let a step say it: docs/reference/job-files.md has all keys",
                "{file} says itself what is done, and {names} would be ignored: nothing was sent.\n"
                "Leave them out, or let a step say it: docs/reference/job-files.md has all keys",
                len(names),
                file=printable(name),
                names=tuple(names),
            )
        )
    # Resolve the path: the same file must be recognised under every spelling.
    return await anyio.to_thread.run_sync(lambda: read(Path(name).resolve(), catalogue))
