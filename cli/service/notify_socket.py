"""The socket on which a process tells its service manager how it is, as sd_notify(3) describes it.

It is a datagram of lines `NAME=value`. No library for it is kept up that needs no compiler, and these lines are fewer
than it would have. A path that begins with `@` is of the abstract namespace, which is in no file system.
"""

import socket
from collections.abc import Mapping
from typing import Final, TypeAlias

import structlog

from cli.terminal.texts import reason_of

_ABSTRACT: Final = "@"

Facts: TypeAlias = Mapping[str, str | int]
"""What is told, by name."""

log = structlog.get_logger(__name__)


class NotifySocket:
    """Sends to the socket at `address`, "" for none.

    That it cannot is logged once, and again only after it could.
    """

    def __init__(self, address: str) -> None:
        self._address = f"\0{address[1:]}" if address.startswith(_ABSTRACT) else address
        self._kept: Facts = {}
        """What a full queue has not taken: it goes with what is told next."""
        self._failed = False

    def __bool__(self) -> bool:
        return bool(self._address)

    def tell(self, facts: Facts, patience: float = 0.0) -> None:
        """Send the facts; no error gets out. For a queue that is full it waits so many seconds, and blocks."""
        facts, self._kept = {**self._kept, **facts}, {}
        if not self._address or not facts:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(patience)
                sender.sendto(_message(facts), self._address)
        except (BlockingIOError, TimeoutError):
            # The queue holds ten datagrams on some machines, and a busy systemd empties it late.
            self._kept = facts
        except (OSError, ValueError) as error:
            if not self._failed:
                why = reason_of(error) if isinstance(error, OSError) else str(error)
                log.warning("systemd cannot be told of the run: it goes on without that", why=why)
            self._failed = True
        else:
            self._failed = False


def _message(facts: Facts) -> bytes:
    """A line for each fact, which itself has one line."""
    return "\n".join(f"{name}={' '.join(str(value).splitlines())}" for name, value in facts.items()).encode(
        "utf-8", "replace"
    )
