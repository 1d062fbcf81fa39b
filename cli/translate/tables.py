"""The rows of a line as a command takes them: a select or lines of text, with a column for each variable."""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cli.translate import findings
from cli.translate.findings import Refusal, Told, named
from cli.translate.isql import TEXTS, bind, read_select, with_parameters
from cli.translate.rows import Rows, effects_of
from cli.translate.scope import Scope, undefined
from cli.translate.shell import AWKS, NEWLINE, TEXT_TOOLS, Command, Letter, Quote, Text
from jobs.catalogue.typed_call import OWN
from jobs.spec.columns import normalise_header
from texts.said import Quantity, said, wording

BACKSLASHES: Final = said("read without -r takes each backslash of a value away; the run keeps it")
LAST_LINE: Final = said("a last line without a line end is left out by the loop; the run takes it")
INCOMPLETE: Final = said(
    "a line with too few values is a call with empty ones in the loop; the run refuses it, with its number"
)
_NAMES_THE_ROW: Final = wording(
    "${name} names the row, and is a value of the call too: a run finds the {id} of a row by its {key}, and sends "
    "that alone"
)
_UNKNOWN: Final = wording("{command}: what it does to the rows is not known here; write its output into a file")
_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_OWN: Final = frozenset(parameter.name for parameter in OWN)
_SPACE: Final = " "
_STDIN: Final = "-"
_REST: Final = "..."
"""Behind the name of the last column: it takes the rest of the line, as the last variable of `read` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rows of a line with a name for each column: a select, or lines of a file or of standard input; or no rows.

    `own` are the names that the rows have themselves, None where they have none. `columns` has the column of each
    variable that has one, `missing` the reason for the others. `text` are rows that the line has itself, `pipe` are
    shell commands that print them. A space as `delimiter` stands for any white space. With `takes_rest` the last
    column takes the rest of its line; of one that `is_open`, what is in no column is passed over.
    """

    names: tuple[str, ...] = ()
    own: tuple[str | None, ...] = ()
    columns: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    sql: str = ""
    file: str = ""
    text: str = ""
    pipe: str = ""
    delimiter: str = ""
    takes_rest: bool = False
    is_open: bool = False

    def column_of(self, letter: Letter) -> int:
        """The column of a variable. Raises `CommandRefused` where it is not a single one."""
        if letter.name not in self.columns:
            raise Refusal(self.missing[letter.name], letter)
        return self.columns[letter.name]

    def is_never_empty(self, letter: Letter, used: Collection[str]) -> bool:
        """Whether a variable has a value in each row that the run takes; `used` are the columns that the call has.

        White space leaves no value empty: a line with too few is refused, and a blank one passed over.
        """
        if letter.name not in self.columns:
            return False
        if self.sql:
            return len(self.names) == 1
        is_last = self.column_of(letter) == len(self.names) - 1
        return self.delimiter == _SPACE and not (is_last and self._passes_rest(used))

    def options(self, used: Collection[str], names: Sequence[str] = ()) -> tuple[str, ...]:
        """The options that say what the rows are; `used` are the columns that the call has, `names` other names."""
        names = names or self.names
        if not names:
            return ()
        if self.sql:
            return ("--sql", self.sql, *(() if tuple(names) == self.own else ("--columns", ",".join(names))))
        if self._passes_rest(used):
            names = (*names[:-1], _REST)
        elif self.is_open or (self.takes_rest and self.delimiter == _SPACE):
            names = (*names[:-1], f"{names[-1]}{_REST}") if self.takes_rest else (*names, _REST)
        return ("--columns", ",".join(names), "--delimiter", "tab" if self.delimiter == "\t" else self.delimiter)

    def options_of_job(self, columns: Mapping[str, str]) -> tuple[str, ...]:
        """The same for a job, which must take no other column than these, by the names of its values."""
        if self.sql and set(columns.values()) == set(self.names):
            maps = [word for name, one in columns.items() if name != one for word in ("--map", f"{name}={one}")]
            return (*self.options(columns.values()), *maps)
        of_job = {column: name for name, column in columns.items()}
        names = tuple(of_job.get(name, f"column_{at}") for at, name in enumerate(self.names, 1))
        return self.options(columns.values(), names)

    def _passes_rest(self, used: Collection[str]) -> bool:
        """Whether what the last variable takes is used by nothing; then it may be nothing."""
        return self.takes_rest and len(self.names) > 1 and self.names[-1] not in used


