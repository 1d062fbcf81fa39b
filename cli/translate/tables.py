"""What the words of a line stand for, and its rows as a command takes them, with a column for each variable.

`billing.selects.select` decides what is a select, and which isql commands before it may be left out.
"""

import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from billing.database.sql_blocks import Sort, Token, tokens_of
from billing.errors import NotASelect
from billing.selects.select import select_of
from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import HOLE, START, LinePlace, Refusal, Told, named
from cli.translate.rows import PRINTERS, Rows, effects_of, rows_within, stages_within
from cli.translate.shell import AWKS, NEWLINE, TEXT_TOOLS, Command, Letter, Quote, Taking, Text
from jobs.catalogue.typed_call import OWN
from jobs.spec.columns import normalise_header
from texts.said import PROGRAM, Quantity, counted, said, wording

_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)

# ---- the SQL: what isql prints of the select ---------------------------------------------------------------------

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
_TEXTS: Final = frozenset(
    {"name", "contract_number", "sms", "email", "login", "comment", "descr", "attribute_value", "op_descr", "address"}
)
"""Columns of the billing that hold texts, which may contain spaces or consist of digits."""
_IS_ID: Final = re.compile(r"(?:^|_)(?:id|pk)$")
_LABEL: Final = -1
"""Marks, in place of a column's number, the column's name, which `set list on` prints before each value."""


def _statement(text: Text) -> str:
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


