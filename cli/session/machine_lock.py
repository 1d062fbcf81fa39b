"""The lock of a billing on this machine: the runs of one journal send to it, and no others.

Two journals know nothing of each other, and neither do two copies of one: both would ask the billing for a row, find
nothing, and send it. So whoever sends holds a name in the kernel's abstract namespace of sockets (unix(7)), made of
the billing, the journal and the run, which goes with the process. Several runs of one journal may send at a time.
The names reach no further than the machine, or the container; several machines share a journal in PostgreSQL.
"""

import hashlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from billing.database.dsn import Dsn
from checkpoints.address import JournalAddress
from checkpoints.errors import BillingHeld
from checkpoints.records import Run
from cli.session.which_billing import addresses_of
from cli.settings.file_access import user_name
from engine.control.address import Peer, peer_of
from texts.remedies import PROGRAM
from texts.said import said

_SENDS: Final = "carbon-migrate-sends-"
_ROOT: Final = 0
_FIREBIRD: Final = "3050"


@contextmanager
def only_journal(run: Run, names: Sequence[str], journal: JournalAddress) -> Iterator[None]:
    """Hold the billing of these `names` on this machine for one journal.

    Raises `BillingHeld` where another journal sends to it.
    """
    own = _digest(_identity_of(journal))
    with ExitStack() as held:
        for name in names:
            each = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            each.bind(f"\0{beginning_for(name)}{own}-{run.name}-{os.getpid()}")
            each.listen()
        # The own names are there before others are looked for: if two begin at once, at least one sees the other.
        taken = _abstract_names()
        for beginning in map(beginning_for, names):
            for name in taken:
                theirs, _, other = name.removeprefix(beginning).rpartition("-")[0].partition("-")
                if name.startswith(beginning) and theirs != own:
                    raise BillingHeld(_why(run, other, f"\0{name}"), other)
        yield


def billing_names(run: Run) -> tuple[str, ...]:
    """What the run's billing is known by on this machine: where its API and its database are. Blocks.

    Two runs with a name in common are of one billing: `localhost` and `127.0.0.1` are one, and so are two ways to one
    database.
    """
    known = addresses_of(run)
    api, database = urlsplit(known["api-url"] or ""), Dsn(known.get("database") or "")
    names = [f"{_resolved(api.hostname or '')}:{api.port}"]
    server, path = database.parts
    if server:
        host, _, port = server.partition("/")
        names.append(f"{_resolved(host)}/{port or _FIREBIRD}:{path}")
    elif path:
        names.append(os.path.realpath(path))
    return tuple(names)


def _resolved(host: str) -> str:
    """The address of a host, or its name where nobody knows it."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return host.lower()


def beginning_for(name: str) -> str:
    """How the kernel's names of all that send to the billing of this name begin."""
    return f"{_SENDS}{_digest(name)}-"


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
