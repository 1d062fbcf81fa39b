"""Findings: the table of faults in one-liners, each with its effect today and the correction.

All sentences about findings are here. None of them repeats a value of the line, since it may be a password.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from cli.terminal.exits import CommandRefused
from cli.terminal.texts import printable
from texts.said import Given, Said, said, wording

_NAME: Final = 60
"""Characters of a name from the line that are shown."""


class LinePlace(NamedTuple):
    """A place in the one-liner, line and column counted from 1."""

    line: int
    column: int

    @property
    def text(self) -> Said:
        """The place in words."""
        return said("line {line}, column {column}", line=self.line, column=self.column)

    def __str__(self) -> str:
        return str(self.text)


START: Final = LinePlace(1, 1)
"""The place of a line as a whole."""


class FindingKind(StrEnum):
    """The names of the faults in `--json`."""

    UNBALANCED_QUOTE = "unbalanced-quote"
    FOREIGN_SPACE = "foreign-space"
    NEVER_EXPANDS = "never-expands"
    NOT_DEFINED = "not-defined"
    DOLLAR_EATEN = "dollar-eaten"
    MISSING_EQUALS = "missing-equals"
    NUMBERS = "numbers"
    NO_ARGUMENTS = "no-arguments"
    NOT_ENCODED = "not-encoded"
    ENCODED_BY_HAND = "encoded-by-hand"
    NO_JSON = "no-json"
    BARE_NUMBER = "bare-number"
    OUTPUT_FORM = "output-form"
    BLANK_LINES = "blank-lines"
    SPACES = "spaces"
    NO_SUCH_ALIAS = "no-such-alias"
    SENT_AS_GET = "sent-as-get"
    BRACES_REPLACED = "braces-replaced"
    READ_BY_TWO_SHELLS = "read-by-two-shells"
    LOOKED_UP = "looked-up"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: `what` it is, its effect `today`, and the correction `instead`."""

    kind: FindingKind
    place: LinePlace
    what: Said
    today: Said
    instead: Said


@dataclass(frozen=True, slots=True)
class FindingText:
    """An entry of the table; `{…}` in its templates are replaced by words of the line."""

    kind: FindingKind
    what: str
    today: str
    instead: str

    def at(self, place: LinePlace, **words: Given) -> Finding:
        """The finding at a place, with its words filled in."""
        return Finding(
            self.kind, place, said(self.what, **words), said(self.today, **words), said(self.instead, **words)
        )


def refused(place: LinePlace, sentence: str) -> CommandRefused:
    """The error for a part that cannot be translated."""
    return CommandRefused(said("{place}: {why}", place=place.text, why=sentence))


class Unfinished(CommandRefused):
    """Raised where a line ends before something that it has begun."""

    def __init__(self, place: LinePlace, sentence: str) -> None:
        super().__init__(said("{place}: {why}", place=place.text, why=sentence))


def named(text: str) -> str:
    """A word of the line as sentences show it."""
    return printable(text.replace("\0", "$…"), _NAME)


# ---- the shell ---------------------------------------------------------------------------------------------------

_UNDEFINED: Final = wording("the shell takes whatever it has by that name: nothing, where it has none")

QUOTE_TOO_MANY: Final = FindingText(
    FindingKind.UNBALANCED_QUOTE,
    wording("a {quote} too many: it opens a string that nothing closes"),
    wording("the shell takes all that follows, the address too, into the string, and waits for more"),
    wording("the quote is left out"),
)
"""A second closing quote, which opens a string instead."""

QUOTE_NOT_CLOSED: Final = FindingText(
    FindingKind.UNBALANCED_QUOTE,
    wording("the {quote} that stands here is never closed"),
    wording("the shell waits for more, and takes what is typed next into the string"),
    wording("the string ends where the line ends"),
)
"""A string without its end."""

FOREIGN_SPACE: Final = FindingText(
    FindingKind.FOREIGN_SPACE,
    wording("a space that the shell does not take for one, as web pages have it"),
    wording("the shell takes it for a letter, and the words on both sides for one"),
    wording("it is read as a space, here and wherever else one stands"),
)
"""A no-break space, as a web page has them."""

NEVER_EXPANDS: Final = FindingText(
    FindingKind.NEVER_EXPANDS,
    wording("${name} stands within single quotes"),
    wording("the shell never puts a value there: each call carries the letters ${name}"),
    wording("the value is put there"),
)
"""A variable in single quotes."""

