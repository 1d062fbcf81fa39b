"""The errors of the jobs, besides those of the engine."""

from engine.errors import EngineError
from texts.said import said


class ParameterRefused(EngineError):
    """Raised when a job does not exist, or its parameters are not valid; nothing was read or sent."""


class SecretGone(EngineError):
    """Raised when a secret is needed that is no longer kept; the default message says what to do."""

    def __init__(self) -> None:
        super().__init__(
            said(
                "its secret is kept no longer, for it is wiped when a run is at its end: give the row again, in a "
                "run of its own"
            )
        )


class SecretAltered(EngineError):
    """Raised when a kept secret is not as it was encrypted, or stands in another row than its own."""

    def __init__(self) -> None:
        super().__init__(
            said(
                "its secret was changed in the journal since it was encrypted, and is not sent: give the row again, "
                "in a run of its own, and find out who can write into the database"
            )
        )


class VaultFailed(EngineError):
    """Raised when kept secrets cannot be read or written."""


class VaultLocked(VaultFailed):
    """Raised when a key of the vault is missing; the text says which, and what to do."""


class PasswordsUnwritten(EngineError):
    """Raised when the file of generated passwords cannot be written, or belongs to another run."""
