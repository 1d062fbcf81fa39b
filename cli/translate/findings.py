"""The faults of one-liners as a table: each with its effect today, and the correction.

No sentence repeats a value of the line, since it may be a password.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Final, NamedTuple, Protocol

from cli.terminal.exits import CommandRefused
from cli.terminal.texts import printable
from texts.said import Given, Said, said, wording

HOLE: Final = "\0"
"""The character for what is not known before it is run, in a plain string; it never occurs in a line."""
_LONGEST_NAME: Final = 60


class LinePlace(NamedTuple):
    """A place in the text, line and column counted from 1."""

    line: int
    column: int

    @property
    def place(self) -> "LinePlace":
        return self

    @property
    def text(self) -> Said:
        return said("line {line}, column {column}", line=self.line, column=self.column)


START: Final = LinePlace(1, 1)


class Fault(NamedTuple):
    """An entry of the table: the name of its kind in `--json`, and its templates."""

    kind: str
    what: str
    today: str
    instead: str


class Finding(NamedTuple):
    """A fault at its place, in words."""

    place: LinePlace
    kind: str
    what: Said
    today: Said
    instead: Said


class Part(Protocol):
    """A part of a line: a word, an operator, a command. What sentences name of it are its attributes."""

    @property
    def place(self) -> LinePlace:
        """Where it begins."""


def _about(part: Part, template: str, words: Mapping[str, Given]) -> Said:
    """A sentence about a part, its slots filled with these words, or else with attributes of the part."""
    if isinstance(template, Said):
        return template
    slots = [name for _, name, _, _ in Formatter().parse(template) if name]
    given = {name: words[name] if name in words else getattr(part, name) for name in slots}
    return said(template, **{name: named(one) if type(one) is str else one for name, one in given.items()})


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of a one-liner while it is read: its faults, and notes."""

    faults: list[Finding] = field(default_factory=list)
    notes: list[Said] = field(default_factory=list)

    def fault(self, fault: Fault, part: Part, **words: Given) -> None:
        sentences = (_about(part, one, words) for one in (fault.what, fault.today, fault.instead))
        self.faults.append(Finding(part.place, fault.kind, *sentences))


class Refusal(CommandRefused):
    """A part that cannot be translated; the template, which may also be a sentence, has slots for its words."""

    def __init__(self, template: str, part: Part, /, **words: Given) -> None:
        super().__init__(said("{place}: {why}", place=part.place.text, why=_about(part, template, words)))


class Unfinished(Refusal):
    """A line that ends before something that it has begun."""


def named(text: str) -> str:
    return printable(text.replace(HOLE, "$…"), _LONGEST_NAME)


# ---- the shell ---------------------------------------------------------------------------------------------------

QUOTE_TOO_MANY: Final = Fault(
    "unbalanced-quote",
    wording("a {quote} too many: it opens a string that nothing closes"),
    wording("the shell takes all that follows, the address too, into the string, and waits for more"),
    wording("the quote is left out"),
)
QUOTE_NOT_CLOSED: Final = Fault(
    "unbalanced-quote",
    wording("the {quote} that stands here is never closed"),
    wording("the shell waits for more, and takes what is typed next into the string"),
    wording("the string ends where the line ends"),
)
FOREIGN_SPACE: Final = Fault(
    "foreign-space",
    wording("a space that the shell does not take for one, as web pages have it"),
    wording("the shell takes it for a letter, and the words on both sides for one"),
    wording("it is read as a space, here and wherever else one stands"),
)
NEVER_EXPANDS: Final = Fault(
    "never-expands",
    wording("${name} stands within single quotes"),
    wording("the shell never puts a value there: each call carries the letters ${name}"),
    wording("the value is put there"),
)
GIVEN_BY_HAND: Final = Fault(
    "not-defined",
    wording("${name} is not defined in the line"),
    wording("the shell takes whatever it has by that name: nothing, where it has none"),
    wording("the value given with --set stands there"),
)
NOT_DEFINED: Final = GIVEN_BY_HAND._replace(
    instead=wording("{{{name}}} is a placeholder: add --set {name}=VALUE to the command, which asks for it otherwise")
)
PARAMETER: Final = GIVEN_BY_HAND._replace(
    instead=wording(
        ":{name} is a parameter of the select: add --set {name}=VALUE to the command, which asks for it otherwise"
    )
)
DOLLAR_EATEN: Final = Fault(
    "dollar-eaten",
    wording("${name} is a part of a table's name, and stands where the shell takes it for a variable"),
    wording("the shell puts the value of a variable there, most likely nothing"),
    wording("the name is left as it is"),
)
BRACES_REPLACED: Final = Fault(
    "braces-replaced",
    wording("{program} puts the value into the empty braces of {key} too"),
    wording("the billing receives {key}=… with the bare value, which is not an object"),
    wording("the braces stay empty"),
)
READ_BY_TWO_SHELLS: Final = Fault(
    "read-by-two-shells",
    wording("parallel gives these words to a second shell, and -q is missing"),
    wording("that shell takes the quotes of the JSON away, and each & as an end of the command"),
    wording("the words are taken as they stand"),
)
PRINTED_FOR_A_SHELL: Final = Fault(
    "read-by-two-shells",
    wording("awk prints each command for a second shell, the values of the row in it"),
    wording("that shell takes a quote, a $ or a space of a value as its own, and runs what follows a ;"),
    wording("each value is sent as it is"),
)
LOOKED_UP: Final = Fault(
    "looked-up",
    wording("the database is asked for each row's {id} by its {key}"),
    wording("where it finds none, or two, the call is made with nothing, or with both"),
    wording("the run finds the {id} of each {key} by itself, and refuses a row for which there is not exactly one"),
)

