"""Rows that sqlexec prints: the path of a line of isql to the loop, and the select's column for each variable."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cli.translate import findings
from cli.translate.findings import Finding, LinePlace, named, refused
from cli.translate.grammar import ShellCommand
from cli.translate.scope import Scope, undefined
from cli.translate.script import AWKS, LoopRows, shown
from cli.translate.sql import LineSelect, SelectForm, read_select, with_parameters
from cli.translate.tables import TEXTS, LoopTable, column_of
from cli.translate.words import Variable, Word
from texts.said import counted, said

_LABEL: Final = -1
"""Marks, in place of a column's number, the column's name, which `set list on` prints before each value."""

_AWK: Final = re.compile(
    r"\s*(?P<guard>NF|\$[0-9]{1,3}|/\./|!/\^\$/)?\s*"
    r"\{\s*print\s+(?P<fields>\$[0-9]{1,3}(?:(?:\s*,\s*|\s*\"\s+\"\s*)\$[0-9]{1,3})*)\s*;?\s*\}\s*"
)
_NO_BLANK: Final = re.compile(r"/\^(\\s\*|\[\[:space:\]\]\*|\[ \\t\]\*| \*)?\$/d")
_NO_SPACES: Final = re.compile(r"s/( |\\s|\[\[:space:\]\])[*+]?//g|s/  \*//g")
_NO_PADDING: Final = re.compile(r"s/(\^( |\\s|\[\[:space:\]\])[*+]?|( |\\s|\[\[:space:\]\])[*+]?\$)//")


@dataclass(frozen=True, slots=True)
class VariableColumns:
    """The column (from 0) of each variable that has one; for the others, the reason."""

    columns: Mapping[str, int]
    missing: Mapping[str, str]
    faults: tuple[Finding, ...]

    def column(self, name: str, place: LinePlace) -> int:
        """The column of a variable. Raises `CommandRefused` where it is not a single one."""
        if name not in self.columns:
            raise refused(place, self.missing[name])
        return self.columns[name]


def splits(rows: LoopRows) -> bool:
    """Whether a line is split into several fields on its way."""
    return len(rows.variables) > 1 or any(one.program in AWKS for one in rows.filters)


def bind(rows: LoopRows, select: LineSelect, place: LinePlace) -> VariableColumns:
    """Follow a line of the select through the filters into the variables of the loop.

    Raises `CommandRefused` for an unknown filter, and for an ambiguous column.
    """
    if select.form is SelectForm.LIST and len(select.columns) > 1:
        raise refused(
            place,
            said(
                "with set list on each of the {columns} columns is a line of its own, and the loop takes each"
                " for a row; select the one that is meant",
                columns=len(select.columns),
            ),
        )
    line = _Line(select, [_LABEL, 0] if select.form is SelectForm.LIST else list(range(len(select.columns))))
    for one in rows.filters:
        line.pass_through(one)
    if select.form is SelectForm.HEADED:
        line.faults.append(findings.HEADINGS_ARE_ROWS.at(place))
    if rows.taking.by_words:
        line.note_spaces(rows.loop, line.fields)
    elif not line.is_dense:
        line.faults.append(findings.BLANK_LINES.at(rows.loop))
    return _read_into(rows, line)


@dataclass(slots=True)
class _Line:
    """A line on its way: the columns of its fields, and the findings."""

    select: LineSelect
    fields: list[int]
    faults: list[Finding] = field(default_factory=list)
    is_dense: bool = False
    """Whether blank lines were removed."""
    noted: set[str] = field(default_factory=set)

    def pass_through(self, command: ShellCommand) -> None:
        """Apply a filter. Raises `CommandRefused` for an unknown one."""
        if command.redirects:
            raise refused(command.redirects[0][0].place, said("a redirection of a filter is not translated"))
        arguments = [word.plain for word in command.words[1:]]
        match command.program, arguments:
            case name, [program] if name in AWKS and (found := _AWK.fullmatch(program)):
                self.is_dense |= found["guard"] is not None
                self._pick(command, [int(number) for number in re.findall(r"\d+", found["fields"])])
            case "sed", [*options, script] if set(options) <= {"-e", "-r", "-E"}:
                self._sed(command, script)
            case ("grep", ["-v", "^$"] | ["."]):
                self.is_dense = True
            case "tr", ["-d", " " | "[:blank:]"]:
                self._glue(command)
            case "tr", ["-s", " " | "[:blank:]"] | ["-d", "\\r"]:
                pass
            case _:
                raise refused(
                    command.place,
                    said(
                        "{command}: what it does to the rows is not known here; put it into the select",
                        command=shown(command),
                    ),
                )

    def _sed(self, command: ShellCommand, script: str) -> None:
        for one in script.split(";"):
            if _NO_BLANK.fullmatch(one.strip()):
                self.is_dense = True
            elif _NO_SPACES.fullmatch(one.strip()):
                self._glue(command)
            elif not _NO_PADDING.fullmatch(one.strip()):
                raise refused(
                    command.place,
                    said(
                        "sed {script}: what it does to the rows is not known here; put it into the select",
                        script=named(script),
                    ),
                )

    def _pick(self, command: ShellCommand, numbers: Sequence[int]) -> None:
        if numbers == [0]:
            return
        self.note_spaces(command.place, self.fields)
        before = self.fields
        self.fields = [self._picked(command, before, number) for number in numbers]

    def _picked(self, command: ShellCommand, before: Sequence[int], number: int) -> int:
        if 0 < number <= len(before):
            return before[number - 1]
        if len(before) > 1:
            raise refused(
                command.place,
                said("awk picks ${number}, and the lines have {fields} fields", number=number, fields=len(before)),
            )
        self.faults.append(findings.FIELD_NOT_THERE.at(command.place, number=number))
        return before[0]

    def _glue(self, command: ShellCommand) -> None:
        self.note_spaces(command.place, self.fields)
        if len(self.fields) > 1:
            self.faults.append(findings.COLUMNS_GLUED.at(command.place))

    def note_spaces(self, place: LinePlace, fields: Sequence[int]) -> None:
        """Note texts among these fields that are split at their spaces."""
        names = [self.select.columns[one] for one in fields if one != _LABEL]
        for name in names:
            if name is not None and name in TEXTS - self.noted:
                self.noted.add(name)
                self.faults.append(findings.SPACES.at(place, column=named(name)))


def _read_into(rows: LoopRows, line: _Line) -> VariableColumns:
    """Assign the fields as `read` does: one to each variable, and the rest to the last one."""
    fields = line.fields
    # The last variable takes the rest of the line, including spaces.
    line.note_spaces(rows.loop, fields[: len(rows.variables) - 1])
    if line.select.form is SelectForm.LIST and fields == [_LABEL, 0] and len(rows.variables) == 1:
        line.faults.append(findings.LABEL_FOR_VALUE.at(rows.loop))
        fields = [0]
    if fields == [_LABEL]:
        line.faults.append(findings.LABEL_FOR_VALUE.at(rows.loop))
        fields = [0]
    columns: dict[str, int] = {}
    missing: dict[str, str] = {}
    for number, name in enumerate(rows.variables):
        left = fields[number:] if number == len(rows.variables) - 1 else fields[number : number + 1]
        if len(left) == 1 and left[0] != _LABEL:
            columns[name] = left[0]
        else:
            missing[name] = _why(name, left, len(fields))
    return VariableColumns(columns, missing, tuple(line.faults))


def _why(name: str, left: Sequence[int], fields: int) -> str:
    if not left:
        return counted(
            "${name} gets nothing: the loop reads lines of {n} field",
            "${name} gets nothing: the loop reads lines of {n} fields",
            fields,
            name=name,
        )
    if len(left) == 1:
        return said("${name} is the name of the column, which set list on prints before the value", name=name)
    return said(
        "${name} gets {values} values at once; give the loop a variable for each column of the select",
        name=name,
        values=len(left),
    )


@dataclass(frozen=True, slots=True)
class SelectTable(LoopTable):
    """A select with a name for each of its columns."""

    select: LineSelect
    bound: VariableColumns
    names: tuple[str, ...]

    def never_empty(self, _used: Collection[str]) -> Collection[str]:
        """A single value is missing in blank lines alone."""
        return self.bound.columns.keys() if len(self.select.columns) == 1 else ()

    def options(self, _used: Collection[str]) -> tuple[str, ...]:
        """The select, and the names of its columns where its own cannot be used."""
        return ("--sql", self.select.sql, *self._columns(self.names))

    def options_of_job(self, columns: Mapping[str, str]) -> tuple[str, ...]:
        """The select, and what its columns are for the job."""
        if set(columns.values()) != set(self.names):
            return ("--sql", self.select.sql, *self._columns(self.named_for(columns)))
        maps = [word for name, one in columns.items() if name != one for word in ("--map", f"{name}={one}")]
        return (*self.options(self.names), *maps)

    def _columns(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return () if names == self.select.columns else ("--columns", ",".join(names))

    @property
    def faults(self) -> tuple[Finding, ...]:
        """The faults of the select."""
        return (*self.select.faults, *self.bound.faults)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is said of the select."""
        return self.select.notes

    def name_of(self, variable: Variable) -> str:
        """The column of a loop variable. Raises `CommandRefused` where it is not a single one."""
        return self.names[self.bound.column(variable.name, variable.place)]

    def title_of(self, variable: Variable) -> str | None:
        """The column's name in the select itself."""
        return self.select.columns[self.bound.column(variable.name, variable.place)]


