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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from checkpoints.address import JournalAddress
from checkpoints.errors import BillingHeld
from checkpoints.records import Run
from cli.settings.file_access import user_name
from engine.control.address import Peer, peer_of
from texts.remedies import PROGRAM
from texts.said import said

_SENDS: Final = "carbon-migrate-sends-"
_ROOT: Final = 0


@contextmanager
def only_journal(run: Run, journal: JournalAddress) -> Iterator[None]:
    """Hold the run's billing on this machine for one journal. Raises `BillingHeld` where another one sends to it."""
    beginning, own = beginning_for(run), _digest(_identity_of(journal))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as held:
        held.bind(f"\0{beginning}{own}-{run.name}-{os.getpid()}")
        held.listen()
        # The own name is there before others are looked for: of two that begin together, one at least sees the other.
        for name in _abstract_names():
            theirs, _, other = name.removeprefix(beginning).rpartition("-")[0].partition("-")
            if name.startswith(beginning) and theirs != own:
                raise BillingHeld(_why(run, other, f"\0{name}"), other)
        yield


def beginning_for(run: Run) -> str:
    """How the names of all that send to the run's billing begin."""
    return f"{_SENDS}{_digest(_billing_of(run))}-"


def _billing_of(run: Run) -> str:
    """What a billing is known by on this machine."""
    return run.target


def _identity_of(journal: JournalAddress) -> str:
    """What a journal is known by, whatever name it is opened by; those in PostgreSQL have leases among themselves."""
    if journal.is_shared:
        return "postgres"
    file = journal.path.stat()
    return f"{file.st_dev}:{file.st_ino}"


def _why(run: Run, other: str, name: str) -> str:
    """Who holds the name: a process of this user or of root is ours, any other may only know the name."""
    peer = _holder_of(name)
    process = str(peer.process) if peer else "?"
    if peer and peer.user not in {os.geteuid(), _ROOT}:
        # Refused as well: it may be this program, typed by another administrator.
        return said(
            "process {process} of {owner} sends run {run} to this billing with another journal, or says so. If it is "
            "{program}, wait for its end; if it is not, it keeps you from your run: end it",
            process=process,
            owner=user_name(peer.user),
            run=other,
            program=PROGRAM,
        )
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


def _holder_of(name: str) -> Peer | None:
    """The process that holds the name, None if it is gone by now."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking, suppress(OSError):
        asking.settimeout(1)
        asking.connect(name)
        return peer_of(asking)
    return None
