"""All one-liners of a text, each translated on its own into the command that does the same, or refused.

What of a page is neither a command nor a part of one is text, and passed over. A loop, a condition or a function is
never cut: what stands within it would be another call without it.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, NamedTuple

from cli.terminal.exits import CommandRefused
from cli.terminal.texts import API_URL
from cli.translate import findings
from cli.translate.call import TranslatedCall, job_form, read_call
from cli.translate.findings import START, Finding, LinePlace, Refusal, Told, Unfinished
from cli.translate.rows import (
    CALLERS,
    ENDS,
    FORMS,
    assigned,
    check_following,
    is_left_out,
    note_call,
    read_loop,
    read_single,
)
from cli.translate.shell import NEWLINE, Command, Letter, Pipeline, Text, is_open, lex, parse
from cli.translate.tables import OneLiner, Scope, Table, table_of
from jobs.catalogue.catalogue import Catalogue
from jobs.catalogue.typed_call import CALL
from jobs.spec.spec import secret_placeholders
from texts.remedies import PROGRAM, setting
from texts.said import Quantity, Said, said, text_of, wording

_OPENS_IN_DOUBLE: Final = frozenset('"$`\\!')
_END_OF_ROWS: Final = "ROWS"

NEVER_READ: Final = wording(
    "{program} only prints the answer, and nobody reads an error in it; the run reads each, and keeps it"
)
NOT_ENCODED: Final = wording(
    "{program} encodes nothing: a value with +, & or % arrives as another; the run encodes every value"
)
NOT_PRINTED: Final = wording(
    "{name} is a secret and is not printed: --ask {name} asks for it at the terminal; leave that out where a file of "
    "rows has a column {name}"
)
GUARDED: Final = wording(
    "the condition on ${name} is left out: the run passes over blank lines, and refuses a row without that value"
)
TYPED: Final = wording(
    "{{{name}}}: a whole number is sent as a number, anything else as a text, true, false and null too, which the "
    "shell leaves as they are"
)
_CAN_BE_EMPTY: Final = wording(
    "${name} can be empty in a row, which the loop passes over and the run would send: take such rows out of the file"
)
OWN_TEXT: Final = wording(
    "a row with an empty {column} gets the job's own text, {text!r}; the call as the line makes it leaves it empty"
)
SAME_FOR_ALL: Final = said("no variable of the loop is used: the same call is made for each row")


@dataclass(frozen=True, slots=True)
class Translation:
    """The command as a list of arguments, the faults in the order of their places, and notes.

    `call` is the same as the generic `run call`, where `command` is a job of the catalogue. `text` are rows that the
    line has itself, for standard input; `pipe` are shell commands that print the rows.
    """

    command: tuple[str, ...]
    call: tuple[str, ...] | None
    text: str
    pipe: str
    faults: Sequence[Finding]
    notes: Sequence[str]

    def pretty(self, command: Sequence[str]) -> str:
        """A command with one option a line and what gives it its rows, safe to paste into a shell."""
        words = [quoted(word) for word in command]
        start = next((at for at, word in enumerate(command) if word.startswith("--")), len(words))
        options = [" ".join(pair) for pair in list(pairwise(words))[start::2]]
        pipe = f"{self.pipe} | " if self.pipe else ""
        shown = " \\\n  ".join([f"{pipe}{' '.join(words[:start])}", *options])
        return f"{shown} <<'{_END_OF_ROWS}'\n{self.text}{_END_OF_ROWS}" if self.text else shown


def quoted(word: str) -> str:
    """A word quoted for the shell: in double quotes if it has single quotes and no other special characters."""
    return f'"{word}"' if "'" in word and not _OPENS_IN_DOUBLE & set(word) else shlex.quote(word)


# ---- where a one-liner begins and ends ----------------------------------------------------------------------------

_LONGEST: Final = 20_000
"""Characters of a one-liner; the vendor's longest has about 600."""
_MOST_LINES: Final = 100
"""Lines after which nothing is expected to end what begins here."""

