"""`page`: shows runs in a browser while they work, and takes commands from there."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from checkpoints.journal import Journal
from checkpoints.records import RowFigures, Run
from cli.commands.execution import with_settings
from cli.session.journal import open_existing, usable_run
from cli.settings.flags import RUN_NAME_OR_NONE, Flags
from cli.settings.settings import (
    KnownBillings,
    Settings,
    journal_of_all,
    known_billings,
    load,
    without_profile_or_default,
)
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.names import place_of
from cli.terminal.options import switch
from cli.terminal.screen import JsonVoice, Screen
from cli.terminal.streams import waiting
from cli.terminal.texts import markup_safe, reader
from texts.said import SaidError, said, text_of

if TYPE_CHECKING:
    from cli.page.application import PageOrder
    from cli.page.verifying import VerifyRun
    from cli.session.session import OpenPage


@with_settings(
    "page",
    Flags,
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
    no_names: bool = switch("For people who only watch: no names, sums, rows, commands or files."),
) -> Exit:
    """Show runs in a browser while they work, until Ctrl-C.

    Without a name, all runs of the journal. The page is for this machine; it says how another one reaches it.
    """
    from cli.page.application import serving

    where = settings.journal.value
    if name is None:
        where = await anyio.to_thread.run_sync(journal_of_all, settings, os.environ)
    order = replace(_order(name, settings), read_only=read_only, names=not no_names)
    if settings.api_url.value is not None:
        order = replace(order, verify=_verifier(settings, order.known, screen))
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
    """The page of a run, served by the process that works on it, and what shows its address."""

    @asynccontextmanager
    async def opened(run: Run, journal: Journal) -> AsyncIterator[Callable[[], None]]:
        from cli.page.application import serving

        async with serving(journal, _order(run.name, settings)) as address:

            def show() -> None:
                screen.say_always(said("The page of run {run}: {address}", run=run.name, address=address.url))
                screen.say_always(said("From another machine: {command}", command=address.tunnel))

            yield show

    return opened


def _order(name: str | None, settings: Settings) -> "PageOrder":
    from cli.page.application import PageOrder

    known = known_billings(settings, os.environ)
    letterhead, own_jobs = settings.letterhead, settings.own_jobs
    return PageOrder(name, reader().name, letterhead=letterhead, own_jobs=own_jobs, known=known)


def _verifier(settings: Settings, known: KnownBillings, screen: Screen) -> "VerifyRun":
    """How the page reads a run back: as `verify` does, by the settings of the run's own billing."""

    def masked(text: str) -> str:
        # What it says may be of the billing, and goes past the screen.
        hidden = screen.mask(str(text))
        return text if hidden == text else hidden

    async def verify(run: Run, journal: Journal, figures: RowFigures) -> Sequence[str]:
        from cli.commands.verify import verified
        from cli.session.session import Invocation, open_session

        own, profile = settings, known.profile_of(run)
        if profile and (settings.profile is None or settings.profile.badge.profile != profile):
            own = await anyio.to_thread.run_sync(
                load, Flags(config=settings.file, profile=profile), os.environ, Path.cwd()
            )
            screen.mask.hide(own.secrets)
        try:
            run = await usable_run(run.name, journal, "verify")
            async with open_session(Invocation(own, screen), journal, of=run) as opened:
                session = opened.for_run(run)
                found = await verified(run, await session.rebuild(run), session, None, figures)
        except SaidError as error:
            raise CommandRefused(masked(text_of(error))) from error
        rows = [said("{row}: {text}", row=place_of(item), text=difference) for item, difference in found.first]
        return [masked(one) for one in (*rows, *found.differing)]

    return verify
