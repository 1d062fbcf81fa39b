"""The log: readable lines on stderr, and JSON lines in a file beside the journal.

It is English in the file, which programs read, and on stderr in the language of its reader.
Where stderr is systemd's journal, each line begins with its priority, as sd-daemon(3) says: `journalctl -p warning`
then finds what is one.
"""

import fcntl
import logging
import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import structlog
from rich.text import Text

from checkpoints.own_files import open_beside
from cli.terminal.exits import SettingsRefused
from cli.terminal.screen import Screen
from cli.terminal.streams import json_line
from cli.terminal.texts import printable, reader
from texts.said import Said, reason_of, text_of

LARGEST, KEPT = 10_000_000, 4
"""Bytes after which a log is put aside, and logs that are kept aside: all of them have at most five times as many."""


class LogFile:
    """The log at `path`, mode 0600; lines may be added from threads. Raises `OSError` if it cannot be opened.

    It is opened for each line: where its path leads to another file since, or to none, the line goes there.
    """

    def __init__(self, path: Path, *, largest: int = LARGEST, kept: int = KEPT) -> None:
        self._path = path
        self._largest = largest
        self._kept = kept
        os.close(self._open())

    def add(self, line: str) -> None:
        """Add a line, which is in the file even after a kill; a full disk loses the line and nothing else."""
        with suppress(OSError):
            ours = self._open()
            try:
                if os.fstat(ours).st_size >= self._largest:
                    with suppress(OSError):
                        # The path may be free for a moment, when another process has just put the log aside.
                        self._put_aside(ours)
                    os.close(ours)
                    ours = self._open()
                # One write, which nothing of another process comes between.
                os.write(ours, f"{line}\n".encode(errors="backslashreplace"))
            finally:
                os.close(ours)

    def _open(self) -> int:
        # Private like the journal, since it contains labels and amounts.
        return open_beside(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def _put_aside(self, ours: int) -> None:
        try:
            fcntl.flock(ours, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        # The lock goes with the descriptor, which is closed when the new file is opened.
        if os.path.samestat(os.fstat(ours), self._path.stat()):
            for number in range(self._kept - 1, 0, -1):
                with suppress(FileNotFoundError):
                    self._aside(number).replace(self._aside(number + 1))
            self._path.replace(self._aside(1))

    def _aside(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


Entry = MutableMapping[str, Any]

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Of syslog, as systemd's journal has them."""
_STYLES: Final = {"warning": "yellow", "error": "red", "critical": "bold red"}


@contextmanager
def logging_to(path: Path | None, screen: Screen) -> Iterator[None]:
    """Log to the screen and to the file at `path` (mode 0600) while the context lasts.

    The screen shows info and above, of single rows warnings and above, with `--verbose` all, with `--quiet` and on a
    terminal warnings and above; the file gets info and above, with `--verbose` all. The screen's mask takes secrets
    out. Raises `SettingsRefused` when the file cannot be written.
    """
    try:
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = LogFile(path) if path is not None else None
    except OSError as error:
        raise SettingsRefused(
            "the log {path} cannot be written: {why}", path=str(path), why=reason_of(error)
        ) from error
    has_priorities, language = False, reader()
    lowest = _LEVELS["debug" if screen.voice.verbose else "info"]
    # On a terminal the progress and the closing say what the log would say between them.
    seen_otherwise = screen.voice.quiet or (screen.err.is_terminal and not screen.voice.verbose)
    on_screen = _LEVELS["warning"] if seen_otherwise else lowest
    of_rows = max(on_screen, _LEVELS["debug" if screen.voice.verbose else "warning"])
    with suppress(OSError, ValueError):
        # Whether stderr leads to systemd's journal: by the variable alone it might have been redirected since.
        stderr = os.fstat(screen.err.file.fileno())
        has_priorities = os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"

    def spoken(text: object) -> object:
        if isinstance(text, float):
            return language.write(text)
        if not isinstance(text, str):
            return text
        return language.render(text) if isinstance(text, Said) else text and language.translate(text)

    def word(text: object) -> str:
        return printable(str(screen.mask.value(spoken(text))))

    def write(_logger: object, _method: str, entry: Entry) -> str:
        """The last processor: masks an entry, and writes it to the file and, from a level on, to the screen."""
        level, when = entry["level"], entry["timestamp"]
        entry = {name: text_of(one) if isinstance(one, BaseException) else one for name, one in entry.items()}
        if file is not None:
            # These two are no words of anybody else.
            masked = {name: screen.mask.value(one) for name, one in entry.items()}
            file.add(json_line(masked | {"level": level, "timestamp": when}, "utf-8"))
        if _LEVELS.get(level, 0) >= (of_rows if "item" in entry else on_screen):
            line = Text(f"<{_PRIORITIES[level]}>" if has_priorities else "")
            line.append(f"{when[11:19]} ", "dim").append(f"{spoken(level):<7} ", _STYLES.get(level, "dim"))
            line.append(word(entry["event"]))
            for name, value in entry.items():
                if name not in {"level", "timestamp", "event", "run", "exception"}:
                    line.append(f" {word(name)}=", "dim").append(word(value))
            screen.err.print(line, soft_wrap=True)
        return ""

    bridge = _Bridge(logging.WARNING)
    try:
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                write,
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


class _Bridge(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)
