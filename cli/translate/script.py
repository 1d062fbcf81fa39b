"""What a line does: where its rows come from, how they reach the variables, and the one call that is made of each."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from cli.terminal.exits import CommandRefused
from cli.translate.findings import START, Finding, LinePlace, named, refused
from cli.translate.grammar import Guard, Loop, Redirect, ShellCommand, ShellPipeline, Stage, Taking, parse
from cli.translate.scope import filled
from cli.translate.spread import CALLERS, Spread, read_parallel, read_xargs
from cli.translate.words import Quote, ShellText, Stretch, Substitution, Word
from texts.remedies import PROGRAM
from texts.said import said, wording

FORMS: Final = said(
    "what is read is a curl, or rows | while read …; do curl …; done, where rows are sqlexec …, a file, or a list; "
    "xargs and parallel likewise"
)

AWKS: Final = frozenset({"awk", "gawk", "mawk"})
PRINTERS: Final = frozenset({"echo", "printf"})
"""Programs that print their words."""
TEXT_TOOLS: Final = (
    *AWKS,
    *("cat", "tail", "head", "sed", "grep", "egrep", "fgrep", "cut", "tr", "sort", "uniq", "seq"),
)
"""Programs that only write text: where they make the rows, the shell may go on using them."""

LEFT_OUT: Final[Mapping[str, str]] = {
    "echo": wording("{what} is left out: the run shows its progress and keeps each row"),
    "printf": wording("{what} is left out: the run shows its progress and keeps each row"),
    "sleep": wording("{what} is left out: --rate and --in-flight pace the run"),
    "wait": wording("{what} is left out: a run ends when all its calls have"),
    ":": wording("{what} is left out: it does nothing"),
}
"""Commands that are allowed beside the call, each with its note."""

_SPREADERS: Final = {"xargs": read_xargs, "parallel": read_parallel}
_SPACE: Final = ShellText((Stretch(" ", START, Quote.NONE, stands_for=True),))
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


@dataclass(frozen=True, slots=True)
class SelectRows:
    """Rows that sqlexec prints, of the select `sql`."""

    sql: Word


@dataclass(frozen=True, slots=True)
class FileRows:
    """The lines of a file."""

    file: Word


@dataclass(frozen=True, slots=True)
class ListRows:
    """Rows that stand in the line itself: the lines of a text, or words, of which the shell may make several."""

    lines: tuple[ShellText, ...]
    are_words: bool = False


@dataclass(frozen=True, slots=True)
class PrintedLines:
    """Lines that text tools print."""

    commands: tuple[ShellCommand, ...]


Origin: TypeAlias = SelectRows | FileRows | ListRows | PrintedLines


@dataclass(frozen=True, slots=True)
class LoopRows:
    """The rows of a loop, and how each becomes the values of its variables."""

    origin: Origin
    filters: tuple[ShellCommand, ...]
    taking: Taking
    loop: LinePlace

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of the loop."""
        return self.taking.variables


@dataclass(frozen=True, slots=True)
class OneLiner:
    """The parts of a line. `rows` is None for a single call.

    `constants` are variables set before it, `within` those that the loop sets for the call, `commands` those that are
    set to what a command prints. `guards` are conditions by which the loop passes rows over.
    """

    call: ShellCommand
    rows: LoopRows | None
    constants: Mapping[str, ShellText]
    within: Mapping[str, ShellText]
    commands: Mapping[str, Substitution]
    faults: tuple[Finding, ...]
    notes: tuple[str, ...]
    guards: tuple[Guard, ...] = ()


def assigned(pipeline: ShellPipeline, before: Mapping[str, ShellText]) -> dict[str, ShellText] | None:
    """All variables that are set after a pipeline of assignments alone; None for another pipeline."""
    (first, *others) = pipeline.stages
    if others or pipeline.following or not isinstance(first, ShellCommand) or not first.words or first.inputs:
        return None
    words = first.words[1:] if first.words[0].is_bare("export") and len(first.words) > 1 else first.words
    if not all(map(_sets, words)):
        return None
    found = dict(before)
    for word in words:
        name, _, _ = word.plain.partition("=")
        found[name] = filled(word.text.cut(len(name) + 1), found)
    return found


