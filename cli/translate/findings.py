"""What is wrong with a one-liner: each fault with its place, what it does today, and what is done instead.

All words that are said of a fault stand here, so that they can be read one after the other. None of them repeats a
value of the line: it may be a password.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from cli.terminal.exits import CommandRefused
from cli.terminal.texts import printable

_NAME: Final = 60
"""Characters of a name out of the line that are shown."""


class LinePlace(NamedTuple):
    """Where something stands in the one-liner, both counted from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


class FaultKind(StrEnum):
    """The names of the faults, as `--json` has them."""

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


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: `what` it is, what it does `today`, and what the translation does `instead`."""

    kind: FaultKind
    place: LinePlace
    what: str
    today: str
    instead: str


def refused(place: LinePlace, sentence: str) -> CommandRefused:
    """The refusal of a part that cannot be translated, to be raised."""
    return CommandRefused(f"{place}: {sentence}")


def named(text: str) -> str:
    """A word out of the line as it is shown in a sentence."""
    return printable(text.replace("\0", "$…"), _NAME)


# ---- the shell ---------------------------------------------------------------------------------------------------


def quote_too_many(place: LinePlace, quote: str) -> Finding:
    """A second closing quote, which opens a string instead."""
    return Finding(
        FaultKind.UNBALANCED_QUOTE,
        place,
        f"a {quote} too many: it opens a string that nothing closes",
        "the shell takes all that follows, the address too, into the string, and waits for more",
        "the quote is left out",
    )


def quote_not_closed(place: LinePlace, quote: str) -> Finding:
    """A string without its end."""
    return Finding(
        FaultKind.UNBALANCED_QUOTE,
        place,
        f"the {quote} that stands here is never closed",
        "the shell waits for more, and takes what is typed next into the string",
        "the string ends where the line ends",
    )


def foreign_space(place: LinePlace) -> Finding:
    """A no-break space, as a web page has them."""
    return Finding(
        FaultKind.FOREIGN_SPACE,
        place,
        "a space that is none for the shell, as web pages have them",
        "the shell takes it for a letter, and the words on both sides for one",
        "it is read as a space, here and wherever else one stands",
    )


def never_expands(place: LinePlace, name: str) -> Finding:
    """A variable within single quotes."""
    return Finding(
        FaultKind.NEVER_EXPANDS,
        place,
        f"${name} stands within single quotes",
        f"the shell never puts a value there: each call carries the letters ${name}",
        "the value is put there",
    )


def given_by_hand(place: LinePlace, name: str) -> Finding:
    """A variable that the line does not define, whose value was given with --set."""
    return Finding(
        FaultKind.NOT_DEFINED,
        place,
        f"${name} is not defined in the line",
        "the shell takes whatever it has by that name: nothing, where it has none",
        "the value given with --set stands there",
    )


def not_defined(place: LinePlace, name: str) -> Finding:
    """A variable that the line does not define."""
    return Finding(
        FaultKind.NOT_DEFINED,
        place,
        f"${name} is not defined in the line",
        "the shell takes whatever it has by that name: nothing, where it has none",
        f"{{{name}}} is a placeholder: add --set {name}=VALUE to the command, which asks for it otherwise",
    )


def parameter(place: LinePlace, name: str) -> Finding:
    """A variable of the SQL that the line does not define."""
    return Finding(
        FaultKind.NOT_DEFINED,
        place,
        f"${name} is not defined in the line",
        "the shell takes whatever it has by that name: nothing, where it has none",
        f":{name} is a parameter of the select: add --set {name}=VALUE to the command, which asks for it otherwise",
    )


def dollar_eaten(place: LinePlace, name: str) -> Finding:
    """A system table's `$` within double quotes."""
    return Finding(
        FaultKind.DOLLAR_EATEN,
        place,
        f"${name} is a part of a table's name, and stands where the shell takes it for a variable",
        "the shell puts the value of a variable there, most likely nothing",
        "the name is left as it is",
    )


# ---- the form ----------------------------------------------------------------------------------------------------


def missing_equals(place: LinePlace, key: str) -> Finding:
    """`arg2{`."""
    return Finding(
        FaultKind.MISSING_EQUALS,
        place,
        f"{key} lacks its =",
        f"the billing finds no {key}: the step is done without it, and most likely nothing is said",
        f"it is read as {key}=",
    )


def numbers_apart(place: LinePlace, arguments: int, method: int, name: str) -> Finding:
    """`method3=save&arg2={}`."""
    return Finding(
        FaultKind.NUMBERS,
        place,
        f"arg{arguments} has no method{arguments}, and method{method} has no arg{method}",
        f"the arguments belong to no step, and the billing may stop before method{method} without an error",
        f"they are taken for those of {name}, and the steps are numbered without a gap",
    )


def arguments_alone(place: LinePlace, arguments: int) -> Finding:
    """`arg4={}` without a method4."""
    return Finding(
        FaultKind.NUMBERS,
        place,
        f"arg{arguments} has no method{arguments}",
        "it belongs to no step",
        "it is empty, and left out",
    )


def gap(place: LinePlace, number: int, before: int) -> Finding:
    """method1, then method3."""
    missing = f"method{before + 1}"
    return Finding(
        FaultKind.NUMBERS,
        place,
        f"method{number} follows on {f'method{before}' if before else 'nothing'}, and there is no {missing}",
        f"the billing may stop at {missing} without an error",
        "the steps are numbered without a gap",
    )


