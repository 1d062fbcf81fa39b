"""Recordings: made by `run --record`, served by `mock replay`, compared with a live server by `mock diff`."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import structlog
import typer
from rich.text import Text

from billing.api.client import BillingClient, ClientSettings
from billing.api.wire import CallObserver
from cli.commands.execution import errors_shown, settings_in_force
from cli.session.session import OpenRecorder
from cli.settings.flags import ApiFlags, grouped
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.screen import Screen
from cli.terminal.signals import run_command
from cli.terminal.texts import PROGRAM, count, number_of, printable

if TYPE_CHECKING:
    from lab.record.replay import ReplayReport, Speed

log = structlog.get_logger(__name__)

FileOfRecording = Annotated[Path, typer.Argument(metavar="FILE", help="A recording made by `run --record FILE`.")]

MAX_NOTES_SHOWN: Final = 20
"""Requests of each kind that are listed; the rest is counted."""

app: Final = typer.Typer(add_completion=False)


def record_into(path: Path | None) -> OpenRecorder | None:
    """The recorder of a run's exchanges into `path`; None without a file."""
    return None if path is None else partial(_recorder, path)


@asynccontextmanager
async def _recorder(path: Path, client: ClientSettings) -> AsyncIterator[CallObserver]:
    """A recorder into `path`. A recording that fails is logged and does not affect the run."""
    from lab.record.recorder import open_recorder
    from lab.record.recording import RecordingBroken

    try:
        async with open_recorder(path, client) as recorder:
            yield recorder
    except RecordingBroken as error:
        log.error("the recording is not complete", why=str(error))  # noqa: TRY400 - the error's sentence is complete


@app.command("replay")
def _replay(
    file: FileOfRecording,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, metavar="P", help="0 takes a free one.")] = 8082,
    *,
    recorded_timing: Annotated[
        bool, typer.Option("--recorded-timing", help="Let each answer take as long as it did then.")
    ] = False,
) -> None:
    """Serve a recording until Ctrl-C or SIGTERM: the same request gets the same answer.

    Ends with 1 when a request was unknown or one of the recording was never made, and names them.
    """
    from lab.record.replay import serve_replay

    speed: Speed = "recorded" if recorded_timing else "at once"

    async def work() -> "ReplayReport":
        return await serve_replay(file, port=port, speed=speed, announce=announce)

    try:
        report = run_command(work)
    except OSError as error:
        raise CommandRefused(f"port {port} cannot be served: {error.strerror or error}") from error
    screen = Screen()
    screen.result(format_replay_report(report), good=report.same)
    raise typer.Exit(Exit.DONE if report.same else Exit.REJECTED)


def format_replay_report(report: "ReplayReport") -> Text:
    """The report of a replay, in words."""
    was = "was" if report.served == 1 else "were"
    text = Text(f"{number_of(report.served, 'request')} {was} answered as recorded\n")
    for mark, what, named, number in (
        ("✗", "unknown to the recording", report.unknown, report.unknown_count),
        ("–", "never made", report.never_made, report.never_made_count),
    ):
        if number:
            text.append(f"{mark} {count(number)} {what}:\n", "yellow")
            text.append("".join(f"    {printable(one, 160)}\n" for one in named[:MAX_NOTES_SHOWN]))
            text.append(
                f"    … and {count(number - MAX_NOTES_SHOWN)} more\n" if number > MAX_NOTES_SHOWN else "", "dim"
            )
    if report.same:
        text.append("✓ all of the recording, and nothing else", "bold green")
    return text


@app.command("diff", epilog=f"An example: {PROGRAM} mock diff night.rec --api-url http://test-billing:8082")
@grouped
def _diff(file: FileOfRecording, *, flags: ApiFlags) -> None:
    """Ask a live server the recorded reads again, and show what it answers differently; nothing is written.

    Ends with 1 where an answer differs.
    """
    from lab.record.diff import diff

    screen = Screen()
    settings = settings_in_force(flags.whole(), screen)

    async def work() -> int:
        different = 0
        async with BillingClient(settings.client) as client:
            differences = diff(file, client)
            async for difference in differences:
                different += 1
                screen.result(Text(printable(str(difference), 400)), good=False)
        tally = differences.tally
        screen.say(
            f"{number_of(tally.asked, 'read')} asked again of {printable(settings.target)}, {count(different)} "
            f"answered differently; "
            f"not asked: {number_of(tally.writes, 'write')}, {count(tally.secret)} with a secret, "
            f"{count(tally.repeated)} asked before, {count(tally.unanswered)} without a recorded answer"
        )
        return different

    with errors_shown(screen):
        different = run_command(work)
    raise typer.Exit(Exit.REJECTED if different else Exit.DONE)


def announce(url: str) -> None:
    """Print the address on stdout; flush, since a parent process may read it from a pipe."""
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
