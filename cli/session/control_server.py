"""The control of a run by its mailbox, and what its terminal says of a pause."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from checkpoints.journal import Journal
from checkpoints.records import Run
from cli.terminal.layout import render
from cli.terminal.screen import Screen
from cli.terminal.texts import moment, printable
from engine.pipeline.control import under_control
from engine.pipeline.live_policy import LivePolicy
from texts.remedies import command_line
from texts.said import said

log = structlog.get_logger(__name__)


@asynccontextmanager
async def serve_control(run: Run, journal: Journal, controlled: LivePolicy, screen: Screen) -> AsyncIterator[None]:
    """Serve the run's mailbox while the body runs; a pause in the journal holds before the body begins, and is told.

    Raises `JournalError`.
    """
    async with under_control(run, journal, controlled) as found:
        if found.paused_at:
            log.info("paused", by=found.paused_by, since=found.paused_at.isoformat())
            paused = said(
                "Run {run} is paused, by {who}, since {date}: nothing is sent until {command} is typed in another "
                "terminal.",
                run=found.name,
                who=printable(found.paused_by),
                date=moment(found.paused_at),
                command=command_line("continue", found.name),
            )
            screen.say_always(render(paused, "bold yellow"))
            screen.say_always(said("Ctrl-C ends the waiting, and the run stays paused."))
        yield
