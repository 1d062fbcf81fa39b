"""The grammar of a line: commands with `|` between them, and loops of the form `while read …; do …; done`."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from cli.terminal.exits import CommandRefused
from cli.terminal.texts import PROGRAM
from cli.translate import findings
from cli.translate.findings import Finding, LinePlace, named, refused
from cli.translate.shell import NEWLINE, Operator, Piece, Quote, ShellText, Stretch, Token, Variable, Word

_IN_QUOTES: Final = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")


def filled(text: ShellText, constants: Mapping[str, ShellText]) -> ShellText:
    """The text with these variables replaced by their values."""
    pieces: list[Piece] = []
    for piece in text.pieces:
        known = constants.get(piece.name) if isinstance(piece, Variable) else None
        pieces += [piece] if known is None else [_at(piece.place, one) for one in known.pieces]
    return ShellText(tuple(pieces))


def _at(place: LinePlace, piece: Piece) -> Piece:
    """The piece at the place of a variable."""
    if isinstance(piece, Stretch):
        return replace(piece, place=place, stands_for=True)
    return replace(piece, place=place)


def undefined(variable: Variable) -> CommandRefused:
    """The error for a variable whose value must be known."""
    name = named(variable.name)
    return refused(
        variable.place,
        f"${name} is not defined in the line; say what it is: {PROGRAM} translate --set {name}=VALUE, with the line",
    )


@dataclass(slots=True)
class Scope:
    """The known variables: `of_row` from the loop, `constants` from the line, `given` from the caller.

    `faults` and `notes` collect findings, `asked` the given names that were used.
    """

    of_row: Collection[str]
    constants: Mapping[str, ShellText]
    given: Mapping[str, str]
    faults: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    def resolve(self, text: ShellText) -> ShellText:
        """The text with variables only for values of a row, and for undefined ones."""
        text = filled(self._expanded(text), self.constants)
        return ShellText(tuple(self._value(one) if isinstance(one, Variable) else one for one in text.pieces))

    def _value(self, variable: Variable) -> Piece:
        value = None if variable.name in self.of_row else self.given.get(variable.name)
        if value is None:
            return variable
        if variable.name not in self.asked:
            self.faults.append(findings.GIVEN_BY_HAND.at(variable.place, name=variable.name))
        self.asked.add(variable.name)
        return Stretch(value, variable.place, Quote.GIVEN, stands_for=True)

    def _expanded(self, text: ShellText) -> ShellText:
        """The text with variables in place of names that single quotes keep from expansion."""
        pieces: list[Piece] = []
        done = 0
        for found in _IN_QUOTES.finditer(text.plain):
            start, end = found.span()
            if any(piece.quote is not Quote.SINGLE for piece in text.cut(start, end).pieces):
                continue
            name, place = found[1] or found[2], text.place(start, START)
            if name not in (*self.of_row, *self.constants, *self.given):
                self.notes.append(f"{place}: a $ stands within single quotes, and is sent as the $ that it is")
                continue
            self.faults.append(findings.NEVER_EXPANDS.at(place, name=name))
            pieces += [*text.cut(done, start).pieces, Variable(name, place, Quote.SINGLE)]
            done = end
        return ShellText((*pieces, *text.cut(done).pieces))


START: Final = LinePlace(1, 1)

_KEYWORDS: Final = (
    *("if", "then", "elif", "else", "fi", "case", "esac", "for", "until", "select", "in", "do", "done"),
    *("function", "coproc", "time", "{", "}", "!", "[[", "["),
)
_SEPARATORS: Final = frozenset({";", "&", NEWLINE})
_ENDS_COMMAND: Final = _SEPARATORS | {"|"}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class ShellCommand:
    """A program with its words; `redirects` are the operators and files of its redirections."""

    words: tuple[Word, ...]
    redirects: tuple[tuple[Operator, Word], ...] = ()

    @property
    def program(self) -> str:
        """Its name without a path."""
        return self.words[0].plain.rpartition("/")[2]

    @property
    def place(self) -> LinePlace:
        """The place where it begins."""
        return self.words[0].place


@dataclass(frozen=True, slots=True)
class Loop:
    """`while read …; do …; done`."""

    variables: tuple[str, ...]
    body: "tuple[ShellPipeline, ...]"
    place: LinePlace


Stage: TypeAlias = ShellCommand | Loop


@dataclass(frozen=True, slots=True)
class ShellPipeline:
    """Stages with `|` between them; `apart` when `&` puts it in the background."""

    stages: tuple[Stage, ...]
    apart: bool = False

    @property
    def place(self) -> LinePlace:
        """The place where it begins."""
        return self.stages[0].place


def parse(tokens: Sequence[Token]) -> list[ShellPipeline]:
    """The pipelines of a line. Raises `CommandRefused`, naming the part that cannot be translated."""
    return _Parser(tokens).pipelines()


@dataclass(slots=True)
class _Parser:
    tokens: Sequence[Token]
    at: int = field(default=0, init=False)
    in_loop: bool = field(default=False, init=False)

    def pipelines(self, until: str | None = None) -> list[ShellPipeline]:
        """All pipelines up to the keyword `until`, or to the end."""
        found: list[ShellPipeline] = []
        while True:
            self._skip()
            token = self._next()
            if token is None or (until and isinstance(token, Word) and token.is_bare(until)):
                return found
            found.append(self._pipeline())

    def _pipeline(self) -> ShellPipeline:
        stages = [self._stage()]
        while self._is_at("|"):
            self.at += 1
            self._skip(NEWLINE)
            stages.append(self._stage())
        token = self._next()
        return ShellPipeline(tuple(stages), apart=isinstance(token, Operator) and token.symbol == "&")

    def _stage(self) -> Stage:
        token = self._next()
        if isinstance(token, Word) and token.is_bare("while"):
            return self._loop(token.place)
        if isinstance(token, Word) and token.is_bare(*_KEYWORDS):
            raise refused(token.place, f"`{token.plain}` cannot be translated; the one loop that can is while read …")
        return self._command()

    def _command(self) -> ShellCommand:
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
        return ShellCommand(tuple(words), tuple(redirects))

    def _target(self, operator: Operator) -> Word:
        """The file of a redirection; only redirections of output are accepted."""
        if ">" not in operator.symbol or "<" in operator.symbol:
            raise refused(operator.place, f"`{operator.symbol}` is not translated")
        self.at += 1
        token = self._next()
        if not isinstance(token, Word):
            raise refused(operator.place, f"`{operator.symbol}` names no file")
        return token

    def _loop(self, place: LinePlace) -> Loop:
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

    def _variables(self, command: ShellCommand) -> tuple[str, ...]:
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

    def _expect(self, keyword: str, loop: LinePlace) -> None:
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

    def _here(self) -> LinePlace:
        """The place of the next token, or of the last one at the end."""
        near = self.tokens[min(self.at, len(self.tokens) - 1) :]
        return near[0].place if near else START


_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_FORMS: Final = "what is read is a curl, or sqlexec … | while read …; do curl …; done"

LEFT_OUT: Final[Mapping[str, str]] = {
    "echo": "{} is left out: the run shows its progress and keeps each row",
    "printf": "{} is left out: the run shows its progress and keeps each row",
    "sleep": "{} is left out: --rate and --in-flight pace the run",
    "wait": "{} is left out: a run ends when all its calls have",
    ":": "{} is left out: it does nothing",
}
"""Commands that are allowed beside the call, each with its note."""


@dataclass(frozen=True, slots=True)
class LoopRows:
    """The source of a loop's rows, and the variables that it reads them into."""

    sql: Word
    filters: tuple[ShellCommand, ...]
    variables: tuple[str, ...]
    loop: LinePlace