class _Select:
    """The select that sqlexec gets, as isql prints it, and a line of it on its way into the variables of a loop.

    With `apart`, columns joined with `||' '||`, or with another `glue`, become columns of their own; `is_cut_apart`
    tells whether there are such. A column is None where the select gives it no name. Raises `CommandRefused` for
    anything but a single select with known columns.

    isql prints a blank line, the headings and a line of ==== before the rows, and all three again every 20 rows;
    with `set heading off` or `set list on` the blank line alone, and with the latter a line a value. `fields` are the
    columns of a line, `frame` what of isql's output is no row but still comes with the rows, `top` what the output
    still begins with.
    """

    def __init__(self, text: Text, told: Told, *, apart: bool, glue: str = "") -> None:
        # Both texts have their words at the same places.
        sql = _statement(text)
        tokens = tokens_of(sql)
        used: dict[str, Token] = {}
        defined: set[str] = set()
        for before, token, after in zip((None, *tokens), tokens, (*tokens[1:], None), strict=False):
            if not token.name or (before and before.text == "."):
                continue
            if after and after.text == ".":
                used.setdefault(token.name, token)
            elif before and (before.name or before.text in (",", ")")):
                # Any name behind another one may be an alias.
                defined.add(token.name)
        if wrong := [token for name, token in used.items() if name not in defined]:
            names = tuple(named(one.text) for one in wrong)
            told.fault(findings.NO_SUCH_ALIAS, text.at(wrong[0].start), names=names)
        items, end = _select_list(tokens, text)
        is_union = any(token.word == "union" and not token.depth for token in tokens[end:])
        parts = _parts(items[0], glue) if apart and len(items) == 1 and not is_union else None
        if parts is not None:
            told.notes.append(said(_TAKEN_APART, mark=glue or " "))
            columns = ", ".join(sql[part[0].start : part[-1].end] for part in parts)
            sql = sql[: items[0][0].start] + columns + sql[items[0][-1].end :]
        self.told, self.sql, self.is_cut_apart = told, sql.strip(), parts is not None
        self.columns = tuple(_column(item) for item in parts or items)
        self.is_list, has_headings = False, True
        for setting in text.plain.casefold().split(";"):
            match setting.split():
                case ["set", "list", *value]:
                    # Without on or off it is toggled.
                    self.is_list = value[0] == "on" if value else not self.is_list
                case ["set", "heading" | "head", *value]:
                    has_headings = value[0] == "on" if value else not has_headings
                case [word, *_] if word != "set":
                    break
        self.has_headings = has_headings and not self.is_list
        self.fields = [_LABEL, 0] if self.is_list else list(range(len(self.columns)))
        self.frame = ["blank", "names", "marks"] if self.has_headings else ["blank"]
        self.top = list(self.frame)
        self.noted: set[str] = set()
        # Whether each row has digits, and nothing but digits and spaces.
        are_fields = all(len(item) == 1 or item[-2].text == "." for item in items)
        self.are_ids = are_fields and all(name and _IS_ID.search(name) for name in self.columns)

    def bind(self, rows: Rows, sql: Text) -> tuple[dict[str, int], dict[str, str]]:
        """Follow a line through the filters: the column of each variable, or the reason why it has none."""
        if self.is_list and len(self.columns) > 1:
            raise Refusal(
                "with set list on each of the {columns} columns is a line of its own, and the loop takes each"
                " for a row; select the one that is meant",
                sql,
                columns=len(self.columns),
            )
        for one in rows.filters:
            for operator, _ in one.redirects:
                raise Refusal("a redirection of a filter is not translated", operator)
            effects = effects_of(one)
            if not effects or not all(self._apply(one, effect, match) for effect, match in effects):
                raise Refusal("{command}: what it does to the rows is not known here; put it into the select", one)
        if self.frame not in ([], ["blank"]):
            self.told.fault(findings.HEADINGS_ARE_ROWS if self.top else findings.HEADINGS_COME_AGAIN, sql)
        variables, is_open = rows.taking.variables, rows.taking.is_open
        if rows.taking.by_words:
            self._note_spaces(rows.place, self.fields)
        elif "blank" in self.frame:
            self.told.fault(findings.BLANK_LINES, rows.place)
        # The last variable of a loop takes the rest of the line, including spaces.
        self._note_spaces(rows.place, self.fields[: len(variables) - (not is_open)])
        if self.fields == [_LABEL] or (self.is_list and self.fields == [_LABEL, 0] and len(variables) == 1):
            self.told.fault(findings.LABEL_FOR_VALUE, rows.place)
            self.fields = [0]
        columns: dict[str, int] = {}
        missing: dict[str, str] = {}
        for number, name in enumerate(variables):
            is_last = number == len(variables) - 1 and not is_open
            match self.fields[number:] if is_last else self.fields[number : number + 1]:
                case []:
                    missing[name] = counted(
                        "${name} gets nothing: the loop reads lines of {n} field[s]", len(self.fields), name=name
                    )
                case [-1]:
                    missing[name] = said(
                        "${name} is the name of the column, which set list on prints before the value", name=name
                    )
                case [column]:
                    columns[name] = column
                case several:
                    at_once = wording(
                        "${name} gets {values} values at once; give the loop a variable for each column of the select"
                    )
                    missing[name] = said(at_once, name=name, values=len(several))
        return columns, missing

    def _apply(self, command: Command, effect: str, match: Mapping[str, str]) -> bool:
        match effect:
            case "no-blanks" | "no-empties":
                self._take_out("blank")
            case "glued":
                self._note_spaces(command.place, self.fields)
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
                numbers = [int(one) for one in re.findall(r"\d+", match["fields"])]
                self._note_spaces(command.place, self.fields)
                before, self.fields = self.fields, []
                for number in numbers:
                    is_there = 0 < number <= len(before)
                    if not is_there and len(before) > 1:
                        wanted = wording("awk picks ${number}, and the lines have {fields} fields")
                        raise Refusal(wanted, command, number=number, fields=len(before))
                    if not is_there:
                        self.told.fault(findings.FIELD_NOT_THERE, command, number=number)
                    self.fields.append(before[number - 1 if is_there else 0])
            case "number" if self.are_ids and len(self.columns) == 1:
                self._take_out("blank", "names", "marks")
                self.fields = [0]
            case "numbers" | "right-numbers" if self.are_ids:
                self._take_out("blank", "names", "marks")
                return effect == "numbers" or not self.is_list
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
        elif self.has_headings and word in [str(name).upper() for name in self.columns]:
            self._take_out("names")
        else:
            return not word
        return True

    def _take_out(self, *lines: str) -> None:
        self.frame = [one for one in self.frame if one not in lines]
        self.top = [one for one in self.top if one not in lines]

    def _note_spaces(self, place: LinePlace, fields: Sequence[int]) -> None:
        for name in [self.columns[one] for one in fields if one != _LABEL]:
            if name in _TEXTS and name not in self.noted:
                self.noted.add(name)
                self.told.fault(findings.SPACES, place, column=name)


