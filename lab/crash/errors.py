"""Errors of the lab.

LabError
├── UnknownJob       no trial tries the job that was named
└── MockNotStarted   the mock billing did not come up
"""


class LabError(Exception):
    """Raised when the lab cannot continue: a problem with its folder, its billing or its program."""


class UnknownJob(LabError):
    """Raised for a job that the lab does not test; the text lists those that it tests."""


class MockNotStarted(LabError):
    """Raised when the mock billing does not start; the text has its output."""
