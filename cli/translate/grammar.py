"""The grammar of a line: commands with `|` between them, and loops of the forms `while read …` and `for … in …`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from cli.terminal.exits import CommandRefused
from cli.translate.findings import START, LinePlace, named, refused
from cli.translate.words import NEWLINE, Operator, Token, Variable, Word
from texts.said import said

_KEYWORDS: Final = (
    *("if", "then", "elif", "else", "fi", "case", "esac", "until", "select", "in", "do", "done"),
    *("function", "coproc", "time", "{", "}", "!", "[[", "["),
)
_OPENING: Final = ("while", "until", "for", "select", "if", "case", "{")
_CLOSING: Final = ("done", "fi", "esac", "}")
_GOING_ON: Final = ("do", "then", "else", "elif", "while", "until", "if", "!", "{")
"""Keywords behind which a command begins."""
_SEPARATORS: Final = frozenset({";", "&", NEWLINE})
_CONDITIONS: Final = frozenset({"&&", "||"})
_ENDS_COMMAND: Final = _SEPARATORS | _CONDITIONS | {"|"}
_INPUTS: Final = frozenset({"<", "<<", "<<-", "<<<"})
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BLANKS: Final = frozenset(" \t\n")

Redirect: TypeAlias = tuple[Operator, Word]
"""The operator of a redirection, and its file or, for `<<` and `<<<`, its text."""


@dataclass(frozen=True, slots=True)
class ShellCommand:
    """A program with its words; without any where it consists of redirections alone."""

    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...]
    place: LinePlace

    @property
    def program(self) -> str:
        """Its name without a path."""
        return self.words[0].plain.rpartition("/")[2] if self.words else ""

    @property
    def inputs(self) -> tuple[Redirect, ...]:
        """The redirections that it reads from."""
        return inputs_of(self.redirects)


@dataclass(frozen=True, slots=True)
class Taking:
    """How a loop takes what it reads apart: into lines, or into `words`, and these into variables.

    `delimiter` is one character, "" for white space, or a line end where the first variable takes the whole line.
    `keeps_backslashes` is what `read -r` does. What is behind the last value is passed over where it `is_open`; else
    the last variable takes it. With `loses_last` a last line without a line end is not taken.
    """

    variables: tuple[str, ...]
    delimiter: str = ""
    by_words: bool = False
    keeps_backslashes: bool = True
    is_open: bool = False
    loses_last: bool = False


@dataclass(frozen=True, slots=True)
class Loop:
    """`while read …; do …; done`, or `for … in …; do …; done` with its `items`."""

    taking: Taking
    body: "tuple[ShellPipeline, ...]"
    place: LinePlace
    items: tuple[Word, ...] = ()
    redirects: tuple[Redirect, ...] = ()

    @property
    def inputs(self) -> tuple[Redirect, ...]:
        """The redirections that it reads from."""
        return inputs_of(self.redirects)


@dataclass(frozen=True, slots=True)
class Guard:
    """`[ -z "$name" ] && continue`: a row is passed over where a variable is empty, once `body` is done."""

    variable: str
    body: "tuple[ShellPipeline, ...]"
    place: LinePlace


Stage: TypeAlias = ShellCommand | Loop | Guard


@dataclass(frozen=True, slots=True)
class ShellPipeline:
    """Stages with `|` between them; `apart` when `&` puts it in the background.

    `following` are the commands behind `&&` and `||`, each with that operator: they depend on how it ends.
    """

    stages: tuple[Stage, ...]
    apart: bool = False
    following: tuple[tuple[Operator, ShellCommand], ...] = ()

    @property
    def place(self) -> LinePlace:
        """The place where it begins."""
        return self.stages[0].place


def inputs_of(redirects: Sequence[Redirect]) -> tuple[Redirect, ...]:
    """The redirections that are read from."""
    return tuple(one for one in redirects if one[0].symbol in _INPUTS)


def parse(tokens: Sequence[Token]) -> list[ShellPipeline]:
    """The pipelines of a line. Raises `CommandRefused`, naming the part that cannot be translated."""
    return _Parser(tokens).pipelines()


def depth_of(tokens: Sequence[Token]) -> int:
    """How many loops, conditions and brackets the tokens leave open; less than 0 if they close one more."""
    depth = brackets = cases = 0
    begins = True
    for token in tokens:
        if isinstance(token, Operator):
            brackets += token.symbol == "("
            # The patterns of a case have brackets that nothing opens.
            brackets -= token.symbol == ")" and (brackets > 0 or not cases)
            begins = token.symbol in _ENDS_COMMAND or token.symbol in ("(", ")", ";;")
        elif begins:
            depth += token.is_bare(*_OPENING) - token.is_bare(*_CLOSING)
            cases += token.is_bare("case") - token.is_bare("esac")
            begins = token.is_bare(*_GOING_ON)
        else:
            # `function name {`
            depth += token.is_bare("{")
    return depth + brackets


def goes_on(tokens: Sequence[Token]) -> bool:
    """Whether the tokens end where another command has to follow."""
    return bool(tokens) and isinstance(tokens[-1], Operator) and tokens[-1].symbol in _CONDITIONS | {"|"}


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
        following: list[tuple[Operator, ShellCommand]] = []
        while isinstance(token := self._next(), Operator) and token.symbol in _CONDITIONS:
            self.at += 1
            self._skip(NEWLINE)
            stage = self._stage()
            if not isinstance(stage, ShellCommand):
                raise refused(token.place, said("`{symbol}` is not translated", symbol=token.symbol))
            following.append((token, stage))
        is_apart = isinstance(token, Operator) and token.symbol == "&"
        return ShellPipeline(tuple(stages), is_apart, tuple(following))

    def _stage(self) -> Stage:
        token = self._next()
        if isinstance(token, Word) and token.is_bare("while", "for"):
            return self._loop(token)
        if isinstance(token, Word) and token.is_bare("[", "[[", "test"):
            return self._guard(token.place)
        if isinstance(token, Word) and token.is_bare("if"):
            return self._if(token.place)
        if isinstance(token, Word) and token.is_bare(*_KEYWORDS):
            raise refused(
                token.place,
                said(
                    "`{command}` cannot be translated; the loops that can are while read … and for … in",
                    command=token.plain,
                ),
            )
        return self._command()

    def _command(self) -> ShellCommand:
        place = self._here()
        words: list[Word] = []
        redirects: list[Redirect] = []
        while (token := self._next()) is not None:
            if isinstance(token, Word):
                words.append(token)
            elif token.symbol in _ENDS_COMMAND:
                break
            else:
                redirects.append((token, self._target(token)))
            self.at += 1
        if not words and not inputs_of(redirects):
            raise refused(self._here(), said("a command is missing here"))
        return ShellCommand(tuple(words), tuple(redirects), place)

    def _target(self, operator: Operator) -> Word:
        """The file of a redirection, or its text."""
        if operator.symbol not in _INPUTS and (">" not in operator.symbol or "<" in operator.symbol):
            raise refused(operator.place, said("`{symbol}` is not translated", symbol=operator.symbol))
        self.at += 1
        token = self._next()
        if not isinstance(token, Word):
            raise refused(operator.place, said("`{symbol}` names no file", symbol=operator.symbol))
        return token

    # ---- conditions ----

    def _guard(self, place: LinePlace) -> Guard:
        """`[ -z "$name" ] && continue`, also with more before it in braces."""
        variable, when = _tested(self._command()) or ("", "")
        if not self._is_at(when):
            raise _no_guard(place)
        self.at += 1
        if isinstance(token := self._next(), Word) and token.is_bare("{"):
            self.at += 1
            body = self.pipelines(until="}")
            self._expect("}", place)
        else:
            body = [ShellPipeline((self._command(),))]
        return self._checked(Guard(variable, tuple(body), place))

    def _if(self, place: LinePlace) -> Guard:
        """`if [ -z "$name" ]; then …; continue; fi`."""
        self.at += 1
        variable, when = _tested(self._command()) or ("", "")
        self._skip()
        if when != "&&" or not (isinstance(token := self._next(), Word) and token.is_bare("then")):
            raise _no_guard(place)
        self.at += 1
        body = self.pipelines(until="fi")
        self._expect("fi", place)
        return self._checked(Guard(variable, tuple(body), place))

    def _checked(self, guard: Guard) -> Guard:
        """The guard, whose last command is a `continue`, which is left out. Raises `CommandRefused` for another."""
        last = guard.body[-1].stages[0] if guard.body else None
        if (
            not self.in_loop
            or not isinstance(last, ShellCommand)
            or [one.plain for one in last.words] != ["continue"]
        ):
            raise _no_guard(guard.place)
        return Guard(guard.variable, guard.body[:-1], guard.place)

    # ---- loops ----

    def _loop(self, keyword: Word) -> Loop:
        if self.in_loop:
            raise refused(keyword.place, said("a loop within a loop cannot be translated"))
        self.in_loop = True
        self.at += 1
        items: tuple[Word, ...] = ()
        if keyword.plain == "for":
            taking, items = self._counted()
        else:
            taking = self._with_last_line(self._taking(self._command()))
        self._skip()
        self._expect("do", keyword.place)
        body = self.pipelines(until="done")
        self._expect("done", keyword.place)
        if isinstance(token := self._next(), Word):
            raise refused(token.place, said("{word} behind `done` is not understood", word=named(token.plain)))
        redirects: list[Redirect] = []
        while isinstance(token, Operator) and token.symbol not in _ENDS_COMMAND:
            redirects.append((token, self._target(token)))
            self.at += 1
            token = self._next()
        self.in_loop = False
        return Loop(taking, tuple(body), keyword.place, items, tuple(redirects))

    def _counted(self) -> tuple[Taking, tuple[Word, ...]]:
        """The variable and the words of `for … in …`."""
        command = self._command() if isinstance(self._next(), Word) else None
        if command is None or command.redirects or len(command.words) < 3 or not command.words[1].is_bare("in"):  # noqa: PLR2004 - a name, `in`, and a word
            raise refused(
                self._here() if command is None else command.place, said("a for is read as `for NAME in WORDS`")
            )
        name, _, *items = command.words
        return Taking((_variable(name),), by_words=True), tuple(items)

    def _taking(self, command: ShellCommand) -> Taking:
        """What the condition of a loop reads. Raises `CommandRefused` for any condition but a `read`."""
        words = list(command.words)
        delimiter = _delimiter(words.pop(0)) if words and words[0].plain.startswith("IFS=") else ""
        if not words or words[0].plain != "read" or command.redirects:
            raise _other_condition(command.place)
        options = [word for word in words[1:] if word.plain == "-r"]
        names = tuple(_variable(word) for word in words[1:] if word.plain != "-r") or ("REPLY",)
        if delimiter == NEWLINE and len(names) > 1:
            raise refused(words[2].place, said("nothing takes the line apart: IFS is empty, or a line end"))
        return Taking(names, delimiter, keeps_backslashes=bool(options), loses_last=True)

    def _with_last_line(self, taking: Taking) -> Taking:
        """The same behind `|| [ -n "$name" ]`, which takes a last line without a line end as well."""
        if not self._is_at("||"):
            return taking
        self.at += 1
        command = self._command()
        if _tested(command) not in [(name, "||") for name in taking.variables]:
            raise _other_condition(command.place)
        return replace(taking, loses_last=False)

    def _expect(self, keyword: str, loop: LinePlace) -> None:
        token = self._next()
        if not (isinstance(token, Word) and token.is_bare(keyword)):
            raise refused(
                self._here(), said("the loop of {loop} lacks its `{keyword}`", loop=loop.text, keyword=keyword)
            )
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


def _tested(command: ShellCommand) -> tuple[str, str] | None:
    """The variable that `[ -z "$name" ]` tests, and the operator behind which it is empty; None for another test."""
    words = [word for word in command.words if word.plain not in ("[", "]", "[[", "]]", "test")]
    option = words.pop(0).plain if len(words) > 1 else "-n"
    pieces = words[0].text.pieces if len(words) == 1 else ()
    if option not in ("-z", "-n") or len(pieces) != 1 or not isinstance(pieces[0], Variable) or command.redirects:
        return None
    return pieces[0].name, "&&" if option == "-z" else "||"


def _no_guard(place: LinePlace) -> CommandRefused:
    return refused(
        place, said('a condition is read where it passes over a row with an empty value: [ -z "$name" ] && continue')
    )


def _other_condition(place: LinePlace) -> CommandRefused:
    return refused(place, said("a loop is read as `while read NAME …`, and this is another condition"))


def _variable(word: Word) -> str:
    if not _NAME.fullmatch(word.plain):
        raise refused(word.place, said("{word} is not a name of a variable for `read`", word=named(word.plain)))
    return word.plain


def _delimiter(word: Word) -> str:
    """The one character of an IFS, "" for white space, a line end for none. Raises `CommandRefused` for more."""
    value = word.plain.removeprefix("IFS=")
    if word.text.variables or word.text.substitutions:
        raise refused(word.place, said("the IFS of a loop is read as one character, as IFS=';'"))
    if value in ("", NEWLINE):
        return NEWLINE
    if " " in value and set(value) <= _BLANKS:
        return ""
    if len(value) != 1 or value in "\"'\\" or value.isalnum():
        raise refused(word.place, said("the IFS of a loop is read as one character, as IFS=';'"))
    return value
