"""Rows that are lines of text: a file, a list in the line itself, or what text tools print."""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cli.terminal.exits import CommandRefused
from cli.translate.findings import START, Finding, LinePlace, refused
from cli.translate.grammar import ShellCommand
from cli.translate.scope import Scope, undefined
from cli.translate.script import TEXT_TOOLS, FileRows, ListRows, LoopRows, PrintedLines, shown
from cli.translate.tables import LoopTable, column_of
from cli.translate.words import NEWLINE, Quote, ShellText, Stretch, Variable, Word
from jobs.catalogue.typed_call import OWN
from jobs.spec.columns import normalise_header
from texts.said import Quantity, said, wording

_STDIN: Final = "-"
_SPACE: Final = " "
_REST: Final = "..."
"""Behind the name of the last column: it takes the rest of the line, as the last variable of `read` does."""
_BLANKS: Final = re.compile(r"[ \t\n]+")
_RANGE: Final = re.compile(r"\{(0|-?[1-9]\d{0,8})\.\.(0|-?[1-9]\d{0,8})\}")
_PATTERN: Final = frozenset("*?[{")
_LONGEST_RANGE: Final = 10_000
_TAKEN: Final = frozenset(parameter.name for parameter in OWN)

BACKSLASHES: Final = said("read without -r takes each backslash of a value away; the run keeps it")
LAST_LINE: Final = said("a last line without a line end is left out by the loop; the run takes it")
INCOMPLETE: Final = said(
    "a line with too few values is a call with empty ones in the loop; the run refuses it, with its number"
)
TYPED: Final = wording(
    "{{{name}}}: a whole number is sent as a number, anything else as a text, true, false and null too, which the "
    "shell leaves as they are"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable(LoopTable):
    """Lines of text with a name for each column; `delimiter` parts the values, a space stands for any white space.

    With `takes_rest` the last column takes the rest of its line, as the last variable of `read` does; of one that
    `is_open`, what is in no column is passed over.
    """

    file: str
    text: str
    pipe: str
    names: tuple[str, ...]
    variables: tuple[str, ...]
    delimiter: str
    takes_rest: bool
    is_open: bool
    notes: tuple[str, ...] = ()
    faults: tuple[Finding, ...] = ()

    def never_empty(self, used: Collection[str]) -> Collection[str]:
        """White space leaves no value empty: a line with too few is refused, and a blank one passed over."""
        if self.delimiter != _SPACE:
            return ()
        return self.variables[:-1] if self._passes_rest(used) else self.variables

    def options(self, used: Collection[str]) -> tuple[str, ...]:
        """The names of the columns, and what parts the values."""
        return self._options(self.names, used)

    def options_of_job(self, columns: Mapping[str, str]) -> tuple[str, ...]:
        """The same with the names of the job's values."""
        return self._options(self.named_for(columns), columns.values())

    def _options(self, names: Sequence[str], used: Collection[str]) -> tuple[str, ...]:
        if self._passes_rest(used):
            names = (*names[:-1], _REST)
        elif self.is_open or (self.takes_rest and self.delimiter == _SPACE):
            names = (*names[:-1], f"{names[-1]}{_REST}") if self.takes_rest else (*names, _REST)
        delimiter = "tab" if self.delimiter == "\t" else self.delimiter
        return ("--columns", ",".join(names), "--delimiter", delimiter)

    def _passes_rest(self, used: Collection[str]) -> bool:
        """Whether what the last variable takes is used by nothing; then it may be nothing."""
        return self.takes_rest and len(self.names) > 1 and self.names[-1] not in used

    def name_of(self, variable: Variable) -> str:
        """The column of a loop variable."""
        return self.names[self.variables.index(variable.name)]

    def title_of(self, variable: Variable) -> str | None:
        """The name of the variable, which says what the column holds."""
        return self.name_of(variable)


def text_table(
    origin: FileRows | ListRows | PrintedLines, rows: LoopRows, scope: Scope, renamed: Mapping[str, str]
) -> TextTable:
    """The table of lines that feed a loop; `renamed` are names for the columns of some variables.

    Raises `CommandRefused` where it cannot be translated.
    """
    delimiter = rows.taking.delimiter
    is_whole = delimiter == NEWLINE or not delimiter
    file, text, pipe = _origin(origin, rows, scope)
    return TextTable(
        file=file,
        text=text,
        pipe=pipe,
        names=_names(rows.variables, renamed),
        variables=rows.variables,
        delimiter=_SPACE if is_whole else delimiter,
        takes_rest=not rows.taking.by_words and not rows.taking.is_open,
        is_open=rows.taking.is_open,
        notes=tuple(_notes(rows, in_line=bool(text))),
    )


def _notes(rows: LoopRows, *, in_line: bool) -> list[str]:
    """What the loop would do to some rows, and the run does not."""
    found: list[str] = [] if rows.taking.keeps_backslashes else [BACKSLASHES]
    if rows.taking.by_words or in_line:
        return found
    return [*found, *([LAST_LINE] if rows.taking.loses_last else []), INCOMPLETE]


def _names(variables: Sequence[str], renamed: Mapping[str, str]) -> tuple[str, ...]:
    """A name for each column that a chain can use: its variable's, or a number where that cannot be used."""
    names: list[str] = []
    for at, variable in enumerate(variables, 1):
        name = renamed.get(variable, column_of(variable))
        usable = normalise_header(name) and name not in names and name not in _TAKEN
        names.append(name if usable else f"column_{at}")
    return tuple(names)


# ---- where the lines come from -----------------------------------------------------------------------------------


def _origin(origin: FileRows | ListRows | PrintedLines, rows: LoopRows, scope: Scope) -> tuple[str, str, str]:
    """The file of the lines, the lines themselves, or the commands that print them."""
    filters = [one for one in rows.filters if not _is_harmless(one)]
    match origin:
        case FileRows(word) if not filters:
            name = _file(word, scope)
            return name, "", ""
        case FileRows(word):
            return _STDIN, "", _shell([_filter(one, scope) for one in filters], _file(word, scope))
        case PrintedLines(commands):
            return _STDIN, "", _shell([_filter(one, scope) for one in (*commands, *filters)])
        case ListRows():
            for one in filters:
                raise _unknown(one)
            return _STDIN, _lines(origin, scope, by_words=rows.taking.by_words), ""


def _file(word: Word, scope: Scope) -> str:
    name = scope.known(word.text)
    if not name:
        raise refused(word.place, said("the file of the rows has no name"))
    if name in (_STDIN, "/dev/stdin"):
        return _STDIN
    return f"./{name}" if name.startswith("-") else name


def _filter(command: ShellCommand, scope: Scope) -> tuple[str, str]:
    """A text tool as it is typed, and the file that it reads from, "" for none."""
    if command.program not in TEXT_TOOLS:
        raise _unknown(command)
    for operator, _ in command.redirects:
        if operator.symbol != "<":
            raise refused(operator.place, said("a redirection of a filter is not translated"))
    words = shlex.join([scope.known(word.text) for word in command.words])
    files = [_file(word, scope) for _, word in command.redirects]
    return words, files[0] if files else ""


def _shell(filters: Sequence[tuple[str, str]], file: str = "") -> str:
    """The pipe of text tools; `file` is read by the first of them."""
    (words, own), *others = filters
    first = f"{words} < {shlex.quote(file or own)}" if file or own else words
    return " | ".join([first, *(words for words, _ in others)])


def _unknown(command: ShellCommand) -> CommandRefused:
    return refused(
        command.place,
        said(
            "{command}: what it does to the rows is not known here; write its output into a file",
            command=shown(command),
        ),
    )


def _is_harmless(command: ShellCommand) -> bool:
    """Whether a filter takes out only what the run passes over by itself: blank lines, and the CR of line ends."""
    arguments = [word.plain for word in command.words[1:]]
    if command.redirects:
        return False
    match command.program, arguments:
        case "sed", ["/^$/d" | "/^ *$/d" | "/^\\s*$/d"]:
            return True
        case "grep", ["-v", "^$"] | ["."]:
            return True
        case "tr", ["-d", "\\r" | "\r"]:
            return True
    return False


# ---- rows in the line itself -------------------------------------------------------------------------------------


def _lines(rows: ListRows, scope: Scope, *, by_words: bool) -> str:
    """The rows of a list, one a line."""
    if not rows.are_words:
        text = "\n".join(scope.known(line) for line in rows.lines)
        return "".join(
            f"{line}\n" for line in (text.split() if by_words else text.removesuffix(NEWLINE).split(NEWLINE))
        )
    lines: list[str] = []
    for item in rows.lines:
        place = item.place(0, START)
        for word in _words(item, scope, place):
            if NEWLINE in word or (by_words and _BLANKS.search(word)):
                raise refused(
                    place, said("a word of the list has a space in it: write the rows into a file, one a line")
                )
            lines.append(f"{word}\n")
    return "".join(lines)


def _words(item: ShellText, scope: Scope, place: LinePlace) -> list[str]:
    """The words that the shell makes of an item of a list."""
    found = scope.resolve(item)
    for variable in found.variables:
        raise undefined(variable)
    is_split = any(variable.quote is Quote.NONE for variable in item.variables)
    is_bare = any(isinstance(piece, Stretch) and piece.quote is Quote.NONE for piece in item.pieces)
    if (is_split or is_bare) and _PATTERN & set(found.plain):
        return _counted(found.plain, place)
    return _BLANKS.split(found.plain.strip()) if is_split else [found.plain]


def _counted(word: str, place: LinePlace) -> list[str]:
    """The numbers of `{1..5}`. Raises `CommandRefused` for any other pattern."""
    found = _RANGE.fullmatch(word)
    if found is None:
        raise refused(
            place, said("a pattern stands in the list, and what it matches is not known here: write the words")
        )
    first, last = int(found[1]), int(found[2])
    if abs(last - first) >= _LONGEST_RANGE:
        raise refused(
            place,
            said(
                "the list has more than {longest_range} numbers: write them into a file",
                longest_range=Quantity(_LONGEST_RANGE),
            ),
        )
    step = 1 if last >= first else -1
    return [str(number) for number in range(first, last + step, step)]
