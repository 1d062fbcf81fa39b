"""The tables of `exit-codes.md`: the codes, and which command ends with which."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from cli.main import COMMANDS, Product
from cli.terminal import exits
from cli.terminal.exits import Exit
from tools.reference.commands import commands, slug
from tools.reference.markdown import table

ANY: Final = frozenset({Exit.REFUSED, Exit.FAULT, Exit.INTERRUPTED})
"""What every command can end with."""

_RUN: Final = (Exit.DONE, Exit.REJECTED, Exit.STOPPED, Exit.UNDECIDED)

ENDS: Final[Mapping[str, Mapping[Exit, str]]] = MappingProxyType(
    {
        "demo": {Exit.REJECTED: "the proof does not hold"},
        "dictionary": {Exit.REJECTED: "names are left without an id"},
        "plan": {Exit.REJECTED: "rows would be refused"},
        "probe": {
            Exit.STOPPED: "the billing is away, or what was sent cannot be seen yet: probe again",
            Exit.UNDECIDED: "something could not be taken back, and is named",
        },
        "purge": {Exit.STOPPED: "the rows are purged, and the file could not be rewritten"},
        "reconcile": {
            Exit.REJECTED: "as the run: rows were rejected",
            Exit.STOPPED: "a look-up failed, or rows are to be sent",
            Exit.UNDECIDED: "rows are still in doubt",
        },
        "report": {Exit.REJECTED: "`check`: a row differs from the journal"},
        "selftest": {Exit.REJECTED: "a round did not hold", Exit.STOPPED: "the mock billing could not be started"},
        "verify": {
            Exit.REJECTED: "rows or sums read back different, or rows were rejected",
            Exit.STOPPED: "rows are to be sent, or reading failed",
            Exit.UNDECIDED: "rows are in doubt, or cannot be read back",
        },
        "mock replay": {Exit.REJECTED: "a request was unknown, or one of the recording was never made"},
        "mock diff": {Exit.REJECTED: "an answer differs"},
    }
)
"""What a command ends with beside 0 and `ANY`, and when; of what sends, see `_RUN`."""

_SPEAKS_OF: Final[Mapping[Product, str]] = MappingProxyType(
    {Product.OUTPUT: "what it prints", Product.CHANGE: "what it changes", Product.RUN: "the run"}
)


def codes_of(command: str) -> frozenset[Exit]:
    """All codes that a command can end with."""
    if COMMANDS[command.partition(" ")[0]].product is Product.RUN:
        return frozenset({*_RUN, *ANY})
    return frozenset({Exit.DONE, *ENDS.get(command, {}), *ANY})


def code_table() -> str:
    """The codes with what they mean."""
    return table(["code", "means"], [(str(int(code)), text) for code, text in _meanings()])


def command_table() -> str:
    """The commands with the codes of their own."""
    rows = []
    for one in commands():
        product = COMMANDS[one.name.partition(" ")[0]].product
        if product is Product.RUN:
            told = "0, 1, 3 and 4: how the run came out"
        else:
            own = [f"{int(code)}: {when}" for code, when in ENDS.get(one.name, {}).items()]
            told = "; ".join(["0: done", *own])
        rows.append((f"[{one.name}](commands/{slug(one.group)}.md#{slug(one.name)})", told, _SPEAKS_OF[product]))
    return table(["command", "ends with", "speaks of"], rows)


def _meanings() -> Iterator[tuple[Exit, str]]:
    """Each code with the docstring below it, which Python does not keep."""
    (body,) = (
        node.body
        for node in ast.parse(inspect.getsource(exits)).body
        if isinstance(node, ast.ClassDef) and node.name == Exit.__name__
    )
    for line, below in pairwise(body):
        if isinstance(line, ast.Assign) and isinstance(below, ast.Expr):
            (name,) = line.targets
            assert isinstance(name, ast.Name)  # noqa: S101 - for mypy
            yield Exit[name.id], ast.literal_eval(below.value)
