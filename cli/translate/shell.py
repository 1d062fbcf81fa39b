"""A line of shell as bash reads it: words, each letter with its quoting and its place, and operators.

Nothing is ever run or expanded: a variable stays a variable. What bash could not read for an unbalanced quote is read
as it was most likely meant, and named as a fault.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias

from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import Finding, LinePlace, refused

HOLE: Final = "\0"
"""Stands for a variable where a text is seen as a string; no letter of a line is one."""


class Quote(Enum):
    """How a letter was quoted."""

    NONE = auto()
    SINGLE = auto()
    DOUBLE = auto()
    ESCAPED = auto()
    GIVEN = auto()
    """Not from the line: it stands for a variable whose value was given."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One character of a word, once the quotes are off."""

    char: str
    place: LinePlace
    quote: Quote


@dataclass(frozen=True, slots=True)
class Variable:
    """`$name`, where the shell would put its value."""

    name: str
    place: LinePlace
    quote: Quote


Atom: TypeAlias = Letter | Variable


@dataclass(frozen=True, slots=True)
class ShellText:
    """A stretch of a word. As a string (`plain`) it has one character an atom, `HOLE` for a variable."""

    atoms: tuple[Atom, ...] = ()

    @property
    def plain(self) -> str:
        """The text as a string of the same length."""
        return "".join(atom.char if isinstance(atom, Letter) else HOLE for atom in self.atoms)

    @property
    def variables(self) -> list[Variable]:
        """Its variables in order, one as often as it stands there."""
        return [atom for atom in self.atoms if isinstance(atom, Variable)]

    def cut(self, start: int, end: int | None = None) -> "ShellText":
        """The stretch from `start` to before `end`."""
        return ShellText(self.atoms[start:end])

    def place(self, at: int, otherwise: LinePlace) -> LinePlace:
        """Where its atom at `at` stands; `otherwise` where it has none."""
        return self.atoms[at].place if at < len(self.atoms) else otherwise

    def stripped(self) -> "ShellText":
        """Without the white space at both ends."""
        seen = self.plain
        start = len(seen) - len(seen.lstrip())
        return self.cut(start, max(start, len(seen.rstrip())))


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a command. `kept` is how it reads with its inner quotes left in, where it may be meant so."""

    text: ShellText
    place: LinePlace
    kept: ShellText | None = None

    @property
    def plain(self) -> str:
        """Its text as a string."""
        return self.text.plain

    def is_bare(self, *words: str) -> bool:
        """Whether it is one of these, with nothing of it quoted: only such a word can be a keyword."""
        quotes = {atom.quote for atom in self.text.atoms}
        return self.plain in words and quotes == {Quote.NONE}


@dataclass(frozen=True, slots=True)
class Operator:
    """What stands between words: `|`, `;`, `&&`, a redirection with its number, the end of a line."""

    symbol: str
    place: LinePlace


Token: TypeAlias = Word | Operator

NEWLINE: Final = "\n"
_OPERATOR: Final = re.compile(r"\n|\|\||\|&|\||;;|;|&&|&>>|&>|&|\(|\)|[0-9]*(?:<<<|<<-|<<|<&|<>|<|>>|>&|>\||>)")
_ENDS_WORD: Final = frozenset(" \t\n|&;()<>")
_VARIABLE: Final = re.compile(
    r"\$(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])|\{(?P<braced>[A-Za-z_]\w*)\})", re.ASCII
)
_DOUBLE: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_CLOSED: Final = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^'"\\]+|\\$""", re.DOTALL)
_ESCAPED_IN_DOUBLE: Final = frozenset('$`"\\\n')
_SYSTEM_TABLES: Final = ("rdb", "mon", "sec")
"""What stands before the `$` in the names of Firebird's own tables."""


