"""The open files of this process: a parallel call is a connection, and the system limits them (`ulimit -n`).

A call that finds no free file is not sent, and looks as if the billing were away: the run is held without end. So
what a run needs is provided before it begins, and before it is driven wider.
"""

import resource
from typing import Final

from engine.pacing.policy import Policy
from texts.said import Quantity, said

BASE: Final = 64
"""Files besides those of calls: journal, log, input, recording, the database's process, standard streams."""

A_CALL: Final = 2
"""Files of a parallel call: its connection, and one that rests between two calls."""


class TooFewFiles(ValueError):
    """Raised when the system lets this process open fewer files than are needed; the text says what to do."""


def widest(policy: Policy) -> int:
    return policy.max_in_flight if policy.in_flight is None else policy.in_flight


def provide_files(calls: int = 0) -> None:
    """See to it that so many parallel calls find their files, within what the system allows. Raises `TooFewFiles`."""
    wanted = BASE + A_CALL * calls
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _reaches(soft, wanted):
        return
    if _reaches(hard, wanted):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return
    what = said("this command needs {wanted} open files", wanted=Quantity(wanted))
    hint = ""
    if calls:
        what = said("{calls} parallel calls need {wanted} open files", calls=Quantity(calls), wanted=Quantity(wanted))
        if (most := (hard - BASE) // A_CALL) > 0:
            hint = said("; with it, {most} are possible", most=Quantity(most))
    raise TooFewFiles(
        said(
            "{what}, and the system lets this process open {hard}{hint}. Raise the limit: ulimit -n 4096 in the "
            "shell, LimitNOFILE=4096 in a service",
            what=what,
            hard=Quantity(hard),
            hint=hint,
        )
    )


def provide_all_files() -> None:
    """Let this process open as many files as the system allows: for clients, whose number nobody here decides."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _reaches(limit: int, wanted: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= wanted
