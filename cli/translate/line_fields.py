"""Loops that take a line apart by commands: `id=$(echo "$line" | cut -d';' -f1)` becomes a column."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from cli.translate.findings import LinePlace, refused
from cli.translate.grammar import Redirect, ShellCommand, Taking, parse
from cli.translate.script import LoopRows, OneLiner
from cli.translate.words import NEWLINE, Quote, ShellText, Substitution, Variable, Word

_PRINT: Final = re.compile(r"\s*\{\s*print\s+\$([1-9][0-9]?)\s*;?\s*\}\s*")
_FIELD: Final = re.compile(r"[1-9][0-9]?")
_WHOLE_LINES: Final = ("", NEWLINE)
AS_ONE: Final = "a value with a space in it is several words for this loop; the run takes it whole"


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
    if not found or rows is None:
        return parts
    first = next(iter(found.values()))
    for field in found.values():
        if (field.line, field.delimiter) != (first.line, first.delimiter):
            raise refused(field.place, "the fields of a line are read where one character parts all of them")
    if rows.variables != (first.line,) or rows.taking.delimiter not in _WHOLE_LINES:
        raise refused(first.place, f"${first.line} is no whole line, and is taken apart once more")
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
    taking = Taking(variables, delimiter, keeps_backslashes=rows.taking.keeps_backslashes, is_open=True)
    return replace(rows, taking=taking)


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
                raise refused(variable.place, f"${first.line} is used as a whole, and taken apart as well")


def _field(inner: Substitution) -> _Field | None:
    """The field that `echo "$line" | cut …` prints, or `cut … <<< "$line"`; None for any other command."""
    pipelines = parse(inner.tokens)
    if len(pipelines) != 1 or pipelines[0].following:
        return None
    commands = [stage for stage in pipelines[0].stages if isinstance(stage, ShellCommand)]
    if len(commands) != len(pipelines[0].stages):
        return None
    match commands:
        case [ShellCommand(words=(echo, text), redirects=()), cut] if echo.plain in ("echo", "printf"):
            line, cutter = _one_variable(text), cut if not cut.redirects else None
        case [ShellCommand(redirects=(redirect,)) as cut]:
            line, cutter = _one_variable(_fed(redirect)), cut
        case _:
            return None
    taken = _taken(cutter) if cutter is not None else None
    return None if line is None or taken is None else _Field(line, *taken, inner.place)


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
    match command.program:
        case "cut":
            return _cut(dict(_options(arguments, ("-d", "-f"))))
        case "awk" | "gawk" | "mawk":
            options = dict(_options(arguments[:-1], ("-F",)))
            found = _PRINT.fullmatch(arguments[-1]) if arguments else None
            delimiter = options.get("-F", " ")
            return (_mark(delimiter), int(found[1])) if found and len(delimiter) == 1 and "" not in options else None
    return None


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
