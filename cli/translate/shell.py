"""The lexer of a shell line: operators and words as bash reads them, each piece with its quoting and place.

Nothing is run or expanded: a variable stays a variable, and a command within `$(…)` its words. A line with an
unbalanced quote, which bash rejects, is read as most likely intended, with a finding.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import Finding, LinePlace, Unfinished, refused
from cli.translate.words import (
    NEWLINE,
    Operator,
    Piece,
    Quote,
    ShellText,
    Stretch,
    Substitution,
    Token,
    Variable,
    Word,
)
from texts.said import said

_OPERATOR: Final = re.compile(r"\n|\|\||\|&|\||;;|;|&&|&>>|&>|&|\(|\)|[0-9]*(?:<<<|<<-|<<|<&|<>|<|>>|>&|>\||>)")
_ENDS_WORD: Final = frozenset(" \t\n|&;()<>")
_VARIABLE: Final = re.compile(
    r"\$(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])|\{(?P<braced>[A-Za-z_]\w*)\})", re.ASCII
)
_UNQUOTED: Final = re.compile(r"""[^ \t\n|&;()<>'"\\$`]+""")
_IN_DOUBLE: Final = re.compile(r"[^$`\\]+")
_CLOSED: Final = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^'"\\]+|\\$""", re.DOTALL)
_ESCAPED_IN_DOUBLE: Final = frozenset('$`"\\\n')
_SYSTEM_TABLES: Final = ("rdb", "mon", "sec")
"""The prefixes before the `$` in the names of Firebird's own tables."""
_HEREDOCS: Final = frozenset({"<<", "<<-"})
_CODED: Final = re.compile(r"\$'(?P<text>(?:[^'\\]|\\[tnr\\'])*)'")
_CODES: Final = {"t": "\t", "n": "\n", "r": "\r"}
_DEEPEST: Final = 3
"""Commands within commands; a deeper one is refused, as no line of a person has them."""


def lex(line: str) -> tuple[list[Token], list[Finding]]:
    """The words and operators of a line, and the findings about its quotes.

    Raises `CommandRefused` for what only a running shell could tell, as `${x:-…}`, and `Unfinished` for what the
    line does not end.
    """
    lexer = _Lexer(line)
    return lexer.tokens(), lexer.faults


def lex_again(text: ShellText, place: LinePlace) -> list[Token]:
    """The tokens that another shell makes of a text without variables, as the one of `sh -c`.

    Each has its place in the line. Raises `CommandRefused`.
    """
    if text.variables or text.substitutions:
        raise refused(
            place, said("a variable stands in words that a second shell reads: write its value into the line")
        )
    return _SecondLexer(text, place).tokens()


class _Lexer:
    def __init__(self, line: str, depth: int = 0) -> None:
        self.faults: list[Finding] = []
        self._starts = [0, *(found.end() for found in re.finditer("\n", line))]
        self._line = self._cleaned(line)
        self._at = 0
        self._depth = depth
        self._closed = -1
        """The end of the last quoted stretch of this word."""

    def tokens(self, start: int = 0) -> list[Token]:
        """The tokens from the character `start` on."""
        found: list[Token] = []
        heredocs: list[tuple[int, Operator]] = []
        self._at = start
        while (token := self._token()) is not None:
            found.append(token)
            if isinstance(token, Operator) and token.symbol in _HEREDOCS:
                heredocs.append((len(found), token))
            elif isinstance(token, Operator) and token.symbol == NEWLINE:
                self._take_heredocs(heredocs, found)
                heredocs = []
        self._take_heredocs(heredocs, found)
        return found

    def _token(self) -> Token | None:
        line = self._line
        while self._at < len(line):
            if line.startswith("<(", self._at):
                place = self._place(self._at)
                return Word(ShellText((self._command(self._at + 2, Quote.NONE, place),)), place)
            operator = _OPERATOR.match(line, self._at)
            if operator:
                place = self._place(self._at)
                self._at = operator.end()
                return Operator(operator[0], place)
            if line[self._at] in " \t":
                self._at += 1
            elif line.startswith("\\\n", self._at):
                self._at += 2
            elif line[self._at] == "#":
                end = line.find(NEWLINE, self._at)
                self._at = end if end >= 0 else len(line)
            else:
                return self._word()
        return None

    # ---- heredocs ----

    def _take_heredocs(self, heredocs: Sequence[tuple[int, Operator]], found: list[Token]) -> None:
        """Put the lines of each heredoc in place of the word that ends it."""
        for at, operator in heredocs:
            end = found[at] if at < len(found) else None
            if not isinstance(end, Word):
                raise refused(operator.place, said("`{symbol}` names no end of its lines", symbol=operator.symbol))
            is_literal = any(piece.quote is not Quote.NONE for piece in end.text.pieces)
            pieces = self._lines_until(end.plain, operator, Quote.SINGLE if is_literal else Quote.DOUBLE)
            found[at] = Word(ShellText(tuple(pieces)), end.place)

    def _lines_until(self, end: str, operator: Operator, quote: Quote) -> list[Piece]:
        pieces: list[Piece] = []
        while self._at < len(self._line):
            stop = self._line.find(NEWLINE, self._at)
            stop = len(self._line) if stop < 0 else stop
            if operator.symbol == "<<-":
                self._at = stop - len(self._line[self._at : stop].lstrip("\t"))
            if self._line[self._at : stop] == end:
                self._at = stop
                return pieces
            if quote is Quote.DOUBLE and "\\" in self._line[self._at : stop]:
                raise refused(
                    self._place(self._at),
                    said("a backslash stands here: quote the end of the lines, '{end}'", end=end),
                )
            pieces += self._inside(min(stop + 1, len(self._line)), quote)
        raise Unfinished(
            operator.place,
            said(
                "the lines behind `{symbol}` have no {end} at their end",
                symbol=operator.symbol,
                end=findings.named(end),
            ),
        )

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

    def _end_of(self, quote: str, start: int, depth: int = 0) -> int:
        """Where the string that begins at `start` is closed, -1 where it is not."""
        if quote == "'":
            return self._line.find(quote, start + 1)
        at = start + 1
        while 0 <= at < len(self._line):
            if self._line[at] == quote:
                return at
            at = self._behind(at, depth)
        return -1

    def _end_of_command(self, start: int, depth: int = 0) -> int:
        """Where the `)` stands that ends the command from `start` on, -1 without one."""
        at, opened = start, 0
        while 0 <= at < len(self._line):
            match self._line[at]:
                case ")" if not opened:
                    return at
                case "'" | '"' as quote:
                    end = self._end_of(quote, at, depth + 1) if depth <= _DEEPEST else -1
                    at = end + 1 if end >= 0 else -1
                    continue
                case "(" | ")" as bracket:
                    opened += 1 if bracket == "(" else -1
            at = self._behind(at, depth)
        return -1

    def _behind(self, at: int, depth: int) -> int:
        """The next character behind the one at `at`, behind an escaped one, or a command; -1 if that has no end."""
        if self._line[at] == "\\":
            return at + 2
        if not self._line.startswith("$(", at):
            return at + 1
        end = self._end_of_command(at + 2, depth + 1) if depth <= _DEEPEST else -1
        return end + 1 if end >= 0 else -1

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
        if quote is Quote.NONE and (coded := _CODED.match(self._line, start)):
            self._at = coded.end()
            text = re.sub(r"\\(.)", lambda code: _CODES.get(code[1], code[1]), coded["text"])
            return [Stretch(text, place, Quote.SINGLE, stands_for=True)]
        return self._dollar_alone(quote, place)

    def _dollar_alone(self, quote: Quote, place: LinePlace) -> list[Piece]:
        """A command, or a `$` that stands for itself."""
        start = self._at
        if self._line[start] == "`":
            return [self._command(start + 1, quote, place, self._line.find("`", start + 1))]
        if self._line.startswith("$(", start) and not self._line.startswith("$((", start):
            return [self._command(start + 2, quote, place)]
        self._refuse_expansions(quote, place)
        if quote is Quote.NONE and self._line.startswith('$"', start):
            self._at += 1
            return []
        return self._stretches(start + 1, quote)

    def _command(self, start: int, quote: Quote, place: LinePlace, end: int | None = None) -> Substitution:
        """The command within `$(…)` or `…`, from its first character on; `end` where it is known, -1 for none."""
        end = self._end_of_command(start) if end is None else end
        if end < 0:
            raise Unfinished(place, said("the command within a command that begins here is never closed"))
        if self._depth == _DEEPEST:
            raise refused(place, said("commands within commands are nested too deep here"))
        inner = self._within(end)
        tokens = inner.tokens(start)
        self.faults += inner.faults
        self._at = end + 1
        return Substitution(tuple(tokens), place, quote)

    def _within(self, end: int) -> "_Lexer":
        """A lexer of what stands before `end`."""
        return _Lexer(self._line[:end], self._depth + 1)

    def _refuse_expansions(self, quote: Quote, place: LinePlace) -> None:
        """Raise `CommandRefused` for a `$` whose value only a running shell knows."""
        rest = self._line[self._at : self._at + 2]
        if rest == "$(":
            raise refused(place, said("arithmetic, $((…)), is not read: write its result, or put it into the rows"))
        if rest == "${":
            raise refused(place, said("a variable is read here as $name or ${{name}}, and this is neither"))
        if rest == "$'" and quote is Quote.NONE:
            raise refused(place, said("$'…' is read with \\t, \\n and \\r alone: write the text in plain quotes"))

    def _with_quotes(self, start: int, end: int) -> ShellText | None:
        """The word with its inner quotes, if it begins and ends with the same quote and contains more of them."""
        quote = self._line[start]
        around = (self._line[start], self._line[end - 1])
        if quote not in "'\"" or around != (quote, quote) or quote not in self._line[start + 1 : end - 1]:
            return None
        resume, before = self._at, len(self.faults)
        self._at = start + 1
        try:
            pieces = self._inside(end - 1, Quote.DOUBLE)
        except CommandRefused:
            return None
        finally:
            self._at = resume
            del self.faults[before:]
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
                raise refused(
                    self._place(at),
                    said("a character that cannot be seen ({code}): take it out", code=f"U+{ord(char):04X}"),
                )
            if not self.faults:
                self.faults.append(findings.FOREIGN_SPACE.at(self._place(at)))
            clean.append(" ")
        return "".join(clean)


def _in_double(piece: Piece) -> Piece:
    """The piece with double quotes in place of single ones."""
    return replace(piece, text=piece.text.replace("'", '"')) if isinstance(piece, Stretch) else piece


class _SecondLexer(_Lexer):
    """The lexer of a text that another one has read: its characters keep their places in the line."""

    def __init__(self, text: ShellText, place: LinePlace, depth: int = 0) -> None:
        self._text = text
        self._otherwise = place
        super().__init__(text.plain, depth)

    def _place(self, at: int) -> LinePlace:
        return self._text.place(at, self._otherwise)

    def _within(self, end: int) -> _Lexer:
        return _SecondLexer(self._text.cut(0, end), self._otherwise, self._depth + 1)