def select_table(sql: Word, rows: LoopRows, scope: Scope, renamed: Mapping[str, str]) -> SelectTable:
    """The table of a select that feeds a loop; `renamed` are names for the columns of some variables.

    Raises `CommandRefused` where it cannot be translated.
    """
    text, bound_later = with_parameters(scope.resolve(sql.text))
    for variable in text.variables:
        raise undefined(variable)
    scope.faults += [findings.PARAMETER.at(one.place, name=one.name) for one in bound_later]
    glue = rows.taking.delimiter.replace("\n", "")
    select = read_select(text, sql.place, apart=splits(rows), glue=glue)
    if glue and not select.is_cut_apart:
        raise refused(
            rows.loop,
            said("the loop takes its lines apart at {glue}, and the select puts none between columns", glue=glue),
        )
    bound = bind(rows, select, sql.place)
    return SelectTable(select, bound, _names(select, bound, renamed))


def _names(select: LineSelect, bound: VariableColumns, renamed: Mapping[str, str]) -> tuple[str, ...]:
    """The select's own names; where one is missing or repeated, the names of the variables where there are any."""
    wanted = {column: renamed[name] for name, column in bound.columns.items() if name in renamed}
    own = tuple(wanted.get(at, name) for at, name in enumerate(select.columns))
    if None not in own and len(set(own)) == len(own):
        return tuple(name for name in own if name is not None)
    of_variables = {column: renamed.get(name, column_of(name)) for name, column in bound.columns.items()}
    taken = set(of_variables.values())
    names: list[str] = []
    for at, column in enumerate(select.columns):
        name = of_variables.get(at) or column or f"column_{at + 1}"
        while at not in of_variables and name in taken:
            name = f"{name}_{at + 1}"
        taken.add(name)
        names.append(name)
    return tuple(names)