_MARKUP: Final = re.compile(
    r"\{(?:code|noformat|panel|note|quote|tip|info|warning)(?::[^}\n]*)?\}|^[ \t]*```[^\n]*$|</?(?:pre|code)>",
    re.MULTILINE,
)
_LINE: Final = re.compile(r"[ \t]*(?:\$[ \t]+)?(?P<line>[^\n]*)(?:\n|\Z)")
"""A line without its prompt."""
_STARTS: Final = re.compile(
    r"""(?:/\S+/)?(?:
        (?:curl|wget)[ ]+(?:[-'"$\\]|https?:|\S+/rest_api)
      | sqlexec[ ]+["'$-]
      | (?:curl|wget|sqlexec|xargs|parallel)[ ]*\\$
      | (?:parallel|xargs)[ ].*\b(?:curl|wget|sh)\b
      | while[ ]+(?:IFS=|read\b|\[|true\b|:|\()
      | until[ ]+(?:\[|test\b|!|curl\b)
      | for[ ]+\w+[ ]+in[ ].*;[ ]*do\b
      | for[ ]*\(\(
      | if[ ]+(?:\[|!|test\b|grep\b|curl\b|wget\b|\()
      | case[ ]+["'$]\S*[ ]+in\b
      | [A-Za-z_][\w-]*[ ]*\(\)
      | function[ ]+[A-Za-z_]
      | (?:export[ ]+)?[A-Za-z_]\w*=(?:"[^"]*"|\$?'[^']*'|[^\s;&|<>"'()])*(?:\$\(.*\))?[ ]*(?:;|\#|$)
      | [({][ ]*$
    )""",
    re.VERBOSE,
)
_FOR: Final = re.compile(r"for[ ]+\w+[ ]+in[ ]")
_DO: Final = re.compile(r"[ \t]*do\b")
_WITHIN: Final = re.compile(r"\|[ ]*(?:while|xargs|parallel)\b|\b(?:curl|wget)[ ]+.*(?:/rest_api/v2/|\bmethod1=)")
"""What makes a line a command, whatever it begins with."""
_PIPED: Final = re.compile(r"(?:cat|tail|head|sed|grep|awk|cut|sort|seq|echo|printf|tr|uniq)[ ].*(?:\||\\$)")
_CALLS: Final = re.compile(r"\b(?:curl|wget|sqlexec)\b")
_CLOSES: Final = re.compile(r"[ \t]*(?:done|fi|esac|\})(?![\w=])")
_OPENS: Final = re.compile(r"(?:^|[;&|\n]|\bdo\b|\bthen\b|\belse\b)[ \t]*(while|until|for|if|case|done|fi|esac)\b")
_GOES_ON: Final = re.compile(r"(?:\\|\||&&)[ \t]*$")


class Snippet(NamedTuple):
    """A part of a text that is read apart, and where it begins.

    `stray` is where a loop or condition ends beside it whose beginning is not read.
    """

    text: str
    place: LinePlace
    stray: LinePlace | None = None


def snippets(text: str) -> list[Snippet]:
    """The parts of a text that are commands, in order; the whole text if it is a single line, or one that calls.

    They lie between marks of a page, and have no prompts; a line may be cut by a mark.
    """
    whole = text.lstrip(" \t\n")
    found: list[Snippet] = []
    marks = [0, *(at for mark in _MARKUP.finditer(text) for at in mark.span()), len(text)]
    if NEWLINE not in text.strip() and len(marks) == len("[]"):
        return [Snippet(whole, _place(text, len(text) - len(whole)))]
    for start, end in zip(marks[::2], marks[1::2], strict=True):
        lines = [line.span("line") for line in _LINE.finditer(text, start, end)]
        within: list[Snippet] = []
        stray: LinePlace | None = None
        at = 0
        while at < len(lines):
            line, following = (text[slice(*span)] for span in (*lines[at : at + 2], (0, 0))[:2])
            goes_on = (_FOR.match(line) and _DO.match(following)) or (
                _GOES_ON.search(line) and _is_command(following)
            )
            if not line.startswith("#") and (goes_on or _is_command(line)):
                first, at = lines[at][0], _end(text, lines, at)
                within.append(Snippet(text[first : lines[at][1]], _place(text, first)))
            elif _CLOSES.match(line):
                stray = stray or _place(text, lines[at][0])._replace(column=1)
            at += 1
        found += [one._replace(stray=stray) for one in within]
    return found or ([Snippet(whole, _place(text, len(text) - len(whole)))] if _CALLS.search(text) else [])


