"""The words and operators of a shell line as bash reads them: each character with its quoting and its place.

Nothing is run or expanded: a variable stays a variable, and a command within `$(…)` its words. A line with an
unbalanced quote, which bash rejects, is read as most likely intended, with a finding.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, NamedTuple, TypeAlias

from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import HOLE, START, LinePlace, Refusal, Told, Unfinished
from texts.said import wording

NEWLINE: Final = "\n"
"""The operator at the end of a line."""


class Quote(Enum):
    """The quoting of a character."""

    NONE = auto()
    SINGLE = auto()
    DOUBLE = auto()
    ESCAPED = auto()
    GIVEN = auto()
    """Not from the line: a value that was given, or the character that a code stands for."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a row: the variable of its line, what parts the fields, "" for white space, and its number.

    `name` is the variable that it is given to, if any.
    """

    line: str
    delimiter: str
    number: int
    place: LinePlace
    name: str = ""


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a select finds for each row: the `id` of the one whose `key` is a variable of the row, or a known text."""

    id: str
    key: str
    variable: "Letter | None"
    text: str
    place: LinePlace


class Letter(NamedTuple):
    """A character of a word. `$name` or `$(…)` is one, HOLE, and `stands_for` that variable, or those commands.

    A command that is understood becomes the field or the look-up that it is.
    """

    char: str
    place: LinePlace
    quote: Quote
    stands_for: "str | tuple[Token, ...] | Field | Lookup" = ""

    @property
    def name(self) -> str:
        """The name of the variable, "" for anything else."""
        return self.stands_for if isinstance(self.stands_for, str) else ""

    @property
    def slots(self) -> Mapping[str, str]:
        """What sentences name of it."""
        return {"name": self.name}

    @property
    def tokens(self) -> "tuple[Token, ...] | None":
        """The commands within `$(…)`, None for anything else."""
        return self.stands_for if isinstance(self.stands_for, tuple) else None


@dataclass(frozen=True, slots=True)
class ShellText:
    """A part of a word, without its quotes."""

    letters: tuple[Letter, ...] = ()

    @property
    def plain(self) -> str:
        """The text as a string; what is not known is one character, `HOLE`."""
        return "".join([letter.char for letter in self.letters])

    @property
    def holes(self) -> list[Letter]:
        """What is not known, in order: variables, commands, fields and look-ups."""
        return [letter for letter in self.letters if letter.char == HOLE]

    @property
    def commands(self) -> list[Letter]:
        """What commands would print into it, in order."""
        return [letter for letter in self.holes if letter.tokens is not None]

    def __getitem__(self, part: slice) -> "ShellText":
        return ShellText(self.letters[part])

    def place(self, at: int, otherwise: LinePlace) -> LinePlace:
        """The place of its character at `at`; `otherwise` where it has none."""
        return self.letters[at].place if at < len(self.letters) else otherwise

    def stripped(self) -> "ShellText":
        """The text without surrounding white space."""
        seen = self.plain
        start = len(seen) - len(seen.lstrip())
        return self[start : max(start, len(seen.rstrip()))]


