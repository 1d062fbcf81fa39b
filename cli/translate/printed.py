"""What isql prints of a select: the way of a line through filters into the variables of a loop."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from cli.translate import findings
from cli.translate.findings import LinePlace, Refusal, Told
from cli.translate.grammar import ShellCommand
from cli.translate.rows import Rows, effects_of
from cli.translate.sql import LineSelect, SelectForm
from texts.said import counted, said

TEXTS: Final = frozenset(
    {"name", "contract_number", "sms", "email", "login", "comment", "descr", "attribute_value", "op_descr", "address"}
)
"""Columns of the billing that hold texts, which may contain spaces or consist of digits."""
_IS_ID: Final = re.compile(r"(?:^|_)(?:id|pk)$")
_LABEL: Final = -1
"""Marks, in place of a column's number, the column's name, which `set list on` prints before each value."""


def bind(rows: Rows, select: LineSelect, place: LinePlace, told: Told) -> tuple[Mapping[str, int], Mapping[str, str]]:
    """Follow a line of the select through the filters: the column of each variable, or the reason why it has none.

    Raises `CommandRefused` for an unknown filter, and for an ambiguous column.
    """
    is_list = select.form is SelectForm.LIST
    if is_list and len(select.columns) > 1:
        raise Refusal(
            "with set list on each of the {columns} columns is a line of its own, and the loop takes each"
            " for a row; select the one that is meant",
            place,
            columns=len(select.columns),
        )
    line = _Line(select, [_LABEL, 0] if is_list else list(range(len(select.columns))), told)
    for one in rows.filters:
        line.pass_through(one)
    line.end(rows, place)
    variables = rows.variables
    # The last variable of a loop takes the rest of the line, including spaces.
    line.note_spaces(rows.place, line.fields[: len(variables) - (not rows.taking.is_open)])
    if line.fields == [_LABEL] or (is_list and line.fields == [_LABEL, 0] and len(variables) == 1):
        told.fault(findings.LABEL_FOR_VALUE, rows.place)
        line.fields = [0]
    columns: dict[str, int] = {}
    missing: dict[str, str] = {}
    for number, name in enumerate(variables):
        is_last = number == len(variables) - 1 and not rows.taking.is_open
        left = line.fields[number:] if is_last else line.fields[number : number + 1]
        if len(left) == 1 and left[0] != _LABEL:
            columns[name] = left[0]
        elif not left:
            missing[name] = counted(
                "${name} gets nothing: the loop reads lines of {n} field",
                "${name} gets nothing: the loop reads lines of {n} fields",
                len(line.fields),
                name=name,
            )
        elif len(left) == 1:
            missing[name] = said(
                "${name} is the name of the column, which set list on prints before the value", name=name
            )
        else:
            missing[name] = said(
                "${name} gets {values} values at once; give the loop a variable for each column of the select",
                name=name,
                values=len(left),
            )
    return columns, missing


class _Line:
    """A line on its way: the columns of its fields, and what of isql's output is no row but comes with them.

    isql prints a blank line, the headings and a line of ==== before the rows, and all three again every 20 rows;
    with `set heading off` or `set list on` the blank line alone. `frame` are those that still come with the rows,
    `top` those that the output still begins with.
    """

    def __init__(self, select: LineSelect, fields: list[int], told: Told) -> None:
        self.select = select
        self.fields = fields
        self.told = told
        self.frame = ["blank", "names", "marks"] if select.form is SelectForm.HEADED else ["blank"]
        self.top = list(self.frame)
        self.noted: set[str] = set()

    def pass_through(self, command: ShellCommand) -> None:
        for operator, _ in command.redirects:
            raise Refusal("a redirection of a filter is not translated", operator.place)
        effects = effects_of(command)
        if not effects or not all(self._apply(command, effect, match) for effect, match in effects):
            raise Refusal("{command}: what it does to the rows is not known here; put it into the select", command)

    def _apply(self, command: ShellCommand, effect: str, match: Mapping[str, str]) -> bool:
        match effect:
            case "no-blanks" | "no-empties":
                self._take_out("blank")
            case "glued":
                self.note_spaces(command.place, self.fields)
                if len(self.fields) > 1:
                    self.told.fault(findings.COLUMNS_GLUED, command.place)
            case "head":
                self._drop_head(command, int(match["from"]) - 1 if "from" in match else int(match["head"] or 1))
            case "picked":
                self._pick(command, [int(one) for one in re.findall(r"\d+", match["fields"])])
            case "numbers" | "right-numbers" if self._are_ids():
                self._take_out("blank", "names", "marks")
                return effect == "numbers" or self.select.form is not SelectForm.LIST
            case "others" if self._are_ids():
                return all(map(self._drop, match.get("any_of", "").split("|") + match.get("words", "").split("\\|")))
            case _:
                return effect in ("same", "no-returns")
        return True

    def _are_ids(self) -> bool:
        """Whether each row has digits, and nothing but digits and spaces."""
        names = self.select.columns
        return self.select.are_fields and all(name is not None and _IS_ID.search(name) for name in names)

    def _drop(self, word: str) -> bool:
        if re.fullmatch(r"\^ ?\*?\$", word):
            self._take_out("blank")
        elif re.fullmatch(r"\^?=+", word):
            self._take_out("marks")
        elif self.select.form is SelectForm.HEADED and word in [str(name).upper() for name in self.select.columns]:
            self._take_out("names")
        else:
            return not word
        return True

    def _take_out(self, *lines: str) -> None:
        self.frame = [one for one in self.frame if one not in lines]
        self.top = [one for one in self.top if one not in lines]

    def _drop_head(self, command: ShellCommand, lines: int) -> None:
        if lines > len(self.top):
            raise Refusal(
                "{command} takes away rows too: the lines that isql prints before them here are {top}",
                command,
                top=len(self.top),
            )
        del self.top[:lines]

    def _pick(self, command: ShellCommand, numbers: Sequence[int]) -> None:
        if numbers == [0]:
            return
        self.note_spaces(command.place, self.fields)
        before, self.fields = self.fields, []
        for number in numbers:
            is_there = 0 < number <= len(before)
            if not is_there and len(before) > 1:
                raise Refusal(
                    "awk picks ${number}, and the lines have {fields} fields",
                    command.place,
                    number=number,
                    fields=len(before),
                )
            if not is_there:
                self.told.fault(findings.FIELD_NOT_THERE, command.place, number=number)
            self.fields.append(before[number - 1 if is_there else 0])

    def end(self, rows: Rows, place: LinePlace) -> None:
        if self.frame not in ([], ["blank"]):
            self.told.fault(findings.HEADINGS_ARE_ROWS if self.top else findings.HEADINGS_COME_AGAIN, place)
        if rows.taking.by_words:
            self.note_spaces(rows.place, self.fields)
        elif "blank" in self.frame:
            self.told.fault(findings.BLANK_LINES, rows.place)

    def note_spaces(self, place: LinePlace, fields: Sequence[int]) -> None:
        for name in [self.select.columns[one] for one in fields if one != _LABEL]:
            if name in TEXTS and name not in self.noted:
                self.noted.add(name)
                self.told.fault(findings.SPACES, place, column=name)
