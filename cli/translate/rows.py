"""What makes the rows of a line, and how each becomes the values of a call: the idioms, as tables.

`ENDS` are the programs that make a call of each line, `TEXT_TOOLS` and `FILTERS` what may stand before them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeAlias

from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import HOLE, LinePlace, Refusal, Told
from cli.translate.grammar import (
    ASSIGNMENT,
    AWKS,
    TEXT_TOOLS,
    Loop,
    Redirect,
    ShellCommand,
    ShellPipeline,
    Stage,
    Taking,
    parse,
)
from cli.translate.options import AWK, ISQL, PARALLEL, SHOWN, XARGS, OptionTable, options_of
from cli.translate.words import NEWLINE, Field, Letter, Quote, ShellText, Word, joined, lex_again
from texts.remedies import PROGRAM
from texts.said import said, wording

FORMS: Final = said(
    "what is read is a curl, or rows | while read …; do curl …; done, where rows are sqlexec …, a file, or a list; "
    "xargs and parallel likewise"
)
CALLERS: Final = ("curl", "wget")
PRINTERS: Final = ("echo", "printf")
"""Programs that print their words."""
_SHELLS: Final = ("sh", "bash", "dash")
_ISQLS: Final = ("sqlexec", "isql", "isql-fb")
_LEFT_OUT: Final = {
    **dict.fromkeys(PRINTERS, SHOWN),
    "sleep": said("--rate and --in-flight pace the run"),
    "wait": said("a run ends when all its calls have"),
    ":": said("it does nothing"),
    "set": said("the run stops by itself where it has to, and says why"),
}
"""Commands that are allowed beside the call, each with the reason why it is left out."""
_NOT_TRANSLATED: Final = wording("`{symbol}` is not translated")


class Select(NamedTuple):
    """Rows that isql prints, of a select."""

    sql: ShellText
    place: LinePlace


class Lines(NamedTuple):
    """Rows that stand in the line itself: the lines of a text, or words, of which the shell may make several."""

    texts: Sequence[ShellText]
    are_words: bool = False


class Piped(NamedTuple):
    """The lines of a file, or what text tools print, of which the first may read a file."""

    file: Word | None
    tools: Sequence[ShellCommand] = ()


Origin: TypeAlias = Select | Lines | Piped


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a line, what they go through, and how each becomes the values of variables."""

    origin: Origin
    filters: tuple[ShellCommand, ...]
    taking: Taking
    place: LinePlace

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of the loop."""
        return self.taking.variables

    def variable_of(self, letter: Letter) -> str:
        """The variable of a value of the row: of a field of its line, the one that it has become."""
        value = letter.stands_for
        return self.variables[value.number - 1] if isinstance(value, Field) else letter.name


def assigned(pipeline: ShellPipeline) -> list[tuple[str, ShellText]]:
    """The variables that a pipeline sets; none for one that does anything else."""
    command = pipeline.alone
    words = list(command.words) if command and not command.inputs else []
    if len(words) > 1 and words[0].is_bare("export"):
        words.pop(0)
    found: list[tuple[str, ShellText]] = []
    for word in words:
        name = ASSIGNMENT.match(word.plain)
        if name is None or any(letter.quote is not Quote.NONE for letter in word.text.letters[: name.end()]):
            return []
        found.append((name[0][:-1], word.text[name.end() :]))
    return found


def is_left_out(pipeline: ShellPipeline, told: Told) -> bool:
    """Whether a command may be left out, which is noted."""
    command = pipeline.alone
    why = _LEFT_OUT.get(command.program) if command else None
    if not command or not why or any(one[:1] not in "-+" for one in command.arguments[: command.program == "set"]):
        return False
    told.notes.append(said("{option} is left out: {why}", option=command.program, why=why))
    return True


def check_following(pipeline: ShellPipeline) -> None:
    """Refuse what is done depending on how a call ends, but for words about it, which the run has itself."""
    for operator, command in pipeline.following:
        if not is_left_out(ShellPipeline((command,)), Told()):
            raise Refusal(_NOT_TRANSLATED, operator)


def not_understood(stage: Stage) -> Refusal:
    """The error for a command that is none of these."""
    return Refusal("{command} cannot be translated; {forms}", stage, forms=FORMS)


# ---- where rows come from ----------------------------------------------------------------------------------------

_TWO_SOURCES: Final = wording("a second source of rows stands here; which one is read is not told")
_QUITS: Final = re.compile(r";\s*(?:quit|exit)\s*;?\s*$", re.IGNORECASE)


def rows_of(before: Sequence[Stage], reads: ShellCommand, taking: Taking) -> Rows:
    """The rows that a pipe or a redirection feeds into a command. Raises `CommandRefused`."""
    if len(reads.inputs) > 1 or (reads.inputs and before):
        raise Refusal(_TWO_SOURCES, reads.inputs[-1][0].place)
    if reads.inputs:
        return _redirected(reads.inputs[0], (), taking, reads.place)
    if not before:
        raise Refusal("nothing is piped into this loop; {forms}", reads.place, forms=FORMS)
    commands = [stage for stage in before if isinstance(stage, ShellCommand)]
    if len(commands) < len(before):
        raise Refusal("a loop that feeds another is not translated", before[0].place)
    first, *filters = commands
    if not first.arguments and first.inputs and first.program in ("", "cat"):
        return _redirected(first.inputs[0], filters, taking, reads.place)
    origin: Origin
    if first.program in PRINTERS and first.arguments:
        return _text(_echoed(first), filters, taking, reads.place)
    if first.program in _ISQLS:
        origin = _select(first, None)
    elif first.program in TEXT_TOOLS:
        is_file = first.program == "cat" and [one[:1] != "-" for one in first.arguments] == [True]
        origin = Piped(first.words[1]) if is_file and not first.redirects else Piped(None, [first])
    else:
        raise not_understood(first)
    return Rows(origin, tuple(filters), taking, reads.place)


def rows_within(command: Letter, taking: Taking) -> Rows:
    """The rows that the command within `$(…)` prints. Raises `CommandRefused`."""
    return rows_of(stages_within(command), ShellCommand((), (), command.place), taking)


def stages_within(command: Letter) -> tuple[Stage, ...]:
    """The stages of the one pipeline within `$(…)`."""
    pipelines = parse(command.tokens or ())
    if len(pipelines) != 1 or pipelines[0].following:
        raise Refusal("what is read within $(…) is one command, or one pipe", command.place)
    return pipelines[0].stages


def _redirected(redirect: Redirect, filters: Sequence[ShellCommand], taking: Taking, place: LinePlace) -> Rows:
    operator, target = redirect
    if operator.symbol != "<":
        return _text(target.text, filters, taking, place)
    if not target.text.commands:
        return Rows(Piped(target), tuple(filters), taking, place)
    found = rows_within(target.text.commands[0], taking)
    return replace(found, filters=(*found.filters, *filters), place=place)


def _text(text: ShellText, filters: Sequence[ShellCommand], taking: Taking, place: LinePlace) -> Rows:
    """Rows that stand in the line, or the select that stands there for an isql."""
    if filters and filters[0].program in _ISQLS:
        return Rows(_select(filters[0], text), tuple(filters[1:]), taking, place)
    return Rows(Lines([text]), tuple(filters), taking, place)


def _select(command: ShellCommand, sql: ShellText | None) -> Select:
    """The select that a sqlexec has as its word, or that is fed to an isql."""
    if command.program == "sqlexec" and sql is None:
        if command.redirects or len(command.arguments) != 1:
            raise Refusal('sqlexec is read with one text behind it, the SQL: sqlexec "select …"', command.place)
        return Select(command.words[1].text, command.words[1].place)
    options_of(command, ISQL, Told())
    texts = [sql] if sql else []
    texts += [word.text for operator, word in command.inputs if operator.symbol != "<"]
    if len(texts) != 1 or len(command.redirects) + (sql is not None) != 1:
        raise Refusal('{program} is read with the SQL in the line: echo "select …;" | {program} …', command)
    ended = _QUITS.search(texts[0].plain)
    return Select(texts[0][: ended.start() if ended else None], texts[0].place(0, command.place))


def _echoed(command: ShellCommand) -> ShellText:
    if command.program == "printf" or command.redirects or any(one.startswith("-") for one in command.arguments):
        raise Refusal("what this {program} prints is not read: write the lines as <<END … END", command)
    return joined(command.words[1:]).stripped()


# ---- what rows go through ----------------------------------------------------------------------------------------

_BLANK: Final = r"\^(?:\\s\*|\[\[:space:\]\]\*|\[ \\t\]\*| \*)?\$"
_SPACE: Final = r"(?: |\\s|\[\[:space:\]\])"
_DIGIT: Final = r"\[(?:0-9|\[:digit:\])\]"
FILTERS: Final[Sequence[tuple[str, str, str]]] = (
    ("sed", rf"/{_BLANK}/d", "no-blanks"),
    ("sed", rf"s/{_SPACE}[*+]?//g|s/  \*//g", "glued"),
    ("sed", rf"s/(?:\^{_SPACE}[*+]?|{_SPACE}[*+]?\$)//", "same"),
    ("sed", r"1d|1,(?P<head>[1-9])d", "head"),
    ("tail", r"(?:-n\n?)?\+(?P<from>[1-9])", "head"),
    ("grep", rf"-v\n{_BLANK}|\.", "no-blanks"),
    ("grep", rf"{_DIGIT}|-E\n{_DIGIT}\+", "numbers"),
    ("grep", rf"\^ \*{_DIGIT}|-E\n\^ \*{_DIGIT}\+", "right-numbers"),
    ("grep", r"-v\n(?P<words>[\w=^$ *\\|]+)", "others"),
    ("grep", r"(?:-vE|-Ev|-v\n-E|-E\n-v)\n(?P<any_of>[\w=^$ *|]+)", "others"),
    ("awk", r"NF|/\./|!/\^\$/", "no-blanks"),
    ("awk", r"\$[0-9]{1,3}", "no-empties"),
    ("awk", r"NR\s*>\s*(?P<head>[1-9])", "head"),
    ("awk", rf"/{_DIGIT}/", "numbers"),
    ("awk", r"\{\s*print\s+(?P<fields>\$[0-9]{1,3}(?:(?:\s*,\s*|\s*\"\s+\"\s*)\$[0-9]{1,3})*)\s*;?\s*\}", "picked"),
    ("tr", r"-d\n(?: |\[:blank:\])", "glued"),
    ("tr", r"-s\n(?: |\[:blank:\])", "same"),
    ("tr", r"-d\n(?:\\r|\r)", "no-returns"),
    ("tr", r"-d\n(?:\[:space:\]| \\n|\\n |\\r\\n )", "one"),
    ("xargs", "", "one"),
    ("head", r"-1|-n1|-n\n1", "one"),
    ("tail", r"-1|-n1|-n\n1", "one"),
)
"""The filters of what isql prints: a program, its words with line ends between them, and what it does to lines.

