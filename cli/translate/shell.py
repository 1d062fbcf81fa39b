"""The lexer of a shell line: operators and words as bash reads them, each piece with its quoting and place.

Nothing is run or expanded: a variable stays a variable. A line with an unbalanced quote, which bash rejects, is read
as most likely intended, with a finding.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, TypeAlias

from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import Finding, LinePlace, refused

HOLE: Final = "\0"
"""The character for a variable in a plain string; it never occurs in a line."""


class Quote(Enum):
    """The quoting of a stretch of a word."""

    NONE = auto()
    SINGLE = auto()
    DOUBLE = auto()
    ESCAPED = auto()
    GIVEN = auto()
    """Not from the line: the value of a variable that was given."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Adjacent characters of one line with the same quoting, with the quotes removed.

    `place` is that of the first character. A stretch that `stands_for` something else in the line, a variable or a
    code, has that place for all its characters.
    """

    text: str
    place: LinePlace
    quote: Quote
    stands_for: bool = False

    def place_of(self, at: int) -> LinePlace:
        """The place of its character at `at`."""
        return self.place if self.stands_for else LinePlace(self.place.line, self.place.column + at)

    def cut(self, start: int, end: int) -> "Stretch":
        """The stretch from `start` to before `end`."""
        return replace(self, text=self.text[start:end], place=self.place_of(start))


@dataclass(frozen=True, slots=True)
class Variable:
    """`$name`, which the shell would replace by its value."""

    name: str
    place: LinePlace
    quote: Quote


Piece: TypeAlias = Stretch | Variable


def _as_string(piece: Piece) -> str:
    return piece.text if isinstance(piece, Stretch) else HOLE


@dataclass(frozen=True, slots=True)
class ShellText:
    """A part of a word. In the plain string (`plain`) each variable is one character, `HOLE`."""

    pieces: tuple[Piece, ...] = ()

    @property
    def plain(self) -> str:
        """The text as a string."""
        return "".join(map(_as_string, self.pieces))

    @property
    def variables(self) -> list[Variable]:
        """Its variables in order, with repetitions."""
        return [piece for piece in self.pieces if isinstance(piece, Variable)]

    def cut(self, start: int, end: int | None = None) -> "ShellText":
        """The part from the character `start` of the string to before `end`."""
        found: list[Piece] = []
        for at, piece in self._from_the_start():
            size = len(_as_string(piece))
            first, last = max(start - at, 0), size if end is None else min(end - at, size)
            if first < last:
                found.append(piece.cut(first, last) if isinstance(piece, Stretch) else piece)
        return ShellText(tuple(found))

    def place(self, at: int, otherwise: LinePlace) -> LinePlace:
        """The place of its character at `at`; `otherwise` where it has none."""
        for start, piece in self._from_the_start():
            if at < start + len(_as_string(piece)):
                return piece.place_of(at - start) if isinstance(piece, Stretch) else piece.place
        return otherwise

    def _from_the_start(self) -> Iterator[tuple[int, Piece]]:
        """Each piece with its offset."""
        at = 0
        for piece in self.pieces:
            yield at, piece
            at += len(_as_string(piece))

    def stripped(self) -> "ShellText":
        """The text without surrounding white space."""
        seen = self.plain
        start = len(seen) - len(seen.lstrip())
        return self.cut(start, max(start, len(seen.rstrip())))


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

    def is_bare(self, *words: str) -> bool:
        """Whether it is one of these words, without any quotes: only such a word can be a keyword."""
        quotes = {piece.quote for piece in self.text.pieces}
        return self.plain in words and quotes == {Quote.NONE}


@dataclass(frozen=True, slots=True)
class Operator:
    """A token between words: `|`, `;`, `&&`, a redirection with its number, the end of a line."""

    symbol: str
    place: LinePlace


Token: TypeAlias = Word | Operator

NEWLINE: Final = "\n"
_OPERATOR: Final = re.compile(r"\n|\|\||\|&|\||;;|;|&&|&>>|&>|&|\(|\)|[0-9]*(?:<<<|<<-|<<|<&|<>|<|>>|>&|>\||>)")
_ENDS_WORD: Final = frozenset(" \t\n|&;()<>")
_VARIABLE: Final = re.compile(
    r"\$(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])|\{(?P<braced>[A-Za-z_]\w*)\})", re.ASCII
)
_UNQUOTED: Final = re.compile(r"""[^ \t\n|&;()<>'"\\$`]+""")
_IN_DOUBLE: Final = re.compile(r"[^$`\\]+")
_DOUBLE: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_CLOSED: Final = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^'"\\]+|\\$""", re.DOTALL)
_ESCAPED_IN_DOUBLE: Final = frozenset('$`"\\\n')
_SYSTEM_TABLES: Final = ("rdb", "mon", "sec")
"""The prefixes before the `$` in the names of Firebird's own tables."""


def lex(line: str) -> tuple[list[Token], list[Finding]]:
    """The words and operators of a line, and the findings about its quotes.

    Raises `CommandRefused` for what needs a running shell: `$(…)`, `${x:-…}`, `$'…'`.
    """
    lexer = _Lexer(line)
    return list(lexer.tokens()), lexer.faults


class _Lexer:
    def __init__(self, line: str) -> None:
        self.faults: list[Finding] = []
        self._starts = [0, *(found.end() for found in re.finditer("\n", line))]
        self._line = self._cleaned(line)
        self._at = 0
        self._closed = -1
        """The end of the last quoted stretch of this word."""

    def tokens(self) -> Iterator[Token]:
        line = self._line
        while self._at < len(line):
            operator = _OPERATOR.match(line, self._at)
            if operator:
                yield Operator(operator[0], self._place(self._at))
                self._at = operator.end()
            elif line[self._at] in " \t":
                self._at += 1
            elif line.startswith("\\\n", self._at):
                self._at += 2
            elif line[self._at] == "#":
                end = line.find(NEWLINE, self._at)
                self._at = end if end >= 0 else len(line)
            else:
                yield self._word()

    # ---- words ----

    def _word(self) -> Word:
        start = self._at
        self._closed = -1
        pieces: list[Piece] = []
        while self._at < len(self._line) and self._line[self._at] not in _ENDS_WORD:
            pieces += self._next_part()
        return Word(ShellText(tuple(pieces)), self._place(start), self._with_quotes(start, self._at))

    def _next_part(self) -> list[Piece]:
        """The next part of a word with the same quoting."""
        unquoted = _UNQUOTED.match(self._line, self._at)
        if unquoted:
            return self._stretches(unquoted.end(), Quote.NONE)
        match self._line[self._at]:
            case "'" | '"' as quote:
                return self._quoted(quote)
            case "\\":
                return self._backslash()
            case _:
                return self._dollar(Quote.NONE)

    def _quoted(self, quote: str) -> list[Piece]:
        start = self._at
        end = self._end_of(quote, start)
        if self._is_stray(quote, start):
            self.faults.append(findings.QUOTE_TOO_MANY.at(self._place(start), quote=quote))
            self._at = start + 1
            return []
        if end < 0:
            self.faults.append(findings.QUOTE_NOT_CLOSED.at(self._place(start), quote=quote))
        stop = end if end >= 0 else max(start + 1, len(self._line.rstrip()))
        self._at = start + 1
        pieces = self._inside(stop, Quote.SINGLE if quote == "'" else Quote.DOUBLE)
        self._at = stop + 1 if end >= 0 else len(self._line)
        self._closed = self._at
        return pieces

    def _end_of(self, quote: str, start: int) -> int:
        if quote == "'":
            return self._line.find(quote, start + 1)
        found = _DOUBLE.match(self._line, start)
        return found.end() - 1 if found else -1

    def _is_stray(self, quote: str, start: int) -> bool:
        """Whether a quote directly after a closing one is a typing error: no string begins so."""
        if self._closed != start or self._line[start - 1] != quote:
            return False
        following = self._line[start + 1 : start + 2]
        return (not following or following in " \t\n;") and self._stays_open(start)

    def _stays_open(self, start: int) -> bool:
        """Whether some quote from `start` on is never closed."""
        while start < len(self._line) and (found := _CLOSED.match(self._line, start)):
            start = found.end()
        return start < len(self._line)

    def _inside(self, stop: int, quote: Quote) -> list[Piece]:
        """The pieces of a quoted part that ends before `stop`."""
        if quote is Quote.SINGLE:
            return self._stretches(stop, quote)
        pieces: list[Piece] = []
        while self._at < stop:
            letters = _IN_DOUBLE.match(self._line, self._at, stop)
            if letters:
                pieces += self._stretches(letters.end(), quote)
            elif self._line[self._at] in "$`":
                pieces += self._dollar(quote, pieces)
            elif self._line[self._at + 1 : stop][:1] in _ESCAPED_IN_DOUBLE:
                pieces += self._backslash()
            else:
                pieces += self._stretches(self._at + 1, quote)
        return pieces

    def _stretches(self, end: int, quote: Quote) -> list[Piece]:
        """The characters before `end`, one stretch a line."""
        found: list[Piece] = []
        for text in self._line[self._at : end].splitlines(keepends=True):
            found.append(Stretch(text, self._place(self._at), quote))
            self._at += len(text)
        return found

    def _backslash(self) -> list[Piece]:
        """A backslash and the character it quotes; nothing at the end of a line, where it joins two lines."""
        following = self._line[self._at + 1 : self._at + 2]
        place = self._place(self._at)
        self._at += 1 + len(following)
        return [] if following == NEWLINE else [Stretch(following or "\\", place, Quote.ESCAPED)]

    def _dollar(self, quote: Quote, before: Sequence[Piece] = ()) -> list[Piece]:
        start = self._at
        place = self._place(start)
        found = _VARIABLE.match(self._line, start)
        if found:
            self._at = found.end()
            name = found["name"] or found["braced"]
            if ShellText(tuple(before)).plain[-3:].casefold() in _SYSTEM_TABLES:
                self.faults.append(findings.DOLLAR_EATEN.at(place, name=name))
                return [Stretch(found[0], place, quote)]
            return [Variable(name, place, quote)]
        self._refuse_expansions(quote, place)
        if quote is Quote.NONE and self._line.startswith('$"', start):
            self._at += 1
            return []
        return self._stretches(start + 1, quote)

    def _refuse_expansions(self, quote: Quote, place: LinePlace) -> None:
        """Raise `CommandRefused` for a `$` or a backtick whose value only a running shell knows."""
        rest = self._line[self._at : self._at + 2]
        if rest[0] == "`" or rest == "$(":
            raise refused(
                place, "a command within a command ($(…) or `…`): nothing is run here; write its result instead"
            )
        if rest == "${":
            raise refused(place, "a variable is read here as $name or ${name}, and this is neither")
        if rest == "$'" and quote is Quote.NONE:
            raise refused(place, "$'…' is not read here: write the text in plain quotes")

    def _with_quotes(self, start: int, end: int) -> ShellText | None:
        """The word with its inner quotes, if it begins and ends with the same quote and contains more of them."""
        quote = self._line[start]
        around = (self._line[start], self._line[end - 1])
        if quote not in "'\"" or around != (quote, quote) or quote not in self._line[start + 1 : end - 1]:
            return None
        resume, said = self._at, len(self.faults)
        self._at = start + 1
        try:
            pieces = self._inside(end - 1, Quote.DOUBLE)
        except CommandRefused:
            return None
        finally:
            self._at = resume
            del self.faults[said:]
        return ShellText(tuple(_in_double(piece) if quote == "'" else piece for piece in pieces))

    # ---- places and characters ----

    def _place(self, at: int) -> LinePlace:
        line = bisect_right(self._starts, at)
        return LinePlace(line, at - self._starts[line - 1] + 1)

    def _cleaned(self, line: str) -> str:
        """The line with foreign spaces replaced by plain ones. Raises `CommandRefused` for invisible characters."""
        clean: list[str] = []
        for at, char in enumerate(line):
            if char.isprintable() or char in "\n\t":
                clean.append(char)
                continue
            if unicodedata.category(char) != "Zs":
                raise refused(self._place(at), f"a character that cannot be seen (U+{ord(char):04X}): take it out")
            if not self.faults:
                self.faults.append(findings.FOREIGN_SPACE.at(self._place(at)))
            clean.append(" ")
        return "".join(clean)


def _in_double(piece: Piece) -> Piece:
    """The piece with double quotes in place of single ones."""
    return replace(piece, text=piece.text.replace("'", '"')) if isinstance(piece, Stretch) else piece
