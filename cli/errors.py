"""What the command line itself refuses, besides what the other rooms raise."""

from cli.exits import Exit


class CommandRefused(Exception):
    """Raised when a command cannot be carried out as it was given; the text says what happened and what to do.

    `code` is what the program ends with.
    """

    def __init__(self, message: str, code: Exit = Exit.REFUSED) -> None:
        super().__init__(message)
        self.code = code


class SettingsRefused(CommandRefused):
    """Raised when the settings cannot be used: a missing one, an unknown key, a value of the wrong kind."""
