"""Loops that take a line apart by commands: `id=$(echo "$line" | cut -d';' -f1)` becomes a column."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cli.translate.findings import LinePlace, named, refused
from cli.translate.grammar import Redirect, ShellCommand, parse
from cli.translate.script import AWKS, PRINTERS, LoopRows, OneLiner
from cli.translate.words import NEWLINE, Quote, ShellText, Substitution, Variable, Word
from texts.said import said, wording

_PRINT: Final = re.compile(r"\s*\{\s*print\s+\$([1-9][0-9]?)\s*;?\s*\}\s*")
_FIELD: Final = re.compile(r"[1-9][0-9]?")
_WHOLE_LINES: Final = ("", NEWLINE)
_CUTTERS: Final = AWKS | {"cut"}
CHANGED: Final = wording(
    "{program} changes a value of the row, which no run does: change it in the file before the loop. An amount may "
    "keep its comma there"
)
NO_FIELD: Final = wording(
    "{program} is read where it takes one field of a line, as cut -d';' -f2 or awk '{{print $2}}'"
)
AS_ONE: Final = said("a value with a space in it is several words for this loop; the run takes it whole")


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a line: the variable of the line, what parts the fields, "" for white space, and its number."""

    line: str
    delimiter: str
    number: int
    place: LinePlace


def with_fields(parts: OneLiner) -> OneLiner:
    """The same line with the fields of its lines as variables of the loop; unchanged where none is taken so.

    Raises `CommandRefused` where the fields do not make one table.
    """
    found = {name: field for name, inner in parts.commands.items() if (field := _field(inner)) is not None}
    rows = parts.rows
    if rows is not None:
        _refuse_changed(parts, found)
    if not found or rows is None:
        return parts
    first = next(iter(found.values()))
    for field in found.values():
        if (field.line, field.delimiter) != (first.line, first.delimiter):
            raise refused(field.place, said("the fields of a line are read where one character parts all of them"))
    if rows.variables != (first.line,) or rows.taking.delimiter not in _WHOLE_LINES:
        raise refused(first.place, said("${line} is not a whole line, and is taken apart once more", line=first.line))
    _refuse_whole_line(parts, found, first)
    names = _names(found)
    aliases = {
        name: _alias(names[field.number], field) for name, field in found.items() if name not in names.values()
    }
    return replace(
        parts,
        rows=_retaken(rows, names, first.delimiter),
        within={**parts.within, **aliases},
        commands={name: inner for name, inner in parts.commands.items() if name not in found},
        notes=(*parts.notes, *((AS_ONE,) if rows.taking.by_words else ())),
    )


def _names(found: Mapping[str, _Field]) -> dict[int, str]:
    """The variable of each field, by its number."""
    names: dict[int, str] = {}
    for name, field in found.items():
        names.setdefault(field.number, name)
    return names


def _alias(name: str, field: _Field) -> ShellText:
    return ShellText((Variable(name, field.place, Quote.DOUBLE),))


def _retaken(rows: LoopRows, names: Mapping[int, str], delimiter: str) -> LoopRows:
    variables = tuple(names.get(number, f"field_{number}") for number in range(1, max(names) + 1))
    return replace(
        rows, taking=replace(rows.taking, variables=variables, delimiter=delimiter, by_words=False, is_open=True)
    )


def _refuse_whole_line(parts: OneLiner, found: Mapping[str, _Field], first: _Field) -> None:
    """Refuse a line that is used as a whole besides its fields: then it is no column."""
    others = (inner for name, inner in parts.commands.items() if name not in found)
    texts = [
        *(word.text for word in parts.call.words),
        *parts.within.values(),
        *(word.text for inner in others for word in inner.tokens if isinstance(word, Word)),
    ]
    for text in texts:
        for variable in text.variables:
            if variable.name == first.line:
                raise refused(
                    variable.place, said("${line} is used as a whole, and taken apart as well", line=first.line)
                )