def _place(text: str, at: int) -> LinePlace:
    return LinePlace(text.count(NEWLINE, 0, at) + 1, at - text.rfind(NEWLINE, 0, at))


def _is_command(line: str) -> bool:
    """Whether a line is one of a shell; a line that is too long for one is refused as such, and not searched."""
    return len(line) > _LONGEST or any((_STARTS.match(line), _PIPED.match(line), _WITHIN.search(line)))


def _end(text: str, lines: Sequence[tuple[int, int]], at: int) -> int:
    """The line with which the command ends that begins with the line `at`."""
    for last in range(at, min(len(lines), at + _MOST_LINES)):
        written = text[lines[at][0] : lines[last][1]]
        if len(written) > _LONGEST:
            return at if last == at else len(lines) - 1
        goes_on, in_quote = _state(written)
        if not goes_on and not in_quote:
            return last
        following = text[slice(*lines[last + 1])] if last + 1 < len(lines) else ""
        if not goes_on and (not following.strip() or _is_command(following)):
            # A quote that is never closed takes no other command in: it is a slip in this one.
            return at
    return len(lines) - 1


def _state(written: str) -> tuple[bool, bool]:
    """Whether something more has to follow, and whether a quote is open."""
    if written.rstrip(" \t").endswith("\\"):
        return True, False
    told = Told()
    try:
        tokens = lex(written, told)
    except Unfinished:
        return True, False
    except CommandRefused:
        words = _OPENS.findall(written)
        closed = sum(word in ("done", "fi", "esac") for word in words)
        return len(words) > 2 * closed, False
    return is_open(tokens), any(one.what.template == findings.QUOTE_NOT_CLOSED.what for one in told.faults)


# ---- the text ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Translated:
    """A one-liner that begins at `place`, and its translation; or None, and the sentence that refuses it."""

    place: LinePlace
    translation: Translation | None
    refusal: str = ""


def translate_all(
    text: str, given: Mapping[str, str], catalogue: Catalogue, *, alone: bool = False
) -> list[Translated]:
    """The one-liners of a text, in order; `given` are values of variables that it does not define.

    Raises `CommandRefused` for a text without any, for a given value that nothing uses, and, with `alone`, for a
    single one-liner that is refused.
    """
    before = Scope(given)
    found = [one for snippet in snippets(text) for one in _each(snippet, before, catalogue)]
    if not found:
        nothing = wording("there is no curl and no sqlexec here, so there is nothing to translate; {forms}")
        raise Refusal(nothing, START, forms=FORMS)
    if alone and len(found) == 1 and found[0].translation is None:
        raise CommandRefused(found[0].refusal)
    unused = [name for name in given if name not in before.asked]
    if unused and all(one.translation for one in found):
        what = wording("{option}: there is no ${name} in the line whose value it leaves open")
        raise CommandRefused(said(what, option=setting("set", unused[0]), name=unused[0]))
    return found