@dataclass(frozen=True, slots=True)
class OneLiner:
    """The parts of a line. `rows` is None for a single call; `constants` are variables set by the line."""

    call: ShellCommand
    rows: LoopRows | None
    constants: Mapping[str, ShellText]
    notes: tuple[str, ...]


def read(tokens: Sequence[Token]) -> OneLiner:
    """The parts of a line. Raises `CommandRefused`, naming the part that cannot be translated."""
    constants: dict[str, ShellText] = {}
    notes: list[str] = []
    left: list[ShellPipeline] = []
    for pipeline in parse(tokens):
        if _is_assignment(pipeline):
            constants |= _assigned(pipeline, constants)
        elif (note := _note_of_ignored(pipeline)) is not None:
            notes.append(note)
        else:
            left.append(pipeline)
    if not left:
        raise refused(START, f"there is no curl and no sqlexec here, so there is nothing to translate; {_FORMS}")
    if len(left) > 1:
        raise refused(left[1].place, f"another command begins here; {PROGRAM} translate takes one at a time")
    (whole,) = left
    *before, last = whole.stages
    if isinstance(last, ShellCommand):
        return OneLiner(_call(whole), None, constants, (*notes, *_call_notes(last, apart=whole.apart)))
    rows = _rows(before, last)
    call, apart = _call_of_loop(last, notes)
    return OneLiner(call, rows, constants, (*notes, *_call_notes(call, apart=apart)))