@dataclass(frozen=True, slots=True)
class OneLiner:
    """What a line does: the call, its words with holes for values of a row, and the rows.

    `guards` are variables of conditions by which the loop passes rows over, each with the value that is tested.
    """

    call: Command
    scope: Scope
    table: Table
    guards: Sequence[tuple[Letter, Text]]

    def name_of(self, letter: Letter) -> str:
        """The name of a placeholder: a column of the row, or the variable's own name where it is undefined.

        Raises `CommandRefused` where the value must be known.
        """
        if found := self.scope.found(letter):
            return found.id
        if letter.name in self.scope.of_row:
            name = self.table.names[self.table.column_of(letter)]
        elif letter.name in self.table.names or not _NAME.fullmatch(letter.name):
            raise undefined(letter)
        else:
            name = letter.name
        for lookup in self.scope.lookups:
            if name == lookup.key:
                raise Refusal(_NAMES_THE_ROW, letter, name=letter.name.strip("{}"), id=lookup.id, key=name)
        return name

    def is_text(self, letter: Letter, told: Told, *, alone: bool) -> bool:
        """Whether its values are texts even when they are digits; what is wrong with its use is told."""
        if self.scope.found(letter):
            return False
        if letter.name not in self.scope.of_row:
            told.fault(findings.NOT_DEFINED, letter)
            return False
        column = self.table.own[self.table.column_of(letter)]
        if column is None or column not in TEXTS:
            return False
        if alone:
            told.fault(findings.TEXT_WITHOUT_QUOTES, letter, column=column)
        cut = said(findings.SPACES.what, column=named(column))
        if letter.quote is Quote.NONE and not any(one.what == cut for one in self.scope.told.faults):
            told.fault(findings.SPACES, letter, column=column)
        return True


# ---- the table of the rows ---------------------------------------------------------------------------------------


def table_of(rows: Rows, scope: Scope, renamed: Mapping[str, str]) -> Table:
    """The table of the rows of a line; `renamed` are names for the columns of some variables.

    Raises `CommandRefused` where it cannot be translated.
    """
    return _of_text(rows, scope, renamed) if rows.sql is None else _of_select(rows.sql, rows, scope, renamed)


def _of_select(select: Text, rows: Rows, scope: Scope, renamed: Mapping[str, str]) -> Table:
    sql = with_parameters(scope.resolve(select), scope.told)
    scope.refuse_unknown(sql)
    glue = rows.taking.delimiter.replace(NEWLINE, "")
    # A line is split into several fields on its way.
    apart = len(rows.taking.variables) > 1 or any(one.program in AWKS for one in rows.filters)
    found = read_select(sql, scope.told, apart=apart, glue=glue)
    if glue and not found.is_cut_apart:
        separates = wording("the loop takes its lines apart at {glue}, and the select puts none between columns")
        raise Refusal(separates, rows, glue=glue)
    columns, missing = bind(rows, found, scope.told, sql)
    # The select's own names; where one is missing or repeated, the names of the variables where there are any.
    wanted = {column: renamed[name] for name, column in columns.items() if name in renamed}
    names = [wanted.get(at) or name for at, name in enumerate(found.columns)]
    if None in names or len(set(names)) < len(names):
        of_variables = {column: renamed.get(name, name.strip("{}")) for name, column in columns.items()}
        taken = set(of_variables.values())
        names = [of_variables.get(at) or name or f"column_{at + 1}" for at, name in enumerate(found.columns)]
        for at in range(len(names)):
            while at not in of_variables and names[at] in taken:
                names[at] = f"{names[at]}_{at + 1}"
            taken.add(str(names[at]))
    return Table(sql=found.sql, names=tuple(map(str, names)), own=found.columns, columns=columns, missing=missing)


# ---- lines of text -----------------------------------------------------------------------------------------------

