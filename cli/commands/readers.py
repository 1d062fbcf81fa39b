"""The readers of a run that the settings ask for: they work beside it, whichever command begins or takes it up."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from cli.service.service_manager import service_manager
from cli.settings.settings import Settings
from cli.settings.tables import IN_HOOK
from cli.terminal.language import language
from cli.terminal.screen import Screen

if TYPE_CHECKING:
    from cli.session.events import OpenReader

log = structlog.get_logger(__name__)


def readers_beside(settings: Settings, screen: Screen) -> "Sequence[OpenReader]":
    """The readers of each run of a command, in the order in which they are told of it. Raises `SettingsRefused`."""
    settings.hidden.require("hooks")
    # Imported here, so that a command without them stays fast.
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