`no-blanks`: blank lines go; `no-empties`: and those without a value. `glued`: spaces go, also those between columns.
`head`: the first lines go. `numbers`: lines without a digit go; `right-numbers`: and those that begin otherwise.
`others`: lines with some words go. `picked`: fields are picked. `no-returns`: the CR of line ends goes. `one`:
harmless where one value is printed.
"""
_SAME_AS: Final = {"gawk": "awk", "mawk": "awk"}


def effects_of(command: ShellCommand) -> list[tuple[str, Mapping[str, str]]]:
    """What a filter does, one thing after the other, with its figures; nothing where that is not known."""
    program, arguments = _SAME_AS.get(command.program, command.program), command.arguments
    scripts = [NEWLINE.join(arguments)]
    if program == "sed" and arguments and set(arguments[:-1]) <= {"-e", "-r", "-E"}:
        scripts = [one.strip() for one in arguments[-1].split(";")]
    elif program == "awk" and len(arguments) == 1:
        when, brace, action = arguments[0].partition("{")
        scripts = [one for one in (when.strip(), f"{brace}{action}".strip()) if one]
    found: list[tuple[str, Mapping[str, str]]] = []
    for script in scripts:
        of_script = ((effect, re.fullmatch(pattern, script)) for name, pattern, effect in FILTERS if name == program)
        effect, match = next(((effect, match) for effect, match in of_script if match), ("", None))
        if match is None or command.redirects:
            return []
        found.append((effect, match.groupdict()))
    return found


# ---- what makes a call of each line ------------------------------------------------------------------------------

_VALUE: Final = "{value}"
"""What takes the place of a line in a command, in braces, where no variable of a shell has its name."""
_OF_COLUMN: Final = "{{value{}}}"
"""The same of one of several columns: {value1}, {value2}, …"""
_LISTS: Final = (":::", "::::")
_COLUMN: Final = re.compile(r"\{([1-9]?)\}")
_NUMBERED: Final = re.compile(r"\{([1-9])\}")
_EMPTY_BRACES: Final = re.compile(r"(?:^|(?<=&))\s*(?P<key>arg\d+)=\{\}(?=&|\s*$)")
_OTHER_BRACES: Final = re.compile(r"\{(?:#|%|\.|/|//|/\.|=[^}]*=)\}")
_CUT_AT: Final[Mapping[str, str]] = {"\\t": "\t", "\\|": "|", "\\s+": "", " +": "", " ": ""}
"""What --colsep, a pattern, cuts at."""
_SPECIAL: Final = frozenset("\\|.^$*+?()[]{}")
_ONE_LIST: Final = wording("parallel is read with one list of values, or one file")

Spread: TypeAlias = tuple[ShellCommand, Rows]
"""The call that is made of each line, and the rows that make these lines."""


def _read_xargs(before: Sequence[Stage], command: ShellCommand, told: Told) -> Spread:
    options, words = _spreading(command, XARGS, told)
    mark = options.get("mark")
    if "delimiter" in options and options["delimiter"].plain not in ("\\n", NEWLINE):
        raise Refusal("xargs is read where each line is one value", options["delimiter"].place)
    if mark is None and "several" not in options:
        raise Refusal("xargs is read with -I{{}}, which says where the value of a line stands", command.place)
    if mark is None:
        words.append(Word(ShellText((Letter(HOLE, command.place, Quote.DOUBLE, _VALUE),)), command.place))
    call = _unwrapped(command.with_words(words))
    if mark is not None:
        marks = re.compile(f"({re.escape(mark.plain)})")
        call = call.with_words([_replaced(word, marks, "xargs", told) for word in call.words])
    taking = Taking((_VALUE,), NEWLINE if mark else "", by_words=mark is None)
    return _spread(before, command, call, taking, options.get("file"))


def _read_parallel(before: Sequence[Stage], command: ShellCommand, told: Told) -> Spread:
    options, words = _spreading(command, PARALLEL, told)
    at = next((at for at, word in enumerate(words) if word.plain in _LISTS), len(words))
    behind, is_list = words[at + 1 :], at < len(words) and words[at].plain == ":::"
    files = [*([] if is_list else behind), *([options["file"]] if "file" in options else [])]
    if len(files) > 1 or (files and is_list) or any(word.plain.startswith(":::") for word in behind):
        raise Refusal(_ONE_LIST, command.place)
    cut_at = _cut_at(options.get("cells"))
    call = _unwrapped(_as_called(command.with_words(words[:at]), told, quoted="quoted" in options))
    for word in call.words:
        if other := _OTHER_BRACES.search(word.plain):
            place = word.text.place(other.start(), word.place)
            raise Refusal("parallel's {mark} is not translated", place, mark=other[0])
    columns = max((int(one or 1) for word in call.words for one in _COLUMN.findall(word.plain)), default=1)
    if columns > 1 and cut_at == NEWLINE:
        raise Refusal(
            "{mark} is used, and --colsep does not say what separates the values",
            command.place,
            mark=f"{{{columns}}}",
        )
    marks = _COLUMN if cut_at == NEWLINE else _NUMBERED
    call = call.with_words([_replaced(word, marks, "parallel", told, alone=columns == 1) for word in call.words])
    taking = Taking(_values(columns), cut_at, is_open=cut_at != NEWLINE)
    return _spread(before, command, call, taking, files[0] if files else None, behind if is_list else ())


def _values(columns: int) -> tuple[str, ...]:
    return (_VALUE,) if columns == 1 else tuple(_OF_COLUMN.format(number) for number in range(1, columns + 1))


def _spreading(command: ShellCommand, table: OptionTable, told: Told) -> tuple[dict[str, Word], list[Word]]:
    found, words = options_of(command, table, told, stops=True)
    options = {option.means: value for option, value in found}
    if "several" in options and options["several"].plain != "1":
        raise Refusal("several values go into one call, and a run makes one for each row", options["several"].place)
    return options, words


def _spread(
    before: Sequence[Stage],
    command: ShellCommand,
    call: ShellCommand,
    taking: Taking,
    file: Word | None = None,
    items: Sequence[Word] = (),
) -> Spread:
    if call.program not in CALLERS:
        raise not_understood(call)
    if not any(letter.name.startswith("{") for word in call.words for letter in word.text.holes):
        raise Refusal("nothing says where the value of a line stands, as {{}} does, or {{1}} and {{2}}", call.place)
    if file is None and not items:
        return call, rows_of(before, command, taking)
    for stage in before:
        raise Refusal("{program} reads its values elsewhere, and not from this", stage.place, program=command.program)
    origin = Piped(file) if file else Lines([item.text for item in items], are_words=True)
    return call, Rows(origin, (), taking, command.place)


def _cut_at(pattern: Word | None) -> str:
    if pattern is None:
        return NEWLINE
    if pattern.plain not in _CUT_AT and (len(pattern.plain) != 1 or pattern.plain in _SPECIAL):
        raise Refusal("--colsep is read as one character, as ';' or '\\t'", pattern.place)
    return _CUT_AT.get(pattern.plain, pattern.plain)


def _replaced(word: Word, mark: re.Pattern[str], program: str, told: Told, *, alone: bool = True) -> Word:
    """The word with a variable in place of each mark, but for the braces of empty arguments."""
    empty = {found.end() - 2: found["key"] for found in _EMPTY_BRACES.finditer(word.plain)}
    letters: list[Letter] = []
    done = 0
    for found in mark.finditer(word.plain):
        place = word.text.place(found.start(), word.place)
        if found.start() in empty:
            told.fault(findings.BRACES_REPLACED, place, program=program, key=empty[found.start()])
            continue
        name = _VALUE if alone else _OF_COLUMN.format(found[1])
        letters += [*word.text.letters[done : found.start()], Letter(HOLE, place, Quote.DOUBLE, name)]
        done = found.end()
    return word.with_letters([*letters, *word.text.letters[done:]])


def _as_called(command: ShellCommand, told: Told, *, quoted: bool) -> ShellCommand:
    """The command that parallel calls: without -q a second shell reads its words."""
    if not command.words:
        raise Refusal("parallel calls nothing here: its commands come from its input", command.place)
    if quoted:
        return command
    try:
        return _command_of(joined(command.words), command.place)
    except CommandRefused:
        if command.program not in CALLERS:
            raise
    told.fault(findings.READ_BY_TWO_SHELLS, command.words[0].place)
    return command


def _command_of(text: ShellText, place: LinePlace) -> ShellCommand:
    """The one curl or wget that a second shell reads in a text. Raises `CommandRefused`."""
    if any(not letter.name.startswith("{") for letter in text.holes):
        raise Refusal("a variable stands in words that a second shell reads: write its value into the line", place)
    pipelines = parse(lex_again(text))
    command = pipelines[0].alone if len(pipelines) == 1 else None
    if command is None or command.program not in CALLERS:
        raise Refusal("what a second shell does is read where it is one curl, and this is something else", place)
    return command


def _unwrapped(command: ShellCommand) -> ShellCommand:
    """The curl within `sh -c '…' NAME VALUES`, its `$1` replaced by the values; any other command unchanged."""
    if command.program not in _SHELLS:
        return command
    if command.arguments[:1] != ["-c"] or not command.arguments[1:]:
        raise Refusal("{program} is read as {program} -c '…'", command)
    script, *values = command.words[2:]
    given = {str(number): value.text.letters for number, value in enumerate(values)}
    inner = _command_of(script.text, script.place)
    return inner.with_words(
        [
            word.with_letters(one for letter in word.text.letters for one in given.get(letter.name, (letter,)))
            for word in inner.words
        ]
    )


# ---- awk prints the calls ----------------------------------------------------------------------------------------

_AWK_PROGRAM: Final = re.compile(
    r"(?P<when>[^{}]*)\{\s*(?P<how>print|printf|system)\b\s*(?P<list>.*?)\s*;?\s*\}\s*", re.DOTALL
)
_AWK_PART: Final = re.compile(r'\s*(?:"(?P<text>(?:[^"\\]|\\.)*)"|\$(?P<field>[0-9]{1,2})|(?P<comma>,))', re.DOTALL)
_AWK_CODE: Final = re.compile(r"\\(?:(?P<octal>[0-7]{3})|x(?P<hex>[0-9A-Fa-f]{2})|(?P<char>.))|.", re.DOTALL)
_AWK_CODES: Final = {"n": NEWLINE, "t": "\t", '"': '"', "\\": "\\", "/": "/"}
_NO_PROGRAM: Final = wording(
    'awk is read here where it prints one curl for each line: awk \'{{print "curl … " $1 " …"}}\' | sh'
)
_NO_FORMAT: Final = wording("awk's printf is read with %s for each value, and a \\n at its end")


def _read_printed(before: Sequence[Stage], command: ShellCommand, told: Told) -> Spread:
    """What `awk '{print "curl …"}' | sh` calls for each line, or awk with its system(). Raises `CommandRefused`."""
    awk = command if command.program in AWKS else before[-1] if before else command
    if not isinstance(awk, ShellCommand) or awk.program not in AWKS:
        raise not_understood(command)
    if awk is not command:
        before = before[:-1]
        if set(command.arguments) - {"-", "-s", "-e", "-x"} or command.redirects:
            raise not_understood(command)
    options, words = options_of(awk, AWK, told)
    program = _AWK_PROGRAM.fullmatch(words[0].plain) if words else None
    delimiter = next((value.plain for _, value in options), " ")
    delimiter = _CUT_AT.get(delimiter, delimiter)
    is_run = program is not None and (program["how"] == "system") == (awk is command)
    if program is None or not is_run or len(delimiter) > 1 or delimiter.isalnum():
        raise Refusal(_NO_PROGRAM, awk.place)
    if len(words) > 2:  # noqa: PLR2004 - its program and a file
        raise Refusal(_TWO_SOURCES, words[2].place)
    fields = {int(one) for one in re.findall(r"\$([0-9]{1,2})", program["list"])}
    if 0 in fields and len(fields) > 1:
        raise Refusal(_NO_PROGRAM, awk.place)
    told.fault(findings.PRINTED_FOR_A_SHELL, awk.place)
    variables = _values(max({1, *fields}))
    call = _command_of(_printed_text(words[0], program, variables), words[0].place)
    taking = Taking(variables, NEWLINE if 0 in fields else delimiter, is_open=0 not in fields)
    call, rows = _spread(before, awk, call, taking, words[1] if words[1:] else None)
    if program["when"].strip():
        # What comes before its braces is a filter of its own.
        when = Word(words[0].text[: program.end("when")], words[0].place)
        only = ShellCommand((*awk.words[: awk.words.index(words[0])], when), (), awk.place)
        rows = replace(rows, filters=(*rows.filters, only))
    return call, rows


def _printed_text(program: Word, found: re.Match[str], variables: Sequence[str]) -> ShellText:
    at, end = found.span("list")
    if found["list"].startswith("(") and found["list"].endswith(")"):
        at, end = at + 1, end - 1
    parts: list[list[Letter]] = [[]]
    while program.plain[at:end].strip():
        part = _AWK_PART.match(program.plain, at, end)
        if part is None:
            raise Refusal(_NO_PROGRAM, program.text.place(at, program.place))
        at = part.end()
        if part["comma"]:
            parts.append([])
        elif part["field"]:
            place = program.text.place(part.start("field"), program.place)
            parts[-1].append(Letter(HOLE, place, Quote.NONE, variables[max(int(part["field"]), 1) - 1]))
        else:
            text = program.text[part.start("text") :]
            parts[-1] += [_decoded(code, text) for code in _AWK_CODE.finditer(part["text"])]
    if found["how"] == "printf":
        return _formatted(parts[0], parts[1:], program.place)
    if found["how"] == "system" and len(parts) > 1:
        raise Refusal(_NO_PROGRAM, program.place)
    return joined([Word(ShellText(tuple(part)), program.place) for part in parts])


def _decoded(code: re.Match[str], text: ShellText) -> Letter:
    letter = text.letters[code.start()]
    if code["octal"] or code["hex"]:
        return letter._replace(char=chr(int(code["octal"], 8) if code["octal"] else int(code["hex"], 16)))
    if code["char"] and code["char"] not in _AWK_CODES:
        raise Refusal(_NO_PROGRAM, letter.place)
    return letter._replace(char=_AWK_CODES[code["char"]]) if code["char"] else letter


def _formatted(text: Sequence[Letter], values: Sequence[Sequence[Letter]], place: LinePlace) -> ShellText:
    letters: list[Letter] = []
    following, rest = iter(values), iter(text)
    for letter in rest:
        code = next(rest, letter).char if letter.char == "%" else ""
        value = next(following, None) if code == "s" else [letter]
        if code not in ("", "%", "s") or value is None:
            raise Refusal(_NO_FORMAT, letter.place)
        letters += value
    if not letters or letters[-1].char != NEWLINE or next(following, None) is not None:
        raise Refusal(_NO_FORMAT, place)
    return ShellText(tuple(letters[:-1]))


ENDS: Final[Mapping[str, Callable[[Sequence[Stage], ShellCommand, Told], Spread]]] = {
    "xargs": _read_xargs,
    "parallel": _read_parallel,
    **dict.fromkeys((*_SHELLS, *AWKS), _read_printed),
}
"""The programs that make a call of each line, other than the loops of the shell."""


def read_loop(before: Sequence[Stage], loop: Loop) -> Rows:
    """The rows of a `while` or a `for`. Raises `CommandRefused`."""
    if not loop.items:
        return rows_of(before, loop.reads, loop.taking)
    for stage in before:
        raise Refusal("what is piped into a for is read by nothing in it", stage.place)
    for operator, _ in loop.reads.inputs:
        raise Refusal("`{symbol}` is read by nothing in a for", operator)
    commands = [one for item in loop.items for one in item.text.commands]
    if not commands:
        return Rows(Lines([item.text for item in loop.items], are_words=True), (), loop.taking, loop.place)
    if len(loop.items) > 1 or len(loop.items[0].text.letters) > 1:
        raise Refusal("the words of a for are read as a list, or as the one $(…) that prints them", commands[0].place)
    if commands[0].quote is Quote.DOUBLE:
        raise Refusal("all that is printed is one word within double quotes: leave the quotes out", commands[0].place)
    return replace(rows_within(commands[0], loop.taking), place=loop.place)


def read_single(pipeline: ShellPipeline, told: Told) -> ShellCommand:
    """The curl of a line without a loop, or of the body of one. Raises `CommandRefused`."""
    first, *others = pipeline.stages
    check_following(pipeline)
    if isinstance(first, ShellCommand) and first.program in _ISQLS:
        raise Refusal("the rows of this {program} go into no loop with a curl; {forms}", first, forms=FORMS)
    if not isinstance(first, ShellCommand) or first.program not in CALLERS:
        raise not_understood(first)
    for other in others:
        raise Refusal(
            "{command} works on what {program} answers, which {this} reads and keeps itself",
            other,
            program=first.program,
            this=PROGRAM,
        )
    for operator, file in first.inputs:
        has_data = operator.symbol != "<" and any("@-" in word.plain for word in first.words)
        if file.plain != "/dev/null" and not has_data:
            raise Refusal("`{symbol}` is not translated: the data of the call stands in the line", operator)
    note_call(first, told, apart=pipeline.apart)
    return first


def note_call(call: ShellCommand, told: Told, *, apart: bool) -> None:
    """Note what surrounds a call."""
    if len(call.redirects) > len(call.inputs):
        told.notes.append(said("where its output goes is left out: the journal keeps each row's outcome"))
    if apart:
        told.notes.append(said("the & behind curl is left out: --in-flight says how many calls go at a time"))
