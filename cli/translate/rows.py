"""What makes the rows of a line, and how each becomes the values of a call: the idioms, as tables.

`ENDS` are the programs that make a call of each line, `TEXT_TOOLS` and `FILTERS` what may stand before them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import HOLE, LinePlace, Refusal, Told
from cli.translate.shell import (
    ASSIGNMENT,
    AWK,
    AWKS,
    ISQL,
    LEFT_OUT,
    NEWLINE,
    NOT_TRANSLATED,
    PARALLEL,
    SHOWN,
    TEXT_TOOLS,
    XARGS,
    Command,
    Letter,
    Pipeline,
    Quote,
    Taking,
    Text,
    joined,
    lex,
    options_of,
    parse,
)
from texts.said import PROGRAM, said, wording

FORMS: Final = said(
    "what is read is a curl, or rows | while read …; do curl …; done, where rows are sqlexec …, a file, or a list; "
    "xargs and parallel likewise. Rows that another program prints go into a job as they are: "
    "PROGRAM | {carbon_migrate} run JOB - --columns NAME,…",
    carbon_migrate=PROGRAM,
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


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a line, what they go through, and how each becomes the values of variables.

    They are what isql prints of `sql`; or `texts` of the line itself, or its words, of which the shell may make
    several; or else the lines of a file, or what text tools print, of which the first may read the file.
    """

    taking: Taking
    place: LinePlace
    filters: tuple[Command, ...] = ()
    sql: Text | None = None
    texts: Sequence[Text] = ()
    are_words: bool = False
    file: Text | None = None
    tools: tuple[Command, ...] = ()


def assigned(pipeline: Pipeline) -> list[tuple[str, Text]]:
    """The variables that a pipeline sets; none for one that does anything else."""
    command = pipeline.alone
    words = list(command.words) if command and not command.inputs else []
    if len(words) > 1 and words[0].is_bare("export"):
        words.pop(0)
    found: list[tuple[str, Text]] = []
    for word in words:
        name = ASSIGNMENT.match(word.plain)
        if name is None or any(letter.quote is not Quote.NONE for letter in word.letters[: name.end()]):
            return []
        found.append((name[0][:-1], word[name.end() :]))
    return found


def is_left_out(pipeline: Pipeline, told: Told) -> bool:
    """Whether a command may be left out, which is noted."""
    command = pipeline.alone
    why = _LEFT_OUT.get(command.program) if command else None
    if not command or not why or any(one[:1] not in "-+" for one in command.arguments[: command.program == "set"]):
        return False
    told.notes.append(said(LEFT_OUT, option=command.program, why=why))
    return True


def check_following(pipeline: Pipeline) -> None:
    """Refuse what is done depending on how a call ends, but for words about it, which the run has itself."""
    for operator, command in pipeline.following:
        if not is_left_out(Pipeline((command,)), Told()):
            raise Refusal(NOT_TRANSLATED, operator)


def _not_understood(stage: Command) -> Refusal:
    return Refusal("{command} cannot be translated; {forms}", stage, forms=FORMS)


# ---- where rows come from ----------------------------------------------------------------------------------------

_TWO_SOURCES: Final = wording("a second source of rows stands here; which one is read is not told")
_QUITS: Final = re.compile(r";\s*(?:quit|exit)\s*;?\s*$", re.IGNORECASE)


