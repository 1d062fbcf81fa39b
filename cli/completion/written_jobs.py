"""The jobs of declarations as they are written, for completion: nothing of the files is run.

A name, a summary or a parameter is found where it is written as a text in a call of `JobSpec` or `Parameter`.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

_LONGEST: Final = 1_000_000
"""Bytes of a declaration that are looked through."""


@dataclass(frozen=True, slots=True)
class WrittenJob:
    """A job as it is written: its summary, and its parameters with what is said of them."""

    summary: str
    parameters: Mapping[str, str]


WrittenJobs: TypeAlias = Mapping[str, WrittenJob]
"""Jobs as they are written, by name."""


def written_jobs(files: Sequence[Path]) -> WrittenJobs:
    """The jobs of these files by name; none of a file that cannot be read, or is no Python."""
    return {name: job for file in files for name, job in _of_file(file)}


def _of_file(file: Path) -> Iterator[tuple[str, WrittenJob]]:
    if not file.is_file():
        return
    try:
        with file.open("rb") as opened:
            tree = ast.parse(opened.read(_LONGEST))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    for call in _calls(tree, "JobSpec"):
        if name := _text(call, "name", 0):
            parameters = {_text(one, "name", 0): _text(one, "help", 1) for one in _calls(call, "Parameter")}
            yield (
                name,
                WrittenJob(_text(call, "summary", 1), {one: help_ for one, help_ in parameters.items() if one}),
            )


def _calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name in {getattr(node.func, "id", ""), getattr(node.func, "attr", "")}:
            yield node


def _text(call: ast.Call, keyword: str, place: int) -> str:
    """The text of an argument, "" where it is none."""
    found: Sequence[ast.expr] = [one.value for one in call.keywords if one.arg == keyword] or call.args[
        place : place + 1
    ]
    return value if found and isinstance(found[0], ast.Constant) and isinstance(value := found[0].value, str) else ""
