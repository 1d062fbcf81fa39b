"""What ends the lab.

LabError
├── UnknownJob       no trial tries the job that was named
└── MockNotStarted   the mock billing did not come up
"""


class LabError(Exception):
    """Raised when the lab cannot go on: its folder, its billing or its program is not as it has to be."""


class UnknownJob(LabError):
    """Raised when a job is named that the lab does not try; the text says which it tries."""


class MockNotStarted(LabError):
    """Raised when the mock billing does not come up; the text has what it said."""
