"""The catalogue: all jobs by name, and by their calls; with them jobs of one's own, declared in Python files.

A declaration is run once, from the bytes whose SHA-256 its jobs carry, and what stands at its top as a `JobSpec` is a
job. It stands alone: the folder that it lies in is not searched for modules. One that fails, or declares what could
not be run, gives its fault with the line, and no job.
"""

import ast
import re
import sys
import traceback
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Final, ParamSpec, TypeAlias, TypeVar

from billing.errors import NotASelect
from checkpoints.records import Run
from engine.errors import EngineError, nearest
from jobs.catalogue.built_in import ALL, IMPORT
from jobs.catalogue.typed_call import CALL, TYPED_CALL, call_kind
from jobs.spec.chain import Template
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import Parameter
from jobs.spec.spec import (
    CREATE,
    DECLARATION,
    DECLARATION_DIGEST,
    GET,
    INPUT,
    SET,
    ChainKind,
    DeclaredIn,
    JobSpec,
    asked_for,
    describe_secret_arguments,
    kind_of,
    own_select,
)
from texts.said import SETTINGS_FILE, Said, SaidError, in_lines, said, setting, text_of

# ---- declarations: Python files with jobs of one's own ------------------------------------------------------------


_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_RESERVED: Final = frozenset({"check", "undo"})
"""Words that a command takes where it takes the name of a job, and the name of runs that take others back."""
_OF_RUNS: Final = frozenset({DECLARATION, DECLARATION_DIGEST, "enter", "shared_accounts", "secrets"})
"""Names by which a run remembers what belongs to it; like those of its input, they name no parameter of its job."""
_LONGEST_REASON: Final = 300

Given = ParamSpec("Given")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Declaration:
    """A declaration: its path, its digest, and its jobs by name; or its fault, a sentence with the line."""

    path: Path
    digest: str = ""
    jobs: Mapping[str, JobSpec] = field(default_factory=dict)
    fault: str = ""


def read_declaration(path: Path, content: bytes, taken: Container[str]) -> Declaration:
    """The declaration in the bytes of a file, which are run; no job may have a name that is `taken`."""
    digest = sha256(content).hexdigest()
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        tree = ast.parse(content, str(path))
        code = compile(tree, str(path), "exec", dont_inherit=True)
        # What it prints would stand in the middle of a command's JSON.
        with redirect_stdout(sys.stderr):
            exec(code, module.__dict__)  # noqa: S102 - who may have written it was checked
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it raises, also SystemExit, is its fault and not ours
        return Declaration(path, digest, fault=_described(path, error))
    jobs: dict[str, JobSpec] = {}
    for name, spec in list(vars(module).items()):
        if not isinstance(spec, JobSpec) or any(spec is one for one in jobs.values()):
            continue
        if why := _fault_of(spec, is_taken=spec.name in taken or spec.name in jobs):
            bound = (
                node.lineno
                for statement in tree.body
                for node in ast.walk(statement)
                if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
            )
            return Declaration(path, digest, fault=_at(path, next(bound, 0), why))
        jobs[spec.name] = spec
    if not jobs:
        why = said("it declares no job: nothing at its top is a JobSpec")
        return Declaration(path, digest, fault=_at(path, 0, why))
    # What the functions of a job raise is a refused row or a refused run.
    for name, spec in jobs.items():
        jobs[name] = replace(
            spec,
            parameters=tuple(
                replace(one, parse=_refusing(_giving_text(one.parse), ValueError)) for one in spec.parameters
            ),
            chain=spec.chain if isinstance(spec.chain, tuple) else _refusing(spec.chain, ParameterRefused),
            select=spec.select if isinstance(spec.select, str) else _refusing(spec.select, ParameterRefused),
            declared=DeclaredIn(str(path), digest),
        )
    return Declaration(path, digest, jobs)


def _giving_text(parse: Callable[[str], object]) -> Callable[[str], str]:
    def guarded(text: str) -> str:
        value = parse(text)
        if not isinstance(value, str):
            raise TypeError(f"{value!r} is no text")
        return value

    return guarded


def _refusing(function: Callable[Given, Result], refusal: type[Exception]) -> Callable[Given, Result]:
    def guarded(*given: Given.args, **named: Given.kwargs) -> Result:
        try:
            return function(*given, **named)
        except (refusal, EngineError):
            raise
        except Exception as error:
            raise refusal(_reason(error)) from error

    return guarded


def _reason(error: BaseException) -> str:
    # Also of an error whose own text cannot be made.
    return traceback.format_exception_only(error)[-1].strip()[:_LONGEST_REASON]


def _described(path: Path, error: BaseException) -> str:
    """What a file raises, with the last of its own lines on the way there."""
    reason = _reason(error)
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return _at(path, error.lineno or 0, reason)
    own = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == str(path)]
    return _at(path, (own[-1] if own else 0) or 0, reason)


def _at(path: Path, line: int, why: str) -> Said:
    return (
        said("{file}, line {line}: {why}", file=path, line=line, why=why)
        if line
        else said("{file}: {why}", file=path, why=why)
    )


def _fault_of(spec: JobSpec, *, is_taken: bool) -> str:
    """Why a job cannot be run, "" where it can."""
    if not _NAME.fullmatch(str(spec.name)) or spec.name in _RESERVED:
        return said(
            "{name!r} cannot be the name of a job: take small letters and digits, with hyphens, as hotel-fee",
            name=str(spec.name),
        )
    if is_taken:
        return said("there is a job {name!r} already: give this one another name", name=spec.name)
    try:
        _check(spec)
    except (ParameterRefused, NotASelect, _Faulty) as error:
        return said("job {name}: {why}", name=spec.name, why=text_of(error))
    except Exception as error:  # noqa: BLE001 - values of wrong types are found where they are used
        return said("job {name}: {why}", name=spec.name, why=_reason(error))
    return ""


class _Faulty(SaidError):
    """Raised for a job that cannot be run."""


def _check(spec: JobSpec) -> None:
    template = spec.template()
    if spec.special is not None or spec.then is not None:
        raise _Faulty(said("`special` and `then` belong to built-in jobs; leave them out"))
    if secret := describe_secret_arguments(template):
        raise _Faulty(
            "{argument} is a secret, and this file is no place for one: write a placeholder, and let rows say it",
            argument=secret,
        )
    if (kind_of(template) is ChainKind.READS) is spec.writes:
        raise _Faulty("by its methods it needs {wanted}", wanted="writes=False" if spec.writes else "writes=True")
    takes = (*template.names, *asked_for(own_select(spec)), *filter(None, [spec.comment]))
    if lacking := tuple(name for name in takes if name not in {one.name for one in spec.parameters}):
        raise _Faulty("it takes {lacking}, and has no parameter of that name", lacking=lacking)
    for one in (*spec.parameters, *spec.undo_parameters):
        if not isinstance(one, Parameter):
            raise TypeError(f"{one!r} is no Parameter")
        if one.name in _OF_RUNS or one.name.startswith(INPUT):
            raise _Faulty(
                "a run keeps something else by the name {parameter!r}: give the parameter another one",
                parameter=one.name,
            )
        if one.default:
            one.parse(one.default)


# ---- the catalogue ------------------------------------------------------------------------------------------------


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
