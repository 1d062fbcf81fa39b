"""The words of a shell line: their pieces, each with its quoting and its place, and the operators between them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, TypeAlias

from cli.translate.findings import LinePlace

HOLE: Final = "\0"
"""The character for what is not known before it is run, in a plain string; it never occurs in a line."""

NEWLINE: Final = "\n"
"""The operator at the end of a line."""


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


@dataclass(frozen=True, slots=True)
class Substitution:
    """`$(…)`, which the shell would replace by what the commands within print; `tokens` are these commands."""

    tokens: "tuple[Token, ...]"
    place: LinePlace
    quote: Quote


Piece: TypeAlias = Stretch | Variable | Substitution


def _as_string(piece: Piece) -> str:
    return piece.text if isinstance(piece, Stretch) else HOLE


@dataclass(frozen=True, slots=True)
class ShellText:
    """A part of a word. In the plain string (`plain`) each variable or substitution is one character, `HOLE`."""

    pieces: tuple[Piece, ...] = ()

    @property
    def plain(self) -> str:
        """The text as a string."""
        return "".join(map(_as_string, self.pieces))

    @property
    def variables(self) -> list[Variable]:
        """Its variables in order, with repetitions."""
        return [piece for piece in self.pieces if isinstance(piece, Variable)]

    @property
    def substitutions(self) -> list[Substitution]:
        """What commands would print into it, in order."""
        return [piece for piece in self.pieces if isinstance(piece, Substitution)]

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

    def without_line_ends(self) -> "ShellText":
        """The text without its line ends."""
        pieces = (
            replace(piece, text=piece.text.replace(NEWLINE, "")) if isinstance(piece, Stretch) else piece
            for piece in self.pieces
        )
        return ShellText(tuple(piece for piece in pieces if not isinstance(piece, Stretch) or piece.text))

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

    def rest(self, start: int) -> "Word":
        """Its part from the character `start` on."""
        text = self.text.cut(start)
        return Word(text, text.place(0, self.place))

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
