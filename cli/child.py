"""`python -m cli.child PARENT WORDS…`: a command of this program that ends in order when its parent dies."""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
"""The kernel sends the signal when the thread that has started this process ends (prctl(2))."""


def main() -> None:
    """Bind this process to its parent, and run the command."""
    parent = int(sys.argv.pop(1))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        # It has died before the kernel was asked.
        sys.exit(128 + signal.SIGTERM)
    from cli.main import main as run_command  # noqa: PLC0415 - only once it is bound

    run_command()


if __name__ == "__main__":
    main()