def _refuse_changed(parts: OneLiner, found: Mapping[str, _Field]) -> None:
    """Refuse a command that changes a value of the row, and name it; to take a field of it changes nothing."""
    of_row = {*(parts.rows.variables if parts.rows else ()), *parts.commands}
    others = [inner for name, inner in parts.commands.items() if name not in found]
    within = [inner for word in parts.call.words for inner in word.text.substitutions]
    for inner in (*others, *within):
        line, filters = _printed(_stages(inner))
        if line not in of_row:
            continue
        for place, command in enumerate(filters):
            is_cutter = place == 0 and command.program in _CUTTERS
            if not is_cutter:
                raise refused(command.place, said(CHANGED, program=named(command.program)))
            if _taken(command) is None:
                raise refused(command.place, said(NO_FIELD, program=named(command.program)))


def _field(inner: Substitution) -> _Field | None:
    """The field that `echo "$line" | cut …` prints, or `cut … <<< "$line"`; None for any other command."""
    match _stages(inner):
        case [ShellCommand(words=(echo, text), redirects=()), ShellCommand(redirects=()) as cutter] if (
            echo.plain in PRINTERS
        ):
            line = _one_variable(text)
        case [ShellCommand(redirects=(redirect,)) as cutter]:
            line = _one_variable(_fed(redirect))
        case _:
            return None
    taken = _taken(cutter)
    return None if line is None or taken is None else _Field(line, *taken, inner.place)


def _stages(inner: Substitution) -> list[ShellCommand]:
    """The commands of the one pipe within `$(…)`; none where it is anything else."""
    pipelines = parse(inner.tokens)
    if len(pipelines) != 1 or pipelines[0].following:
        return []
    commands = [stage for stage in pipelines[0].stages if isinstance(stage, ShellCommand)]
    return commands if len(commands) == len(pipelines[0].stages) else []


def _printed(stages: Sequence[ShellCommand]) -> tuple[str | None, Sequence[ShellCommand]]:
    """The one variable that goes into a pipe, None for any other text, and the commands that it goes through."""
    match stages:
        case [ShellCommand(words=(echo, *_, text), redirects=()), *filters] if echo.plain in PRINTERS and filters:
            return _one_variable(text), filters
        case [ShellCommand(redirects=(redirect,)), *_]:
            return _one_variable(_fed(redirect)), stages
    return None, ()


def _fed(redirect: Redirect) -> Word | None:
    operator, word = redirect
    return word if operator.symbol == "<<<" else None


def _one_variable(word: Word | None) -> str | None:
    match word:
        case Word(text=ShellText(pieces=(Variable(name),))):
            return name
    return None


def _taken(command: ShellCommand) -> tuple[str, int] | None:
    """What parts the fields, and the number of the one that a cut or an awk prints."""
    arguments = [word.plain for word in command.words[1:]]
    if command.program == "cut":
        return _cut(dict(_options(arguments, ("-d", "-f"))))
    return _printed_field(arguments) if command.program in AWKS else None


def _printed_field(arguments: list[str]) -> tuple[str, int] | None:
    options = dict(_options(arguments[:-1], ("-F",)))
    found = _PRINT.fullmatch(arguments[-1]) if arguments else None
    delimiter = options.get("-F", " ")
    return (_mark(delimiter), int(found[1])) if found and len(delimiter) == 1 and "" not in options else None


def _cut(options: Mapping[str, str]) -> tuple[str, int] | None:
    delimiter, number = options.get("-d", "\t"), options.get("-f", "")
    if "" in options or len(delimiter) != 1 or not _FIELD.fullmatch(number):
        return None
    return _mark(delimiter), int(number)


def _mark(delimiter: str) -> str:
    return "" if delimiter == " " else delimiter


def _options(arguments: list[str], known: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The options with their values; whatever else there is has the name ""."""
    words = iter(arguments)
    for word in words:
        name = word[:2]
        if name not in known:
            yield "", word
        else:
            yield name, word[2:] or next(words, "")