def lex(line: str) -> tuple[list[Token], list[Finding]]:
    """The words and operators of a line, and what was wrong with its quotes.

    Raises `CommandRefused` for what only a running shell could tell: `$(…)`, `${x:-…}`, `$'…'`.
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
        """Where the last quoted stretch of this word has ended."""

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
        atoms: list[Atom] = []
        while self._at < len(self._line) and self._line[self._at] not in _ENDS_WORD:
            atoms += self._stretch()
        return Word(ShellText(tuple(atoms)), self._place(start), self._with_quotes(start, self._at))

    def _stretch(self) -> list[Atom]:
        """The next letter of a word, or a whole quoted part of it."""
        match self._line[self._at]:
            case "'" | '"' as quote:
                return self._quoted(quote)
            case "\\":
                return self._backslash()
            case "$" | "`":
                return self._dollar(Quote.NONE)
            case char:
                return [self._letter(char, Quote.NONE)]

    def _quoted(self, quote: str) -> list[Atom]:
        start = self._at
        end = self._end_of(quote, start)
        if self._is_too_many(quote, start):
            self.faults.append(findings.QUOTE_TOO_MANY.at(self._place(start), quote=quote))
            self._at = start + 1
            return []
        if end < 0:
            self.faults.append(findings.QUOTE_NOT_CLOSED.at(self._place(start), quote=quote))
        stop = end if end >= 0 else max(start + 1, len(self._line.rstrip()))
        self._at = start + 1
        atoms = self._inside(stop, Quote.SINGLE if quote == "'" else Quote.DOUBLE)
        self._at = stop + 1 if end >= 0 else len(self._line)
        self._closed = self._at
        return atoms

    def _end_of(self, quote: str, start: int) -> int:
        if quote == "'":
            return self._line.find(quote, start + 1)
        found = _DOUBLE.match(self._line, start)
        return found.end() - 1 if found else -1

    def _is_too_many(self, quote: str, start: int) -> bool:
        """Whether a quote directly behind a closing one was typed by mistake: nobody begins a string so."""
        if self._closed != start or self._line[start - 1] != quote:
            return False
        following = self._line[start + 1 : start + 2]
        return (not following or following in " \t\n;") and self._stays_open(start)

    def _stays_open(self, start: int) -> bool:
        """Whether some quote from `start` on is never closed."""
        while start < len(self._line) and (found := _CLOSED.match(self._line, start)):
            start = found.end()
        return start < len(self._line)

    def _inside(self, stop: int, quote: Quote) -> list[Atom]:
        """The atoms of a quoted stretch that ends before `stop`."""
        atoms: list[Atom] = []
        while self._at < stop:
            char = self._line[self._at]
            if quote is Quote.DOUBLE and char in "$`":
                atoms += self._dollar(quote, atoms)
            elif quote is Quote.DOUBLE and char == "\\" and self._line[self._at + 1 : stop][:1] in _ESCAPED_IN_DOUBLE:
                atoms += self._backslash()
            else:
                atoms.append(self._letter(char, quote))
        return atoms

    def _letter(self, char: str, quote: Quote) -> Letter:
        self._at += 1
        return Letter(char, self._place(self._at - 1), quote)

    def _backslash(self) -> list[Atom]:
        """A backslash and what it quotes; nothing at the end of a line, where it joins two of them."""
        following = self._line[self._at + 1 : self._at + 2]
        place = self._place(self._at)
        self._at += 1 + len(following)
        return [] if following == NEWLINE else [Letter(following or "\\", place, Quote.ESCAPED)]

    def _dollar(self, quote: Quote, before: list[Atom] | None = None) -> list[Atom]:
        start = self._at
        place = self._place(start)
        found = _VARIABLE.match(self._line, start)
        if found:
            self._at = found.end()
            name = found["name"] or found["braced"]
            if ShellText(tuple((before or [])[-3:])).plain.casefold() in _SYSTEM_TABLES:
                self.faults.append(findings.DOLLAR_EATEN.at(place, name=name))
                return [Letter(char, place, quote) for char in found[0]]
            return [Variable(name, place, quote)]
        self._refuse_what_runs(quote, place)
        if quote is Quote.NONE and self._line.startswith('$"', start):
            self._at += 1
            return []
        return [self._letter("$", quote)]

    def _refuse_what_runs(self, quote: Quote, place: LinePlace) -> None:
        """Raises `CommandRefused` for a `$` or a backtick whose value only a running shell knows."""
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
        """The word with its inner quotes as part of it, if it begins and ends with the same and has more of them."""
        quote = self._line[start]
        around = (self._line[start], self._line[end - 1])
        if quote not in "'\"" or around != (quote, quote) or quote not in self._line[start + 1 : end - 1]:
            return None
        resume, said = self._at, len(self.faults)
        self._at = start + 1
        try:
            atoms = self._inside(end - 1, Quote.DOUBLE)
        except CommandRefused:
            return None
        finally:
            self._at = resume
            del self.faults[said:]
        return ShellText(tuple(_as_double(atom) if quote == "'" else atom for atom in atoms))

    # ---- places and characters ----

    def _place(self, at: int) -> LinePlace:
        line = bisect_right(self._starts, at)
        return LinePlace(line, at - self._starts[line - 1] + 1)

    def _cleaned(self, line: str) -> str:
        """The line with plain spaces for foreign ones. Raises `CommandRefused` for what cannot be seen."""
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


def _as_double(atom: Atom) -> Atom:
    is_single = isinstance(atom, Letter) and atom.char == "'"
    return Letter('"', atom.place, atom.quote) if is_single else atom
