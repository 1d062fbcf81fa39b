"""Logs: readable lines on stderr, and every line as JSON in a file beside the journal."""

import logging
import os
from collections.abc import Collection, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec
import structlog
from rich.text import Text

from cli.terminal.exits import SettingsRefused
from cli.terminal.screen import Screen
from cli.terminal.texts import printable

Entry = MutableMapping[str, Any]

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_SHORTEST_SECRET: Final = 3
"""Characters; replacing shorter ones would spoil every line and hide nothing that cannot be guessed."""


@contextmanager
def logging_to(path: Path | None, screen: Screen, secrets: Collection[str]) -> Iterator[None]:
    """Log onto the screen and into the file at `path`, its owner's alone, for as long as the context lasts.

    Info and worse are shown, with `--verbose` all, with `--quiet` warnings and worse; the file gets all but debug
    unless `--verbose`. Values of `secrets` come out as dots. Raises `SettingsRefused` when it cannot be written.
    """
    try:
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Labels and amounts stand in it: like the journal, it is nobody else's business.
        file = os.open(path or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingsRefused(f"the log {path} cannot be written: {error.strerror}") from error
    lowest = _LEVELS["debug" if screen.voice.verbose else "info"]
    on_screen = _LEVELS["warning"] if screen.voice.quiet else lowest
    bridge = _Bridge(logging.WARNING)
    try:
        with _lenient(os.fdopen(file, "w", encoding="utf-8", errors="backslashreplace")) as stream:
            structlog.configure(
                processors=[
                    structlog.contextvars.merge_contextvars,
                    structlog.processors.add_log_level,
                    structlog.processors.TimeStamper(fmt="iso", utc=True),
                    structlog.processors.format_exc_info,
                    _hide(secrets),
                    _Writer(stream, screen, on_screen),
                ],
                wrapper_class=structlog.make_filtering_bound_logger(lowest),
                logger_factory=structlog.ReturnLoggerFactory(),
                cache_logger_on_first_use=False,
            )
            logging.getLogger().addHandler(bridge)
            yield
    finally:
        logging.getLogger().removeHandler(bridge)
        structlog.contextvars.clear_contextvars()
        structlog.reset_defaults()


@contextmanager
def _lenient(stream: TextIO) -> Iterator[TextIO]:
    """Close a stream in the end; what a full disk has left unwritten of it is lost, and ends nothing but itself."""
    try:
        yield stream
    finally:
        with suppress(OSError):
            stream.close()


class _Writer:
    """The last processor: one entry to the file and, when it is bad enough, to the screen."""

    def __init__(self, stream: TextIO, screen: Screen, on_screen: int) -> None:
        self._stream = stream
        self._screen = screen
        self._on_screen = on_screen

    def __call__(self, _logger: object, _method: str, entry: Entry) -> str:
        # A line at a time, so that the file says what happened even after a kill; a full disk ends the log alone.
        with suppress(OSError):
            self._stream.write(msgspec.json.encode(entry, enc_hook=str).decode() + "\n")
            self._stream.flush()
        if _LEVELS.get(entry["level"], 0) >= self._on_screen:
            self._screen.err.print(_line(entry), soft_wrap=True)
        return ""


def _line(entry: Entry) -> Text:
    level = str(entry["level"])
    style = {"warning": "yellow", "error": "red", "critical": "bold red"}.get(level, "dim")
    line = Text()
    line.append(f"{str(entry['timestamp'])[11:19]} ", "dim")
    line.append(f"{level:<8}", style)
    line.append(printable(entry["event"]))
    for name, value in entry.items():
        if name not in {"level", "timestamp", "event", "run", "exception"}:
            line.append(f" {name}=", "dim")
            line.append(printable(value))
    return line


def _hide(secrets: Collection[str]) -> structlog.typing.Processor:
    hidden = sorted((secret for secret in secrets if len(secret) >= _SHORTEST_SECRET), key=len, reverse=True)

    def process(_logger: object, _method: str, entry: Entry) -> Entry:
        for name, value in entry.items():
            if isinstance(value, str):
                for secret in hidden:
                    value = value.replace(secret, "•••")  # noqa: PLW2901 - one secret after the other
                entry[name] = value
        return entry

    return process


class _Bridge(logging.Handler):
    """Brings what libraries log by the standard library to the same places."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on."""
        log = structlog.get_logger(record.name)
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)
