"""The commands on job files: `run FILE.toml`, `plan FILE.toml`, and `run … --save FILE.toml`."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio.to_thread

from cli.jobfile.job_file import PACING, TOML, JobFile, read
from cli.jobfile.save import SaveRequest, save
from cli.jobfile.steps import FileRunOptions, run_file
from cli.session.order import Order
from cli.session.session import OpenRecorder
from cli.settings.flags import Consent, Flags, names_of
from cli.settings.order_flags import CallFlags, RowFlags
from cli.settings.pacing_flags import Pacing, with_file
from cli.settings.settings import Settings
from cli.show.closing import Closing
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.screen import Screen, Voice
from cli.terminal.texts import PROGRAM, markup_safe, printable

BESIDE: Final = frozenset({"job", "record", "out"}) | names_of(Consent, Pacing, Flags, Voice)
"""What may be typed beside a job file, by parameter: it holds for all steps, or is no business of the file."""

SAVED: Final = frozenset(
    {"job", "file", "set_", "again", "another_billing", "shared_accounts", "output", "skip_bad"}
) | names_of(RowFlags, CallFlags, Pacing)
"""What a job file has a place for."""

SAVING: Final = frozenset({"save", "force"}) | names_of(Voice)
"""What tells how a job file is saved."""


async def run(  # noqa: PLR0913 - what the command line says, a thing each
    name: str,
    settings: Settings,
    pacing: Pacing,
    consent: Consent,
    screen: Screen,
    *,
    typed: Mapping[str, str],
    record: OpenRecorder | None,
) -> Closing:
    """Take the steps of the job file in order. Raises `JobFileRefused`, and what `run_file` raises.

    `typed` is what the command line says, by parameter; what would be ignored of it is refused.
    """
    file = await read_file(name, typed)
    options = FileRunOptions(with_file(pacing, file.pacing).given, pacing.given, consent, record)
    return await run_file(file, settings, options, screen)


def save_request(
    order: Order, output: Path | None, consent: Consent, pacing: Pacing, typed: Mapping[str, str]
) -> SaveRequest:
    """All of a command line that is to be saved. Raises `CommandRefused` for what a job file has no place for."""
    if names := [words for name, words in typed.items() if name not in SAVED | SAVING]:
        raise CommandRefused(
            f"a job file has no place for {', '.join(names)}: leave {_them(names)} out here, and type {_them(names)} "
            f"with {PROGRAM} run FILE{TOML}"
        )
    given = {name: _as_written(name, getattr(pacing, name)) for name in sorted(PACING & typed.keys())}
    return SaveRequest(order, output, consent.skip_bad, given)


def _as_written(name: str, value: str | bool) -> object:  # noqa: FBT001 - the switch among the texts
    """A number where the text of a flag is one, as people write it into a job file; money stays a text."""
    if isinstance(value, bool) or name == "limit_money":
        return value
    for kind in (int, float):
        with suppress(ValueError):
            return kind(value)
    return value


def save_order(request: SaveRequest, path: Path, screen: Screen, *, force: bool) -> Closing:
    """Write it as a job file. Raises `CommandRefused`."""
    save(request, path, force=force)
    screen.result(
        f"Saved as {markup_safe(path)}; nothing was sent. Run it with: carbon-migrate run {markup_safe(path)}"
    )
    return Closing(Exit.DONE, job=request.order.kind.name)


def _refuse_ignored(file: str, typed: Mapping[str, str]) -> None:
    """Refuse what would change nothing: whoever typed it believes that it does."""
    if names := [words for name, words in typed.items() if name not in BESIDE]:
        raise CommandRefused(
            f"{printable(file)} says itself what is done, and {', '.join(names)} would be ignored: nothing was "
            "sent.\n"
            f"Leave {_them(names)} out, or let a step say it: docs/job-files.md has all keys"
        )


def _them(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"


async def read_file(name: str, typed: Mapping[str, str]) -> JobFile:
    """The job file of that name. Raises `JobFileRefused`; `CommandRefused` where it would ignore what is `typed`."""
    _refuse_ignored(name, typed)
    # However its path is typed it is the same file, and so are the files beside it.
    return await anyio.to_thread.run_sync(lambda: read(Path(name).resolve()))
