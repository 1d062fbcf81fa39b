"""The grammar of a line: commands with `|` between them, and loops of the forms `while read …` and `for … in …`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from cli.translate.findings import START, LinePlace, Refusal
from cli.translate.words import NEWLINE, Operator, ShellText, Token, Word, joined
from texts.said import said, wording

_KEYWORDS: Final = (
    *("if", "then", "elif", "else", "fi", "case", "esac", "until", "select", "in", "do", "done"),
    *("function", "coproc", "time", "{", "}", "!", "[[", "["),
)
_OPENING: Final = ("while", "until", "for", "select", "if", "case", "{")
_CLOSING: Final = ("done", "fi", "esac", "}")
_GOING_ON: Final = ("do", "then", "else", "elif", "while", "until", "if", "!", "{")
"""Keywords behind which a command begins."""
_SEPARATORS: Final = (";", "&", NEWLINE)
_CONDITIONS: Final = ("&&", "||")
_ENDS_COMMAND: Final = (*_SEPARATORS, *_CONDITIONS, "|")
_INPUTS: Final = ("<", "<<", "<<-", "<<<")
ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
AWKS: Final = ("awk", "gawk", "mawk")
TEXT_TOOLS: Final = (
    *AWKS,
    *("cat", "tail", "head", "sed", "grep", "egrep", "fgrep", "cut", "tr", "sort", "uniq", "seq"),
)
"""Programs that only write text: where they make the rows, the shell may go on using them."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NO_GUARD: Final = wording(
    'a condition is read where it passes over a row with an empty value: [ -z "$name" ] && continue'
)
_OTHER_CONDITION: Final = wording("a loop is read as `while read NAME …`, and this is another condition")
_ONE_CHARACTER: Final = wording("the IFS of a loop is read as one character, as IFS=';'")

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
    def slots(self) -> Mapping[str, str]:
        """What sentences name of it: the whole where it is a text tool, whose words are no passwords."""
        if self.words and ASSIGNMENT.match(self.words[0].plain):
            return {"program": self.program, "command": said("a variable for one command alone")}
        whole = joined(self.words).plain if self.program in TEXT_TOOLS else self.program
        return {"program": self.program, "command": whole}

    @property
    def arguments(self) -> list[str]:
        """The words behind its name as strings."""
        return [word.plain for word in self.words[1:]]

    @property
    def inputs(self) -> tuple[Redirect, ...]:
        """The redirections that it reads from."""
        return tuple(one for one in self.redirects if one[0].symbol in _INPUTS)

    def with_words(self, words: Sequence[Word]) -> "ShellCommand":
        """The same command with other words."""
        return replace(self, words=tuple(words))