# ---- what the words stand for ------------------------------------------------------------------------------------

_FIELD: Final = "{{field_{}}}"
"""The name of a field of a line, by its number."""
_IN_QUOTES: Final = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
AS_ONE: Final = said("a value with a space in it is several words for this loop; the run takes it whole")
_NOTHING_IS_RUN: Final = wording(
    "a command within a command ($(…) or `…`): nothing is run here; write its result instead"
)
_NO_LINE: Final = wording("${line} is not a whole line, and is taken apart once more")
_CHANGED: Final = wording(
    "{program} changes a value of the row, which no run does: change it in the file before the loop. An amount may "
    "keep its comma there"
)
_NO_FIELD: Final = wording(
    "{program} is read where it takes one field of a line, as cut -d';' -f2 or awk '{{print $2}}'"
)
_NO_LOOKUP: Final = wording(
    "a command within a command is read where it finds a subscriber by its contract number or an account by its "
    "login, as $(sqlexec \"select id from abonents where contract_number='$number'\"); put anything else into the "
    "rows: into one select, or into a column of the file"
)
_TAKES_FIELD: Final = {
    "cut": re.compile(
        r"(?:(?:-d\n?|--delimiter[\n=])(?P<by>.)\n)?(?:-f\n?|--fields[\n=])(?P<number>[1-9][0-9]?)"
        r"(?:\n(?:-d\n?|--delimiter[\n=])(?P<behind>.))?"
    ),
    "awk": re.compile(
        r"(?:(?:-F\n?|--field-separator[\n=])(?P<by>.)\n)?\s*\{\s*print\s+\$(?P<number>[1-9][0-9]?)\s*;?\s*\}\s*(?P<behind>)"
    ),
}
"""The words of a command that takes one field of a line: its number, and what parts the fields."""
_SELECT: Final = re.compile(
    r"\s*select\s+(?:first\s+1\s+)?(?:\w+\.)?id(?:\s+as\s+\w+)?\s+from\s+(?P<table>abonents|users)(?:\s+(?:as\s+)?(?!where\b)\w+)?"
    r"\s+where\s+(?:\w+\.)?(?P<key>contract_number|login)\s*=\s*'(?P<value>[^']*)'"
    r"(?:\s+and\s+(?:\w+\.)?(?:deleted|is_folder)\s*=\s*0)*\s*;?\s*",
    re.IGNORECASE,
)
"""The selects that say no more than what a run does by itself: find the one that is there, by what names it."""
_IDS: Final = {("abonents", "contract_number"): "abonent_id", ("users", "login"): "user_id"}


class Lookup(NamedTuple):
    """What a select finds for each row: the `id` of the one whose `key` is a variable of the row, or a known text."""

    id: str
    key: str
    variable: Letter | None
    text: str


