"""The log: readable lines on stderr, and JSON lines in a file beside the journal.

Where stderr is systemd's journal, each line begins with its priority, as sd-daemon(3) says: `journalctl -p warning`
then finds what is one.
"""

import fcntl
import logging
import os
from collections.abc import Iterator, MutableMapping
from contextlib import closing, contextmanager, suppress
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any, Final

import structlog
from rich.text import Text

from checkpoints.own_files import open_beside
from cli.terminal.exits import SettingsRefused
from cli.terminal.screen import OutputMask, Screen
from cli.terminal.streams import json_line
from cli.terminal.texts import printable, reason_of

# ---- the log's file -----------------------------------------------------------------------------------------------


LARGEST: Final = 10_000_000
"""Bytes after which a log is put aside."""

KEPT: Final = 4
"""Logs that are kept aside, so that all of them together have at most five times `LARGEST`."""


class _PrivateFile(WatchedFileHandler):
    """A file that only its owner can read, opened anew where its path leads to another one."""

    def descriptor(self) -> int:
        """The descriptor of the file that is at the path now."""
        self.reopenIfNeeded()
        if self.stream is None:
            # It could not be opened at an earlier line.
            self.stream = self._open()
            self._statstream()
        return self.stream.fileno()

    def _open(self) -> TextIOWrapper:
        # Mode 0600 like the journal, since it contains labels and amounts.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        if self.baseFilename == os.devnull:
            return Path(os.devnull).open("a", encoding="utf-8")
        return os.fdopen(open_beside(Path(self.baseFilename), flags), "a", encoding="utf-8")


class LogFile:
    """The log at `path`; lines may be added from threads. Raises `OSError` if it cannot be opened."""

    def __init__(self, path: Path, *, largest: int = LARGEST, kept: int = KEPT) -> None:
        self._path = path
        self._largest = largest
        self._kept = kept
        self._file = _PrivateFile(path)

    def add(self, line: str) -> None:
        """Add a line, which is in the file even after a kill; a full disk loses the line and nothing else."""
        with suppress(OSError), self._alone():
            ours = self._file.descriptor()
            if os.fstat(ours).st_size >= self._largest:
                with suppress(OSError):
                    # The path may be free for a moment, when another process has just put the log aside.
                    self._put_aside(ours)
            # One write, which nothing of another process comes between.
            os.write(self._file.descriptor(), f"{line}\n".encode(errors="backslashreplace"))

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._file.close()

    def _put_aside(self, ours: int) -> None:
        """Rename the full file, unless another process is doing so or has done so."""
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

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._file.acquire()
        try:
            yield
        finally:
            self._file.release()


# ---- the log ------------------------------------------------------------------------------------------------------


Entry = MutableMapping[str, Any]

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Of syslog, as systemd's journal has them."""

_OURS: Final = frozenset({"level", "timestamp"})
"""What of an entry is no word of anybody else."""


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
        file = LogFile(path or Path(os.devnull))
    except OSError as error:
        raise SettingsRefused(
            "the log {path} cannot be written: {why}", path=str(path), why=reason_of(error)
        ) from error
    lowest = _LEVELS["debug" if screen.voice.verbose else "info"]
    # On a terminal the progress and the closing say what the log would say between them.
    seen_otherwise = screen.voice.quiet or (screen.err.is_terminal and not screen.voice.verbose)
    on_screen = _LEVELS["warning"] if seen_otherwise else lowest
    bridge = _Bridge(logging.WARNING)
    try:
        with closing(file):
            structlog.configure(
                processors=[
                    structlog.contextvars.merge_contextvars,
                    structlog.processors.add_log_level,
                    structlog.processors.TimeStamper(fmt="iso", utc=True),
                    structlog.processors.format_exc_info,
                    _mask_secrets(screen.mask),
                    _Writer(file, screen, on_screen, _LEVELS["debug" if screen.voice.verbose else "warning"]),
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


class _Writer:
    """The last log processor: writes an entry to the file and, from a level on, to the screen; rows have another."""

    def __init__(self, file: LogFile, screen: Screen, on_screen: int, of_rows: int) -> None:
        self._file = file
        self._screen = screen
        self._on_screen = on_screen
        self._of_rows = max(on_screen, of_rows)
        self._has_priorities = _is_journald(screen)

    def __call__(self, _logger: object, _method: str, entry: Entry) -> str:
        self._file.add(json_line(entry, "utf-8"))
        if _LEVELS.get(entry["level"], 0) >= (self._of_rows if "item" in entry else self._on_screen):
            line = _line(entry)
            if self._has_priorities:
                line = Text(f"<{_PRIORITIES[entry['level']]}>").append_text(line)
            self._screen.err.print(line, soft_wrap=True)
        return ""


def _is_journald(screen: Screen) -> bool:
    """Whether stderr leads to systemd's journal: by the variable alone it might have been redirected since."""
    try:
        stderr = os.fstat(screen.err.file.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


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
            # Logs are English in every language, also where a value is a sentence.
            line.append(printable(str(value)))
    return line


def _mask_secrets(mask: OutputMask) -> structlog.typing.Processor:
    def process(_logger: object, _method: str, entry: Entry) -> Entry:
        return {name: value if name in _OURS else mask.value(value) for name, value in entry.items()}

    return process


class _Bridge(logging.Handler):
    """Forwards the standard library's log records of other packages to the same places."""

    def emit(self, record: logging.LogRecord) -> None:
        """Forward a record."""
        log = structlog.get_logger(record.name)
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)
