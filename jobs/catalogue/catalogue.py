"""The catalogue: all jobs by name, and by their calls."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from checkpoints.records import Run
from engine.errors import nearest
from jobs.catalogue.imports import IMPORT
from jobs.catalogue.money import MONEY
from jobs.catalogue.passwords import PASSWORDS
from jobs.catalogue.readings import READINGS
from jobs.catalogue.services import ATTRIBUTES, DELETE_SERVICES, OFFERS, SERVICES
from jobs.catalogue.subscribers import ACCOUNTS, DELETE_ACCOUNT, SUBSCRIBERS, USERS
from jobs.catalogue.typed_call import CALL, TYPED_CALL, call_kind
from jobs.spec.chain import Link, Template
from jobs.spec.chain_kind import CREATE, GET, SET
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import JobSpec
from texts.said import said

JOBS: Final[Mapping[str, JobSpec]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            *MONEY,
            IMPORT,
            *ACCOUNTS,
            *SUBSCRIBERS,
            *USERS,
            *OFFERS,
            *SERVICES,
            *ATTRIBUTES,
            DELETE_SERVICES,
            DELETE_ACCOUNT,
            *READINGS,
            *PASSWORDS,
            TYPED_CALL,
        )
    }
)


def kind(name: str, parameters: Mapping[str, str]) -> JobSpec:
    """The kind of job of that name; for `call` it is made from the chain in the parameters.

    Raises `ParameterRefused` for an unknown name, with the nearest and all names, and for an invalid chain.
    """
    return call_kind(parameters) if name == CALL else job_named(name)


def job_of(run: Run) -> JobSpec:
    """The kind of job of a run in the journal.

    Raises `ParameterRefused` as `kind` does.
    """
    return kind(run.job, run.parameters)


def job_named(name: str) -> JobSpec:
    """The job of that name in the list. Raises `ParameterRefused`, with the nearest and all names."""
    if name not in JOBS:
        raise ParameterRefused(
            said(
                "there is no job {name!r}{nearest}; there are: {names}",
                name=name,
                nearest=nearest(name, JOBS),
                names=tuple(JOBS),
            )
        )
    return JOBS[name]


# ---- the job of a call -------------------------------------------------------------------------------------------


def job_like(call: Template, varying: Collection[str] = ()) -> str | None:
    """The name of the job that makes such a call, None without one.

    `varying` are the arguments with a value of its own in each row; they distinguish jobs with the same call.
    """
    # An import makes many a call for a row, and none of them alone is one.
    others = [spec for spec in JOBS.values() if spec not in (TYPED_CALL, IMPORT)]
    same = [spec for spec in others if any(_makes(spec, one, call) for one in spec.templates)]
    apart = [spec for spec in same if spec.varying and spec.varying in varying]
    return next((spec.name for spec in (*apart, *(one for one in same if not one.varying))), None)


def _makes(spec: JobSpec, own: Template, call: Template) -> bool:
    """Whether a call has the methods of a job's call, its required placeholders, and its constants."""
    if (own.model, own.methods) != (call.model, call.methods):
        return False
    # The key of an object does not matter here.
    links = list(zip(own.links, call.links, strict=True))[1 if own.methods[0] == GET else 0 :]
    required = {one.name for one in spec.parameters if one.default is None}
    return bool(links) and all(_agree(mine, theirs, required) for mine, theirs in links)


def _agree(mine: Link, theirs: Link, required: Collection[str]) -> bool:
    placeholders = dict(mine.places)
    needed = {field for field, name in mine.places if name in required}
    constant = {name: value for name, value in mine.arguments.items() if name not in placeholders}
    if mine.method not in {SET, CREATE}:
        # The constants of other methods are options, which parameters choose.
        constant = {}
    return needed <= theirs.arguments.keys() and all(
        name in theirs.arguments and str(theirs.arguments[name]) == str(value) for name, value in constant.items()
    )