def _is_assignment(pipeline: ShellPipeline) -> bool:
    (first, *others) = pipeline.stages
    return not others and isinstance(first, ShellCommand) and all(_sets(word) for word in first.words)


def _sets(word: Word) -> bool:
    found = _ASSIGNMENT.match(word.plain)
    name = word.text.cut(0, found.end()) if found else ShellText()
    return bool(name.pieces) and all(piece.quote is Quote.NONE for piece in name.pieces)


def _assigned(pipeline: ShellPipeline, before: Mapping[str, ShellText]) -> dict[str, ShellText]:
    found = dict(before)
    for stage in pipeline.stages:
        for word in stage.words if isinstance(stage, ShellCommand) else ():
            name, _, _ = word.plain.partition("=")
            found[name] = filled(word.text.cut(len(name) + 1), found)
    return found


def _note_of_ignored(pipeline: ShellPipeline) -> str | None:
    (first, *others) = pipeline.stages
    if others or not isinstance(first, ShellCommand) or first.program not in LEFT_OUT:
        return None
    return LEFT_OUT[first.program].format(first.program)


def _call(pipeline: ShellPipeline) -> ShellCommand:
    """The curl of a line without a loop."""
    first, *others = pipeline.stages
    if isinstance(first, ShellCommand) and first.program == "sqlexec":
        raise refused(first.place, f"the rows of this sqlexec go into no loop with a curl; {_FORMS}")
    if not isinstance(first, ShellCommand) or first.program != "curl":
        raise _not_understood(first)
    for other in others:
        raise refused(
            other.place, f"{_shown(other)} works on what curl answers, which {PROGRAM} reads and keeps itself"
        )
    return first


def _rows(before: Sequence[Stage], loop: Loop) -> LoopRows:
    if not before:
        raise refused(loop.place, f"nothing is piped into this loop; {_FORMS}")
    first, *filters = before
    if not isinstance(first, ShellCommand) or first.program != "sqlexec":
        raise _not_understood(first)
    if first.redirects or len(first.words) != 2:  # noqa: PLR2004 - its name and the SQL
        raise refused(first.place, 'sqlexec is read with one text behind it, the SQL: sqlexec "select …"')
    found: list[ShellCommand] = []
    for one in filters:
        if not isinstance(one, ShellCommand):
            raise refused(one.place, "a loop that feeds another is not translated")
        found.append(one)
    return LoopRows(first.words[1], tuple(found), loop.variables, loop.place)


def _call_of_loop(loop: Loop, notes: list[str]) -> tuple[ShellCommand, bool]:
    calls: list[ShellPipeline] = []
    for pipeline in loop.body:
        if (note := _note_of_ignored(pipeline)) is not None:
            notes.append(note)
        elif _is_assignment(pipeline):
            raise refused(pipeline.place, "a variable is set within the loop, which is not translated")
        else:
            calls.append(pipeline)
    if not calls:
        raise refused(loop.place, "the loop makes no call: there is no curl in it")
    if len(calls) > 1:
        raise refused(calls[1].place, "a second command in the loop: a run makes one call for each row")
    return _call(calls[0]), calls[0].apart


def _call_notes(call: ShellCommand, *, apart: bool) -> list[str]:
    """Notes on what surrounds a call."""
    notes = ["where its output goes is left out: the journal keeps each row's outcome"] if call.redirects else []
    return [*notes, "the & behind curl is left out: --in-flight says how many calls go at a time"] if apart else notes


def _not_understood(stage: Stage) -> CommandRefused:
    return refused(stage.place, f"{_shown(stage)} cannot be translated; {_FORMS}")


def _shown(stage: Stage) -> str:
    return named(stage.program) if isinstance(stage, ShellCommand) else "a loop"