def joined(words: "Iterable[Word]") -> ShellText:
    """The words with spaces between them."""
    letters = [letter for word in words for letter in (Letter(" ", word.place, Quote.NONE), *word.text.letters)]
    return ShellText(tuple(letters[1:]))


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a command. `kept` is the word with its inner quotes, where that may be intended."""

    text: ShellText
    place: LinePlace
    kept: ShellText | None = None

    @property
    def plain(self) -> str:
        """Its text as a string."""
        return self.text.plain

    @property
    def slots(self) -> Mapping[str, str]:
        """What sentences name of it."""
        return {"word": self.plain}

    def rest(self, start: int) -> "Word":
        """Its part from the character `start` on."""
        text = self.text[start:]
        return Word(text, text.place(0, self.place))

    def with_letters(self, letters: Iterable[Letter]) -> "Word":
        """The same word with another text."""
        return replace(self, text=ShellText(tuple(letters)), kept=None)

    def is_bare(self, *words: str) -> bool:
        """Whether it is one of these words, without any quotes: only such a word can be a keyword."""
        return self.plain in words and {letter.quote for letter in self.text.letters} == {Quote.NONE}


@dataclass(frozen=True, slots=True)
class Operator:
    """A token between words: `|`, `;`, `&&`, a redirection with its number, the end of a line."""

    symbol: str
    place: LinePlace

    @property
    def slots(self) -> Mapping[str, str]:
        """What sentences name of it."""
        return {"symbol": self.symbol}


Token: TypeAlias = Word | Operator


def lex(line: str, told: Told, start: LinePlace = START) -> tuple[Token, ...]:
    """The words and operators of a line that begins at `start`; faults of its quotes are told.

    Raises `CommandRefused` for what only a running shell could tell, as `${x:-…}`, and `Unfinished` for what the
    line does not end.
    """
    letters: list[Letter] = []
    place, foreign = start, None
    for char in line:
        is_foreign = not char.isprintable() and char not in "\n\t"
        if is_foreign and unicodedata.category(char) != "Zs":
            raise Refusal("a character that cannot be seen ({code}): take it out", place, code=f"U+{ord(char):04X}")
        foreign = foreign or (place if is_foreign else None)
        letters.append(Letter(" " if is_foreign else char, place, Quote.NONE))
        place = LinePlace(place.line + 1, 1) if char == NEWLINE else LinePlace(place.line, place.column + 1)
    if foreign:
        told.fault(findings.FOREIGN_SPACE, foreign)
    return _Lexer(letters, told).tokens()


def lex_again(text: ShellText) -> tuple[Token, ...]:
    """The tokens that another shell makes of a text, as that of `sh -c`. Raises `CommandRefused`."""
    return _Lexer(text.letters, Told()).tokens()


_BLANK: Final = re.compile(r"[ \t]+|\\\n|#[^\n]*")
_OPERATOR: Final = re.compile(r"\n|\|\||\|&|\||;;|;|&&|&>>|&>|&|\(|\)|[0-9]*(?:<<<|<<-|<<|<&|<>|<|>>|>&|>\||>)")
_ENDS_WORD: Final = frozenset(" \t\n|&;()<>")
_UNQUOTED: Final = re.compile(r"""[^ \t\n|&;()<>'"\\$`]+""")
_VARIABLE: Final = re.compile(
    r"\$(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])|\{(?P<braced>[A-Za-z_]\w*)\})", re.ASCII
)
_COMMAND: Final = re.compile(r"`|\$\((?!\()")
_CODED: Final = re.compile(r"\$'(?P<text>(?:[^'\\]|\\[tnr\\'])*)'")
_CODES: Final = {"t": "\t", "n": "\n", "r": "\r"}
_CLOSED: Final = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^'"\\]+|\\$""", re.DOTALL)
_ESCAPED_IN_DOUBLE: Final = frozenset('$`"\\\n')
_SYSTEM_TABLES: Final = ("rdb", "mon", "sec")
"""The prefixes before the `$` in the names of Firebird's own tables."""
_NEVER_CLOSED: Final = wording("the command within a command that begins here is never closed")
_NOT_READ: Final = {
    "$(": wording("arithmetic, $((…)), is not read: write its result, or put it into the rows"),
    "${": wording("a variable is read here as $name or ${{name}}, and this is neither"),
    "$'": wording("$'…' is read with \\t, \\n and \\r alone: write the text in plain quotes"),
}
"""What only a running shell could tell."""
_DEEPEST: Final = 3
"""Commands within commands; a deeper one is refused, as no line of a person has them."""


class _Lexer:
    def __init__(self, letters: Sequence[Letter], told: Told, depth: int = 0) -> None:
        self.letters = letters
        self.line = "".join([letter.char for letter in letters])
        self.told = told
        self.at = 0
        self.depth = depth
        self.closed = -1
        """The end of the last quoted part of this word."""

    def tokens(self, *, within: LinePlace | None = None) -> tuple[Token, ...]:
        """The tokens to the end, or to the `)` of the command that begins at the place `within`."""
        found: list[Token] = []
        heredocs: list[tuple[int, Operator]] = []
        opened = 0
        while self.at < len(self.line):
            if blank := _BLANK.match(self.line, self.at):
                self.at = blank.end()
                continue
            place = self._place()
            if self.line.startswith("<(", self.at):
                found.append(Word(ShellText((self._command(Quote.NONE, place),)), place))
                continue
            operator = _OPERATOR.match(self.line, self.at)
            if operator is None:
                found.append(self._word())
                continue
            self.at = operator.end()
            opened += (operator[0] == "(") - (operator[0] == ")")
            if within and opened < 0:
                break
            found.append(token := Operator(operator[0], place))
            if token.symbol in ("<<", "<<-"):
                heredocs.append((len(found), token))
            elif token.symbol == NEWLINE:
                self._take_heredocs(heredocs, found)
                heredocs = []
        else:
            if within:
                raise Unfinished(_NEVER_CLOSED, within)
        self._take_heredocs(heredocs, found)
        return tuple(found)

    # ---- heredocs ----

    def _take_heredocs(self, heredocs: Sequence[tuple[int, Operator]], found: list[Token]) -> None:
        for at, operator in heredocs:
            end = found[at] if at < len(found) else None
            if not isinstance(end, Word):
                raise Refusal("`{symbol}` names no end of its lines", operator)
            is_literal = any(letter.quote is not Quote.NONE for letter in end.text.letters)
            lines = self._lines_until(end.plain, operator, Quote.SINGLE if is_literal else Quote.DOUBLE)
            found[at] = Word(ShellText(tuple(lines)), end.place)

    def _lines_until(self, end: str, operator: Operator, quote: Quote) -> list[Letter]:
        letters: list[Letter] = []
        while self.at < len(self.line):
            stop = self.line.find(NEWLINE, self.at) % (len(self.line) + 1)
            if operator.symbol == "<<-":
                self.at = stop - len(self.line[self.at : stop].lstrip("\t"))
            if self.line[self.at : stop] == end:
                self.at = stop
                return letters
            if quote is Quote.DOUBLE and "\\" in self.line[self.at : stop]:
                raise Refusal("a backslash stands here: quote the end of the lines, '{end}'", self._place(), end=end)
            stop = min(stop + 1, len(self.line))
            letters += self._taken(stop, quote) if quote is Quote.SINGLE else self._expanded(stop)
        raise Unfinished("the lines behind `{symbol}` have no {end} at their end", operator, end=end)

    # ---- words ----

    def _word(self) -> Word:
        start, place = self.at, self._place()
        self.closed = -1
        letters: list[Letter] = []
        while self.at < len(self.line) and self.line[self.at] not in _ENDS_WORD:
            if unquoted := _UNQUOTED.match(self.line, self.at):
                letters += self._taken(unquoted.end(), Quote.NONE)
            elif self.line[self.at] == "\\":
                letters += self._backslash()
            elif self.line[self.at] in "$`":
                letters += self._dollar(Quote.NONE)
            else:
                letters += self._quoted(self.line[self.at])
        return Word(ShellText(tuple(letters)), place, self._with_quotes(start))

    def _quoted(self, quote: str) -> list[Letter]:
        start, place = self.at, self._place()
        self.at += 1
        if self._is_stray(quote, start):
            self.told.fault(findings.QUOTE_TOO_MANY, place, quote=quote)
            return []
        if quote == "'":
            letters = self._taken(self.line.find(quote, self.at) % (len(self.line) + 1), Quote.SINGLE)
        else:
            letters = self._expanded(len(self.line), quote)
        if self.at == len(self.line):
            self.told.fault(findings.QUOTE_NOT_CLOSED, place, quote=quote)
            while letters and letters[-1].char.isspace():
                letters.pop()
        self.at = self.closed = min(self.at + 1, len(self.line))
        return letters

    def _is_stray(self, quote: str, start: int) -> bool:
        """Whether a quote directly after a closing one is a typing error: no string begins so."""
        if self.closed != start or self.line[start - 1] != quote:
            return False
        following = self.line[start + 1 : start + 2]
        if following and following not in " \t\n;":
            return False
        while start < len(self.line) and (found := _CLOSED.match(self.line, start)):
            start = found.end()
        return start < len(self.line)

    def _expanded(self, stop: int, closing: str = "") -> list[Letter]:
        """The letters of a text in double quotes or of a heredoc, to before `stop` or the closing quote."""
        letters: list[Letter] = []
        while self.at < stop and self.line[self.at] != closing:
            if self.line[self.at] in "$`":
                letters += self._dollar(Quote.DOUBLE, letters)
            elif self.line[self.at] == "\\" and self.line[self.at + 1 : stop][:1] in _ESCAPED_IN_DOUBLE:
                letters += self._backslash()
            else:
                letters += self._taken(self.at + 1, Quote.DOUBLE)
        return letters

    def _taken(self, end: int, quote: Quote) -> list[Letter]:
        letters = [letter._replace(quote=quote) for letter in self.letters[self.at : end]]
        self.at = end
        return letters

    def _backslash(self) -> list[Letter]:
        """A backslash and the character it quotes; nothing at the end of a line, where it joins two lines."""
        place, following = self._place(), self.line[self.at + 1 : self.at + 2]
        self.at += 1 + len(following)
        return [] if following == NEWLINE else [Letter(following or "\\", place, Quote.ESCAPED)]

    def _dollar(self, quote: Quote, before: Sequence[Letter] = ()) -> list[Letter]:
        place = self._place()
        if found := _VARIABLE.match(self.line, self.at):
            name = found["name"] or found["braced"]
            if "".join(letter.char for letter in before[-3:]).casefold() in _SYSTEM_TABLES:
                self.told.fault(findings.DOLLAR_EATEN, place, name=name)
                return self._taken(found.end(), quote)
            self.at = found.end()
            return [Letter(HOLE, place, quote, name)]
        if _COMMAND.match(self.line, self.at):
            return [self._command(quote, place)]
        if quote is Quote.NONE and (coded := _CODED.match(self.line, self.at)):
            self.at = coded.end()
            text = re.sub(r"\\(.)", lambda code: _CODES.get(code[1], code[1]), coded["text"])
            return [Letter(char, place, Quote.SINGLE) for char in text]
        for start, sentence in _NOT_READ.items():
            if self.line.startswith(start, self.at) and (quote is Quote.NONE or start != "$'"):
                raise Refusal(sentence, place)
        if quote is Quote.NONE and self.line.startswith('$"', self.at):
            self.at += 1
            return []
        return self._taken(self.at + 1, quote)

    def _command(self, quote: Quote, place: LinePlace) -> Letter:
        if self.depth == _DEEPEST:
            raise Refusal("commands within commands are nested too deep here", place)
        if self.line[self.at] == "`":
            end = self.line.find("`", self.at + 1)
            if end < 0:
                raise Unfinished(_NEVER_CLOSED, place)
            tokens = _Lexer(self.letters[self.at + 1 : end], self.told, self.depth + 1).tokens()
            self.at = end + 1
        else:
            self.at += 2
            self.depth += 1
            tokens = self.tokens(within=place)
            self.depth -= 1
        return Letter(HOLE, place, quote, tokens)

    def _with_quotes(self, start: int) -> ShellText | None:
        """The word with its inner quotes, if it begins and ends with the same quote and contains more of them."""
        end, told, quote = self.at, self.told, self.line[start]
        if quote not in "'\"" or self.line[end - 1] != quote or quote not in self.line[start + 1 : end - 1]:
            return None
        self.at, self.told = start + 1, Told()
        try:
            letters = self._expanded(end - 1)
        except CommandRefused:
            return None
        finally:
            self.at, self.told = end, told
        return ShellText(tuple(_in_double(letter) if quote == "'" else letter for letter in letters))

    def _place(self) -> LinePlace:
        return self.letters[self.at].place


def _in_double(letter: Letter) -> Letter:
    return letter._replace(char='"') if letter.char == "'" else letter
