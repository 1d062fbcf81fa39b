"""The SQL of a one-liner: how isql prints its rows, the select's columns, and undefined table names.

`billing.selects.select` decides what is a select, and which isql commands before it may be left out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from billing.database.tokens import Sort, Token, tokens_of
from billing.errors import NotASelect
from billing.selects.select import select_of
from cli.translate import findings
from cli.translate.findings import HOLE, LinePlace, Refusal, Told, named
from cli.translate.words import Letter, Quote, ShellText
from texts.said import said, wording

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
_ARITHMETIC: Final = ("+", "-", "*", "/")


class SelectForm(Enum):
    """How isql prints the rows."""

    HEADED = auto()
    """One line a row under headings, the default."""
    BARE = auto()
    """One line a row."""
    LIST = auto()
    """One line a value: the column's name, then the value."""


@dataclass(frozen=True, slots=True)
class LineSelect:
    """A select and its output form; a column is None where the select gives it no name."""

    sql: str
    form: SelectForm
    columns: tuple[str | None, ...]
    are_fields: bool
    """Whether each column is a field under its own name."""
    is_cut_apart: bool
    """Whether columns that the select glues together were taken apart."""


def with_parameters(sql: ShellText, told: Told) -> ShellText:
    """The SQL with `:name` for each variable that a column is compared with.

    Other variables, such as a part of a text or a table, are left unchanged.
    """
    letters = list(sql.letters)
    for found in reversed(list(_VALUE.finditer(sql.plain))):
        start, end = found.span("value")
        hole = (
            next((one for one in sql.letters[start:end] if _NAME.fullmatch(one.name)), None) if start >= 0 else None
        )
        if hole is not None:
            letters[start:end] = [Letter(char, hole.place, Quote.GIVEN) for char in f":{hole.name}"]
            told.fault(findings.PARAMETER, hole)
    return ShellText(tuple(letters))


def read_select(text: ShellText, place: LinePlace, told: Told, *, apart: bool, glue: str = "") -> LineSelect:
    """The select that sqlexec gets.

    With `apart`, columns joined with `||' '||`, or with another `glue`, become columns of their own. Raises
    `CommandRefused` for anything but a single select with known columns.
    """
    whole = text.plain
    # Both texts have their words at the same places.
    sql = statement(text, place)
    tokens = tokens_of(sql)
    if wrong := _undefined(tokens):
        fault = findings.NO_SUCH_ALIAS if len(wrong) == 1 else findings.NO_SUCH_ALIASES
        told.fault(fault, text.place(wrong[0].start, place), names=tuple(named(one.text) for one in wrong))
    items, end = _select_list(tokens, text, place)
    is_union = any(token.word == "union" and not token.depth for token in tokens[end:])
    parts = _parts(items[0], glue) if apart and len(items) == 1 and not is_union else None
    if parts is not None:
        told.notes.append(said(_TAKEN_APART, mark=glue or " "))
        columns = ", ".join(sql[part[0].start : part[-1].end] for part in parts)
        sql = sql[: items[0][0].start] + columns + sql[items[0][-1].end :]
    names = tuple(_column(item) for item in parts or items)
    are_fields = all(len(item) == 1 or item[-2].text == "." for item in items)
    return LineSelect(sql.strip(), _form(whole), names, are_fields, is_cut_apart=parts is not None)


def statement(text: ShellText, place: LinePlace) -> str:
    """The select without what isql is told before it, at its place in the text. Raises `CommandRefused`."""
    try:
        return select_of(text.plain).text
    except NotASelect as error:
        raise Refusal("the SQL: {error}", place, error=error) from error


def _form(whole: str) -> SelectForm:
    listed, headed = False, True
    for setting in whole.casefold().split(";"):
        match setting.split():
            case ["set", "list", *value]:
                listed = _switched(value, now=listed)
            case ["set", "heading" | "head", *value]:
                headed = _switched(value, now=headed)
            case ["set", *_] | []:
                pass
            case _:
                break
    if listed:
        return SelectForm.LIST
    return SelectForm.HEADED if headed else SelectForm.BARE


def _switched(value: Sequence[str], *, now: bool) -> bool:
    """The setting after `on` or `off`; without either it is toggled."""
    return value[0] == "on" if value else not now


# ---- columns -----------------------------------------------------------------------------------------------------


def _select_list(tokens: Sequence[Token], text: ShellText, place: LinePlace) -> tuple[list[list[Token]], int]:
    """The columns of the select, each as its tokens, and where its list ends."""
    at = next((at for at, token in enumerate(tokens) if token.word == "select" and token.depth == 0), None)
    if at is None:
        raise Refusal("the SQL: a with, and no select behind it", place)
    at = _skip_options(tokens, at + 1)
    items: list[list[Token]] = [[]]
    while at < len(tokens) and not (tokens[at].word == "from" and tokens[at].depth == 0):
        if tokens[at].text == "," and tokens[at].depth == 0:
            items.append([])
        else:
            items[-1].append(tokens[at])
        at += 1
    for item in items:
        if not item:
            raise Refusal("the SQL: a column of the select is missing", place)
        if item[-1].text == "*" and (len(item) == 1 or item[-2].text == "."):
            where = text.place(item[-1].start, place)
            raise Refusal("select * does not say which columns there are: name them", where)
    return items, at


def _skip_options(tokens: Sequence[Token], at: int) -> int:
    """The index after `first 10 skip (20) distinct`."""
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
    return at


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
    has_arithmetic = any(token.text in _ARITHMETIC and not token.depth for part in parts for token in part)
    return None if has_arithmetic else parts


# ---- tables ------------------------------------------------------------------------------------------------------


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