_BLANKS: Final = re.compile(r"[ \t\n]+")
_RANGE: Final = re.compile(r"\{(0|-?[1-9]\d{0,8})\.\.(0|-?[1-9]\d{0,8})\}")
_PATTERN: Final = frozenset("*?[{")
_LONGEST_RANGE: Final = 10_000


def _of_text(rows: Rows, scope: Scope, renamed: Mapping[str, str]) -> Table:
    taking = rows.taking
    harmless = ({"no-blanks"}, {"no-returns"})
    filters = [one for one in rows.filters if {effect for effect, _ in effects_of(one)} not in harmless]
    file, text, pipe = _STDIN, "", ""
    if rows.texts:
        for one in filters:
            raise Refusal(_UNKNOWN, one)
        text = "".join(f"{line}\n" for line in _lines(rows, scope))
    elif rows.file is not None and not filters:
        file = _file(rows.file, scope)
    else:
        pipe = _pipe([*rows.tools, *filters], rows.file, scope)
    names: list[str] = []
    for at, variable in enumerate(taking.variables, 1):
        # A name that a chain can use: the variable's, or a number where that cannot be used.
        name = renamed.get(variable, variable.strip("{}"))
        names.append(name if normalise_header(name) and name not in (*names, *_OWN) else f"column_{at}")
    notes = [] if taking.keeps_backslashes else [BACKSLASHES]
    if not taking.by_words and not text:
        notes += [LAST_LINE, INCOMPLETE] if taking.loses_last else [INCOMPLETE]
    scope.told.notes.extend(notes)
    return Table(
        names=tuple(names),
        own=tuple(names),
        columns={variable: at for at, variable in enumerate(taking.variables)},
        file=file,
        text=text,
        pipe=pipe,
        delimiter=_SPACE if taking.delimiter in ("", NEWLINE) else taking.delimiter,
        takes_rest=not taking.by_words and not taking.is_open,
        is_open=taking.is_open,
    )


def _file(word: Text, scope: Scope) -> str:
    name = scope.known(word)
    if not name:
        raise Refusal("the file of the rows has no name", word)
    if name in (_STDIN, "/dev/stdin"):
        return _STDIN
    return f"./{name}" if name.startswith("-") else name


def _pipe(tools: Sequence[Command], file: Text | None, scope: Scope) -> str:
    """The pipe of text tools as it is typed; the file is read by the first of them."""
    found: list[str] = []
    for command in tools:
        if command.program not in TEXT_TOOLS:
            raise Refusal(_UNKNOWN, command)
        for operator, word in command.redirects:
            if operator.symbol != "<" or found:
                raise Refusal("a redirection of a filter is not translated", operator)
            file = file or word
        typed = shlex.join([scope.known(word) for word in command.words])
        found.append(typed if found or not file else f"{typed} < {shlex.quote(_file(file, scope))}")
    return " | ".join(found)


def _lines(rows: Rows, scope: Scope) -> Sequence[str]:
    by_words = rows.taking.by_words
    if not rows.are_words:
        text = "\n".join(scope.known(line) for line in rows.texts)
        return text.split() if by_words else text.removesuffix(NEWLINE).split(NEWLINE)
    lines: list[str] = []
    for item in rows.texts:
        for word in _words(item, scope):
            if NEWLINE in word or (by_words and _BLANKS.search(word)):
                raise Refusal("a word of the list has a space in it: write the rows into a file, one a line", item)
            lines.append(word)
    return lines


def _words(item: Text, scope: Scope) -> Sequence[str]:
    plain = scope.known(item)
    is_split = any(letter.quote is Quote.NONE for letter in item.holes)
    if not any(letter.quote is Quote.NONE for letter in item.letters) or not _PATTERN & set(plain):
        return _BLANKS.split(plain.strip()) if is_split else [plain]
    found = _RANGE.fullmatch(plain)
    if found is None:
        raise Refusal("a pattern stands in the list, and what it matches is not known here: write the words", item)
    first, last = int(found[1]), int(found[2])
    if abs(last - first) >= _LONGEST_RANGE:
        too_many = wording("the list has more than {longest_range} numbers: write them into a file")
        raise Refusal(too_many, item, longest_range=Quantity(_LONGEST_RANGE))
    step = 1 if last >= first else -1
    return [str(number) for number in range(first, last + step, step)]