GIVEN_BY_HAND: Final = FindingText(
    FindingKind.NOT_DEFINED,
    wording("${name} is not defined in the line"),
    _UNDEFINED,
    wording("the value given with --set stands there"),
)
"""A variable that the line does not define and --set does."""

NOT_DEFINED: Final = FindingText(
    FindingKind.NOT_DEFINED,
    wording("${name} is not defined in the line"),
    _UNDEFINED,
    wording("{{{name}}} is a placeholder: add --set {name}=VALUE to the command, which asks for it otherwise"),
)
"""A variable that the line does not define."""

PARAMETER: Final = FindingText(
    FindingKind.NOT_DEFINED,
    wording("${name} is not defined in the line"),
    _UNDEFINED,
    wording(
        ":{name} is a parameter of the select: add --set {name}=VALUE to the command, which asks for it otherwise"
    ),
)
"""A variable of the SQL that the line does not define."""

DOLLAR_EATEN: Final = FindingText(
    FindingKind.DOLLAR_EATEN,
    wording("${name} is a part of a table's name, and stands where the shell takes it for a variable"),
    wording("the shell puts the value of a variable there, most likely nothing"),
    wording("the name is left as it is"),
)
"""A system table's `$` within double quotes."""

BRACES_REPLACED: Final = FindingText(
    FindingKind.BRACES_REPLACED,
    wording("{program} puts the value into the empty braces of {key} too"),
    wording("the billing receives {key}=… with the bare value, which is not an object"),
    wording("the braces stay empty"),
)
"""`arg3={}` behind `xargs -I{}`."""

READ_BY_TWO_SHELLS: Final = FindingText(
    FindingKind.READ_BY_TWO_SHELLS,
    wording("parallel gives these words to a second shell, and -q is missing"),
    wording("that shell takes the quotes of the JSON away, and each & as an end of the command"),
    wording("the words are taken as they stand"),
)
"""`parallel curl -d '…'` without -q."""

LOOKED_UP: Final = FindingText(
    FindingKind.LOOKED_UP,
    wording("the database is asked for each row's {id} by its {key}"),
    wording("where it finds none, or two, the call is made with nothing, or with both"),
    wording("the run finds the {id} of each {key} by itself, and refuses a row for which there is not exactly one"),
)
"""`id=$(sqlexec "select id … where contract_number = '$number'")`."""


# ---- the form ----------------------------------------------------------------------------------------------------

MISSING_EQUALS: Final = FindingText(
    FindingKind.MISSING_EQUALS,
    wording("{key} lacks its ="),
    wording("the billing finds no {key}: the step is done without it, and most likely nothing is said"),
    wording("it is read as {key}="),
)
"""`arg2{`."""

NUMBERS_APART: Final = FindingText(
    FindingKind.NUMBERS,
    wording("arg{arguments} has no method{arguments}, and method{method} has no arg{method}"),
    wording("the arguments belong to no step, and the billing may stop before method{method} without an error"),
    wording("they are taken for those of {name}, and the steps are numbered without a gap"),
)
"""`method3=save&arg2={}`: the arguments are taken as those of the method."""

ARGUMENTS_ALONE: Final = FindingText(
    FindingKind.NUMBERS,
    wording("arg{arguments} has no method{arguments}"),
    wording("it belongs to no step"),
    wording("it is empty, and left out"),
)
"""`arg4={}` without a method4."""

GAP: Final = FindingText(
    FindingKind.NUMBERS,
    wording("method{number} follows on {before}, and there is no method{missing}"),
    wording("the billing may stop at method{missing} without an error"),
    wording("the steps are numbered without a gap"),
)
"""method1, then method3; `before` is the method before the gap, or empty."""

NO_ARGUMENTS: Final = FindingText(
    FindingKind.NO_ARGUMENTS,
    wording("method{number} has no arg{number}"),
    wording("the step is sent without arguments: some of the vendor's recipes do so, its documentation does not"),
    wording("arg{number}={{}} is sent"),
)
"""A method without its arguments."""

PLUS: Final = FindingText(
    FindingKind.NOT_ENCODED,
    wording("a + stands in {key} and is not form-encoded"),
    wording("it arrives as a space"),
    wording("it is sent as the + that it is"),
)
"""A `+` in a value."""

PERCENT: Final = FindingText(
    FindingKind.NOT_ENCODED,
    wording("a % stands in {key} and is not form-encoded"),
    wording("it arrives as itself or the half of a code, as it happens"),
    wording("it is sent as the % that it is"),
)
"""A lone `%` in a value."""