@dataclass(slots=True)
class Scope:
    """The known variables: `of_row` from the loop, `values` set by the line, `given` from the caller.

    A value that cannot be read is the refusal to raise where it is used. `asked` are the given names that were used.
    `fields` and `lookups` are what commands of the loop take out of each row: fields of the line that stands in a
    variable, `parted` by a character, "" for white space, each with the variable that it is given to, if any.
    """

    given: Mapping[str, str]
    values: dict[str, Text | CommandRefused] = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    asked: set[str] = field(default_factory=set)
    of_row: tuple[str, ...] = ()
    fields: dict[str, str] = field(default_factory=dict)
    parted: tuple[str, str, LinePlace] = ("", "", START)
    lookups: list[Lookup] = field(default_factory=list)

    def within(self, of_row: tuple[str, ...]) -> "Scope":
        """The same within a loop: its variables hide what was set before it."""
        values: dict[str, Text | CommandRefused] = {}
        for name, value in self.values.items():
            names = [] if isinstance(value, CommandRefused) else [*value.holes, *_asked_for(value)]
            hidden = [one for one in names if one.name in of_row]
            if hidden or name not in of_row:
                values[name] = undefined(hidden[0]) if hidden else value
        return replace(self, values=values, of_row=of_row)

    def set_before(self, name: str, text: Text) -> None:
        """Set a variable before any loop; a command in it is read where the variable is used."""
        try:
            value = self._filled(text)
        except CommandRefused as error:
            self.values[name] = error
            return
        unknown = [one for one in _asked_for(value) if one.name not in self.given]
        self.values[name] = undefined(unknown[0]) if unknown else value

    def set_for_row(self, name: str, text: Text) -> None:
        """Set a variable of each row. Raises `CommandRefused` for a command that is not understood."""
        self.values[name] = value = self.value_of(text)
        if value.plain == HOLE and value.letters[0].name in self.fields:
            self.fields[value.letters[0].name] = self.fields[value.letters[0].name] or name

    def found(self, letter: Letter) -> Lookup | None:
        """What a select finds for each row in the place of a letter."""
        return next((one for one in self.lookups if letter.name == f"{{{one.id}}}"), None)

    def value_of(self, text: Text) -> Text:
        """The text with what the line sets in place of its variables, and what its commands find in place of them."""
        filled = self._filled(text)
        return filled.having(
            letter
            if letter.tokens is None
            else letter._replace(name=self._field(letter) or self._lookup(letter), tokens=None)
            for letter in filled.letters
        )

    def resolve(self, text: Text) -> Text:
        """The text with holes only for values of a row, and for undefined variables."""
        letters: list[Letter] = []
        for letter in self.value_of(self._expanded(text)).letters:
            value = None if letter.name in self.of_row else self.given.get(letter.name)
            if value is None:
                letters.append(letter)
                continue
            if letter.name not in self.asked:
                self.told.fault(findings.GIVEN_BY_HAND, letter)
            self.asked.add(letter.name)
            letters += [Letter(char, letter.place, Quote.GIVEN) for char in value]
        return text.having(letters)

    def resolve_word(self, word: Text) -> Text:
        return replace(self.resolve(word), kept=self.resolve(word.kept) if word.kept else None)

    def known(self, text: Text) -> str:
        """A text that no row changes. Raises `CommandRefused` for one with a part whose value is not known."""
        found = self.resolve(text)
        self.refuse_unknown(found)
        return found.plain

    def refuse_unknown(self, text: Text) -> None:
        for letter in text.holes:
            raise undefined(letter) if letter.name else Refusal(_NOTHING_IS_RUN, letter)

    def _filled(self, text: Text) -> Text:
        """The text with these variables replaced by their values, also in the commands within it."""
        letters: list[Letter] = []
        for letter in text.letters:
            value = self.values.get(letter.name) if letter.name else None
            if isinstance(value, CommandRefused):
                raise value
            if value is not None:
                letters += [_at(letter, one, alone=len(value.letters) == 1) for one in value.letters]
            elif letter.tokens is not None:
                tokens = (self._filled(one) if isinstance(one, Text) else one for one in letter.tokens)
                letters.append(letter._replace(tokens=tuple(tokens)))
            else:
                letters.append(letter)
        return text.having(letters)

    def _expanded(self, text: Text) -> Text:
        """The text with variables in place of names that single quotes keep from expansion."""
        letters: list[Letter] = []
        done = 0
        for found in _IN_QUOTES.finditer(text.plain):
            start, end = found.span()
            if any(letter.quote is not Quote.SINGLE for letter in text.letters[start:end]):
                continue
            name, place = found[1] or found[2], text.at(start)
            if name in (*self.of_row, *self.values, *self.given):
                self.told.fault(findings.NEVER_EXPANDS, place, name=name)
                letters += [*text.letters[done:start], Letter(HOLE, place, Quote.SINGLE, name)]
                done = end
                continue
            self.told.notes.append(
                said("{place}: a $ stands within single quotes, and is sent as the $ that it is", place=place.text)
            )
        return text.having([*letters, *text.letters[done:]])

    # ---- commands within ----

    def _field(self, command: Letter) -> str:
        """The field that `echo "$line" | cut …` prints, or `cut … <<< "$line"`; "" for what is none of a row."""
        match stages_within(command):
            case (Command(words=(echo, *_, text), redirects=()), *filters) if echo.plain in PRINTERS and filters:
                letters = text.letters
            case (Command(redirects=((operator, text),)), *_) as stages if operator.symbol == "<<<":
                letters, filters = text.letters, list(stages)
            case _:
                return ""
        if len(letters) != 1 or any(one.label for one in filters):
            return ""
        line = letters[0]
        is_found = line.name in self.fields or self.found(line) is not None
        if line.name not in self.of_row and not is_found:
            return ""
        for at, one in enumerate(filters):
            if at or one.program not in (*AWKS, "cut"):
                raise Refusal(_CHANGED, one)
        taken = _TAKES_FIELD["cut" if filters[0].program == "cut" else "awk"].fullmatch(
            "\n".join(filters[0].arguments)
        )
        if taken is None or (taken["by"] and taken["behind"]):
            raise Refusal(_NO_FIELD, filters[0])
        delimiter = (taken["by"] or taken["behind"] or ("\t" if filters[0].program == "cut" else "")).replace(" ", "")
        if is_found:
            raise Refusal(_NO_LINE, command, line=self.fields.get(line.name) or "…")
        if not self.fields:
            self.parted = (line.name, delimiter, command.place)
        elif self.parted[:2] != (line.name, delimiter):
            raise Refusal("the fields of a line are read where one character parts all of them", command)
        name = _FIELD.format(taken["number"])
        self.fields.setdefault(name, "")
        return name

    def _lookup(self, command: Letter) -> str:
        """What a select finds for each row. Raises `CommandRefused` for what a run does not find by itself."""
        rows = rows_within(command, Taking(("id",)))
        if rows.sql is None:
            raise Refusal(_NO_LOOKUP, command)
        text = replace(self.resolve(rows.sql), place=command.place)
        # Filters that leave one value do nothing here; white space around it does not matter.
        filters = tuple(one for one in rows.filters if {effect for effect, _ in effects_of(one)} != {"one"})
        columns, missing = _Select(text, Told(), apart=False).bind(replace(rows, filters=filters), text)
        if "id" not in columns:
            raise Refusal(missing["id"], command)
        found = _SELECT.fullmatch(_statement(text))
        id_ = _IDS.get((found["table"].casefold(), found["key"].casefold())) if found else None
        if found is None or id_ is None or (found["value"] != HOLE and HOLE in found["value"]):
            raise Refusal(_NO_LOOKUP, command)
        key, is_known = found["key"].casefold(), found["value"] != HOLE
        lookup = Lookup(id_, key, None if is_known else text.holes[0], found["value"] if is_known else "")
        self.told.fault(findings.LOOKED_UP, command, id=id_, key=key)
        for one in self.lookups:
            is_same = (one.variable and one.variable.name) == (lookup.variable and lookup.variable.name)
            if one.key == key and not (is_same and one.text == lookup.text):
                raise Refusal("a row is found by one {key}, and this is a second one", command, key=key)
        self.lookups.append(lookup)
        return f"{{{id_}}}"

    def in_columns(self, rows: Rows, used: Iterable[Text]) -> Rows:
        """The rows with the fields of their lines as variables; unchanged where none is taken so."""
        if not self.fields:
            return rows
        taking, (line, delimiter, place) = rows.taking, self.parted
        if taking.variables != (line,) or taking.delimiter not in ("", NEWLINE):
            raise Refusal(_NO_LINE, place, line=line)
        for letter in (letter for text in used for letter in text.holes):
            if letter.name == line:
                raise Refusal("${line} is used as a whole, and taken apart as well", letter, line=line)
        if taking.by_words:
            self.told.notes.append(AS_ONE)
        last = max(int(name.strip("{field_}")) for name in self.fields)
        self.of_row = tuple(_FIELD.format(number) for number in range(1, last + 1))
        apart = replace(taking, variables=self.of_row, delimiter=delimiter, by_words=False, is_open=True)
        return replace(rows, taking=apart)