# ---- the form ----------------------------------------------------------------------------------------------------

MISSING_EQUALS: Final = Fault(
    "missing-equals",
    wording("{key} lacks its ="),
    wording("the billing finds no {key}: the step is done without it, and most likely nothing is said"),
    wording("it is read as {key}="),
)
NUMBERS_APART: Final = Fault(
    "numbers",
    wording("arg{arguments} has no method{arguments}, and method{method} has no arg{method}"),
    wording("the arguments belong to no step, and the billing may stop before method{method} without an error"),
    wording("they are taken for those of {name}, and the steps are numbered without a gap"),
)
ARGUMENTS_ALONE: Final = Fault(
    "numbers",
    wording("arg{arguments} has no method{arguments}"),
    wording("it belongs to no step"),
    wording("it is empty, and left out"),
)
GAP: Final = Fault(
    "numbers",
    wording("method{number} follows on {before}, and there is no method{missing}"),
    wording("the billing may stop at method{missing} without an error"),
    wording("the steps are numbered without a gap"),
)
NO_ARGUMENTS: Final = Fault(
    "no-arguments",
    wording("method{number} has no arg{number}"),
    wording("the step is sent without arguments: some of the vendor's recipes do so, its documentation does not"),
    wording("arg{number}={{}} is sent"),
)
NOT_ENCODED: Final = Fault(
    "not-encoded",
    wording("{char} stands in {key} and is not form-encoded"),
    wording("a + arrives as a space, a % as the half of a code, and at an & the value ends"),
    wording("it is sent as the {char} that it is"),
)
ENCODED_BY_HAND: Final = Fault(
    "encoded-by-hand",
    wording("{code} stands in {key}: a character that was form-encoded by hand"),
    wording("this one arrives as it is meant, the next value may not"),
    wording("it is read as the character, and every value is encoded"),
)
QUOTES_EATEN: Final = Fault(
    "no-json",
    wording("the quotes of the JSON are those of the shell as well"),
    wording("the shell takes them away, and what the billing receives is not JSON"),
    wording("they are read as part of the JSON"),
)
TEXT_WITHOUT_QUOTES: Final = Fault(
    "no-json",
    wording("{column} is a text, and stands in the JSON without quotes"),
    wording("with 00123 or 15J34 in its place it is not JSON, and 123 becomes a number"),
    wording("it is sent as a text"),
)
SENT_AS_GET: Final = Fault(
    "sent-as-get",
    wording("{option} puts the call into the address, and sends it as a GET"),
    wording("the vendor documents no call but a POST; what the billing does with this one is not known"),
    wording("it is sent as a POST"),
)
BARE_NUMBER: Final = Fault(
    "bare-number",
    wording("the amount {key} is sent as a bare number"),
    wording("it becomes a binary fraction on its way, which has no exact 0.10: a kopeck can be lost"),
    wording("it is sent as a text, digit by digit"),
)

# ---- the rows ----------------------------------------------------------------------------------------------------

HEADINGS_ARE_ROWS: Final = Fault(
    "output-form",
    wording("the select is printed with its headings: set heading off is missing"),
    wording("the loop takes the line of headings and the ==== below it for rows, and makes calls of them"),
    wording("the rows alone are read"),
)
HEADINGS_COME_AGAIN: Final = Fault(
    "output-form",
    wording("only the first headings of the select are taken away, and they are printed again every 20 rows"),
    wording("the loop takes all further ones for rows, and makes calls of them"),
    wording("the rows alone are read"),
)
LABEL_FOR_VALUE: Final = Fault(
    "output-form",
    wording("with set list on a line is the column's name and then its value, and this takes the name along"),
    wording("each call carries the name of the column"),
    wording("the value is taken"),
)
FIELD_NOT_THERE: Final = Fault(
    "output-form",
    wording("${number} is picked from lines that have one field, for there is no set list on"),
    wording("each call carries an empty value"),
    wording("the one field is taken"),
)
COLUMNS_GLUED: Final = Fault(
    "output-form",
    wording("the spaces between the columns are removed"),
    wording("all columns run together into one value"),
    wording("the columns are kept apart"),
)
BLANK_LINES: Final = Fault(
    "blank-lines",
    wording("the blank lines that the database's shell prints reach the loop"),
    wording("each of them becomes a call without a value"),
    wording("the rows alone are read"),
)
SPACES: Final = Fault(
    "spaces",
    wording("{column} is a text that may have spaces, and is taken apart at them"),
    wording("such a value arrives cut, and what was cut off stands where it does not belong"),
    wording("the value is taken whole"),
)
NO_SUCH_ALIAS: Final = Fault(
    "no-such-alias",
    wording("the select uses {names}, and has no table of such a name"),
    wording("the database refuses the select, the loop has no rows, and nothing says so"),
    wording("the select is left as it is: mend it before you run the command, which says what the database said"),
)