def _each(snippet: Snippet, before: Scope, catalogue: Catalogue) -> Iterator[Translated]:
    """The one-liners of a part of a text; what they set is known to those behind them."""
    of_quotes, left_out = Told(), Told()
    calls: list[tuple[Pipeline, Scope]] = []
    try:
        if len(snippet.text.strip()) > _LONGEST:
            too_long = wording("a command of more than {longest} characters; a one-liner is not")
            raise Refusal(too_long, snippet.place, longest=Quantity(_LONGEST))
        if snippet.stray is not None:
            stray = wording("a loop or a condition ends here whose beginning is not read: its calls may depend on it")
            raise Refusal(stray, snippet.stray)
        for pipeline in parse(lex(snippet.text, of_quotes, snippet.place)):
            if values := assigned(pipeline):
                for name, value in values:
                    before.set_before(name, value)
            elif not is_left_out(pipeline, left_out):
                calls.append((pipeline, Scope(before.given, dict(before.values), asked=before.asked)))
    except CommandRefused as error:
        yield Translated(snippet.place, None, _with_quote(error, of_quotes.faults))
        return
    for at, (pipeline, scope) in enumerate(calls):
        start, end = pipeline.place if at else START, calls[at + 1][0].place if at + 1 < len(calls) else None
        own = [one for one in of_quotes.faults if one.place >= start and (end is None or one.place < end)]
        scope.told.faults.extend(own)
        try:
            found = _translate(pipeline, scope, catalogue)
        except CommandRefused as error:
            yield Translated(pipeline.place, None, _with_quote(error, own))
            continue
        yield Translated(pipeline.place, replace(found, notes=list(dict.fromkeys((*found.notes, *left_out.notes)))))


def _with_quote(error: CommandRefused, of_quotes: Sequence[Finding]) -> str:
    """The refusal; where a quote is open, the refused part is most likely misread because of it."""
    fault = next((one for one in of_quotes if one.kind == findings.QUOTE_NOT_CLOSED.kind), None)
    if fault is None:
        return text_of(error)
    from_elsewhere = wording("{error}; this may come of another place, {place}: {fault}")
    return said(from_elsewhere, error=error, place=fault.place.text, fault=fault.what)


# ---- a one-liner -------------------------------------------------------------------------------------------------


def _read(pipeline: Pipeline, scope: Scope) -> OneLiner:
    *before, last = pipeline.stages
    check_following(pipeline)
    outer, rows = scope, None
    guards: list[tuple[Letter, Text]] = []
    if last.taking is not None:
        rows = read_loop(before, last, last.taking)
        scope = outer.within(rows.taking.variables)
        call = read_single(_body(last, scope, guards), scope.told)
        if "IFS" in scope.values:
            raise Refusal("IFS is set for more than the read of a loop: set it there, while IFS=';' read …", last)
    elif last.program in ENDS and not (before and before[0].program in CALLERS):
        call, rows = ENDS[last.program](before, last, scope.told)
        scope = outer.within(rows.taking.variables)
        note_call(call, scope.told, apart=pipeline.apart)
    else:
        call = read_single(pipeline, scope.told)
    redirects = tuple(
        (operator, scope.resolve_word(word) if operator.symbol != "<" and "<" in operator.symbol else word)
        for operator, word in call.redirects
    )
    call = replace(call, words=tuple(scope.resolve_word(word) for word in call.words), redirects=redirects)
    if rows is None:
        return OneLiner(call, scope, Table(), guards)
    lookups = [(one.key, one.variable) for one in scope.lookups if one.variable is not None]
    texts = [*call.words, *(one for one in scope.values.values() if isinstance(one, Text))]
    rows = scope.in_columns(rows, [*texts, Text(tuple(variable for _, variable in lookups), START)])
    renamed = {field: name for field, name in scope.fields.items() if name}
    renamed |= {variable.name: key for key, variable in lookups}
    return OneLiner(call, scope, table_of(rows, outer, renamed), guards)


def _body(loop: Command, scope: Scope, guards: list[tuple[Letter, Text]]) -> Pipeline:
    calls: list[Pipeline] = []
    for pipeline in loop.body:
        guard, values = pipeline.stages[0], assigned(pipeline)
        if calls and values:
            raise Refusal("a variable is set behind the call, for the next row: this is not translated", pipeline)
        for name, text in values:
            scope.set_for_row(name, text)
        if guard.tested:
            guards.append((guard.tested, scope.value_of(Text((guard.tested,), guard.place))))
            if calls:
                raise Refusal("a condition behind the call is not translated", guard)
            for one in guard.body:
                if not is_left_out(one, Told()):
                    raise Refusal("a command for some rows alone is not translated", one)
        elif not values and not is_left_out(pipeline, scope.told):
            calls.append(pipeline)
    if not calls:
        raise Refusal("the loop makes no call: there is no curl in it", loop)
    for second in calls[1:]:
        raise Refusal("a second command in the loop: a run makes one call for each row", second)
    return calls[0]