def _at(variable: Letter, letter: Letter, *, alone: bool) -> Letter:
    """A letter of the value of a variable, where that stands. A command keeps its place, and no `$` is one again."""
    if letter.tokens is not None:
        return letter
    if letter.char == HOLE:
        return letter._replace(place=variable.place, quote=variable.quote if alone else letter.quote)
    return letter._replace(place=variable.place, quote=Quote.ESCAPED if letter.char == "$" else letter.quote)


def undefined(letter: Letter) -> CommandRefused:
    return Refusal(
        "${name} is not defined in the line; say what it is: {program} translate --set {name}=VALUE, with the line",
        letter,
        program=PROGRAM,
    )


def _asked_for(text: Text) -> list[Letter]:
    """The variables of the commands within a text."""
    words = [token for one in text.letters for token in one.tokens or () if isinstance(token, Text)]
    return [one for word in words for one in word.holes if one.name]


# ---- the rows -----------------------------------------------------------------------------------------------------

BACKSLASHES: Final = said("read without -r takes each backslash of a value away; the run keeps it")
LAST_LINE: Final = said("a last line without a line end is left out by the loop; the run takes it")
INCOMPLETE: Final = said(
    "a line with too few values is a call with empty ones in the loop; the run refuses it, with its number"
)
TABS: Final = said(
    "read takes several tabs for one: a value behind an empty cell gets into another variable; the run keeps columns"
)
_NAMES_THE_ROW: Final = wording(
    "${name} names the row, and is a value of the call too: a run finds the {id} of a row by its {key}, and sends "
    "that alone"
)
_UNKNOWN: Final = wording("{command}: what it does to the rows is not known here; write its output into a file")
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

    def is_never_empty(self, letter: Letter, used: Collection[str], sent_empty: Collection[str]) -> bool:
        """Whether a variable has a value in each row that the run takes; `used` are the columns that the call has.

        The run refuses a row without a value that is used, but for those that it has `sent_empty`. White space leaves
        no value empty: a line with too few is refused, and a blank one passed over.
        """
        if letter.name not in self.columns:
            return False
        name = self.names[self.column_of(letter)]
        if name in used and name not in sent_empty:
            return True
        if self.sql:
            return len(self.names) == 1
        return self.delimiter == _SPACE and not (name == self.names[-1] and self.passes_rest(used))

    def options(self, used: Collection[str], names: Sequence[str] = ()) -> tuple[str, ...]:
        """The options that say what the rows are; `used` are the columns that the call has, `names` other names."""
        names = names or self.names
        if not names:
            return ()
        if self.sql:
            return ("--sql", self.sql, *(() if tuple(names) == self.own else ("--columns", ",".join(names))))
        if self.passes_rest(used):
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

    def passes_rest(self, used: Collection[str]) -> bool:
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

    def placeholder(self, letter: Letter, told: Told, *, alone: bool) -> tuple[str, bool]:
        """The name of a placeholder, and whether its values are texts even when they are digits.

        The name is a column of the row, or that of an undefined variable. What is wrong with its use is told.
        """
        if found := self.scope.found(letter):
            return found.id, False
        name, column = letter.name, None
        if name in self.scope.of_row:
            at = self.table.column_of(letter)
            name, column = self.table.names[at], self.table.own[at]
        elif name in self.table.names or not _NAME.fullmatch(name):
            raise undefined(letter)
        else:
            told.fault(findings.NOT_DEFINED, letter)
        for lookup in self.scope.lookups:
            if name == lookup.key:
                raise Refusal(_NAMES_THE_ROW, letter, name=letter.name.strip("{}"), id=lookup.id, key=name)
        if column is None or column not in _TEXTS:
            return name, False
        if alone:
            told.fault(findings.TEXT_WITHOUT_QUOTES, letter, column=column)
        cut = said(findings.SPACES.what, column=named(column))
        if letter.quote is Quote.NONE and not any(one.what == cut for one in self.scope.told.faults):
            told.fault(findings.SPACES, letter, column=column)
        return name, True


