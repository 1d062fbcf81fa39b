"""What the command line itself refuses, besides what the other rooms raise, and the exit code of each."""

from typing import Final

from billing.errors import BillingError
from checkpoints.errors import ForbiddenTransition, JournalError, JournalNotClosed, RunTakenOver
from cli.exits import Exit
from engine.errors import CountsDiffer, EngineError, LookUpFailed


class CommandRefused(Exception):
    """Raised when a command cannot be carried out as it was given; the text says what happened and what to do.

    `code` is what the program ends with.
    """

    def __init__(self, message: str, code: Exit = Exit.REFUSED) -> None:
        super().__init__(message)
        self.code = code


class SettingsRefused(CommandRefused):
    """Raised when the settings cannot be used: a missing one, an unknown key, a value of the wrong kind."""


OPERATOR_ERRORS: Final = (CommandRefused, EngineError, JournalError, BillingError)
"""What an operator can cause or mend: told in a sentence, never as a traceback."""


def code_of(error: Exception) -> Exit:
    """The exit code of an error that is known."""
    match error:
        case CommandRefused():
            return error.code
        case CountsDiffer() | ForbiddenTransition():
            return Exit.FAULT
        case LookUpFailed() | JournalNotClosed() | RunTakenOver():
            return Exit.STOPPED
        case _:
            return Exit.REFUSED
