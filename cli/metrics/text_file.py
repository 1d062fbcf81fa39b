"""The text file of the metrics, as node_exporter's textfile collector reads it: always whole, whatever happens.

It is written beside its name, brought to the disk, and renamed: a reader has the old metrics or the new ones. The
file beside it does not end as collectors want it, so what a kill leaves of it is read by nobody.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio.to_thread
import structlog

from cli.terminal.texts import printable, reason_of
from jobs.access.durable import write_all

READABLE: Final = 0o644
"""The exporter is another user. Nothing in the file is secret or of a person."""

RUN_PLACE: Final = "{run}"
"""Stands in the name of the file for that of the run."""

log = structlog.get_logger(__name__)


class MetricsFile:
    """The file of one run. That it cannot be written is logged once, and again only after it could."""

    def __init__(self, named: Path, run: str) -> None:
        self.path = Path(str(named).replace(RUN_PLACE, run))
        self._beside = self.path.with_name(f".{self.path.name}.{run}.new")
        self._failed = False

    async def write(self, text: str) -> None:
        """Replace the file in a thread; no error gets out."""
        try:
            await anyio.to_thread.run_sync(self._replace, text.encode(), abandon_on_cancel=True)
        except OSError as error:
            if not self._failed:
                log.warning(
                    "the file of the metrics cannot be written: the run goes on without it",
                    file=printable(str(self.path)),
                    why=reason_of(error),
                )
            self._failed = True
        else:
            self._failed = False

    def _replace(self, content: bytes) -> None:
        """Write beside, and rename. Raises OSError."""
        # What a killed process has left is no longer written to. A link that somebody puts there is not followed.
        self._beside.unlink(missing_ok=True)
        descriptor = os.open(
            self._beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, READABLE
        )
        try:
            try:
                os.fchmod(descriptor, READABLE)
                write_all(descriptor, content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._beside.replace(self.path)
        except OSError:
            with suppress(OSError):
                self._beside.unlink()
            raise
