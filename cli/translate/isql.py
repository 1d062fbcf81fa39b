"""The SQL of a one-liner: what isql prints of its select, and the way of such a line into the variables of a loop.

`billing.selects.select` decides what is a select, and which isql commands before it may be left out.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from billing.database.tokens import Sort, Token, tokens_of
from billing.errors import NotASelect
from billing.selects.select import select_of
from cli.translate import findings
from cli.translate.findings import HOLE, LinePlace, Refusal, Told, named
from cli.translate.rows import Rows, effects_of
from cli.translate.shell import Command, Letter, Quote, Text
from texts.said import counted, said, wording

_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_PLAIN_NAME: Final = re.compile(r"[A-Za-zА-Яа-яЁё_]\w*")
_VALUE: Final = re.compile(
    rf"(?:[=<>]|\b(?:like|between|and|with|containing)\b)\s*(?P<value>'{HOLE}'|{HOLE}(?![\w$']))|'[^']*'",
    re.IGNORECASE,
)
"""A variable that a column is compared with; the second alternative skips strings, which contain none."""

_NO_COLUMN: Final = (
    *("end", "null", "true", "false", "user"),
    *("current_date", "current_time", "current_timestamp", "current_user", "current_role", "current_connection"),
)
"""Words at the end of an expression that are not its name."""
_NO_OPERAND: Final = ("and", "or", "not", "is", "in", "like", "between", "distinct", "all", "collate")
_TAKEN_APART: Final = wording(
    "the columns that the select glues together with '{mark}' are taken apart, so that each keeps its type"
)
TEXTS: Final = frozenset(
    {"name", "contract_number", "sms", "email", "login", "comment", "descr", "attribute_value", "op_descr", "address"}
)
"""Columns of the billing that hold texts, which may contain spaces or consist of digits."""
_IS_ID: Final = re.compile(r"(?:^|_)(?:id|pk)$")
_LABEL: Final = -1
"""Marks, in place of a column's number, the column's name, which `set list on` prints before each value."""


class LineSelect(NamedTuple):
    """A select, and how isql prints it: with `set list on` a line a value, else a line a row, maybe under headings.

    A column is None where the select gives it no name; `are_fields` if each is a field under its own name.
    `is_cut_apart` if columns that the select glues together were taken apart.
    """

    sql: str
    is_list: bool
    has_headings: bool
    columns: tuple[str | None, ...]
    are_fields: bool
    is_cut_apart: bool


def with_parameters(sql: Text, told: Told) -> Text:
    """The SQL with `:name` for each variable that a column is compared with.

    Other variables, such as a part of a text or a table, are left unchanged.
    """
    letters = list(sql.letters)
    for found in reversed(list(_VALUE.finditer(sql.plain))):
        start, end = (max(at, 0) for at in found.span("value"))
        hole = next((one for one in sql.letters[start:end] if _NAME.fullmatch(one.name)), None)
        if hole is not None:
            letters[start:end] = [Letter(char, hole.place, Quote.GIVEN) for char in f":{hole.name}"]
            told.fault(findings.PARAMETER, hole)
    return sql.having(letters)


def read_select(text: Text, told: Told, *, apart: bool, glue: str = "") -> LineSelect:
    """The select that sqlexec gets.

    With `apart`, columns joined with `||' '||`, or with another `glue`, become columns of their own. Raises
    `CommandRefused` for anything but a single select with known columns.
    """
    # Both texts have their words at the same places.
    sql = statement(text)
    tokens = tokens_of(sql)
    if wrong := _undefined(tokens):
        names = tuple(named(one.text) for one in wrong)
        told.fault(findings.NO_SUCH_ALIAS, text.at(wrong[0].start), names=names)
    items, end = _select_list(tokens, text)
    is_union = any(token.word == "union" and not token.depth for token in tokens[end:])
    parts = _parts(items[0], glue) if apart and len(items) == 1 and not is_union else None
    if parts is not None:
        told.notes.append(said(_TAKEN_APART, mark=glue or " "))
        columns = ", ".join(sql[part[0].start : part[-1].end] for part in parts)
        sql = sql[: items[0][0].start] + columns + sql[items[0][-1].end :]
    columns_named = tuple(_column(item) for item in parts or items)
    are_fields = all(len(item) == 1 or item[-2].text == "." for item in items)
    is_list, has_headings = False, True
    for setting in text.plain.casefold().split(";"):
        match setting.split():
            case ["set", "list", *value]:
                # Without on or off it is toggled.
                is_list = value[0] == "on" if value else not is_list
            case ["set", "heading" | "head", *value]:
                has_headings = value[0] == "on" if value else not has_headings
            case [word, *_] if word != "set":
                break
    return LineSelect(
        sql.strip(), is_list, has_headings and not is_list, columns_named, are_fields, parts is not None
    )


def statement(text: Text) -> str:
    """The select without what isql is told before it, at its place in the text."""
    try:
        return select_of(text.plain).text
    except NotASelect as error:
        raise Refusal("the SQL: {error}", text, error=error) from error


def _select_list(tokens: Sequence[Token], text: Text) -> tuple[list[list[Token]], int]:
    at = next((at for at, token in enumerate(tokens, 1) if token.word == "select" and token.depth == 0), 0)
    if not at:
        raise Refusal("the SQL: a with, and no select behind it", text)
    # The options are `first 10 skip (20) distinct`.
    while at + 1 < len(tokens):
        if tokens[at].word in ("distinct", "all"):
            at += 1
        elif tokens[at].word not in ("first", "skip") or tokens[at + 1].text == ",":
            break
        elif tokens[at + 1].text == "(":
            at = next((n for n in range(at + 2, len(tokens)) if not tokens[n].depth), at) + 1
        elif tokens[at + 1].sort is Sort.NUMBER:
            at += 2
        else:
            break
    end = next((n for n in range(at, len(tokens)) if tokens[n].word == "from" and not tokens[n].depth), len(tokens))
    items: list[list[Token]] = [[]]
    for token in tokens[at:end]:
        if token.text == "," and token.depth == 0:
            items.append([])
        else:
            items[-1].append(token)
    for item in items:
        if not item:
            raise Refusal("the SQL: a column of the select is missing", text)
        if item[-1].text == "*" and (len(item) == 1 or item[-2].text == "."):
            raise Refusal("select * does not say which columns there are: name them", text.at(item[-1].start))
    return items, end


def _column(item: Sequence[Token]) -> str | None:
    """The alias, or the last part of a qualified name, in lower case; None for an unnamed expression."""
    last, name = item[-1], item[-1].name.lower()
    if not _PLAIN_NAME.fullmatch(name) or last.word in _NO_COLUMN:
        return None
    if len(item) == 1:
        return name
    before = item[-2]
    if before.text == ".":
        return name if all(token.name or token.text == "." for token in item) else None
    is_operand = before.sort in (Sort.NUMBER, Sort.TEXT) or before.text == ")" or bool(before.name)
    return name if is_operand and before.word not in _NO_OPERAND else None


def _parts(item: Sequence[Token], mark: str) -> list[list[Token]] | None:
    """The columns that one column joins, as `a || ' ' || b`, or with another `mark`; None for another form."""
    pieces: list[list[Token]] = [[]]
    for token in item:
        if token.text == "|" and not token.depth:
            pieces.append([])
        else:
            pieces[-1].append(token)
    # Each || is two tokens with nothing between them.
    parts, glue, empty = pieces[::4], pieces[2::4], pieces[1::2]
    if not glue or len(parts) != len(glue) + 1 or any(empty) or not all(parts):
        return None
    texts = [one[0].text[1:-1] if len(one) == 1 and one[0].sort is Sort.TEXT else "" for one in glue]
    if not all(text == mark if mark else text.isspace() for text in texts):
        return None
    # || binds tighter than arithmetic, so arithmetic at this level makes it another expression.
    has_arithmetic = any(token.text in ("+", "-", "*", "/") and not token.depth for part in parts for token in part)
    return None if has_arithmetic else parts


def _undefined(tokens: Sequence[Token]) -> list[Token]:
    """The first use of each table name that nothing defines; any name behind another one may be an alias."""
    used: dict[str, Token] = {}
    defined: set[str] = set()
    for before, token, after in zip((None, *tokens), tokens, (*tokens[1:], None), strict=False):
        if not token.name or (before and before.text == "."):
            continue
        if after and after.text == ".":
            used.setdefault(token.name, token)
        elif before and (before.name or before.text in (",", ")")):
            defined.add(token.name)
    return [token for name, token in used.items() if name not in defined]


# ---- the way of a line -------------------------------------------------------------------------------------------


def bind(rows: Rows, select: LineSelect, told: Told, sql: Text) -> tuple[dict[str, int], dict[str, str]]:
    """Follow a line of the select through the filters: the column of each variable, or the reason why it has none."""
    if select.is_list and len(select.columns) > 1:
        raise Refusal(
            "with set list on each of the {columns} columns is a line of its own, and the loop takes each"
            " for a row; select the one that is meant",
            sql,
            columns=len(select.columns),
        )
    line = _Line(select, told)
    for one in rows.filters:
        for operator, _ in one.redirects:
            raise Refusal("a redirection of a filter is not translated", operator)
        effects = effects_of(one)
        if not effects or not all(line.apply(one, effect, match) for effect, match in effects):
            raise Refusal("{command}: what it does to the rows is not known here; put it into the select", one)
    if line.frame not in ([], ["blank"]):
        told.fault(findings.HEADINGS_ARE_ROWS if line.top else findings.HEADINGS_COME_AGAIN, sql)
    variables, is_open = rows.taking.variables, rows.taking.is_open
    if rows.taking.by_words:
        line.note_spaces(rows.place, line.fields)
    elif "blank" in line.frame:
        told.fault(findings.BLANK_LINES, rows.place)
    # The last variable of a loop takes the rest of the line, including spaces.
    line.note_spaces(rows.place, line.fields[: len(variables) - (not is_open)])
    if line.fields == [_LABEL] or (select.is_list and line.fields == [_LABEL, 0] and len(variables) == 1):
        told.fault(findings.LABEL_FOR_VALUE, rows.place)
        line.fields = [0]
    columns: dict[str, int] = {}
    missing: dict[str, str] = {}
    for number, name in enumerate(variables):
        is_last = number == len(variables) - 1 and not is_open
        match line.fields[number:] if is_last else line.fields[number : number + 1]:
            case []:
                missing[name] = counted(
                    "${name} gets nothing: the loop reads lines of {n} field",
                    "${name} gets nothing: the loop reads lines of {n} fields",
                    len(line.fields),
                    name=name,
                )
            case [-1]:
                missing[name] = said(
                    "${name} is the name of the column, which set list on prints before the value", name=name
                )
            case [column]:
                columns[name] = column
            case several:
                missing[name] = said(
                    "${name} gets {values} values at once; give the loop a variable for each column of the select",
                    name=name,
                    values=len(several),
                )
    return columns, missing


class _Line:
    """A line on its way: the columns of its fields, and what of isql's output is no row but comes with them.

    isql prints a blank line, the headings and a line of ==== before the rows, and all three again every 20 rows;
    with `set heading off` or `set list on` the blank line alone. `frame` are those that still come with the rows,
    `top` those that the output still begins with.
    """

    def __init__(self, select: LineSelect, told: Told) -> None:
        self.select = select
        self.fields = [_LABEL, 0] if select.is_list else list(range(len(select.columns)))
        self.told = told
        self.frame = ["blank", "names", "marks"] if select.has_headings else ["blank"]
        self.top = list(self.frame)
        self.noted: set[str] = set()
        # Whether each row has digits, and nothing but digits and spaces.
        self.are_ids = select.are_fields and all(name and _IS_ID.search(name) for name in select.columns)

    def apply(self, command: Command, effect: str, match: Mapping[str, str]) -> bool:
        match effect:
            case "no-blanks" | "no-empties":
                self._take_out("blank")
            case "glued":
                self.note_spaces(command.place, self.fields)
                if len(self.fields) > 1:
                    self.told.fault(findings.COLUMNS_GLUED, command)
            case "head":
                lines = int(match["from"]) - 1 if "from" in match else int(match["head"] or 1)
                if lines > len(self.top):
                    taken = wording(
                        "{command} takes away rows too: the lines that isql prints before them here are {top}"
                    )
                    raise Refusal(taken, command, top=len(self.top))
                del self.top[:lines]
            case "picked" if match["fields"] != "$0":
                self._pick(command, [int(one) for one in re.findall(r"\d+", match["fields"])])
            case "numbers" | "right-numbers" if self.are_ids:
                self._take_out("blank", "names", "marks")
                return effect == "numbers" or not self.select.is_list
            case "others" if self.are_ids:
                return all(map(self._drop, match.get("any_of", "").split("|") + match.get("words", "").split("\\|")))
            case _:
                return effect in ("same", "no-returns", "picked")
        return True

    def _drop(self, word: str) -> bool:
        if re.fullmatch(r"\^ ?\*?\$", word):
            self._take_out("blank")
        elif re.fullmatch(r"\^?=+", word):
            self._take_out("marks")
        elif self.select.has_headings and word in [str(name).upper() for name in self.select.columns]:
            self._take_out("names")
        else:
            return not word
        return True

    def _take_out(self, *lines: str) -> None:
        self.frame = [one for one in self.frame if one not in lines]
        self.top = [one for one in self.top if one not in lines]

    def _pick(self, command: Command, numbers: Sequence[int]) -> None:
        self.note_spaces(command.place, self.fields)
        before, self.fields = self.fields, []
        for number in numbers:
            is_there = 0 < number <= len(before)
            if not is_there and len(before) > 1:
                wanted = wording("awk picks ${number}, and the lines have {fields} fields")
                raise Refusal(wanted, command, number=number, fields=len(before))
            if not is_there:
                self.told.fault(findings.FIELD_NOT_THERE, command, number=number)
            self.fields.append(before[number - 1 if is_there else 0])

    def note_spaces(self, place: LinePlace, fields: Sequence[int]) -> None:
        for name in [self.select.columns[one] for one in fields if one != _LABEL]:
            if name in TEXTS and name not in self.noted:
                self.noted.add(name)
                self.told.fault(findings.SPACES, place, column=name)
