"""All jobs by their names."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from checkpoints.records import Run
from jobs.catalogue.deletions import DELETIONS
from jobs.catalogue.money import MONEY
from jobs.catalogue.passwords import PASSWORDS
from jobs.catalogue.readings import READINGS
from jobs.catalogue.services import ATTRIBUTES, OFFERS, SERVICES
from jobs.catalogue.subscribers import ACCOUNTS, SUBSCRIBERS, USERS
from jobs.catalogue.typed_call import CALL, TYPED_CALL, call_kind
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import nearest
from jobs.spec.spec import JobSpec

JOBS: Final[Mapping[str, JobSpec]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            *MONEY,
            *ACCOUNTS,
            *SUBSCRIBERS,
            *USERS,
            *OFFERS,
            *SERVICES,
            *ATTRIBUTES,
            *DELETIONS,
            *READINGS,
            *PASSWORDS,
            TYPED_CALL,
        )
    }
)


def kind(name: str, parameters: Mapping[str, str]) -> JobSpec:
    """The kind of job of that name; what `call` is, its chain among the parameters tells.

    Raises `ParameterRefused`, naming the nearest and all, and for a chain that is none.
    """
    return call_kind(parameters) if name == CALL else job_named(name)


def job_of(run: Run) -> JobSpec:
    """The kind of job of a run in the journal.

    Raises `ParameterRefused` as `kind` does.
    """
    return kind(run.job, run.parameters)


def job_named(name: str) -> JobSpec:
    """The kind of job of that name, as the list has it. Raises `ParameterRefused`, naming the nearest and all."""
    if name not in JOBS:
        raise ParameterRefused(f"there is no job {name!r}{nearest(name, JOBS)}; there are: {', '.join(JOBS)}")
    return JOBS[name]