# ---- the command -------------------------------------------------------------------------------------------------


def _translate(pipeline: Pipeline, scope: Scope, catalogue: Catalogue) -> Translation:
    line = _read(pipeline, scope)
    told, table = line.scope.told, line.table
    call = read_call(line, catalogue)
    for guard, value in line.guards:
        letter = value.letters[0] if len(value.letters) == 1 else None
        is_found = letter and line.scope.found(letter)
        if not is_found and not (letter and table.is_never_empty(letter, call.template.names)):
            raise Refusal(_CAN_BE_EMPTY, guard)
    for name in secret_placeholders(call.template):
        if table.text and name in table.names:
            told_here = wording("{name} is a secret, and the line itself has its values: put the rows into a file")
            raise Refusal(told_here, line.call, name=name)
    job, generic = _commands(line, call)
    notes: list[Said] = []
    if call.job and not job:
        has_job = wording("the catalogue has a job for this: {run}; {jobs} says how")
        run, jobs = (f"{PROGRAM} {command} {call.job.name}" for command in ("run", "jobs"))
        notes.append(said(has_job, run=run, jobs=jobs))
    if call.job and job and table.delimiter != " ":
        own = {one.name: one.default for one in call.job.parameters}
        columns = {} if (form := job_form(call)) is None else form[1]
        notes += [said(OWN_TEXT, column=one, text=text) for name, one in columns.items() if (text := own[name])]
    notes += [said(NOT_PRINTED, name=name) for name in call.secrets]
    if call.address:
        elsewhere = wording("the address is that of the settings: {option}, or {variable}")
        notes.append(said(elsewhere, option=setting("api-url", call.address), variable=API_URL))
    program = line.call.program
    notes.append(said(NEVER_READ, program=program))
    if not call.is_encoded:
        notes.append(said(NOT_ENCODED, program="curl -d" if program == "curl" else program))
    notes += [said(TYPED, name=name) for name in call.untyped if table.file]
    if table.names and not call.varies:
        notes.append(SAME_FOR_ALL)
    notes += [said(GUARDED, name=guard.name) for guard, _ in line.guards]
    faults, call_as_made = tuple(sorted(set(told.faults))), generic if job else None
    return Translation(job or generic, call_as_made, table.text, table.pipe, faults, [*notes, *told.notes])


def _commands(line: OneLiner, call: TranslatedCall) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """The command of the job that makes the call, None where none can, and the generic one."""
    table, lookups = line.table, line.scope.lookups
    file = (table.file,) if table.file else ()
    keys = {one.key: one.text for one in lookups if one.variable is None}
    template, used = call.template, {*call.template.names, *(one.key for one in lookups)}
    fields = [",".join(template.fields)] if template.fields else []
    generic = (
        *(PROGRAM, "run", CALL, *file, "--model", template.model),
        *(*_options("--chain", template.text), *_options("--fields", fields), *table.options(used)),
        *(*_options("--set", keys.items()), *_options("--ask", call.secrets)),
    )
    form, found = job_form(call), {one.id for one in lookups}
    if call.job is None or form is None or any(name != one for name, one in form[1].items() if one in found):
        return None, generic
    values, of_job = form
    # The columns of the rows by the names of the job's values.
    columns = {name: column for name, column in of_job.items() if column not in (*call.secrets, *found)}
    columns |= {one.key: one.key for one in lookups if one.variable is not None}
    # A call with undefined variables shows their names, which a job has not.
    if not set(columns.values()) <= set(table.names) or len(set(columns.values())) < len(columns):
        return None, generic
    secrets = [name for name, column in of_job.items() if column in call.secrets]
    return (
        *(PROGRAM, "run", call.job.name, *file, *_options("--set", {**values, **keys}.items())),
        *(*table.options_of_job(columns), *_options("--ask", secrets)),
    ), generic


def _options(name: str, values: Iterable[str | tuple[str, str]]) -> Iterator[str]:
    for value in values:
        yield from (name, value if isinstance(value, str) else "=".join(value))