def _rows_of(before: Sequence[Command], reads: Command, taking: Taking) -> Rows:
    if len(reads.inputs) > 1 or (reads.inputs and before):
        raise Refusal(_TWO_SOURCES, reads.inputs[-1][0])
    rows = Rows(taking, reads.place, tuple(before[1:]))
    redirects, text = reads.inputs, None
    first = before[0] if before else reads
    if not redirects:
        if not before:
            raise Refusal("nothing is piped into this loop; {forms}", reads, forms=FORMS)
        if any(stage.label for stage in before):
            raise Refusal("a loop that feeds another is not translated", first)
        if not first.arguments and first.program in ("", "cat"):
            redirects = first.inputs[:1]
    if redirects:
        (operator, text), *_ = redirects
        if operator.symbol == "<":
            within = next((one for one in text.letters if one.tokens is not None), None)
            if within is None:
                return replace(rows, file=text)
            found = rows_within(within, taking)
            return replace(found, filters=(*found.filters, *rows.filters), place=rows.place)
    elif first.program in PRINTERS and first.arguments:
        if first.program == "printf" or first.redirects or any(one.startswith("-") for one in first.arguments):
            raise Refusal("what this {program} prints is not read: write the lines as <<END … END", first)
        text = joined(first.words[1:]).stripped()
    if text is not None:
        # Rows that stand in the line, or the select that stands there for an isql.
        if rows.filters and rows.filters[0].program in _ISQLS:
            return replace(rows, sql=_select(rows.filters[0], text), filters=rows.filters[1:])
        return replace(rows, texts=(text,))
    if first.program in _ISQLS:
        return replace(rows, sql=_select(first, None))
    if first.program not in TEXT_TOOLS:
        raise _not_understood(first)
    is_file = first.program == "cat" and [one[:1] != "-" for one in first.arguments] == [True]
    return replace(rows, file=first.words[1]) if is_file and not first.redirects else replace(rows, tools=(first,))


def rows_within(command: Letter, taking: Taking) -> Rows:
    return _rows_of(stages_within(command), Command((), (), command.place), taking)


def stages_within(command: Letter) -> tuple[Command, ...]:
    pipelines = parse(command.tokens or ())
    if len(pipelines) != 1 or pipelines[0].following:
        raise Refusal("what is read within $(…) is one command, or one pipe", command)
    return pipelines[0].stages


