"""The catalogue: all jobs by name, and by their calls."""

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from functools import cached_property
from typing import Final, TypeAlias

from checkpoints.records import Run
from engine.errors import nearest
from jobs.catalogue.built_in import ALL, IMPORT
from jobs.catalogue.declaration import Declaration
from jobs.catalogue.typed_call import CALL, TYPED_CALL, call_kind
from jobs.spec.chain import Template
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import CREATE, DECLARATION, DECLARATION_DIGEST, GET, SET, JobSpec
from texts.remedies import SETTINGS_FILE, setting
from texts.said import in_lines, said

JOBS: Final[Mapping[str, JobSpec]] = {kind.name: kind for kind in ALL}

KEY: Final = "jobs"
"""The key of the settings that names the declarations."""

_DIGITS: Final = 12
"""Digits of a SHA-256 that are shown."""

DeclarationFile: TypeAlias = Callable[[Container[str]], Declaration]
"""Reads a declaration, given the names that are taken."""


class Catalogue:
    """All jobs that a command knows: the built-in ones, and those of declarations.

    The declarations are read when a job is asked for that is not built in, or all of them: no other command runs code
    that is not ours. With `takes_changed` a run goes on although its declaration has changed.
    """

    def __init__(self, files: Sequence[DeclarationFile] = (), *, takes_changed: bool = False) -> None:
        self._files = tuple(files)
        self._takes_changed = takes_changed

    @cached_property
    def declarations(self) -> tuple[Declaration, ...]:
        """The declarations, also those with a fault."""
        found: list[Declaration] = []
        taken = set(JOBS)
        for file in self._files:
            found.append(file(taken))
            taken |= found[-1].jobs.keys()
        return tuple(found)

    @property
    def faults(self) -> tuple[str, ...]:
        return tuple(one.fault for one in self.declarations if one.fault)

    @property
    def jobs(self) -> Mapping[str, JobSpec]:
        return {**JOBS, **{name: spec for one in self.declarations for name, spec in one.jobs.items()}}

    def get(self, name: str) -> JobSpec | None:
        return JOBS.get(name) or self.jobs.get(name)

    def named(self, name: str) -> JobSpec:
        """The job of that name. Raises `ParameterRefused`, naming the nearest, all, and faults of declarations."""
        if found := self.get(name):
            return found
        unknown = said(
            "there is no job {name!r}{nearest}; there are: {names}",
            name=name,
            nearest=nearest(name, self.jobs),
            names=tuple(self.jobs),
        )
        raise ParameterRefused(in_lines([unknown, *self.faults]))

    def kind(self, name: str, parameters: Mapping[str, str]) -> JobSpec:
        """The kind of job of that name; for `call` it is made from the chain in the parameters.

        Raises `ParameterRefused` for an unknown name, and for an invalid chain.
        """
        return call_kind(parameters) if name == CALL else self.named(name)

    def known(self, run: Run) -> JobSpec | None:
        """The kind of job of a run, to tell what it was; None where its declaration gives it no more."""
        return call_kind(run.parameters) if run.job == CALL else self.get(run.job)

    def of(self, run: Run) -> JobSpec:
        """The kind of job of a run, to work on it.

        Raises `ParameterRefused` as `kind` does; where its declaration cannot be had, or has changed since the run
        was begun.
        """
        if DECLARATION not in run.parameters:
            return self.kind(run.job, run.parameters)
        spec = self.get(run.job)
        if spec is None or spec.declared is None:
            lost = said(
                "run {run} is of the job {job}, which {file} has declared, and the settings give no such job: name "
                "that file in {key} of {settings}, as it was then (SHA-256 {digest}…)",
                run=run.name,
                job=run.job,
                file=run.parameters[DECLARATION],
                key=KEY,
                settings=SETTINGS_FILE,
                digest=run.parameters.get(DECLARATION_DIGEST, "")[:_DIGITS],
            )
            raise ParameterRefused(in_lines([lost, *self.faults]))
        self.check_unchanged(run, spec)
        return spec

    def check_unchanged(self, run: Run, spec: JobSpec) -> None:
        """Raise `ParameterRefused` where the declaration of a job has changed since a run of it was begun."""
        then, now = run.parameters.get(DECLARATION_DIGEST, ""), spec.declared
        if self._takes_changed or now is None or then == now.digest:
            return
        raise ParameterRefused(
            "run {run} was begun with the job {job} of {file} with SHA-256 {then}…, and now it is {now}…: what "
            "was changed could send its rows anew or in another way. Put the file back as it was; or, if the "
            "change does no harm to what that run has sent, add {flag}",
            run=run.name,
            job=run.job,
            file=now.file,
            then=then[:_DIGITS] or said("none"),
            now=now.digest[:_DIGITS],
            flag=setting("changed-declaration"),
        )

    def like(self, call: Template, varying: Collection[str] = ()) -> JobSpec | None:
        """The job that makes such a call, None without one.

        `varying` are the arguments with a value of its own in each row; they distinguish jobs with the same call.
        """
        # An import makes many a call for a row, and none of them alone is one.
        others = [spec for spec in self.jobs.values() if spec not in (TYPED_CALL, IMPORT)]
        same = [spec for spec in others if any(_makes(spec, one, call) for one in spec.templates)]
        apart = [spec for spec in same if spec.varying and spec.varying in varying]
        return next(iter((*apart, *(one for one in same if not one.varying))), None)


BUILT_IN: Final = Catalogue()


def _makes(spec: JobSpec, own: Template, call: Template) -> bool:
    """Whether a call has the methods of a job's call, its required placeholders, and its constants."""
    if (own.model, own.methods) != (call.model, call.methods):
        return False
    # The key of an object does not matter here.
    links = list(zip(own.links, call.links, strict=True))[1 if own.methods[0] == GET else 0 :]
    required = {one.name for one in spec.parameters if one.default is None}
    for mine, theirs in links:
        placeholders, given = dict(mine.places), theirs.arguments
        if not {field for field, name in mine.places if name in required} <= given.keys():
            return False
        # The constants of other methods are options, which parameters choose.
        constant = mine.arguments if mine.method in {SET, CREATE} else {}
        if any(
            name not in given or str(given[name]) != str(value)
            for name, value in constant.items()
            if name not in placeholders
        ):
            return False
    return bool(links)
