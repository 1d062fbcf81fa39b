"""`worker`: sends the runs that were handed in with `run --detach`."""

from typing import Final

from cli.commands.execution import with_settings
from cli.settings.flags import JournalFlags
from cli.settings.settings import Settings, without_profile
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.options import option
from cli.terminal.screen import BriefVoice, Screen

STALLED: Final = 30.0
"""Seconds without a sign of a worker after which its runs are given out again."""


@with_settings("worker", BriefVoice, sends=True, flags_of=lambda flags, _: without_profile(flags))
async def _worker(
    settings: Settings,
    screen: Screen,
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
) -> Exit:
    """Send the runs that were handed in, until Ctrl-C.

    It works for all billings of its settings file, one run of each at a time, and takes over what another worker has
    left undone. Start one on each machine.
    """
    from cli.session.queue import require_shared

    require_shared(settings.journal.value)
    try:
        from cli.fleet.worker import send_runs
    except ImportError as error:
        # What it needs may not be installed.
        raise CommandRefused(
            "a worker needs libraries that are not installed: pip install {package}",
            package="'carbon-migrate[postgres]'",
        ) from error
    return await send_runs(settings, flags, billings, stalled_after, screen)