def no_arguments(place: LinePlace, number: int) -> Finding:
    """A method without its arguments."""
    return Finding(
        FaultKind.NO_ARGUMENTS,
        place,
        f"method{number} has no arg{number}",
        "the step is sent without arguments: some of the vendor's recipes do so, its documentation does not",
        f"arg{number}={{}} is sent",
    )


def plus_or_percent(place: LinePlace, sign: str, key: str) -> Finding:
    """A `+` or a lone `%` in a value."""
    arrives = "a space" if sign == "+" else "itself or the half of a code, as it happens"
    return Finding(
        FaultKind.NOT_ENCODED,
        place,
        f"a {sign} stands in {key} and is not form-encoded",
        f"it arrives as {arrives}",
        f"it is sent as the {sign} that it is",
    )


def ampersand(place: LinePlace, key: str) -> Finding:
    """An `&` within a value."""
    return Finding(
        FaultKind.NOT_ENCODED,
        place,
        f"an & stands in {key} and is not form-encoded",
        f"{key} ends before it, and what follows is taken for another field",
        "it is sent as the & that it is",
    )


def encoded_by_hand(place: LinePlace, code: str, key: str) -> Finding:
    """`%2B` in a value."""
    return Finding(
        FaultKind.ENCODED_BY_HAND,
        place,
        f"{code} stands in {key}: a character that was form-encoded by hand",
        "this one arrives as it is meant, the next value may not",
        "it is read as the character, and every value is encoded",
    )


def quotes_eaten(place: LinePlace) -> Finding:
    """`"{"id": 5}"`."""
    return Finding(
        FaultKind.NO_JSON,
        place,
        "the quotes of the JSON are those of the shell as well",
        "the shell takes them away, and what the billing receives is no JSON",
        "they are read as part of the JSON",
    )


def text_without_quotes(place: LinePlace, column: str) -> Finding:
    """A text spliced in as a bare value."""
    return Finding(
        FaultKind.NO_JSON,
        place,
        f"{named(column)} is a text, and stands in the JSON without quotes",
        "with 00123 or 15J34 in its place it is no JSON, and 123 becomes a number",
        "it is sent as a text",
    )


def bare_number(place: LinePlace, key: str) -> Finding:
    """An amount of money, or any number with a point, as a number of JSON."""
    return Finding(
        FaultKind.BARE_NUMBER,
        place,
        f"the amount {named(key)} is sent as a bare number",
        "it becomes a binary fraction on its way, which has no exact 0.10: a kopeck can be lost",
        "it is sent as a text, digit by digit",
    )


# ---- the rows ----------------------------------------------------------------------------------------------------


def headings_are_rows(place: LinePlace) -> Finding:
    """Neither `set heading off` nor `set list on`."""
    return Finding(
        FaultKind.OUTPUT_FORM,
        place,
        "the select is printed with its headings: set heading off is missing",
        "the loop takes the line of headings and the ==== below it for rows, and makes calls of them",
        "the rows alone are read",
    )


def label_for_value(place: LinePlace) -> Finding:
    """The column's name is picked where its value is meant."""
    return Finding(
        FaultKind.OUTPUT_FORM,
        place,
        "with set list on a line is the column's name and then its value, and this takes the name along",
        "each call carries the name of the column",
        "the value is taken",
    )


def field_not_there(place: LinePlace, number: int) -> Finding:
    """`$2` where the line has one field."""
    return Finding(
        FaultKind.OUTPUT_FORM,
        place,
        f"${number} is picked from lines that have one field, for there is no set list on",
        "each call carries an empty value",
        "the one field is taken",
    )


def columns_glued(place: LinePlace) -> Finding:
    """All spaces are removed from lines of several columns."""
    return Finding(
        FaultKind.OUTPUT_FORM,
        place,
        "the spaces between the columns are removed",
        "all columns run together into one value",
        "the columns are kept apart",
    )


def blank_lines(place: LinePlace) -> Finding:
    """No `sed '/^$/d'`."""
    return Finding(
        FaultKind.BLANK_LINES,
        place,
        "the blank lines that the database's shell prints reach the loop",
        "each of them becomes a call without a value",
        "the rows alone are read",
    )


def spaces(place: LinePlace, column: str) -> Finding:
    """A text passes through something that breaks it at its spaces."""
    return Finding(
        FaultKind.SPACES,
        place,
        f"{named(column)} is a text that may have spaces, and is taken apart at them",
        "such a value arrives cut, and what was cut off stands where it does not belong",
        "the value is taken whole",
    )


def no_such_alias(place: LinePlace, aliases: list[str]) -> Finding:
    """A table's short name that the select never gives."""
    several = len(aliases) > 1
    return Finding(
        FaultKind.NO_SUCH_ALIAS,
        place,
        f"{', '.join(map(named, aliases))} {'are' if several else 'is'} used in the select, which has no "
        f"{'tables of these names' if several else 'table of that name'}",
        "the database refuses the select, the loop has no rows, and nothing says so",
        "the select is left as it is: mend it before you run the command, which says what the database said",
    )