def note_of_ignored(pipeline: ShellPipeline) -> str | None:
    """The note on a command that is left out, None for any other."""
    (first, *others) = pipeline.stages
    if others or pipeline.following or not isinstance(first, ShellCommand):
        return None
    if first.program == "set" and all(word.plain.startswith(("-", "+")) for word in first.words[1:2]):
        return said("set is left out: the run stops by itself where it has to, and says why")
    return said(LEFT_OUT[first.program], what=first.program) if first.program in LEFT_OUT else None


def read(pipeline: ShellPipeline, constants: Mapping[str, ShellText]) -> OneLiner:
    """The parts of a one-liner. Raises `CommandRefused`, naming the part that cannot be translated."""
    *before, last = pipeline.stages
    _refuse_following(pipeline)
    if isinstance(last, Loop):
        notes: list[str] = []
        rows = _rows_of_loop(before, last)
        body = _body(last, notes)
        if "IFS" in {*constants, *body.within}:
            raise refused(
                last.place, said("IFS is set for more than the read of a loop: set it there, while IFS=';' read …")
            )
        notes += _call_notes(body.call, apart=body.apart)
        return _with_commands(
            OneLiner(body.call, rows, constants, body.within, body.commands, (), tuple(notes), body.guards)
        )
    if isinstance(last, Guard):
        raise _not_understood(last)
    if last.program in _SPREADERS:
        return _spread(before, last, constants, apart=pipeline.apart)
    call = _call(pipeline)
    notes = _call_notes(call, apart=pipeline.apart)
    return _with_commands(OneLiner(call, None, constants, {}, {}, (), tuple(notes)))


def _with_commands(found: OneLiner) -> OneLiner:
    """The same with the variables of its call that a command has set before the line."""
    hidden = {*found.within, *found.commands, *(found.rows.variables if found.rows else ())}
    used = {variable.name for word in found.call.words for variable in word.text.variables} - hidden
    set_before = {
        name: text.substitutions[0]
        for name, text in found.constants.items()
        if name in used and len(text.pieces) == 1 and text.substitutions and not hidden & _names_in(text)
    }
    constants = {name: text for name, text in found.constants.items() if name not in set_before}
    return replace(found, constants=constants, commands={**set_before, **found.commands})


def _names_in(text: ShellText) -> set[str]:
    """The variables of the commands within a text."""
    words = [token for inner in text.substitutions for token in inner.tokens if isinstance(token, Word)]
    return {variable.name for word in words for variable in word.text.variables}


def _sets(word: Word) -> bool:
    found = _ASSIGNMENT.match(word.plain)
    name = word.text.cut(0, found.end()) if found else ShellText()
    return bool(name.pieces) and all(piece.quote is Quote.NONE for piece in name.pieces)


# ---- the rows ----------------------------------------------------------------------------------------------------


def _rows_of_loop(before: Sequence[Stage], loop: Loop) -> LoopRows:
    if not loop.items:
        return _rows(before, loop.inputs, loop.taking, loop.place)
    for stage in before:
        raise refused(stage.place, said("what is piped into a for is read by nothing in it"))
    for operator, _ in loop.inputs:
        raise refused(operator.place, said("`{symbol}` is read by nothing in a for", symbol=operator.symbol))
    (first, *others) = loop.items
    commands = [one for item in loop.items for one in item.text.substitutions]
    if not commands:
        return LoopRows(_listed(loop.items), (), loop.taking, loop.place)
    (piece, *more) = first.text.pieces
    if others or more or not isinstance(piece, Substitution):
        raise refused(
            commands[0].place, said("the words of a for are read as a list, or as the one $(…) that prints them")
        )
    if piece.quote is Quote.DOUBLE:
        raise refused(piece.place, said("all that is printed is one word within double quotes: leave the quotes out"))
    return _rows(_stages(piece), (), loop.taking, loop.place)


def _spread(
    before: Sequence[Stage], command: ShellCommand, constants: Mapping[str, ShellText], *, apart: bool
) -> OneLiner:
    """A curl that xargs or parallel calls."""
    spread: Spread = _SPREADERS[command.program](command)
    if spread.file is not None or spread.items:
        for stage in before:
            raise refused(
                stage.place, said("{program} reads its values elsewhere, and not from this", program=command.program)
            )
        origin = FileRows(spread.file) if spread.file else _listed(spread.items)
        rows = LoopRows(origin, (), spread.taking, command.place)
    else:
        rows = _rows(before, command.inputs, spread.taking, command.place)
    if spread.call.program not in CALLERS:
        raise _not_understood(spread.call)
    notes = (*spread.notes, *_call_notes(spread.call, apart=apart))
    return OneLiner(spread.call, rows, constants, {}, {}, spread.faults, notes)


