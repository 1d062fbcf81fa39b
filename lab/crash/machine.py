"""`python -P -m lab.crash.machine NAME PYTHON -P -m MODULE …`: runs a module as if on a machine of its own.

All processes of the lab are on one machine, where each would know of another's, and a frozen one would keep the names
in the kernel that only one of a machine may have. A namespace of its own would take the network as well, and with it
the billing. So this launcher replaces, before any module of the program is imported, what tells machines apart.
`PYTHON` is a program that runs this launcher again, for what the module starts.
"""

import runpy
import socket
import sys
from pathlib import Path
from typing import Any, Final

from checkpoints import lease

_ARGUMENTS: Final = 2
_NAMES: Final = Path("/proc/net/unix")


def become(name: str) -> None:
    """Let this process be on the machine `name`."""
    # The modules of the program take these by name when they are imported, which is later.
    lease.machine = lambda: name  # type: ignore[assignment]  # replaced on purpose
    socket.gethostname = lambda: name
    # Names in the abstract namespace (unix(7)) reach as far as a machine.
    bind, read_text = socket.socket.bind, Path.read_text

    def bind_apart(self: socket.socket, address: Any) -> None:  # noqa: ANN401 - as the standard library has it
        is_abstract = isinstance(address, str) and address.startswith("\0")
        bind(self, f"\0{name}-{address[1:]}" if is_abstract else address)

    def read_own(self: Path, encoding: str | None = None, errors: str | None = None) -> str:
        return "" if self == _NAMES else read_text(self, encoding, errors)

    socket.socket.bind = bind_apart  # type: ignore[assignment]  # replaced on purpose
    Path.read_text = read_own  # type: ignore[method-assign]  # replaced on purpose


def main() -> None:
    """Become the machine that the arguments name, and run the module that they name."""
    name, sys.executable = sys.argv[1 : 1 + _ARGUMENTS]
    del sys.argv[1 : 1 + _ARGUMENTS]
    if sys.argv[1:3] != ["-P", "-m"]:
        sys.exit(f"{sys.argv[1]}: only modules are run, and none of the working folder")
    become(name)
    module = sys.argv[3]
    del sys.argv[1:4]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
