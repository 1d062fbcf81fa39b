"""The lock of a run on this machine, whichever copy of its journal is used.

Two copies of a journal know nothing of each other: both would ask the billing for a row, find nothing, and send it.
So whoever works on a run holds a name in the kernel's abstract namespace of sockets (unix(7)), which is made of the
billing and the run and goes with the process. It reaches no further than the machine, or the container; several
machines share a journal in PostgreSQL.
"""

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from checkpoints.records import Run
from cli.settings.file_access import user_name
from cli.terminal.exits import CommandRefused
from engine.control.address import peer_of
from texts.remedies import PROGRAM
from texts.said import Said, said

_ROOT: Final = 0


@contextmanager
def only_copy(run: Run) -> Iterator[None]:
    """Hold the run on this machine. Raises `CommandRefused` where a process works on it with another journal."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as held:
        name = name_of(run)
        try:
            held.bind(name)
        except OSError as error:
            raise CommandRefused(_why_held(run, name)) from error
        held.listen()
        yield


def name_of(run: Run) -> str:
    """The name of a run in the kernel's namespace of this machine."""
    text = f"{run.target}\n{run.name}\n{run.created_at.isoformat()}"
    return f"\0carbon-migrate-run-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _why_held(run: Run, name: str) -> Said:
    """Who holds the name: a process of this user or of root is ours, any other may only know the name."""
    process = "?"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking, suppress(OSError):
        asking.settimeout(1)
        asking.connect(name)
        peer = peer_of(asking)
        process = str(peer.process)
        if peer.user not in {os.geteuid(), _ROOT}:
            # Refused as well: it may be this program, typed by another administrator.
            return said(
                "process {process} of {owner} holds the name of run {run} on this machine. If it is {program} with "
                "another copy of this journal, go on with that journal alone; if it is not, it keeps you from your "
                "run: end it",
                process=process,
                owner=user_name(peer.user),
                run=run.name,
                program=PROGRAM,
            )
    return said(
        "process {process} works on run {run} with another copy of this journal: two copies would enter "
        "the same rows twice. Go on with that journal alone, and put this copy away",
        process=process,
        run=run.name,
    )