def _rows(before: Sequence[Stage], inputs: Sequence[Redirect], taking: Taking, place: LinePlace) -> LoopRows:
    if len(inputs) > 1 or (inputs and before):
        raise refused(inputs[-1][0].place, said("a second source of rows stands here; which one is read is not told"))
    if inputs:
        return _redirected(inputs[0], (), taking, place)
    if not before:
        raise refused(place, said("nothing is piped into this loop; {forms}", forms=FORMS))
    first, *filters = _commands(before)
    if first.program == "sqlexec":
        if first.redirects or len(first.words) != 2:  # noqa: PLR2004 - its name and the SQL
            raise refused(first.place, said('sqlexec is read with one text behind it, the SQL: sqlexec "select …"'))
        return LoopRows(SelectRows(first.words[1]), tuple(filters), taking, place)
    if first.inputs and len(first.words) <= 1 and first.program in ("", "cat"):
        return _redirected(first.inputs[0], filters, taking, place)
    if first.program == "cat" and _is_of_one_file(first):
        return LoopRows(FileRows(first.words[1]), tuple(filters), taking, place)
    if first.program in PRINTERS and len(first.words) > 1:
        return LoopRows(_echoed(first), tuple(filters), taking, place)
    if first.program not in TEXT_TOOLS:
        raise _not_understood(first)
    return LoopRows(PrintedLines((first,)), tuple(filters), taking, place)


def _listed(items: Sequence[Word]) -> ListRows:
    return ListRows(tuple(item.text for item in items), are_words=True)


def _is_of_one_file(command: ShellCommand) -> bool:
    return len(command.words) == 2 and not command.words[1].plain.startswith("-") and not command.redirects  # noqa: PLR2004 - its name and the file


def _redirected(redirect: Redirect, filters: Sequence[ShellCommand], taking: Taking, place: LinePlace) -> LoopRows:
    operator, target = redirect
    if operator.symbol != "<":
        return LoopRows(ListRows((target.text,)), tuple(filters), taking, place)
    inner = target.text.substitutions
    if not inner:
        return LoopRows(FileRows(target), tuple(filters), taking, place)
    found = _rows(_stages(inner[0]), (), taking, place)
    return replace(found, filters=(*found.filters, *filters))


def _echoed(command: ShellCommand) -> ListRows:
    """The words that echo prints, as a line."""
    words = command.words[1:]
    if command.program == "printf" or command.redirects or any(word.plain.startswith("-") for word in words):
        raise refused(
            command.place,
            said("what this {program} prints is not read: write the lines as <<END … END", program=command.program),
        )
    pieces = [piece for word in words for piece in (*word.text.pieces, *_SPACE.pieces)]
    return ListRows((ShellText(tuple(pieces)).stripped(),))


def rows_within(inner: Substitution) -> LoopRows:
    """The rows that the command within `$(…)` prints. Raises `CommandRefused`."""
    return _rows(_stages(inner), (), Taking(("REPLY",)), inner.place)


def _stages(inner: Substitution) -> tuple[Stage, ...]:
    """The stages of the one pipeline within `$(…)`."""
    pipelines = parse(inner.tokens)
    if len(pipelines) != 1 or pipelines[0].following:
        raise refused(inner.place, said("what is read within $(…) is one command, or one pipe"))
    return pipelines[0].stages


def _commands(stages: Sequence[Stage]) -> list[ShellCommand]:
    found: list[ShellCommand] = []
    for stage in stages:
        if not isinstance(stage, ShellCommand):
            raise refused(stage.place, said("a loop that feeds another is not translated"))
        found.append(stage)
    return found


# ---- the call ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Body:
    """The one call of a loop, whether it is in the background, and what the loop sets and tests for it."""

    call: ShellCommand
    apart: bool
    within: Mapping[str, ShellText]
    commands: Mapping[str, Substitution]
    guards: tuple[Guard, ...]


