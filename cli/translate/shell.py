"""A shell line as bash reads it: words, each character with its quoting and place; commands, pipes, loops, options.

Nothing is run or expanded: a variable stays a variable, and a command within `$(…)` its words. A line with an
unbalanced quote, which bash rejects, is read as most likely intended, with a finding.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import HOLE, START, LinePlace, Refusal, Told, Unfinished
from texts.said import Said, said, wording

NEWLINE: Final = "\n"
"""The operator at the end of a line."""

Quote = Enum("Quote", "NONE SINGLE DOUBLE ESCAPED GIVEN")
"""The quoting of a character; a GIVEN one is not from the line, but of a given value, or what a code stands for."""


class Letter(NamedTuple):
    """A character of a word. `$name` or `$(…)` is one, HOLE, with the variable's `name`, or the commands' `tokens`.

    What is found in a row without a variable of the shell has a name in braces, which no such variable has.
    """

    char: str
    place: LinePlace
    quote: Quote
    name: str = ""
    tokens: "tuple[Token, ...] | None" = None


@dataclass(frozen=True, slots=True)
class Text:
    """A word, or a part of one, without its quotes; `kept` with its inner quotes, where that may be intended."""

    letters: tuple[Letter, ...]
    place: LinePlace
    kept: "Text | None" = None

    @property
    def plain(self) -> str:
        """The text as a string; what is not known is one character, `HOLE`."""
        return "".join([letter.char for letter in self.letters])

    @property
    def holes(self) -> list[Letter]:
        return [letter for letter in self.letters if letter.char == HOLE]

    def __getitem__(self, part: slice) -> "Text":
        return Text(self.letters[part], self.at(part.start or 0))

    def at(self, number: int) -> LinePlace:
        """The place of a character; its own where there is none."""
        return self.letters[number].place if number < len(self.letters) else self.place

    def having(self, letters: Iterable[Letter]) -> "Text":
        return Text(tuple(letters), self.place)

    def stripped(self) -> "Text":
        seen = self.plain
        start = len(seen) - len(seen.lstrip())
        return self[start : max(start, len(seen.rstrip()))]

    def is_bare(self, *words: str) -> bool:
        """Whether it is one of these words, without any quotes: only such a word can be a keyword."""
        return self.plain in words and {letter.quote for letter in self.letters} == {Quote.NONE}


def joined(words: Sequence[Text]) -> Text:
    letters = [letter for word in words for letter in (Letter(" ", word.place, Quote.NONE), *word.letters)]
    return Text(tuple(letters[1:]), words[0].place)


class Operator(NamedTuple):
    """A token between words: `|`, `;`, `&&`, a redirection with its number, the end of a line."""

    symbol: str
    place: LinePlace


Token: TypeAlias = Text | Operator


# ---- words -------------------------------------------------------------------------------------------------------


def lex(line: str | Text, told: Told, start: LinePlace = START) -> tuple[Token, ...]:
    """The words and operators of a line that begins at `start`, or that another shell makes of a text.

    Faults of its quotes are told. Raises `Unfinished` for what the line does not end.
    """
    if isinstance(line, Text):
        return _Lexer(line.letters, told).tokens()
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


_BLANK: Final = re.compile(r"[ \t]+|\\\n|#[^\n]*")
_OPERATOR: Final = re.compile(r"\n|\|\||\|&|\||;;|;|&&|&>>|&>|&|\(|\)|[0-9]*(?:<<<|<<-|<<|<&|<>|<|>>|>&|>\||>)")
_ENDS_WORD: Final = frozenset(" \t\n|&;()<>")
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
                found.append(Text((self._command(Quote.NONE, place),), place))
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

    def _take_heredocs(self, heredocs: Sequence[tuple[int, Operator]], found: list[Token]) -> None:
        for at, operator in heredocs:
            word = found[at] if at < len(found) else None
            if not isinstance(word, Text):
                raise Refusal("`{symbol}` names no end of its lines", operator)
            end, is_literal = word.plain, any(letter.quote is not Quote.NONE for letter in word.letters)
            letters: list[Letter] = []
            while True:
                if self.at >= len(self.line):
                    raise Unfinished("the lines behind `{symbol}` have no {end} at their end", operator, end=end)
                stop = self.line.find(NEWLINE, self.at) % (len(self.line) + 1)
                if operator.symbol == "<<-":
                    self.at = stop - len(self.line[self.at : stop].lstrip("\t"))
                written = self.line[self.at : stop]
                if written == end:
                    self.at = stop
                    break
                if not is_literal and "\\" in written:
                    raise Refusal(
                        "a backslash stands here: quote the end of the lines, '{end}'", self._place(), end=end
                    )
                stop = min(stop + 1, len(self.line))
                letters += self._taken(stop, Quote.SINGLE) if is_literal else self._expanded(Quote.DOUBLE, stop)
            found[at] = word.having(letters)

    def _word(self) -> Text:
        start, place, self.closed = self.at, self._place(), -1
        letters = self._expanded(Quote.NONE, len(self.line), _ENDS_WORD)
        # With its inner quotes, if it begins and ends with the same quote and contains more of them.
        inner, quote = _Lexer(self.letters[start + 1 : self.at - 1], Told(), self.depth), self.line[start]
        if quote not in "'\"" or self.line[self.at - 1] != quote or quote not in inner.line:
            return Text(tuple(letters), place)
        try:
            kept = inner._expanded(Quote.DOUBLE, len(inner.line))
        except CommandRefused:
            return Text(tuple(letters), place)
        doubled = tuple(one._replace(char='"') if one.char == quote == "'" else one for one in kept)
        return Text(tuple(letters), place, Text(doubled, place))

    def _quoted(self, quote: str) -> list[Letter]:
        start, place = self.at, self._place()
        self.at += 1
        # A quote directly after a closing one is a typing error: no string begins so.
        if (
            self.closed == start
            and self.line[start - 1] == quote
            and self.line[self.at : self.at + 1].strip(";\n\t ") == ""
        ):
            while start < len(self.line) and (found := _CLOSED.match(self.line, start)):
                start = found.end()
            if start < len(self.line):
                self.told.fault(findings.QUOTE_TOO_MANY, place, quote=quote)
                return []
        if quote == "'":
            letters = self._taken(self.line.find(quote, self.at) % (len(self.line) + 1), Quote.SINGLE)
        else:
            letters = self._expanded(Quote.DOUBLE, len(self.line), quote)
        if self.at == len(self.line):
            self.told.fault(findings.QUOTE_NOT_CLOSED, place, quote=quote)
            while letters and letters[-1].char.isspace():
                letters.pop()
        self.at = self.closed = min(self.at + 1, len(self.line))
        return letters

    def _expanded(self, quote: Quote, stop: int, ends: Collection[str] = ()) -> list[Letter]:
        """The letters of a word, of a text in double quotes or of a heredoc, to before `stop` or what ends it."""
        letters: list[Letter] = []
        while self.at < stop and (char := self.line[self.at]) not in ends:
            following = self.line[self.at + 1 : stop][:1]
            if char in "$`":
                letters += self._dollar(quote, letters)
            elif char == "\\" and (quote is Quote.NONE or following in _ESCAPED_IN_DOUBLE):
                # Nothing at the end of a line, where it joins two lines.
                if following != NEWLINE:
                    letters.append(Letter(following or "\\", self._place(), Quote.ESCAPED))
                self.at += 1 + len(following)
            elif char in "'\"" and quote is Quote.NONE:
                letters += self._quoted(char)
            else:
                letters += self._taken(self.at + 1, quote)
        return letters

    def _taken(self, end: int, quote: Quote) -> list[Letter]:
        letters = [letter._replace(quote=quote) for letter in self.letters[self.at : end]]
        self.at = end
        return letters

    def _dollar(self, quote: Quote, before: Sequence[Letter]) -> list[Letter]:
        place = self._place()
        if found := _VARIABLE.match(self.line, self.at):
            name = found["name"] or found["braced"]
            if quote is Quote.DOUBLE and "".join([one.char for one in before[-3:]]).casefold() in _SYSTEM_TABLES:
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
        return Letter(HOLE, place, quote, tokens=tokens)

    def _place(self) -> LinePlace:
        return self.letters[self.at].place


# ---- commands, pipes and loops -----------------------------------------------------------------------------------

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
_ENDS_COMMAND: Final = (*_SEPARATORS, *_CONDITIONS, "|", "")
_INPUTS: Final = ("<", "<<", "<<-", "<<<")
ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
AWKS: Final = ("awk", "gawk", "mawk")
TEXT_TOOLS: Final = (
    *AWKS,
    *("cat", "tail", "head", "sed", "grep", "egrep", "fgrep", "cut", "tr", "sort", "uniq", "seq"),
)
"""Programs that only write text: where they make the rows, the shell may go on using them."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NOT_TRANSLATED: Final = wording("`{symbol}` is not translated")
_NO_GUARD: Final = wording(
    'a condition is read where it passes over a row with an empty value: [ -z "$name" ] && continue'
)
_OTHER_CONDITION: Final = wording("a loop is read as `while read NAME …`, and this is another condition")


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


