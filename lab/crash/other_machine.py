"""`python -m lab.crash.other_machine MODULE …`: runs the program as on another machine, as far as locks can tell.

The names of abstract sockets (unix(7)) reach as far as a machine. A namespace of its own would take the network as
well, and with it the billing. So this launcher keeps the names of its process apart, and shows it none of others,
before any module of the program is imported.
"""

import runpy
import socket
import sys
from pathlib import Path

_NAMES = Path("/proc/net/unix")


def install() -> None:
    """Keep the names of abstract sockets apart for the rest of the process."""
    bind, read_text = socket.socket.bind, Path.read_text

    def bound(self: socket.socket, address: str | bytes) -> None:
        bind(self, f"\0elsewhere-{address[1:]}" if isinstance(address, str) and address[:1] == "\0" else address)

    def read(self: Path, encoding: str | None = None, errors: str | None = None) -> str:
        return "" if self == _NAMES else read_text(self, encoding, errors)

    # Replaced on purpose.
    setattr(socket.socket, "bind", bound)  # noqa: B010
    setattr(Path, "read_text", read)  # noqa: B010


if __name__ == "__main__":
    install()
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