def _body(loop: Loop, notes: list[str]) -> _Body:
    """The body of a loop. Raises `CommandRefused` for anything but one call and what leads to it."""
    within: dict[str, ShellText] = {}
    commands: dict[str, Substitution] = {}
    calls: list[ShellPipeline] = []
    guards: list[Guard] = []
    for pipeline in loop.body:
        (first, *_) = pipeline.stages
        if isinstance(first, Guard):
            guards.append(_guard(first, is_first=not calls))
        elif (note := note_of_ignored(pipeline)) is not None:
            notes.append(note)
        elif (values := assigned(pipeline, within)) is None:
            calls.append(pipeline)
        elif calls:
            raise refused(
                pipeline.place, said("a variable is set behind the call, for the next row: this is not translated")
            )
        else:
            _take(values, within, commands)
    if not calls:
        raise refused(loop.place, said("the loop makes no call: there is no curl in it"))
    if len(calls) > 1:
        raise refused(calls[1].place, said("a second command in the loop: a run makes one call for each row"))
    _refuse_following(calls[0])
    return _Body(_call(calls[0]), calls[0].apart, within, commands, tuple(guards))


def _guard(guard: Guard, *, is_first: bool) -> Guard:
    """A condition before the call that does nothing but pass a row over. Raises `CommandRefused` for any other."""
    if not is_first:
        raise refused(guard.place, said("a condition behind the call is not translated"))
    for pipeline in guard.body:
        if note_of_ignored(pipeline) is None:
            raise refused(pipeline.place, said("a command for some rows alone is not translated"))
    return guard


def _refuse_following(pipeline: ShellPipeline) -> None:
    """Refuse what is done depending on how a call ends, but for words about it, which the run has itself."""
    for operator, command in pipeline.following:
        if note_of_ignored(ShellPipeline((command,))) is None:
            raise refused(operator.place, said("`{symbol}` is not translated", symbol=operator.symbol))


def _take(values: Mapping[str, ShellText], within: dict[str, ShellText], commands: dict[str, Substitution]) -> None:
    """Take over what a loop sets: texts, and what single commands print."""
    for name, text in values.items():
        inner = text.substitutions
        if not inner:
            within[name] = text
            commands.pop(name, None)
        elif len(text.pieces) == 1:
            commands[name] = inner[0]
            within.pop(name, None)
        else:
            raise refused(
                inner[0].place, said("a command within a command and more around it: this is not translated")
            )


def _call(pipeline: ShellPipeline) -> ShellCommand:
    """The curl of a line without a loop."""
    first, *others = pipeline.stages
    if isinstance(first, ShellCommand) and first.program == "sqlexec":
        raise refused(first.place, said("the rows of this sqlexec go into no loop with a curl; {forms}", forms=FORMS))
    if not isinstance(first, ShellCommand) or first.program not in CALLERS:
        raise _not_understood(first)
    for other in others:
        raise refused(
            other.place,
            said(
                "{command} works on what {program} answers, which {this} reads and keeps itself",
                command=shown(other),
                program=first.program,
                this=PROGRAM,
            ),
        )
    for operator, file in first.inputs:
        if file.plain == "/dev/null":
            continue
        if operator.symbol == "<" or not any("@-" in word.plain for word in first.words):
            raise refused(
                operator.place,
                said("`{symbol}` is not translated: the data of the call stands in the line", symbol=operator.symbol),
            )
    return first


def _call_notes(call: ShellCommand, *, apart: bool) -> list[str]:
    """Notes on what surrounds a call."""
    has_output = len(call.redirects) > len(call.inputs)
    notes: list[str] = []
    if has_output:
        notes.append(said("where its output goes is left out: the journal keeps each row's outcome"))
    if apart:
        notes.append(said("the & behind curl is left out: --in-flight says how many calls go at a time"))
    return notes


def _not_understood(stage: Stage) -> CommandRefused:
    return refused(stage.place, said("{command} cannot be translated; {forms}", command=shown(stage), forms=FORMS))


def shown(stage: Stage) -> str:
    """A command as sentences show it: with its words where it is a text tool, whose words are no passwords."""
    if not isinstance(stage, ShellCommand):
        return said("a loop") if isinstance(stage, Loop) else said("a condition")
    if stage.words and _ASSIGNMENT.match(stage.words[0].plain):
        return said("a variable for one command alone")
    return (
        named(" ".join(word.plain for word in stage.words)) if stage.program in TEXT_TOOLS else named(stage.program)
    )
