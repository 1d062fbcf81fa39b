"""`worker`: sends the runs that were handed in with `run --detach`."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from checkpoints.errors import JournalAway
from cli.commands.execution import execute
from cli.service.service_manager import service_manager
from cli.settings.flags import Flags, JournalFlags
from cli.settings.known_billings import without_profile
from cli.settings.settings import Settings
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.language import VARIABLE
from cli.terminal.layout import labelled
from cli.terminal.options import as_command, option
from cli.terminal.screen import BriefVoice, Screen
from cli.terminal.signals import heeding
from cli.terminal.texts import JOURNAL_FILE, printable
from cli.terminal.waiting import waiting
from texts.said import Said, counted, said

STALLED: Final = 30.0
"""Seconds without a sign of a worker after which its runs are given out again."""


@as_command("worker")
def _worker(
    *,
    billings: int = option(
        "N", "Runs that are sent at a time, each of another billing.", default=20, least=1, most=1000
    ),
    stalled_after: float = option(
        "SECONDS",
        "When a worker that nothing is heard of has its runs taken away; the same for all workers.",
        default=STALLED,
        least=2,
        most=3600,
    ),
    flags: JournalFlags,
    voice: BriefVoice,
) -> None:
    """Send the runs that were handed in, until Ctrl-C.

    It works for all billings of its settings file, one run of each at a time, and takes over what another worker has
    left undone. Start one on each machine.
    """

    async def work(settings: Settings, screen: Screen) -> Exit:
        from cli.session.queue import require_shared

        require_shared(settings.journal.value)
        try:
            import cli.fleet.worker  # noqa: F401 - what it needs may not be installed
        except ImportError as error:
            raise CommandRefused(
                said(
                    "a worker needs libraries that are not installed: pip install {package}",
                    package="'carbon-migrate[postgres]'",
                )
            ) from error
        return await _work(settings, flags, billings, stalled_after, screen)

    execute(work, without_profile(flags, os.environ), voice.whole(), sends=True)


async def _work(settings: Settings, flags: Flags, billings: int, stalled_after: float, screen: Screen) -> Exit:
    """Work until a signal comes. Raises `SettingsRefused` where no billing can be sent to."""
    from cli.fleet.worker import FleetWorker, WorkerLimits, billings_of
    from cli.session.queue import TYPED, open_queue

    limits = WorkerLimits(billings, stalled_after)
    found = billings_of(settings, flags, os.environ, Path.cwd())
    for profile, why in found.left_out.items():
        screen.say_always(
            labelled("!", said("no run of {profile} is sent here: {why}", profile=profile, why=why), "yellow")
        )
    if not found.profiles:
        raise CommandRefused(said("there is no billing that this worker could send to"))
    # What all workers need is tried before anything is promised; a server that is away is waited for, as later.
    with suppress(JournalAway):
        async with open_queue(settings.journal.value):
            pass

    def words(run: str, profile: str, typed: Mapping[str, str]) -> Sequence[str]:
        given = {"--config": settings.file, "--profile": profile, "--api-url": "" if profile else flags.api_url}
        return [
            "resume",
            run,
            *(word for flag, value in given.items() if value for word in (flag, str(value))),
            *(word for name, value in typed.items() for word in (TYPED[name], value) if word),
            *("--end-outside-hours", "--json", "--quiet"),
        ]

    environment = {**os.environ, VARIABLE: settings.language.value}
    if flags.journal:
        environment[JOURNAL_FILE] = flags.journal

    manager, last = service_manager(), ""

    def say(line: Said) -> None:
        nonlocal last
        last = line
        screen.say(line)
        if manager is not None:
            manager.show(status)

    def status() -> Said:
        return said("{n} of {most} runs are sent; {last}", n=worker.working_on, most=limits.billings, last=last)

    worker = FleetWorker(settings.journal.value, found, limits, environment, words, say)
    say(
        counted(
            "Takes runs of {n} billing, {most} at a time, from {journal}",
            "Takes runs of {n} billings, {most} at a time, from {journal}",
            len(found.profiles),
            most=limits.billings,
            journal=printable(settings.journal.value),
        )
    )
    if manager is not None:
        manager.work()
    async with heeding(worker.heed):
        with waiting(status):
            await worker.work()
    return Exit.DONE