Redirect: TypeAlias = tuple[Operator, Text]
"""The operator of a redirection, and its file or, for `<<` and `<<<`, its text."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its words, or redirections alone; or a loop or a condition, which `label` then names.

    A loop has what it takes; the words are those of `for … in …`. A condition passes a row over where the variable
    `tested` is empty, once its body is done.
    """

    words: tuple[Text, ...]
    redirects: tuple[Redirect, ...]
    place: LinePlace
    label: str = ""
    taking: Taking | None = None
    tested: Letter | None = None
    body: "tuple[Pipeline, ...]" = ()

    @property
    def program(self) -> str:
        """Its name without a path."""
        return self.words[0].plain.rpartition("/")[2] if self.words and not self.label else ""

    @property
    def command(self) -> str:
        """What sentences name of it: the whole where it is a text tool, whose words are no passwords."""
        if self.words and ASSIGNMENT.match(self.words[0].plain):
            return said("a variable for one command alone")
        return self.label or (joined(self.words).plain if self.program in TEXT_TOOLS else self.program)

    @property
    def arguments(self) -> list[str]:
        return [word.plain for word in self.words[1:]]

    @property
    def inputs(self) -> tuple[Redirect, ...]:
        return tuple(one for one in self.redirects if one[0].symbol in _INPUTS)

    def having(self, words: Iterable[Text]) -> "Command":
        return replace(self, words=tuple(words))


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Stages with `|` between them; `apart` when `&` puts it in the background.

    `following` are the commands behind `&&` and `||`, each with that operator: they depend on how it ends.
    """

    stages: tuple[Command, ...]
    apart: bool = False
    following: tuple[tuple[Operator, Command], ...] = ()

    @property
    def place(self) -> LinePlace:
        return self.stages[0].place

    @property
    def alone(self) -> Command | None:
        """The one command that it consists of, None for more."""
        first = self.stages[0]
        return first if len(self.stages) == 1 and not self.following and not first.label else None


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


def parse(tokens: Sequence[Token]) -> list[Pipeline]:
    """The pipelines of a line. Raises `CommandRefused`, naming the part that cannot be translated."""
    return _Parser(tokens).pipelines()


class _Parser:
    def __init__(self, tokens: Sequence[Token]) -> None:
        # The end is a token as well.
        self.tokens = (*tokens, Operator("", tokens[-1].place if tokens else START))
        self.at = 0
        self.in_loop = False

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def pipelines(self, until: str = "") -> list[Pipeline]:
        found: list[Pipeline] = []
        while True:
            self._skip(*_SEPARATORS)
            if self.next == self.tokens[-1] or self._bare(until):
                return found
            stages = [self._stage()]
            while self._taken("|"):
                self._skip(NEWLINE)
                stages.append(self._stage())
            following: list[tuple[Operator, Command]] = []
            while operator := self._taken(*_CONDITIONS):
                self._skip(NEWLINE)
                following.append((operator, self._stage()))
                if following[-1][1].label:
                    raise Refusal(NOT_TRANSLATED, operator)
            is_apart = isinstance(self.next, Operator) and self.next.symbol == "&"
            found.append(Pipeline(tuple(stages), is_apart, tuple(following)))

    def _stage(self) -> Command:
        if keyword := self._bare("while", "for"):
            return self._loop(keyword)
        if self._bare("[", "[[", "test", "if"):
            return self._guard()
        if keyword := self._bare(*_KEYWORDS):
            raise Refusal(
                "`{word}` cannot be translated; the loops that can are while read … and for … in",
                keyword,
                word=keyword.plain,
            )
        return self._command()

    def _command(self) -> Command:
        place = self.next.place
        words, redirects = self._words()
        command = Command(words, redirects, place)
        if not words and not command.inputs:
            raise Refusal("a command is missing here", self.next.place)
        return command

    def _words(self) -> tuple[tuple[Text, ...], tuple[Redirect, ...]]:
        words: list[Text] = []
        redirects: list[Redirect] = []
        while True:
            if isinstance(token := self.next, Operator) and token.symbol in _ENDS_COMMAND:
                return tuple(words), tuple(redirects)
            self.at += 1
            if isinstance(token, Text):
                words.append(token)
                continue
            if token.symbol not in _INPUTS and (">" not in token.symbol or "<" in token.symbol):
                raise Refusal(NOT_TRANSLATED, token)
            if not isinstance(target := self.next, Text):
                raise Refusal("`{symbol}` names no file", token)
            self.at += 1
            redirects.append((token, target))

    def _guard(self) -> Command:
        """`[ -z "$name" ] && continue`, also with more before it in braces, or as an `if`."""
        place = self.next.place
        is_if = self._bare("if") is not None
        self.at += is_if
        tested, when = _tested(self._command())
        if is_if:
            self._skip(*_SEPARATORS)
        if not tested or not (when == "&&" and self._bare("then") if is_if else self._taken(when)):
            raise Refusal(_NO_GUARD, place)
        if is_if or self._bare("{"):
            self.at += 1
            body = self.pipelines(until="fi" if is_if else "}")
            self._expect("fi" if is_if else "}", place)
        else:
            body = [Pipeline((self._command(),))]
        if not self.in_loop or not body or [one.plain for one in body[-1].stages[0].words] != ["continue"]:
            raise Refusal(_NO_GUARD, place)
        return Command((), (), place, said("a condition"), tested=tested, body=tuple(body[:-1]))

    def _loop(self, keyword: Text) -> Command:
        if self.in_loop:
            raise Refusal("a loop within a loop cannot be translated", keyword)
        self.in_loop = True
        self.at += 1
        begins = self.next.place
        items: tuple[Text, ...] = ()
        if keyword.plain == "while":
            command = self._command()
            read = list(command.words)
            delimiter = ""
            if read and read[0].plain.startswith("IFS="):
                ifs = read.pop(0)
                delimiter = ifs.plain.removeprefix("IFS=") or NEWLINE
                if " " in delimiter and not delimiter.strip(" \t\n"):
                    delimiter = ""
                elif delimiter != NEWLINE and (
                    ifs.holes or len(delimiter) != 1 or delimiter in "\"'\\" or delimiter.isalnum()
                ):
                    raise Refusal("the IFS of a loop is read as one character, as IFS=';'", ifs)
            if not read or read[0].plain != "read" or command.redirects:
                raise Refusal(_OTHER_CONDITION, command)
            names = tuple(_variable(word) for word in read[1:] if word.plain != "-r") or ("REPLY",)
            if delimiter == NEWLINE and len(names) > 1:
                raise Refusal("nothing takes the line apart: IFS is empty, or a line end", read[2])
            loses_last = not self._taken("||")
            if not loses_last:
                # `|| [ -n "$name" ]` takes a last line without a line end as well.
                other = self._command()
                tested, when = _tested(other)
                if when != "||" or not tested or tested.name not in names:
                    raise Refusal(_OTHER_CONDITION, other)
            keeps_backslashes = any(word.plain == "-r" for word in read)
            taking = Taking(names, delimiter, keeps_backslashes=keeps_backslashes, loses_last=loses_last)
        else:
            match self._command() if isinstance(self.next, Text) else None:
                case Command((name, within, *others), ()) if others and within.is_bare("in"):
                    taking, items = Taking((_variable(name),), by_words=True), tuple(others)
                case _:
                    raise Refusal("a for is read as `for NAME in WORDS`", begins)
        self._skip(*_SEPARATORS)
        self._expect("do", keyword.place)
        body = self.pipelines(until="done")
        self._expect("done", keyword.place)
        words, redirects = self._words()
        for word in words:
            raise Refusal("{word} behind `done` is not understood", word, word=word.plain)
        self.in_loop = False
        return Command(items, redirects, keyword.place, said("a loop"), taking, body=tuple(body))

    def _expect(self, keyword: str, loop: LinePlace) -> None:
        if not self._bare(keyword):
            raise Refusal(
                "the loop of {loop} lacks its `{keyword}`", self.next.place, loop=loop.text, keyword=keyword
            )
        self.at += 1

    def _skip(self, *symbols: str) -> None:
        while self._taken(*symbols):
            pass

    def _taken(self, *symbols: str) -> Operator | None:
        if not isinstance(token := self.next, Operator) or token.symbol not in symbols:
            return None
        self.at += 1
        return token

    def _bare(self, *words: str) -> Text | None:
        return token if isinstance(token := self.next, Text) and token.is_bare(*words) else None


def _tested(command: Command) -> tuple[Letter | None, str]:
    """The variable that `[ -z "$name" ]` tests, and the operator behind which it is empty; None for another test."""
    words = [word for word in command.words if word.plain not in ("[", "]", "[[", "]]", "test")]
    option = words.pop(0).plain if len(words) > 1 else "-n"
    letters = words[0].letters if len(words) == 1 else ()
    if option not in ("-z", "-n") or len(letters) != 1 or not letters[0].name or command.redirects:
        return None, ""
    return letters[0], "&&" if option == "-z" else "||"


def _variable(word: Text) -> str:
    if not _NAME.fullmatch(word.plain):
        raise Refusal("{word} is not a name of a variable for `read`", word, word=word.plain)
    return word.plain


# ---- options: a table for each program, by what an option means, and one reader for all ---------------------------

LEFT_OUT: Final = wording("{option} is left out: {why}")


class Option(NamedTuple):
    """An option by its long name; a sentence as its meaning says why it is left out, "" passes over it."""

    name: str
    means: str
    takes: str


OptionTable = Mapping[str, Option]


def _table(*rows: tuple[str, str]) -> OptionTable:
    """A table of rows: a meaning, and its options; `=` marks one with a value, `?` one whose value is attached."""
    found: dict[str, Option] = {}
    for means, options in rows:
        for option in options.split():
            names = option.rstrip("=?").split("/")
            for name in names:
                found[name] = Option(names[-1], means, option[len("/".join(names)) :])
    return found


_CREDENTIALS: Final = said("credentials belong into the settings")
_TIMEOUT: Final = said("--timeout says how long an answer may take")
_TRIED_AGAIN: Final = said("what was provably not done is tried again by itself")
_CERTIFICATE: Final = said("the certificate of an https address is checked")
_DIRECTLY: Final = said("the address of the settings is called directly")
_RATE: Final = said("--rate paces the run")
_IN_FLIGHT: Final = said("--in-flight says how many calls go at a time")
SHOWN: Final = said("the run shows its progress and keeps each row")

CURL: Final = _table(
    ("data", "-d/--data= --data-ascii= --data-binary="),
    ("raw", "--data-raw="),
    ("encoded", "--data-urlencode="),
    ("method", "-X/--request="),
    ("header", "-H/--header="),
    ("url", "--url="),
    ("get", "-G/--get"),
    (_CREDENTIALS, "-u/--user= -b/--cookie="),
    (_TIMEOUT, "-m/--max-time= --connect-timeout="),
    (_TRIED_AGAIN, "--retry= --retry-delay="),
    (_DIRECTLY, "-x/--proxy="),
    (_CERTIFICATE, "-k/--insecure"),
    (said("a call that is sent elsewhere is not followed: it might be done twice"), "-L/--location"),
    ("", "-D/--dump-header= -o/--output= -w/--write-out= -A/--user-agent= -e/--referer="),
    ("", "-s/--silent -S/--show-error -i/--include -v/--verbose -f/--fail --fail-with-body -g/--globoff"),
    ("", "-N/--no-buffer -4/--ipv4 -6/--ipv6 --compressed --no-progress-meter --progress-bar"),
)
WGET: Final = _table(
    ("raw", "--post-data= --body-data="),
    ("method", "--method="),
    ("header", "--header="),
    (_CREDENTIALS, "--user= --password= --http-user= --http-password="),
    (_TIMEOUT, "-T/--timeout= --read-timeout= --connect-timeout="),
    (_TRIED_AGAIN, "-t/--tries= --waitretry="),
    (_RATE, "-w/--wait="),
    (_DIRECTLY, "--no-proxy"),
    (_CERTIFICATE, "--no-check-certificate"),
    ("", "-O/--output-document= -o/--output-file= -a/--append-output= -U/--user-agent= --referer="),
    ("", "-q/--quiet -v/--verbose -nv/--no-verbose -S/--server-response -4/--inet4-only -6/--inet6-only"),
    ("", "--content-on-error --no-cache"),
)
XARGS: Final = _table(
    ("mark", "-I= -i? --replace?"),
    ("several", "-n/--max-args= -L="),
    ("file", "-a/--arg-file="),
    ("delimiter", "-d/--delimiter="),
    (_IN_FLIGHT, "-P= --max-procs="),
    ("", "-t --verbose -r --no-run-if-empty -x"),
)
PARALLEL: Final = _table(
    ("several", "-n= -N= --max-args= -L="),
    ("file", "-a/--arg-file="),
    ("cells", "-C/--colsep="),
    ("quoted", "-q/--quote"),
    (_IN_FLIGHT, "-j= -P= --jobs= --max-procs="),
    (_RATE, "--delay="),
    (_TRIED_AGAIN, "--retries="),
    (_TIMEOUT, "--timeout="),
    (said("--stop-after-errors says when the run stops"), "--halt="),
    (SHOWN, "--joblog= --bar --eta --progress"),
    ("", "-k --keep-order -u --ungroup --lb --line-buffer --will-cite --tag -r"),
)
AWK: Final = _table(("delimiter", "-F/--field-separator="))
ISQL: Final = _table(("", "-u= -user= -p= -pass= -password= -ch= -charset= -r= -role= -q -quiet -b -bail -nod -now"))


def options_of(
    command: Command, table: OptionTable, told: Told, *, joins: bool = True, stops: bool = False
) -> tuple[list[tuple[Option, Text]], list[Text]]:
    """The options of a command that mean something, each with its value, and its other words.

    An option without a value has itself as one. With `joins` a long option and its value may be one word, with =
    between them; with `stops` the first other word ends the options. Raises `CommandRefused` for an unknown option.
    """
    found: list[tuple[Option, Text]] = []
    rest: list[Text] = []
    words = iter(command.words[1:])
    for word in words:
        if not word.plain.startswith("-") or word.plain == "-":
            rest += [word, *words] if stops else [word]
            continue
        for name, attached in _names(word, table):
            option = table.get(name)
            is_joined = attached is not None and name.startswith("--")
            if option is None or (attached and not option.takes) or (is_joined and not joins):
                raise Refusal("{program}'s {option} is not translated", word, program=command.program, option=name)
            value = attached or word
            if option.takes == "=" and attached is None and (value := next(words, word)) is word:
                raise Refusal("{program}'s {option} has no value", word, program=command.program, option=option.name)
            if option.takes == "?" and attached is None:
                value = word.having(Letter(char, word.place, Quote.SINGLE) for char in "{}")
            if isinstance(option.means, Said):
                its = said("{program}'s {option}", program=command.program, option=option.name)
                told.notes.append(said(LEFT_OUT, option=its if stops else option.name, why=option.means))
            elif option.means:
                found.append((option, value))
    return found, rest


def _names(word: Text, table: OptionTable) -> Iterator[tuple[str, Text | None]]:
    """The names of the options in one word, as `-sS`; the last may have its value attached, as in `-XPOST`."""
    text = word.plain
    name, equals, _ = text.partition("=")
    if text in table or text.startswith("--"):
        yield name, word[len(name) + 1 :] if equals else None
        return
    for at in range(1, len(text)):
        name = f"-{text[at]}"
        if name in table and table[name].takes and at + 1 < len(text):
            yield name, word[at + 1 :]
            return
        yield name, None
