"""The lock of a run on this machine, whichever copy of its journal is used.

Two copies of a journal know nothing of each other: both would ask the billing for a row, find nothing, and send it.
So whoever works on a run holds a name in the kernel's abstract namespace of sockets (unix(7)), which is made of the
billing and the run and goes with the process. It reaches no further than the machine, or the container; several
machines share a journal in PostgreSQL.
"""

import hashlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from checkpoints.records import Run
from cli.terminal.exits import CommandRefused
from engine.control.address import peer_of
from texts.said import said


@contextmanager
def only_copy(run: Run) -> Iterator[None]:
    """Hold the run on this machine. Raises `CommandRefused` where a process works on it with another journal."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as held:
        name = _name_of(run)
        try:
            held.bind(name)
        except OSError as error:
            raise CommandRefused(
                said(
                    "process {process} works on run {run} with another copy of this journal: two copies would enter "
                    "the same rows twice. Go on with that journal alone, and put this copy away",
                    process=_holder_of(name),
                    run=run.name,
                )
            ) from error
        held.listen()
        yield


def _name_of(run: Run) -> str:
    text = f"{run.target}\n{run.name}\n{run.created_at.isoformat()}"
    return f"\0carbon-migrate-run-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _holder_of(name: str) -> str:
    """The process that holds the name, "?" where it is gone by now."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(1)
        try:
            asking.connect(name)
        except OSError:
            return "?"
        return str(peer_of(asking).process)
