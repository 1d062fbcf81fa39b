"""The grammar of a line: commands with `|` between them, and loops of the form `while read …; do …; done`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cli.translate.faults import Place, named, refused
from cli.translate.shell import NEWLINE, Operator, Token, Word

START: Final = Place(1, 1)

_KEYWORDS: Final = (
    *("if", "then", "elif", "else", "fi", "case", "esac", "for", "until", "select", "in", "do", "done"),
    *("function", "coproc", "time", "{", "}", "!", "[[", "["),
)
_SEPARATORS: Final = frozenset({";", "&", NEWLINE})
_ENDS_COMMAND: Final = _SEPARATORS | {"|"}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its words; `redirects` are the operators and files of its redirections."""

    words: tuple[Word, ...]
    redirects: tuple[tuple[Operator, Word], ...] = ()

    @property
    def program(self) -> str:
        """Its name, without a path."""
        return self.words[0].plain.rpartition("/")[2]

    @property
    def place(self) -> Place:
        """Where it begins."""
        return self.words[0].place


@dataclass(frozen=True, slots=True)
class Loop:
    """`while read …; do …; done`."""

    variables: tuple[str, ...]
    body: "tuple[Pipeline, ...]"
    place: Place


Stage: TypeAlias = Command | Loop


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Stages with `|` between them; `apart` when an `&` sends it to the background."""

    stages: tuple[Stage, ...]
    apart: bool = False

    @property
    def place(self) -> Place:
        """Where it begins."""
        return self.stages[0].place


def parse(tokens: Sequence[Token]) -> list[Pipeline]:
    """The pipelines of a line. Raises `CommandRefused`, naming the part that cannot be translated."""
    return _Parser(tokens).pipelines()


@dataclass(slots=True)
class _Parser:
    tokens: Sequence[Token]
    at: int = field(default=0, init=False)
    in_loop: bool = field(default=False, init=False)

    def pipelines(self, until: str | None = None) -> list[Pipeline]:
        """All pipelines up to the keyword `until`, or to the end."""
        found: list[Pipeline] = []
        while True:
            self._skip()
            token = self._next()
            if token is None or (until and isinstance(token, Word) and token.is_bare(until)):
                return found
            found.append(self._pipeline())

    def _pipeline(self) -> Pipeline:
        stages = [self._stage()]
        while self._is_at("|"):
            self.at += 1
            self._skip(NEWLINE)
            stages.append(self._stage())
        token = self._next()
        return Pipeline(tuple(stages), apart=isinstance(token, Operator) and token.symbol == "&")

    def _stage(self) -> Stage:
        token = self._next()
        if isinstance(token, Word) and token.is_bare("while"):
            return self._loop(token.place)
        if isinstance(token, Word) and token.is_bare(*_KEYWORDS):
            raise refused(token.place, f"`{token.plain}` cannot be translated; the one loop that can is while read …")
        return self._command()

    def _command(self) -> Command:
        words: list[Word] = []
        redirects: list[tuple[Operator, Word]] = []
        while (token := self._next()) is not None:
            if isinstance(token, Word):
                words.append(token)
            elif token.symbol in _ENDS_COMMAND:
                break
            else:
                redirects.append((token, self._target(token)))
            self.at += 1
        if not words:
            raise refused(self._here(), "a command is missing here")
        return Command(tuple(words), tuple(redirects))

    def _target(self, operator: Operator) -> Word:
        """The file of a redirection; only those of what a program says are let pass."""
        if ">" not in operator.symbol or "<" in operator.symbol:
            raise refused(operator.place, f"`{operator.symbol}` is not translated")
        self.at += 1
        token = self._next()
        if not isinstance(token, Word):
            raise refused(operator.place, f"`{operator.symbol}` names no file")
        return token

    def _loop(self, place: Place) -> Loop:
        if self.in_loop:
            raise refused(place, "a loop within a loop cannot be translated")
        self.in_loop = True
        self.at += 1
        variables = self._variables(self._command())
        self._skip()
        self._expect("do", place)
        body = self.pipelines(until="done")
        self._expect("done", place)
        if isinstance(token := self._next(), Word):
            raise refused(token.place, f"{named(token.plain)} behind `done` is not understood")
        while isinstance(token, Operator) and token.symbol not in _ENDS_COMMAND:
            self._target(token)
            self.at += 1
            token = self._next()
        self.in_loop = False
        return Loop(variables, tuple(body), place)

    def _variables(self, command: Command) -> tuple[str, ...]:
        words = list(command.words)
        if words[0].plain == "IFS=":
            words.pop(0)
        if not words or words[0].plain != "read" or command.redirects:
            raise refused(command.place, "a loop is read as `while read NAME …`, and this is another condition")
        names = [word for word in words[1:] if word.plain != "-r"]
        for word in names:
            if not _NAME.fullmatch(word.plain):
                raise refused(word.place, f"{named(word.plain)} is no name of a variable for `read`")
        return tuple(word.plain for word in names) or ("REPLY",)

    def _expect(self, keyword: str, loop: Place) -> None:
        token = self._next()
        if not (isinstance(token, Word) and token.is_bare(keyword)):
            raise refused(self._here(), f"the loop of {loop} lacks its `{keyword}`")
        self.at += 1

    def _skip(self, *symbols: str) -> None:
        while self._is_at(*(symbols or _SEPARATORS)):
            self.at += 1

    def _is_at(self, *symbols: str) -> bool:
        token = self._next()
        return isinstance(token, Operator) and token.symbol in symbols

    def _next(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def _here(self) -> Place:
        """The place of the next token, or of the last one at the end."""
        near = self.tokens[min(self.at, len(self.tokens) - 1) :]
        return near[0].place if near else START