def _select(command: Command, sql: Text | None) -> Text:
    if command.program == "sqlexec" and sql is None:
        if command.redirects or len(command.arguments) != 1:
            raise Refusal('sqlexec is read with one text behind it, the SQL: sqlexec "select …"', command)
        return command.words[1]
    options_of(command, ISQL, Told())
    texts = [sql] if sql else []
    texts += [word for operator, word in command.inputs if operator.symbol != "<"]
    if len(texts) != 1 or len(command.redirects) + (sql is not None) != 1:
        raise Refusal('{program} is read with the SQL in the line: echo "select …;" | {program} …', command)
    ended = _QUITS.search(texts[0].plain)
    return texts[0][: ended.start() if ended else None]


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
    ("grep", rf"-o\n{_DIGIT}(?:\*|\\\+)|(?:-oE|-Eo|-o\n-E|-E\n-o)\n{_DIGIT}[*+]", "number"),
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
`number`: the one number of a line is left of it.
`others`: lines with some words go. `picked`: fields are picked. `no-returns`: the CR of line ends goes. `one`:
harmless where one value is printed.
"""
_SAME_AS: Final = {"gawk": "awk", "mawk": "awk"}


def effects_of(command: Command) -> list[tuple[str, Mapping[str, str]]]:
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

Spread: TypeAlias = tuple[Command, Rows]
"""The call that is made of each line, and the rows that make these lines."""


def _read_xargs(before: Sequence[Command], command: Command, told: Told) -> Spread:
    found, words = options_of(command, XARGS, told, stops=True)
    options = {option.means: value for option, value in found}
    mark = options.get("mark")
    if "delimiter" in options and options["delimiter"].plain not in ("\\n", NEWLINE):
        raise Refusal("xargs is read where each line is one value", options["delimiter"])
    if mark is None and "several" not in options:
        raise Refusal("xargs is read with -I{{}}, which says where the value of a line stands", command)
    if mark is None:
        words.append(Text((Letter(HOLE, command.place, Quote.DOUBLE, _VALUE),), command.place))
    call = _unwrapped(command.having(words))
    if mark is not None:
        marks = re.compile(f"({re.escape(mark.plain)})")
        call = call.having(_replaced(word, marks, "xargs", told) for word in call.words)
    taking = Taking((_VALUE,), NEWLINE if mark else "", by_words=mark is None)
    rows = Rows(taking, command.place, file=options.get("file"))
    return _spread(before, command, call, rows, options.get("several"))


def _read_parallel(before: Sequence[Command], command: Command, told: Told) -> Spread:
    found, words = options_of(command, PARALLEL, told, stops=True)
    options = {option.means: value for option, value in found}
    at = next((at for at, word in enumerate(words) if word.plain in _LISTS), len(words))
    behind, is_list = words[at + 1 :], at < len(words) and words[at].plain == ":::"
    files = [*([] if is_list else behind), *([options["file"]] if "file" in options else [])]
    if len(files) > 1 or (files and is_list) or any(word.plain.startswith(":::") for word in behind):
        raise Refusal("parallel is read with one list of values, or one file", command)
    cut_at = options["cells"].plain if "cells" in options else NEWLINE
    if cut_at != NEWLINE and cut_at not in _CUT_AT and (len(cut_at) != 1 or cut_at in _SPECIAL):
        raise Refusal("--colsep is read as one character, as ';' or '\\t'", options["cells"])
    cut_at = _CUT_AT.get(cut_at, cut_at)
    call = _unwrapped(_as_called(command.having(words[:at]), told, quoted="quoted" in options))
    for word in call.words:
        if other := _OTHER_BRACES.search(word.plain):
            raise Refusal("parallel's {mark} is not translated", word.at(other.start()), mark=other[0])
    columns = max((int(one or 1) for word in call.words for one in _COLUMN.findall(word.plain)), default=1)
    if columns > 1 and cut_at == NEWLINE:
        told_as = f"{{{columns}}}"
        raise Refusal("{mark} is used, and --colsep does not say what separates the values", command, mark=told_as)
    marks = _COLUMN if cut_at == NEWLINE else _NUMBERED
    call = call.having(_replaced(word, marks, "parallel", told, alone=columns == 1) for word in call.words)
    taking = Taking(_values(columns), cut_at, is_open=cut_at != NEWLINE)
    texts, file = behind if is_list else (), files[0] if files else None
    rows = Rows(taking, command.place, texts=texts, are_words=True, file=file)
    return _spread(before, command, call, rows, options.get("several"))


def _values(columns: int) -> tuple[str, ...]:
    return (_VALUE,) if columns == 1 else tuple(_OF_COLUMN.format(number) for number in range(1, columns + 1))


def _spread(
    before: Sequence[Command], command: Command, call: Command, rows: Rows, at_once: Text | None = None
) -> Spread:
    if at_once and at_once.plain != "1":
        raise Refusal("several values go into one call, and a run makes one for each row", at_once)
    if call.program not in CALLERS:
        raise _not_understood(call)
    if not any(letter.name.startswith("{") for word in call.words for letter in word.holes):
        raise Refusal("nothing says where the value of a line stands, as {{}} does, or {{1}} and {{2}}", call)
    if rows.file is None and not rows.texts:
        return call, _rows_of(before, command, rows.taking)
    for stage in before:
        raise Refusal("{program} reads its values elsewhere, and not from this", stage, program=command.program)
    return call, rows


def _replaced(word: Text, mark: re.Pattern[str], program: str, told: Told, *, alone: bool = True) -> Text:
    """The word with a variable in place of each mark, but for the braces of empty arguments."""
    empty = {found.end() - 2: found["key"] for found in _EMPTY_BRACES.finditer(word.plain)}
    letters: list[Letter] = []
    done = 0
    for found in mark.finditer(word.plain):
        place = word.at(found.start())
        if found.start() in empty:
            told.fault(findings.BRACES_REPLACED, place, program=program, key=empty[found.start()])
            continue
        name = _VALUE if alone else _OF_COLUMN.format(found[1])
        letters += [*word.letters[done : found.start()], Letter(HOLE, place, Quote.DOUBLE, name)]
        done = found.end()
    return word.having([*letters, *word.letters[done:]])


def _as_called(command: Command, told: Told, *, quoted: bool) -> Command:
    """The command that parallel calls: without -q a second shell reads its words."""
    if not command.words:
        raise Refusal("parallel calls nothing here: its commands come from its input", command)
    if quoted:
        return command
    try:
        return _command_of(joined(command.words), command.place)
    except CommandRefused:
        if command.program not in CALLERS:
            raise
    told.fault(findings.READ_BY_TWO_SHELLS, command.words[0])
    return command


def _command_of(text: Text, place: LinePlace) -> Command:
    if any(not letter.name.startswith("{") for letter in text.holes):
        raise Refusal("a variable stands in words that a second shell reads: write its value into the line", place)
    pipelines = parse(lex(text, Told()))
    command = pipelines[0].alone if len(pipelines) == 1 else None
    if command is None or command.program not in CALLERS:
        raise Refusal("what a second shell does is read where it is one curl, and this is something else", place)
    return command


def _unwrapped(command: Command) -> Command:
    """The curl within `sh -c '…' NAME VALUES`, its `$1` replaced by the values; any other command unchanged."""
    if command.program not in _SHELLS:
        return command
    if command.arguments[:1] != ["-c"] or not command.arguments[1:]:
        raise Refusal("{program} is read as {program} -c '…'", command)
    script, *values = command.words[2:]
    given = {str(number): value.letters for number, value in enumerate(values)}
    inner = _command_of(script, script.place)
    return inner.having(
        word.having(one for letter in word.letters for one in given.get(letter.name, (letter,)))
        for word in inner.words
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


def _read_printed(before: Sequence[Command], command: Command, told: Told) -> Spread:
    """What `awk '{print "curl …"}' | sh` calls for each line, or awk with its system()."""
    awk = command if command.program in AWKS or not before else before[-1]
    is_run = awk is command
    if awk.program not in AWKS or (
        not is_run and (set(command.arguments) - {"-", "-s", "-e", "-x"} or command.redirects)
    ):
        raise _not_understood(command)
    options, words = options_of(awk, AWK, told)
    program = _AWK_PROGRAM.fullmatch(words[0].plain) if words else None
    delimiter = next((value.plain for _, value in options), " ")
    delimiter = _CUT_AT.get(delimiter, delimiter)
    if program is None or (program["how"] == "system") != is_run or len(delimiter) > 1 or delimiter.isalnum():
        raise Refusal(_NO_PROGRAM, awk)
    if len(words) > 2:  # noqa: PLR2004 - its program and a file
        raise Refusal(_TWO_SOURCES, words[2])
    fields = {int(one) for one in re.findall(r"\$([0-9]{1,2})", program["list"])}
    if 0 in fields and len(fields) > 1:
        raise Refusal(_NO_PROGRAM, awk)
    told.fault(findings.PRINTED_FOR_A_SHELL, awk)
    variables = _values(max({1, *fields}))
    call = _command_of(_printed_text(words[0], program, variables), words[0].place)
    taking = Taking(variables, NEWLINE if 0 in fields else delimiter, is_open=0 not in fields)
    rows = Rows(taking, awk.place, file=words[1] if words[1:] else None)
    call, rows = _spread(before if is_run else before[:-1], awk, call, rows)
    if program["when"].strip():
        # What comes before its braces is a filter of its own.
        only = Command((*awk.words[: awk.words.index(words[0])], words[0][: program.end("when")]), (), awk.place)
        rows = replace(rows, filters=(*rows.filters, only))
    return call, rows


def _printed_text(program: Text, found: re.Match[str], variables: Sequence[str]) -> Text:
    at, end = found.span("list")
    if found["list"].startswith("(") and found["list"].endswith(")"):
        at, end = at + 1, end - 1
    parts: list[list[Letter]] = [[]]
    while program.plain[at:end].strip():
        part = _AWK_PART.match(program.plain, at, end)
        if part is None:
            raise Refusal(_NO_PROGRAM, program.at(at))
        at = part.end()
        if part["comma"]:
            parts.append([])
        elif part["field"]:
            name = variables[max(int(part["field"]), 1) - 1]
            parts[-1].append(Letter(HOLE, program.at(part.start("field")), Quote.NONE, name))
        else:
            text = program[part.start("text") :]
            parts[-1] += [_decoded(code, text) for code in _AWK_CODE.finditer(part["text"])]
    if found["how"] == "system" and len(parts) > 1:
        raise Refusal(_NO_PROGRAM, program)
    if found["how"] != "printf":
        return joined([program.having(part) for part in parts])
    letters: list[Letter] = []
    values, rest = iter(parts[1:]), iter(parts[0])
    for letter in rest:
        code = next(rest, letter).char if letter.char == "%" else ""
        value = next(values, None) if code == "s" else [letter]
        if code not in ("", "%", "s") or value is None:
            raise Refusal(_NO_FORMAT, letter)
        letters += value
    if not letters or letters[-1].char != NEWLINE or next(values, None) is not None:
        raise Refusal(_NO_FORMAT, program)
    return program.having(letters[:-1])


def _decoded(code: re.Match[str], text: Text) -> Letter:
    letter = text.letters[code.start()]
    if code["octal"] or code["hex"]:
        return letter._replace(char=chr(int(code["octal"], 8) if code["octal"] else int(code["hex"], 16)))
    if code["char"] and code["char"] not in _AWK_CODES:
        raise Refusal(_NO_PROGRAM, letter)
    return letter._replace(char=_AWK_CODES[code["char"]]) if code["char"] else letter


ENDS: Final[Mapping[str, Callable[[Sequence[Command], Command, Told], Spread]]] = {
    "xargs": _read_xargs,
    "parallel": _read_parallel,
    **dict.fromkeys((*_SHELLS, *AWKS), _read_printed),
}
"""The programs that make a call of each line, other than the loops of the shell."""


def read_loop(before: Sequence[Command], loop: Command, taking: Taking) -> Rows:
    if not loop.words:
        return _rows_of(before, loop, taking)
    for stage in before:
        raise Refusal("what is piped into a for is read by nothing in it", stage)
    for operator, _ in loop.inputs:
        raise Refusal("`{symbol}` is read by nothing in a for", operator)
    commands = [one for item in loop.words for one in item.letters if one.tokens is not None]
    if not commands:
        return Rows(taking, loop.place, texts=loop.words, are_words=True)
    if len(loop.words) > 1 or len(loop.words[0].letters) > 1:
        raise Refusal("the words of a for are read as a list, or as the one $(…) that prints them", commands[0])
    if commands[0].quote is Quote.DOUBLE:
        raise Refusal("all that is printed is one word within double quotes: leave the quotes out", commands[0])
    return replace(rows_within(commands[0], taking), place=loop.place)


def read_single(pipeline: Pipeline, told: Told) -> Command:
    """The curl of a line without a loop, or of the body of one."""
    first, *others = pipeline.stages
    check_following(pipeline)
    if first.program in _ISQLS:
        raise Refusal("the rows of this {program} go into no loop with a curl; {forms}", first, forms=FORMS)
    if first.program not in CALLERS:
        raise _not_understood(first)
    for other in others:
        answers = wording("{command} works on what {program} answers, which {this} reads and keeps itself")
        raise Refusal(answers, other, program=first.program, this=PROGRAM)
    for operator, file in first.inputs:
        has_data = operator.symbol != "<" and any("@-" in word.plain for word in first.words)
        if file.plain != "/dev/null" and not has_data:
            raise Refusal("`{symbol}` is not translated: the data of the call stands in the line", operator)
    note_call(first, told, apart=pipeline.apart)
    return first


def note_call(call: Command, told: Told, *, apart: bool) -> None:
    if len(call.redirects) > len(call.inputs):
        told.notes.append(said("where its output goes is left out: the journal keeps each row's outcome"))
    if apart:
        told.notes.append(said("the & behind curl is left out: --in-flight says how many calls go at a time"))
