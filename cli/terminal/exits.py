"""Exit codes: one number for scripts and cron."""

from enum import IntEnum
from typing import Final

from billing.errors import BillingAway, BillingBusy, DatabaseAway
from checkpoints.errors import ForbiddenTransition, JournalAway, JournalNotClosed, RunTakenOver
from checkpoints.records import Totals
from checkpoints.states import State
from engine.errors import CountsDiffer, LookUpFailed, LookUpRefused
from engine.pacing.holds import StopKind
from jobs.spec.toml_places import KeyRefused
from texts.said import Given, SaidError, ValueRefused, said


class Exit(IntEnum):
    """The exit code of a command."""

    DONE = 0
    """All rows were accepted, or there was nothing to do."""
    REJECTED = 1
    """Some rows were not entered: the billing rejected them, they were refused and left out, they are payments
    whose document or date an earlier run has entered, or opening balances of an import that were left out, as
    what is there differs. Or a password is missing, or an undo has left something alone that is in effect, or may
    be."""
    REFUSED = 2
    """Usage, settings or input refused: nothing was sent. Or the output that a command is there for was lost."""
    STOPPED = 3
    """Stopped by the system or by the error budget; `resume` goes on."""
    UNDECIDED = 4
    """Rows are left unknown, a person has to decide on them, or `verify` has no way to read them back."""
    FAULT = 70
    """An internal error of this program; the screen says where the details are."""
    INTERRUPTED = 130
    """Interrupted by a person or a signal; `resume` goes on."""


def exit_of(
    totals: Totals,
    stopped: StopKind | None = None,
    *,
    intake_ended: bool = True,
    approved: bool = True,
    failed: bool = False,
    lacks: bool = False,
) -> Exit:
    """The exit code of a run: that of the first line that holds.

    A stop that came when nothing was left to do does not count. `failed` is a run whose journal or whose output
    failed, `lacks` one that has left out money or an effect, or of whose output something is missing.
    """
    unfinished = not intake_ended or totals.count_where(open=True) > 0
    table = (
        (Exit.INTERRUPTED, not approved or (unfinished and stopped is StopKind.INTERRUPTED)),
        (Exit.UNDECIDED, stopped is StopKind.DECISION and unfinished and intake_ended and not failed),
        (Exit.STOPPED, failed or not intake_ended or (unfinished and stopped) or totals.count_where(to_send=True)),
        (Exit.UNDECIDED, totals.count_where(settled=False)),
        (Exit.REJECTED, totals.count(State.REJECTED) or totals.refused or lacks),
    )
    return next((code for code, holds in table if holds), Exit.DONE)


class CommandRefused(SaidError):
    """Raised when a command cannot be carried out; the text says what happened and what to do.

    `code` is the exit code of the program. `again_in` are seconds after which the same command may be carried out,
    None where somebody has to do something first.
    """

    again_in: float | None = None

    def __init__(self, sentence: str, code: Exit = Exit.REFUSED, /, **values: Given) -> None:
        super().__init__(sentence, **values)
        self.code = code


class HeldElsewhere(CommandRefused):
    """Raised when another process works on the run, or another machine on its billing: it may be done soon."""

    again_in = 5.0


class NothingSent(CommandRefused):
    """Raised when a command is refused before it has sent anything, as the text says; `why` is the reason alone."""

    def __init__(self, sentence: str, code: Exit = Exit.REFUSED, /, **values: Given) -> None:
        self.why = said(sentence, **values) if values else sentence
        super().__init__(said("{why}\nNothing was sent.", why=self.why), code)


class SettingsRefused(CommandRefused):
    """Raised when the settings cannot be used: a missing setting, an unknown key, a value of the wrong type."""


AWAY: Final = (BillingAway, BillingBusy, DatabaseAway)
"""Errors that end by themselves: what is known to be in order goes on later by the same command."""


UNCAUGHT: Final = (ValueRefused, KeyRefused)
"""Errors that are told with their place by whoever reads a value: one that nobody has caught is a fault of ours."""


def code_of(error: SaidError) -> Exit:
    """The exit code of an error."""
    if isinstance(error, UNCAUGHT):
        return Exit.FAULT
    match error:
        case CommandRefused():
            return error.code
        case CountsDiffer() | ForbiddenTransition():
            return Exit.FAULT
        case LookUpRefused():
            # Asked again, it would be refused again.
            return Exit.REFUSED
        case LookUpFailed() | BillingAway() | BillingBusy() | DatabaseAway():
            return Exit.STOPPED
        case JournalAway() | JournalNotClosed() | RunTakenOver():
            return Exit.STOPPED
        case _:
            return Exit.REFUSED
