"""The keeper: the process that reads a database file for another one, see `billing.database.file_database`.

`python -m billing.database.file_process DESCRIPTOR` takes the descriptor of its end of the line. When the other end
is closed, the keeper cancels its current call, closes selects, transactions and connection, and ends. If the engine
blocks this, an alarm of the kernel ends it.
"""

import select
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Final

import fdb

from billing.database.database import as_database_error, direct
from billing.database.dsn import Dsn
from billing.database.file_database import LEAVING
from billing.database.reader import DirectReader
from billing.errors import BillingError

_IGNORED_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that are left to the other process; the keeper ends after it."""

_BETWEEN_CANCELS: Final = 0.05


def main() -> None:
    for number in _IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # The default action ends the process even when the engine blocks it.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    Keeper(Connection(int(sys.argv[1]))).serve()


class Keeper:
    """Answers one call after another."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._dsn = Dsn("")
        self._reader: DirectReader | None = None
        self._busy = False
        self._hung_up = False

    def serve(self) -> None:
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            with suppress(EOFError, OSError):
                while True:
                    method, arguments = self._line.recv()
                    # `_watch` sets and reads these two in the opposite order, so one of the two sees the other.
                    self._busy = True
                    if self._hung_up:
                        return
                    answer = self._answer(method, *arguments)
                    self._busy = False
                    self._line.send(answer)
        finally:
            self._busy = False
            if self._reader is not None:
                self._reader.close()

    def _watch(self) -> None:
        """Wait until the line is closed, and make this process end soon after."""
        line = select.poll()
        # Only the hang-up, which is always reported; `serve` reads the requests.
        line.register(self._line.fileno(), 0)
        line.poll()
        signal.alarm(LEAVING)
        self._hung_up = True
        while self._busy:
            # Repeated, because the engine ignores a cancel that comes just before its call.
            if self._reader is not None:
                self._reader.break_off()
            time.sleep(_BETWEEN_CANCELS)

    def _answer(self, method: str, *arguments: Any) -> object:  # noqa: ANN401 - those of any method
        try:
            if self._reader is None:
                (self._dsn,) = arguments
                self._reader = direct(self._dsn)
                return None
            return getattr(self._reader, method)(*arguments)
        except BillingError as error:
            return error
        except (fdb.Error, ValueError) as error:
            return as_database_error(self._dsn, error)
        except Exception:  # noqa: BLE001 - a fault of ours, raised in the other process
            return RuntimeError(self._dsn.mask(f"the keeper failed:\n{traceback.format_exc()}"))


if __name__ == "__main__":
    main()
