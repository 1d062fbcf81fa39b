"""systemd, where it has started this process: it is told that the process works, lives and ends, and its status line.

started ──▶ READY when a run is worked on ──▶ WATCHDOG and STATUS as time goes by ──▶ STOPPING ──▶ the outcome

All of it comes from the event loop, so a loop that hangs says nothing more, and systemd kills it. Nothing of it
changes the work: a fault is logged, and the work goes on.
"""

import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final, Self, TypeAlias

import anyio
import structlog

from cli.session.events import Events, LiveRun, RunBegan, RunEnded, RunReader, describe_outcome
from cli.show.closing import Closing
from cli.terminal.exits import Exit
from cli.terminal.signals import run_alongside
from cli.terminal.texts import JOINT, printable, reason_of, rendered
from texts.said import Said, said

log = structlog.get_logger(__name__)

Facts: TypeAlias = Mapping[str, str | int]
"""What is told, by name, as sd_notify(3) has it."""

ADDRESS: Final = "NOTIFY_SOCKET"
_WATCHDOG: Final = "WATCHDOG_USEC"
_WATCHED: Final = "WATCHDOG_PID"
_ABSTRACT: Final = "@"

EVERY: Final = 5.0
"""Seconds between two status lines, where the watchdog wants no more."""

_MORE: Final = MappingProxyType({"EXTEND_TIMEOUT_USEC": 60_000_000})
"""The minute that each beat asks for while the process starts or ends, which takes as long as the billing does."""

PATIENCE: Final = 1.0
"""Seconds for the last words, when nothing else is left to do."""

LONGEST: Final = 300
"""Characters of a status line."""

_manager: Final[ContextVar["ServiceManager | None"]] = ContextVar("manager", default=None)


def service_manager() -> "ServiceManager | None":
    """The service manager of the command that is carried out, None for one that a person or cron has started."""
    return _manager.get()


class ServiceManager:
    """Tells systemd of this process on the socket at `address`, "" for none. `hide` takes secrets out of a text."""

    def __init__(self, address: str, hide: Callable[[str], str] = str, watchdog: float | None = None) -> None:
        self.every = EVERY if watchdog is None else min(EVERY, watchdog / 2)
        """Seconds between two beats: at most half of the time after which systemd takes the process for hung."""
        self._address = f"\0{address[1:]}" if address.startswith(_ABSTRACT) else address
        self._hide = hide
        self._look: Callable[[], str] | None = None
        self._kept: Facts = {}
        """What a full queue has not taken: it goes with what is told next."""
        self._ready = False
        self._ending = False
        self._failed = set[str]()
        """What cannot be done is logged once, and again only after it could."""

    @classmethod
    def of(cls, environment: MutableMapping[str, str], hide: Callable[[str], str]) -> Self:
        """The one that has started this process; where none has, nobody is told anything.

        The variables are taken away: what this process starts is no service.
        """
        address = environment.pop(ADDRESS, "")
        watchdog, watched = environment.pop(_WATCHDOG, ""), environment.pop(_WATCHED, "")
        is_watched = watchdog.isdecimal() and int(watchdog) > 0 and watched in {"", str(os.getpid())}
        manager = cls(address, hide, int(watchdog) / 1_000_000 if is_watched else None)
        _manager.set(manager if address else None)
        return manager

    def tell(self, facts: Facts, patience: float = 0.0) -> None:
        """Send the facts; no error gets out. For a queue that is full it waits so many seconds, and blocks."""
        facts, self._kept = {**self._kept, **facts}, {}
        if not self._address or not facts:
            return
        lines = (f"{name}={' '.join(str(value).splitlines())}" for name, value in facts.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(patience)
                sender.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
        except (BlockingIOError, TimeoutError):
            # The queue holds ten datagrams on some machines, and a busy systemd empties it late.
            self._kept = facts
        except (OSError, ValueError) as error:
            if "tell" not in self._failed:
                why = reason_of(error) if isinstance(error, OSError) else str(error)
                log.warning("systemd cannot be told of the run: it goes on without that", why=why)
            self._failed.add("tell")
        else:
            self._failed.discard("tell")

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Say again and again that the event loop goes round, and how far the work is, while the context lasts."""

        async def beat() -> None:
            while True:
                more = _MORE if not self._ready or self._ending else {}
                self.tell({"WATCHDOG": 1, **more, **self._status()})
                await anyio.sleep(self.every)

        async with run_alongside(*[beat] * bool(self._address)):
            yield

    def show(self, look: Callable[[], str]) -> None:
        """Take `look` for the status line from now on, and tell it at once."""
        self._look = look
        self.tell(self._status())

    def work(self) -> None:
        if not self._ready:
            self._ready = True
            self.tell({"READY": 1})

    def hear(self, _number: signal.Signals) -> None:
        """A signal asks the process to end, which takes as long as what is in flight."""
        if not self._ending:
            self._ending = True
            self.tell({"STOPPING": 1, **_MORE})

    def end(self, code: Exit, outcome: str | None = None) -> None:
        """The process ends with this code; the outcome remains as the status line, or what was shown last."""
        if outcome is not None:
            self._look = lambda: outcome
        started = {} if self._ready or code not in {Exit.DONE, Exit.INTERRUPTED} else {"READY": 1}
        # A service that ends well without having been started is a failure to systemd, and begun again. Of two such
        # words in a datagram it takes the last one alone.
        self.tell(started, PATIENCE)
        self.tell({**({} if self._ending else {"STOPPING": 1}), **self._status()}, PATIENCE)

    def _status(self) -> Facts:
        if self._look is None:
            return {}
        try:
            line = self._hide(rendered(self._look()).replace(JOINT, " "))
            return {"STATUS": printable(line, LONGEST)}
        except Exception:
            if "status" not in self._failed:
                log.exception("the status line has failed: a fault of ours, please report it")
            self._failed.add("status")
            return {}


# ---- the reader of a run that shows in systemd's status line how far it is ----------------------------------------


def show_to(manager: ServiceManager) -> RunReader:
    """Makes a reader that shows a run. The first one starts the service: billing and journal are at hand then.

    Rows are read and saved only afterwards, which may take as long as it takes.
    """

    async def read(live: LiveRun, events: Events) -> None:
        from cli.show.progress import line  # noqa: PLC0415 - for a service alone

        if live.ended:
            return
        manager.work()
        manager.show(lambda: said("run {run} ({job}): reading its rows", run=live.run.name, job=live.run.job))
        async for event in events:
            match event:
                case RunBegan():
                    manager.show(lambda: line(live.look(), live.run.name).plain)
                case RunEnded(closing=closing):
                    manager.show(lambda: outcome_of(closing))
                    return

    return read


def outcome_of(closing: Closing) -> Said:
    outcome = describe_outcome(closing)
    return said("{run}: {outcome}", run=closing.run, outcome=outcome) if closing.run else outcome
