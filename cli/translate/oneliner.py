"""What a line says: where its rows come from, what they pass through, and the one call that is made of each.

    [NAME=value;] sqlexec "…" | awk … | sed … | while read a b; do [echo …;] curl …; done
    [NAME=value;] curl …

All else is refused by name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cli.errors import CommandRefused
from cli.names import PROGRAM
from cli.translate.faults import Place, named, refused
from cli.translate.pipeline import START, Command, Loop, Pipeline, Stage, parse
from cli.translate.shell import Quote, Text, Token, Word
from cli.translate.variables import filled

_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_FORMS: Final = "what is read is a curl, or sqlexec … | while read …; do curl …; done"

LEFT_OUT: Final[Mapping[str, str]] = {
    "echo": "{} is left out: the run shows its progress and keeps each row",
    "printf": "{} is left out: the run shows its progress and keeps each row",
    "sleep": "{} is left out: --rate and --in-flight pace the run",
    "wait": "{} is left out: a run ends when all its calls have",
    ":": "{} is left out: it does nothing",
}
"""Commands that may stand beside the call, and what is said of them."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the rows of a loop come from, and the variables that it reads them into."""

    sql: Word
    filters: tuple[Command, ...]
    variables: tuple[str, ...]
    loop: Place


@dataclass(frozen=True, slots=True)
class OneLiner:
    """The parts of a line. `rows` is None for a single call; `constants` are variables that the line itself sets."""

    call: Command
    rows: Rows | None
    constants: Mapping[str, Text]
    notes: tuple[str, ...]


def read(tokens: Sequence[Token]) -> OneLiner:
    """The parts of a line. Raises `CommandRefused`, naming the part that cannot be translated."""
    constants: dict[str, Text] = {}
    notes: list[str] = []
    left: list[Pipeline] = []
    for pipeline in parse(tokens):
        if _is_assignment(pipeline):
            constants |= _assigned(pipeline, constants)
        elif (note := _left_out(pipeline)) is not None:
            notes.append(note)
        else:
            left.append(pipeline)
    if not left:
        raise refused(START, f"there is no curl and no sqlexec here, so there is nothing to translate; {_FORMS}")
    if len(left) > 1:
        raise refused(left[1].place, f"another command begins here; {PROGRAM} translate takes one at a time")
    (whole,) = left
    *before, last = whole.stages
    if isinstance(last, Command):
        return OneLiner(_call(whole), None, constants, (*notes, *_of_call(last, apart=whole.apart)))
    rows = _rows(before, last)
    call, apart = _call_of_loop(last, notes)
    return OneLiner(call, rows, constants, (*notes, *_of_call(call, apart=apart)))


def _is_assignment(pipeline: Pipeline) -> bool:
    (first, *others) = pipeline.stages
    return not others and isinstance(first, Command) and all(_sets(word) for word in first.words)


def _sets(word: Word) -> bool:
    found = _ASSIGNMENT.match(word.plain)
    name = word.text.cut(0, found.end()) if found else Text()
    return bool(name.atoms) and all(atom.quote is Quote.NONE for atom in name.atoms)


def _assigned(pipeline: Pipeline, before: Mapping[str, Text]) -> dict[str, Text]:
    found = dict(before)
    for stage in pipeline.stages:
        for word in stage.words if isinstance(stage, Command) else ():
            name, _, _ = word.plain.partition("=")
            found[name] = filled(word.text.cut(len(name) + 1), found)
    return found


def _left_out(pipeline: Pipeline) -> str | None:
    (first, *others) = pipeline.stages
    if others or not isinstance(first, Command) or first.program not in LEFT_OUT:
        return None
    return LEFT_OUT[first.program].format(first.program)


def _call(pipeline: Pipeline) -> Command:
    """The curl that the line is, when it has no loop."""
    first, *others = pipeline.stages
    if isinstance(first, Command) and first.program == "sqlexec":
        raise refused(first.place, f"the rows of this sqlexec go into no loop with a curl; {_FORMS}")
    if not isinstance(first, Command) or first.program != "curl":
        raise _not_understood(first)
    for other in others:
        raise refused(
            other.place, f"{_shown(other)} works on what curl answers, which {PROGRAM} reads and keeps itself"
        )
    return first


def _rows(before: Sequence[Stage], loop: Loop) -> Rows:
    if not before:
        raise refused(loop.place, f"nothing is piped into this loop; {_FORMS}")
    first, *filters = before
    if not isinstance(first, Command) or first.program != "sqlexec":
        raise _not_understood(first)
    if first.redirects or len(first.words) != 2:  # noqa: PLR2004 - its name and the SQL
        raise refused(first.place, 'sqlexec is read with one text behind it, the SQL: sqlexec "select …"')
    found: list[Command] = []
    for one in filters:
        if not isinstance(one, Command):
            raise refused(one.place, "a loop that feeds another is not translated")
        found.append(one)
    return Rows(first.words[1], tuple(found), loop.variables, loop.place)


def _call_of_loop(loop: Loop, notes: list[str]) -> tuple[Command, bool]:
    calls: list[Pipeline] = []
    for pipeline in loop.body:
        if (note := _left_out(pipeline)) is not None:
            notes.append(note)
        elif _is_assignment(pipeline):
            raise refused(pipeline.place, "a variable is set within the loop, which is not translated")
        else:
            calls.append(pipeline)
    if not calls:
        raise refused(loop.place, "the loop makes no call: there is no curl in it")
    if len(calls) > 1:
        raise refused(calls[1].place, "a second command in the loop: a run makes one call for each row")
    return _call(calls[0]), calls[0].apart


def _of_call(call: Command, *, apart: bool) -> list[str]:
    """What is said of a call's surroundings."""
    notes = ["where its output goes is left out: the journal keeps each row's outcome"] if call.redirects else []
    return [*notes, "the & behind curl is left out: --in-flight says how many calls go at a time"] if apart else notes


def _not_understood(stage: Stage) -> CommandRefused:
    return refused(stage.place, f"{_shown(stage)} cannot be translated; {_FORMS}")


def _shown(stage: Stage) -> str:
    return named(stage.program) if isinstance(stage, Command) else "a loop"