AMPERSAND: Final = FindingText(
    FindingKind.NOT_ENCODED,
    wording("an & stands in {key} and is not form-encoded"),
    wording("{key} ends before it, and what follows is taken for another field"),
    wording("it is sent as the & that it is"),
)
"""An `&` within a value."""

ENCODED_BY_HAND: Final = FindingText(
    FindingKind.ENCODED_BY_HAND,
    wording("{code} stands in {key}: a character that was form-encoded by hand"),
    wording("this one arrives as it is meant, the next value may not"),
    wording("it is read as the character, and every value is encoded"),
)
"""`%2B` in a value."""

QUOTES_EATEN: Final = FindingText(
    FindingKind.NO_JSON,
    wording("the quotes of the JSON are those of the shell as well"),
    wording("the shell takes them away, and what the billing receives is not JSON"),
    wording("they are read as part of the JSON"),
)
"""JSON in double quotes inside double quotes: `"{"id": 5}"`."""

TEXT_WITHOUT_QUOTES: Final = FindingText(
    FindingKind.NO_JSON,
    wording("{column} is a text, and stands in the JSON without quotes"),
    wording("with 00123 or 15J34 in its place it is not JSON, and 123 becomes a number"),
    wording("it is sent as a text"),
)
"""A text without quotes as a value in the JSON."""

SENT_AS_GET: Final = FindingText(
    FindingKind.SENT_AS_GET,
    wording("{option} puts the call into the address, and sends it as a GET"),
    wording("the vendor documents no call but a POST; what the billing does with this one is not known"),
    wording("it is sent as a POST"),
)
"""`curl -G`."""

BARE_NUMBER: Final = FindingText(
    FindingKind.BARE_NUMBER,
    wording("the amount {key} is sent as a bare number"),
    wording("it becomes a binary fraction on its way, which has no exact 0.10: a kopeck can be lost"),
    wording("it is sent as a text, digit by digit"),
)
"""An amount of money, or any decimal number, as a JSON number."""


# ---- the rows ----------------------------------------------------------------------------------------------------

_REFUSED_SELECT: Final = wording("the database refuses the select, the loop has no rows, and nothing says so")
_SELECT_LEFT: Final = wording(
    "the select is left as it is: mend it before you run the command, which says what the database said"
)

HEADINGS_ARE_ROWS: Final = FindingText(
    FindingKind.OUTPUT_FORM,
    wording("the select is printed with its headings: set heading off is missing"),
    wording("the loop takes the line of headings and the ==== below it for rows, and makes calls of them"),
    wording("the rows alone are read"),
)
"""Neither `set heading off` nor `set list on`."""

LABEL_FOR_VALUE: Final = FindingText(
    FindingKind.OUTPUT_FORM,
    wording("with set list on a line is the column's name and then its value, and this takes the name along"),
    wording("each call carries the name of the column"),
    wording("the value is taken"),
)
"""The filter picks the column's name instead of its value."""

FIELD_NOT_THERE: Final = FindingText(
    FindingKind.OUTPUT_FORM,
    wording("${number} is picked from lines that have one field, for there is no set list on"),
    wording("each call carries an empty value"),
    wording("the one field is taken"),
)
"""`$2` where the line has one field."""

COLUMNS_GLUED: Final = FindingText(
    FindingKind.OUTPUT_FORM,
    wording("the spaces between the columns are removed"),
    wording("all columns run together into one value"),
    wording("the columns are kept apart"),
)
"""All spaces are removed from lines of several columns."""

BLANK_LINES: Final = FindingText(
    FindingKind.BLANK_LINES,
    wording("the blank lines that the database's shell prints reach the loop"),
    wording("each of them becomes a call without a value"),
    wording("the rows alone are read"),
)
"""No `sed '/^$/d'`."""

SPACES: Final = FindingText(
    FindingKind.SPACES,
    wording("{column} is a text that may have spaces, and is taken apart at them"),
    wording("such a value arrives cut, and what was cut off stands where it does not belong"),
    wording("the value is taken whole"),
)
"""A text passes through a command that splits it at spaces."""

NO_SUCH_ALIAS: Final = FindingText(
    FindingKind.NO_SUCH_ALIAS,
    wording("{names} is used in the select, which has no table of that name"),
    _REFUSED_SELECT,
    _SELECT_LEFT,
)
"""A table alias that the select does not define."""

NO_SUCH_ALIASES: Final = FindingText(
    FindingKind.NO_SUCH_ALIAS,
    wording("{names} are used in the select, which has no tables of these names"),
    _REFUSED_SELECT,
    _SELECT_LEFT,
)
"""Several such aliases."""
