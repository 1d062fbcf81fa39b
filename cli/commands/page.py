"""`page`: shows runs in a browser while they work, and takes commands from there."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from checkpoints.journal import Journal
from checkpoints.records import Run
from cli.commands.execution import with_settings
from cli.session.journal import open_existing
from cli.settings.flags import RUN_NAME_OR_NONE, JournalFlags
from cli.settings.settings import Settings, journal_of_all, known_billings, without_profile_or_default
from cli.terminal.exits import Exit
from cli.terminal.options import switch
from cli.terminal.screen import JsonVoice, Screen
from cli.terminal.texts import markup_safe, reader
from cli.terminal.waiting import waiting
from texts.said import said

if TYPE_CHECKING:
    from cli.page.application import PageOrder
    from cli.session.session import OpenPage


@with_settings(
    "page",
    JournalFlags,
    JsonVoice,
    reads="read_only",
    flags_of=lambda flags, given: flags if given["name"] else without_profile_or_default(flags),
)
async def _page(
    settings: Settings,
    screen: Screen,
    name: str | None = RUN_NAME_OR_NONE,
    *,
    read_only: bool = switch("Take no commands from the page."),
) -> Exit:
    """Show runs in a browser while they work, until Ctrl-C.

    Without a name, all runs of the journal. The page is for this machine; it says how another one reaches it.
    """
    from cli.page.application import serving

    where = settings.journal.value
    if name is None:
        where = await anyio.to_thread.run_sync(journal_of_all, settings, os.environ)
    order = _order(name, settings, read_only=read_only)
    async with open_existing(where) as journal, serving(journal, order) as address:
        if screen.voice.as_json:
            screen.emit({"address": address.url, "tunnel": address.tunnel})
        else:
            screen.out.print(address.url, markup=False, soft_wrap=True)
            screen.say(markup_safe(said("From another machine: {command}", command=address.tunnel)))
        with waiting(None):
            await anyio.sleep_forever()
    return Exit.DONE


def page_beside(settings: Settings, screen: Screen) -> "OpenPage":
    """The page of a run, served by the process that works on it; its address is shown when it is there."""

    @asynccontextmanager
    async def opened(run: Run, journal: Journal) -> AsyncIterator[None]:
        from cli.page.application import serving

        async with serving(journal, _order(run.name, settings)) as address:
            screen.say_always(said("The page of run {run}: {address}", run=run.name, address=address.url))
            screen.say_always(said("From another machine: {command}", command=address.tunnel))
            yield

    return opened


def _order(name: str | None, settings: Settings, *, read_only: bool = False) -> "PageOrder":
    from cli.page.application import PageOrder

    known = known_billings(settings, os.environ)
    return PageOrder(name, reader().name, read_only, settings.letterhead, settings.own_jobs, known)
