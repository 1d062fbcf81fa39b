"""The lock of a billing on this machine: the runs of one journal send to it, and no others.

Two journals know nothing of each other, and neither do two copies of one: both would ask the billing for a row, find
nothing, and send it. So whoever sends holds a name in the kernel's abstract namespace of sockets (unix(7)), made of
the billing, the journal and the run, which goes with the process. Several runs of one journal may send at a time.
The names reach no further than the machine, or the container; several machines share a journal in PostgreSQL.
"""

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from checkpoints.address import JournalAddress
from checkpoints.errors import BillingHeld
from checkpoints.records import Run
from engine.control.address import peer_of
from texts.said import said

_SENDS: Final = "carbon-migrate-sends-"


@contextmanager
def only_journal(run: Run, journal: JournalAddress) -> Iterator[None]:
    """Hold the run's billing on this machine for one journal. Raises `BillingHeld` where another one sends to it."""
    beginning, own = f"{_SENDS}{_digest(_billing_of(run))}-", _digest(_identity_of(journal))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as held:
        held.bind(f"\0{beginning}{own}-{run.name}-{os.getpid()}")
        held.listen()
        # The own name is there before others are looked for: of two that begin together, one at least sees the other.
        for name in _abstract_names():
            theirs, _, other = name.removeprefix(beginning).rpartition("-")[0].partition("-")
            if name.startswith(beginning) and theirs != own:
                raise BillingHeld(_why(run, other, _holder_of(f"\0{name}")), other)
        yield


def _billing_of(run: Run) -> str:
    """What a billing is known by on this machine."""
    return run.target


def _identity_of(journal: JournalAddress) -> str:
    """What a journal is known by, whatever name it is opened by; those in PostgreSQL have leases among themselves."""
    if journal.is_shared:
        return "postgres"
    file = journal.path.stat()
    return f"{file.st_dev}:{file.st_ino}"


def _why(run: Run, other: str, process: str) -> str:
    if other == run.name:
        return said(
            "process {process} works on run {run} with another copy of this journal: two copies would enter the same "
            "rows twice",
            process=process,
            run=other,
        )
    return said(
        "process {process} sends run {run} to this billing with another journal: two journals would enter the same "
        "rows twice",
        process=process,
        run=other,
    )


def _abstract_names() -> list[str]:
    """The names of abstract sockets on this machine."""
    lines = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace").splitlines()
    return [name for line in lines if (name := line.rpartition(" @")[2]) != line]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _holder_of(name: str) -> str:
    """The process that holds the name, "?" where it is gone by now."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(1)
        try:
            asking.connect(name)
        except OSError:
            return "?"
        return str(peer_of(asking).process)
