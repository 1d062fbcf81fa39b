"""What a command that works on a run was told: its flags and settings, as the session takes them.

Recorder, page, hooks, metrics and the queue of workers are imported for the commands that ask for them.
"""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import structlog

from cli.service.service_manager import service_manager
from cli.session.events import OpenReader
from cli.session.session import Invocation
from cli.settings.flags import Consent, Detaching
from cli.settings.pacing_flags import Pacing
from cli.settings.settings import Settings
from cli.settings.tables import IN_HOOK
from cli.terminal.exits import CommandRefused
from cli.terminal.language import language
from cli.terminal.screen import Screen
from texts.remedies import setting

log = structlog.get_logger(__name__)


async def invocation(  # noqa: PLR0913 - each is a flag or a group of them
    settings: Settings,
    screen: Screen,
    consent: Consent,
    pacing: Pacing,
    *,
    detaching: Detaching | None = None,
    typed: Mapping[str, str] | None = None,
    record: Path | None = None,
    record_names: bool = False,
    page: bool = False,
    ends_outside_hours: bool = False,
) -> Invocation:
    """The invocation of these flags; `typed` is the command line, by parameter.

    Raises `CommandRefused` for flags that do not go together, and what `handing_in` raises.
    """
    hand_in = recorder = opens = None
    if detaching is not None and (detaching.detach or detaching.priority):
        from cli.fleet.hand_in import handing_in

        hand_in = await handing_in(detaching, typed or {}, settings, screen)
    if record is not None:
        from cli.commands.replay import recording_into

        recorder = partial(recording_into, record, names=record_names)
    elif record_names:
        raise CommandRefused(
            "{names} says what a recording keeps: name its file, {file}",
            names=setting("record-names"),
            file=setting("record", "FILE"),
        )
    if page:
        from cli.commands.page import page_beside

        opens = page_beside(settings, screen)
    readers = readers_beside(settings, screen)
    return Invocation(settings, screen, pacing.given, consent, recorder, opens, readers, hand_in, ends_outside_hours)


def readers_beside(settings: Settings, screen: Screen) -> list[OpenReader]:
    """The readers of each run of a command, in the order in which they are told of it. Raises `SettingsRefused`."""
    settings.hidden.require("hooks")
    readers: list[OpenReader] = []
    if settings.hooks and os.environ.get(IN_HOOK):
        log.warning("a hook has started this command, so it calls no hooks")
    elif settings.hooks:
        from cli.hooks.reader import call_hooks

        settings.hooks.check_programs()
        readers.append(call_hooks(settings.hooks, language(settings.language.value), screen.mask))
    if settings.metrics:
        from cli.metrics.reader import publish_metrics

        readers.append(publish_metrics(settings.metrics))
    if (manager := service_manager()) is not None:
        from cli.service.reader import show_to

        readers.append(show_to(manager))
    return readers