@dataclass(frozen=True, slots=True)
class Taking:
    """How a loop takes what it reads apart: into lines, or into words, and these into variables.

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
    """`while read …; do …; done`, or `for … in …; do …; done` with its `items`; `reads` is what comes behind it."""

    taking: Taking
    body: "tuple[ShellPipeline, ...]"
    place: LinePlace
    items: tuple[Word, ...]
    reads: ShellCommand

    @property
    def slots(self) -> Mapping[str, str]:
        """What sentences name of it."""
        return {"command": said("a loop")}


@dataclass(frozen=True, slots=True)
class Guard:
    """`[ -z "$name" ] && continue`: a row is passed over where a variable is empty, once `body` is done."""

    variable: ShellText
    body: "tuple[ShellPipeline, ...]"
    place: LinePlace

    @property
    def slots(self) -> Mapping[str, str]:
        """What sentences name of it."""
        return {"command": said("a condition"), "variable": self.variable.letters[0].name}


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

    @property
    def alone(self) -> ShellCommand | None:
        """The one command that it consists of, None for more."""
        first = self.stages[0]
        is_alone = len(self.stages) == 1 and not self.following
        return first if is_alone and isinstance(first, ShellCommand) else None


def parse(tokens: Sequence[Token]) -> list[ShellPipeline]:
    """The pipelines of a line. Raises `CommandRefused`, naming the part that cannot be translated."""
    return _Parser(tokens).pipelines()


def is_open(tokens: Sequence[Token]) -> bool:
    """Whether the tokens leave a loop, condition or bracket open, or end where another command has to follow."""
    depth = brackets = cases = 0
    begins = True
    for token in tokens:
        if isinstance(token, Operator):
            brackets += token.symbol == "("
            # The patterns of a case have brackets that nothing opens.
            brackets -= token.symbol == ")" and (brackets > 0 or not cases)
            begins = token.symbol in (*_ENDS_COMMAND, "(", ")", ";;")
        elif begins:
            depth += token.is_bare(*_OPENING) - token.is_bare(*_CLOSING)
            cases += token.is_bare("case") - token.is_bare("esac")
            begins = token.is_bare(*_GOING_ON)
        else:
            # `function name {`
            depth += token.is_bare("{")
    last = tokens[-1] if tokens else None
    return depth + brackets > 0 or (isinstance(last, Operator) and last.symbol in (*_CONDITIONS, "|"))


class _Parser:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.in_loop = False

    def pipelines(self, until: str = "") -> list[ShellPipeline]:
        found: list[ShellPipeline] = []
        while True:
            self._skip(*_SEPARATORS)
            if self._next() is None or self._bare(until):
                return found
            found.append(self._pipeline())

    def _pipeline(self) -> ShellPipeline:
        stages = [self._stage()]
        while self._taken("|"):
            self._skip(NEWLINE)
            stages.append(self._stage())
        following: list[tuple[Operator, ShellCommand]] = []
        while operator := self._taken(*_CONDITIONS):
            self._skip(NEWLINE)
            stage = self._stage()
            if not isinstance(stage, ShellCommand):
                raise Refusal("`{symbol}` is not translated", operator)
            following.append((operator, stage))
        return ShellPipeline(tuple(stages), self._is_at("&"), tuple(following))

    def _stage(self) -> Stage:
        if keyword := self._bare("while", "for"):
            return self._loop(keyword)
        if self._bare("[", "[[", "test", "if"):
            return self._guard()
        if keyword := self._bare(*_KEYWORDS):
            raise Refusal("`{word}` cannot be translated; the loops that can are while read … and for … in", keyword)
        return self._command()

    def _command(self) -> ShellCommand:
        place = self._here()
        words: list[Word] = []
        redirects: list[Redirect] = []
        while (token := self._next()) is not None and not self._is_at(*_ENDS_COMMAND):
            self.at += 1
            if isinstance(token, Word):
                words.append(token)
            else:
                redirects.append((token, self._target(token)))
        command = ShellCommand(tuple(words), tuple(redirects), place)
        if not words and not command.inputs:
            raise Refusal("a command is missing here", self._here())
        return command

    def _target(self, operator: Operator) -> Word:
        if operator.symbol not in _INPUTS and (">" not in operator.symbol or "<" in operator.symbol):
            raise Refusal("`{symbol}` is not translated", operator)
        if not isinstance(token := self._next(), Word):
            raise Refusal("`{symbol}` names no file", operator)
        self.at += 1
        return token

    # ---- conditions ----

    def _guard(self) -> Guard:
        """`[ -z "$name" ] && continue`, also with more before it in braces, or as an `if`."""
        place = self._here()
        is_if = self._bare("if") is not None
        self.at += is_if
        variable, when = _tested(self._command()) or (ShellText(), "")
        if is_if:
            self._skip(*_SEPARATORS)
        if not (when == "&&" and self._bare("then") if is_if else self._taken(when)):
            raise Refusal(_NO_GUARD, place)
        if is_if or self._bare("{"):
            self.at += 1
            body = self.pipelines(until="fi" if is_if else "}")
            self._expect("fi" if is_if else "}", place)
        else:
            body = [ShellPipeline((self._command(),))]
        last = body[-1].stages[0] if body else None
        if (
            not self.in_loop
            or not isinstance(last, ShellCommand)
            or [one.plain for one in last.words] != ["continue"]
        ):
            raise Refusal(_NO_GUARD, place)
        return Guard(variable, tuple(body[:-1]), place)

    # ---- loops ----

    def _loop(self, keyword: Word) -> Loop:
        place = keyword.place
        if self.in_loop:
            raise Refusal("a loop within a loop cannot be translated", place)
        self.in_loop = True
        self.at += 1
        items: tuple[Word, ...] = ()
        if keyword.plain == "for":
            taking, items = self._counted()
        else:
            taking = self._taking(self._command())
        self._skip(*_SEPARATORS)
        self._expect("do", place)
        body = self.pipelines(until="done")
        self._expect("done", place)
        redirects: list[Redirect] = []
        while (token := self._next()) is not None and not self._is_at(*_ENDS_COMMAND):
            if isinstance(token, Word):
                raise Refusal("{word} behind `done` is not understood", token)
            self.at += 1
            redirects.append((token, self._target(token)))
        self.in_loop = False
        return Loop(taking, tuple(body), place, items, ShellCommand((), tuple(redirects), place))

    def _counted(self) -> tuple[Taking, tuple[Word, ...]]:
        place = self._here()
        command = self._command() if isinstance(self._next(), Word) else None
        match command:
            case ShellCommand((name, within, *items), ()) if items and within.is_bare("in"):
                return Taking((_variable(name),), by_words=True), tuple(items)
        raise Refusal("a for is read as `for NAME in WORDS`", place)

    def _taking(self, command: ShellCommand) -> Taking:
        """What the condition of a loop reads. Raises `CommandRefused` for any condition but a `read`."""
        words = list(command.words)
        delimiter = _delimiter(words.pop(0)) if words and words[0].plain.startswith("IFS=") else ""
        if not words or words[0].plain != "read" or command.redirects:
            raise Refusal(_OTHER_CONDITION, command.place)
        names = tuple(_variable(word) for word in words[1:] if word.plain != "-r") or ("REPLY",)
        if delimiter == NEWLINE and len(names) > 1:
            raise Refusal("nothing takes the line apart: IFS is empty, or a line end", words[2].place)
        loses_last = not self._taken("||")
        if not loses_last:
            # `|| [ -n "$name" ]` takes a last line without a line end as well.
            other = self._command()
            variable, when = _tested(other) or (ShellText(), "")
            if when != "||" or variable.letters[0].name not in names:
                raise Refusal(_OTHER_CONDITION, other.place)
        keeps_backslashes = any(word.plain == "-r" for word in words)
        return Taking(names, delimiter, keeps_backslashes=keeps_backslashes, loses_last=loses_last)

    # ---- tokens ----

    def _expect(self, keyword: str, loop: LinePlace) -> None:
        if not self._bare(keyword):
            raise Refusal("the loop of {loop} lacks its `{keyword}`", self._here(), loop=loop.text, keyword=keyword)
        self.at += 1

    def _skip(self, *symbols: str) -> None:
        while self._taken(*symbols):
            pass

    def _taken(self, *symbols: str) -> Operator | None:
        token = self._next()
        if not isinstance(token, Operator) or token.symbol not in symbols:
            return None
        self.at += 1
        return token

    def _is_at(self, *symbols: str) -> bool:
        token = self._next()
        return isinstance(token, Operator) and token.symbol in symbols

    def _bare(self, *words: str) -> Word | None:
        token = self._next()
        return token if isinstance(token, Word) and token.is_bare(*words) else None

    def _next(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def _here(self) -> LinePlace:
        near = self.tokens[min(self.at, len(self.tokens) - 1) :]
        return near[0].place if near else START


def _tested(command: ShellCommand) -> tuple[ShellText, str] | None:
    """The variable that `[ -z "$name" ]` tests, and the operator behind which it is empty; None for another test."""
    words = [word for word in command.words if word.plain not in ("[", "]", "[[", "]]", "test")]
    option = words.pop(0).plain if len(words) > 1 else "-n"
    letters = words[0].text.letters if len(words) == 1 else ()
    if option not in ("-z", "-n") or len(letters) != 1 or not letters[0].name or command.redirects:
        return None
    return ShellText(letters), "&&" if option == "-z" else "||"


def _variable(word: Word) -> str:
    if not _NAME.fullmatch(word.plain):
        raise Refusal("{word} is not a name of a variable for `read`", word)
    return word.plain


def _delimiter(word: Word) -> str:
    """The one character of an IFS, "" for white space, a line end for none. Raises `CommandRefused` for more."""
    value = word.plain.removeprefix("IFS=")
    if value in ("", NEWLINE):
        return NEWLINE
    if " " in value and not value.strip(" \t\n"):
        return ""
    if word.text.holes or len(value) != 1 or value in "\"'\\" or value.isalnum():
        raise Refusal(_ONE_CHARACTER, word.place)
    return value
