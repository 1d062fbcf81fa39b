"""Errors of the lab.

LabError
├── NoTrial       the lab cannot try the job that was named
└── LabStopped    what the lab needs is away, and may be there when it is started again
"""

from texts.said import SaidError


class LabError(SaidError):
    """Raised when the lab cannot continue: a problem with its folder, its billing or its program."""


class NoTrial(LabError):
    """Raised for a job that the lab has no rows for, or whose effect it does not know; the text says why."""


class LabStopped(LabError):
    """Raised where the same command may go better later; the text says why."""
