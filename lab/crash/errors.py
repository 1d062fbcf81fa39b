"""Errors of the lab.

LabError
├── UnknownJob            no trial tries the job that was named
├── NoTrial               the lab cannot try a job of one's own
└── LabStopped            what the lab needs is away, and may be there when it is started again
    ├── MockNotStarted    the mock billing did not come up
    └── NoPostgres, HandInFailed, of a fleet
"""

from texts.said import SaidError


class LabError(SaidError):
    """Raised when the lab cannot continue: a problem with its folder, its billing or its program."""


class UnknownJob(LabError):
    """Raised for a job that the lab does not test; the text lists those that it tests."""


class NoTrial(LabError):
    """Raised for a job of one's own that the lab has no rows for, or whose effect it does not know."""


class LabStopped(LabError):
    """Raised where the same command may go better later; the text says why."""


class MockNotStarted(LabStopped):
    """Raised when the mock billing does not start; the text has its output."""
