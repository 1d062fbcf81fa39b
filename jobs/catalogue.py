"""All jobs by their names."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from jobs.balances import BALANCES
from jobs.errors import ParameterRefused
from jobs.kinds import JobKind, nearest
from jobs.warning_threshold import WARNING_THRESHOLD

JOBS: Final[Mapping[str, JobKind]] = MappingProxyType({kind.name: kind for kind in (BALANCES, WARNING_THRESHOLD)})


def kind(name: str) -> JobKind:
    """The kind of job of that name. Raises `ParameterRefused`, naming the nearest and all."""
    if name not in JOBS:
        raise ParameterRefused(f"there is no job {name!r}{nearest(name, JOBS)}; there are: {', '.join(JOBS)}")
    return JOBS[name]
