"""Declarations: Python files with jobs of one's own.

A declaration is run once, from the bytes whose SHA-256 its jobs carry, and what stands at its top as a `JobSpec` is a
job. It stands alone: the folder that it lies in is not searched for modules. One that fails, or declares what could
not be run, gives its fault with the line, and no job.
"""

import ast
import re
import sys
import traceback
from collections.abc import Callable, Container, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Final, ParamSpec, TypeVar

from billing.errors import NotASelect
from engine.errors import EngineError
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import Parameter
from jobs.spec.spec import (
    DECLARATION,
    DECLARATION_DIGEST,
    INPUT,
    ChainKind,
    DeclaredIn,
    JobSpec,
    asked_for,
    describe_secret_arguments,
    kind_of,
    own_select,
)
from texts.said import Said, SaidError, said, text_of

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