def table_of(rows: Rows, scope: Scope, renamed: Mapping[str, str]) -> Table:
    """The table of the rows of a line; `renamed` are names for the columns of some variables."""
    if rows.sql is None:
        return _of_text(rows, scope, renamed)
    sql = scope.resolve(rows.sql)
    letters = list(sql.letters)
    # A variable that a column is compared with is a parameter; any other, as a part of a text or a table, stays.
    for compared in reversed(list(_VALUE.finditer(sql.plain))):
        start, end = (max(at, 0) for at in compared.span("value"))
        hole = next((one for one in sql.letters[start:end] if _NAME.fullmatch(one.name)), None)
        if hole is not None:
            letters[start:end] = [Letter(char, hole.place, Quote.GIVEN) for char in f":{hole.name}"]
            scope.told.fault(findings.PARAMETER, hole)
    sql = sql.having(letters)
    scope.refuse_unknown(sql)
    glue = rows.taking.delimiter.replace(NEWLINE, "")
    # A line is split into several fields on its way.
    apart = len(rows.taking.variables) > 1 or any(one.program in AWKS for one in rows.filters)
    found = _Select(sql, scope.told, apart=apart, glue=glue)
    if glue and not found.is_cut_apart:
        separates = wording("the loop takes its lines apart at {glue}, and the select puts none between columns")
        raise Refusal(separates, rows, glue=glue)
    columns, missing = found.bind(rows, sql)
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
    notes += [TABS] if taking.delimiter == "\t" and not taking.is_open else []
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
        plain = scope.known(item)
        is_split = any(letter.quote is Quote.NONE for letter in item.holes)
        words = _BLANKS.split(plain.strip()) if is_split else [plain]
        if any(letter.quote is Quote.NONE for letter in item.letters) and _PATTERN & set(plain):
            found = _RANGE.fullmatch(plain)
            if found is None:
                unknown = wording(
                    "a pattern stands in the list, and what it matches is not known here: write the words"
                )
                raise Refusal(unknown, item)
            first, last = int(found[1]), int(found[2])
            if abs(last - first) >= _LONGEST_RANGE:
                too_many = wording("the list has more than {longest_range} numbers: write them into a file")
                raise Refusal(too_many, item, longest_range=Quantity(_LONGEST_RANGE))
            step = 1 if last >= first else -1
            words = [str(number) for number in range(first, last + step, step)]
        for word in words:
            if NEWLINE in word or (by_words and _BLANKS.search(word)):
                raise Refusal("a word of the list has a space in it: write the rows into a file, one a line", item)
        lines += words
    return lines
