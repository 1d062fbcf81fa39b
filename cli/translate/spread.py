"""Programs that call another for each line that they read: xargs, GNU parallel, and the shell within them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import Finding, LinePlace, named, refused
from cli.translate.grammar import ShellCommand, Taking, parse
from cli.translate.shell import lex_again
from cli.translate.words import NEWLINE, Piece, Quote, ShellText, Stretch, Variable, Word
from texts.said import said, wording

_VALUE: Final = "{value}"
"""What xargs and parallel put into a command, in braces, where no variable of a shell has its name."""
_OF_COLUMN: Final = "{{value{}}}"
"""The same of one of several columns: {value1}, {value2}, …"""
CALLERS: Final = frozenset({"curl", "wget"})
_SHELLS: Final = frozenset({"sh", "bash", "dash"})
_PACED: Final = wording("{what} is left out: --in-flight says how many calls go at a time")
_SHOWN: Final = wording("{what} is left out: the run shows its progress and keeps each row")
_HARMLESS: Final = ""

_XARGS: Final[Mapping[str, str]] = {
    "-P": _PACED,
    "--max-procs": _PACED,
    "-t": _HARMLESS,
    "--verbose": _HARMLESS,
    "-r": _HARMLESS,
    "--no-run-if-empty": _HARMLESS,
    "-x": _HARMLESS,
}
_PARALLEL: Final[Mapping[str, str]] = {
    "-j": _PACED,
    "-P": _PACED,
    "--jobs": _PACED,
    "--max-procs": _PACED,
    "--delay": wording("{what} is left out: --rate paces the run"),
    "--retries": wording(
        "{what} is left out: what was provably not done is tried again by itself, and nothing else is"
    ),
    "--timeout": wording("{what} is left out: --timeout says how long an answer may take"),
    "--halt": wording("{what} is left out: --stop-after-errors says when the run stops"),
    "--joblog": _SHOWN,
    "--bar": _SHOWN,
    "--eta": _SHOWN,
    "--progress": _SHOWN,
    "-k": _HARMLESS,
    "--keep-order": _HARMLESS,
    "-u": _HARMLESS,
    "--ungroup": _HARMLESS,
    "--lb": _HARMLESS,
    "--line-buffer": _HARMLESS,
    "--will-cite": _HARMLESS,
    "--tag": _HARMLESS,
    "-r": _HARMLESS,
}
"""Options that are left out, each with its note."""
_VALUED: Final = frozenset(
    {
        *("-I", "-n", "-L", "-N", "-P", "-a", "-d", "-j", "-C", "--jobs", "--max-procs", "--arg-file", "--colsep"),
        *("--max-args", "--delimiter", "--delay", "--retries", "--timeout", "--halt", "--joblog"),
    }
)
_ONE_AT_A_TIME: Final = frozenset({"-n", "-L", "-N", "--max-args"})
_LISTS: Final = (":::", "::::")
_COLUMN: Final = re.compile(r"\{([1-9]?)\}")
_NUMBERED: Final = re.compile(r"\{([1-9])\}")
_EMPTY_BRACES: Final = re.compile(r"(?:^|(?<=&))\s*(?P<key>arg\d+)=\{\}(?=&|\s*$)")
_OTHER_BRACES: Final = re.compile(r"\{(?:#|%|\.|/|//|/\.|=[^}]*=)\}")
_CUT_AT: Final[Mapping[str, str]] = {"\\t": "\t", "\\|": "|", "\\s+": "", " +": "", " ": ""}
"""What --colsep, a pattern, cuts at."""
_SPECIAL: Final = frozenset("\\|.^$*+?()[]{}")


@dataclass(frozen=True, slots=True)
class Spread:
    """A command for each line: how a line is taken, and where the lines come from, if not from a pipe.

    `file` holds the lines, or `items` are the lines themselves.
    """

    call: ShellCommand
    taking: Taking
    file: Word | None = None
    items: tuple[Word, ...] = ()
    faults: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


def read_xargs(command: ShellCommand) -> Spread:
    """What `xargs -I{} curl …` calls for each line. Raises `CommandRefused`."""
    options, words, notes = _options(command, _XARGS, "-I -n -L -a -d")
    mark = options.get("-I")
    if "-d" in options and options["-d"].plain not in ("\\n", NEWLINE):
        raise refused(options["-d"].place, said("xargs is read where each line is one value"))
    if mark is None and "-n" not in options:
        raise refused(command.place, said("xargs is read with -I{{}}, which says where the value of a line stands"))
    _refuse_several(options)
    faults: list[Finding] = []
    if mark is None:
        words = [*words, Word(ShellText((Variable(_VALUE, command.place, Quote.DOUBLE),)), command.place)]
    call = _unwrapped(_with_words(command, words))
    if mark is not None:
        marks = re.compile(f"({re.escape(mark.plain)})")
        call = _with_words(call, [_replaced(word, marks, "xargs", faults) for word in call.words])
    _refuse_no_value(call)
    taking = Taking((_VALUE,), NEWLINE if mark is not None else "", by_words=mark is None)
    return Spread(call, taking, options.get("-a"), (), tuple(faults), tuple(notes))


def read_parallel(command: ShellCommand) -> Spread:
    """What `parallel … curl … :::: FILE` calls for each line. Raises `CommandRefused`."""
    options, words, notes = _options(command, _PARALLEL, "-n -L -a -C -q")
    _refuse_several(options)
    words, files, items = _lists(words)
    if "-a" in options:
        files = [*files, options["-a"]]
    if len(files) > 1 or (files and items):
        raise refused(command.place, said("parallel is read with one list of values, or one file"))
    faults: list[Finding] = []
    cut_at = _cut_at(options.get("-C"))
    call = _unwrapped(_as_called(_with_words(command, words), quoted="-q" in options, faults=faults))
    _refuse_other_braces(call)
    columns = max((int(one or 1) for word in call.words for one in _COLUMN.findall(word.plain)), default=1)
    if columns > 1 and cut_at == NEWLINE:
        raise refused(
            command.place,
            said("{mark} is used, and --colsep does not say what separates the values", mark=f"{{{columns}}}"),
        )
    marks = _COLUMN if cut_at == NEWLINE else _NUMBERED
    call = _with_words(call, [_replaced(word, marks, "parallel", faults, alone=columns == 1) for word in call.words])
    _refuse_no_value(call)
    names = (_VALUE,) if columns == 1 else tuple(_OF_COLUMN.format(number) for number in range(1, columns + 1))
    file = files[0] if files else None
    taking = Taking(names, cut_at, is_open=cut_at != NEWLINE)
    return Spread(call, taking, file, tuple(items), tuple(faults), tuple(notes))


def _with_words(command: ShellCommand, words: Sequence[Word]) -> ShellCommand:
    return replace(command, words=tuple(words))


def _refuse_no_value(call: ShellCommand) -> None:
    if not any(variable.name.startswith("{") for word in call.words for variable in word.text.variables):
        raise refused(
            call.place, said("nothing says where the value of a line stands, as {{}} does, or {{1}} and {{2}}")
        )


def _refuse_other_braces(call: ShellCommand) -> None:
    for word in call.words:
        if found := _OTHER_BRACES.search(word.plain):
            raise refused(
                word.text.place(found.start(), word.place),
                said("parallel's {mark} is not translated", mark=found[0]),
            )


def _options(
    command: ShellCommand, left_out: Mapping[str, str], known: str
) -> tuple[dict[str, Word], list[Word], list[str]]:
    """The options that matter, the words of the command behind them, and notes on those that are left out."""
    found: dict[str, Word] = {}
    notes: list[str] = []
    words = iter(command.words[1:])
    rest: list[Word] = []
    for word in words:
        if not word.plain.startswith("-") or word.plain == "-":
            rest = [word, *words]
            break
        option, value = _option(word, words)
        note = left_out.get(option)
        if note is not None:
            what = said("{program}'s {option}", program=command.program, option=option)
            notes += [said(note, what=what)] if note else []
        elif _KNOWN.get(option) in known.split():
            found[_KNOWN[option]] = value
        else:
            raise refused(
                word.place,
                said("{program}'s {option} is not translated", program=command.program, option=named(option)),
            )
    return found, rest, notes


_KNOWN: Final[Mapping[str, str]] = {
    "-I": "-I",
    "--replace": "-I",
    "-i": "-I",
    "-n": "-n",
    "-N": "-n",
    "--max-args": "-n",
    "-L": "-L",
    "-a": "-a",
    "--arg-file": "-a",
    "-d": "-d",
    "--delimiter": "-d",
    "-C": "-C",
    "--colsep": "-C",
    "-q": "-q",
    "--quote": "-q",
}
"""Options that matter, by the names that are used here."""


def _option(word: Word, words: Iterator[Word]) -> tuple[str, Word]:
    """An option and its value, which may be a part of its word; without a value it is its own."""
    name, equals, _ = word.plain.partition("=")
    if word.plain.startswith("--"):
        if equals:
            return name, word.rest(len(name) + 1)
        return (name, next(words, word)) if name in _VALUED else (name, _braces(word))
    name = word.plain[:2]
    if len(word.plain) > len(name):
        # -I{}, -n1, -j8; letters of flags written together are refused as one unknown option.
        return (name, word.rest(2)) if name in {*_VALUED, "-i"} else (word.plain, word)
    return (name, next(words, word)) if name in _VALUED else (name, _braces(word))


def _braces(word: Word) -> Word:
    return Word(ShellText((Stretch("{}", word.place, Quote.SINGLE, stands_for=True),)), word.place)


def _refuse_several(options: Mapping[str, Word]) -> None:
    for option in _ONE_AT_A_TIME & options.keys():
        if options[option].plain != "1":
            raise refused(
                options[option].place, said("several values go into one call, and a run makes one for each row")
            )


def _lists(words: Sequence[Word]) -> tuple[list[Word], list[Word], list[Word]]:
    """The words of the command, the files behind `::::`, and the values behind `:::`."""
    at = next((at for at, word in enumerate(words) if word.plain in _LISTS), len(words))
    behind = list(words[at + 1 :])
    for word in behind:
        if word.plain.startswith(":::"):
            raise refused(word.place, said("parallel is read with one list of values, or one file"))
    is_list = at < len(words) and words[at].plain == ":::"
    return list(words[:at]), ([] if is_list else behind), (behind if is_list else [])


def _cut_at(pattern: Word | None) -> str:
    """What parts the values of a line: one character, "" for white space, a line end where nothing does."""
    if pattern is None:
        return NEWLINE
    if pattern.plain in _CUT_AT:
        return _CUT_AT[pattern.plain]
    if len(pattern.plain) != 1 or pattern.plain in _SPECIAL:
        raise refused(pattern.place, said("--colsep is read as one character, as ';' or '\\t'"))
    return pattern.plain


def _replaced(word: Word, mark: re.Pattern[str], program: str, faults: list[Finding], *, alone: bool = True) -> Word:
    """The word with a variable in place of each mark, but for the braces of empty arguments."""
    empty = {found.end() - 2: found for found in _EMPTY_BRACES.finditer(word.plain)}
    pieces: list[Piece] = []
    done = 0
    for found in mark.finditer(word.plain):
        place = word.text.place(found.start(), word.place)
        if found.start() in empty:
            faults.append(findings.BRACES_REPLACED.at(place, program=program, key=empty[found.start()]["key"]))
            continue
        name = _VALUE if alone else _OF_COLUMN.format(found[1])
        pieces += [*word.text.cut(done, found.start()).pieces, Variable(name, place, Quote.DOUBLE)]
        done = found.end()
    return replace(word, text=ShellText((*pieces, *word.text.cut(done).pieces)), kept=None)


# ---- a shell within ----------------------------------------------------------------------------------------------


def _as_called(command: ShellCommand, *, quoted: bool, faults: list[Finding]) -> ShellCommand:
    """The command that parallel calls: without -q a second shell reads its words."""
    if not command.words:
        raise refused(command.place, said("parallel calls nothing here: its commands come from its input"))
    if quoted:
        return command
    try:
        return _command_of(_joined(command.words), command.place)
    except CommandRefused:
        if command.program not in CALLERS:
            raise
    faults.append(findings.READ_BY_TWO_SHELLS.at(command.words[0].place))
    return command


def _joined(words: Sequence[Word]) -> ShellText:
    pieces: list[Piece] = []
    for word in words:
        pieces += [*word.text.pieces, Stretch(" ", word.place, Quote.NONE, stands_for=True)]
    return ShellText(tuple(pieces))


def _command_of(text: ShellText, place: LinePlace) -> ShellCommand:
    """The one curl or wget that a second shell reads in a text. Raises `CommandRefused`."""
    pipelines = parse(lex_again(text, place))
    if len(pipelines) == 1 and not pipelines[0].following:
        (first, *others) = pipelines[0].stages
        if not others and isinstance(first, ShellCommand) and first.program in CALLERS:
            return first
    raise refused(place, said("what a second shell does is read where it is one curl, and this is something else"))


def _unwrapped(command: ShellCommand) -> ShellCommand:
    """The curl within `sh -c '…' NAME VALUES`, its `$1` replaced by the values; any other command unchanged."""
    if command.program not in _SHELLS:
        return command
    if len(command.words) < 3 or command.words[1].plain != "-c":  # noqa: PLR2004 - the shell, -c, and its script
        raise refused(command.place, said("{program} is read as {program} -c '…'", program=command.program))
    script, *values = command.words[2:]
    by_number = {str(number): value.text for number, value in enumerate(values)}
    inner = _command_of(script.text, script.place)
    return _with_words(inner, [_with_values(word, by_number) for word in inner.words])


def _with_values(word: Word, values: Mapping[str, ShellText]) -> Word:
    pieces: list[Piece] = []
    for piece in word.text.pieces:
        value = values.get(piece.name) if isinstance(piece, Variable) else None
        pieces += [piece] if value is None else value.pieces
    return replace(word, text=ShellText(tuple(pieces)), kept=None)
