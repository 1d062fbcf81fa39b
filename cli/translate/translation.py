"""All one-liners of a text, each translated on its own into the command that does the same, or refused."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from cli.terminal.exits import CommandRefused
from cli.terminal.texts import API_URL
from cli.translate import findings
from cli.translate.call import Request, TranslatedCall, read_call, read_request
from cli.translate.findings import START, Finding, LinePlace, Refusal, Told
from cli.translate.grammar import Guard, Loop, ShellCommand, ShellPipeline, parse
from cli.translate.job_form import JobForm, job_form
from cli.translate.page import LONGEST, Snippet, snippets
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
from cli.translate.scope import Scope
from cli.translate.tables import OneLiner, Table, table_of
from cli.translate.words import ShellText, lex
from jobs.catalogue.catalogue import Catalogue
from jobs.catalogue.typed_call import CALL
from jobs.spec.spec import secret_placeholders
from texts.remedies import PROGRAM, setting
from texts.said import Quantity, Said, said, text_of, wording

_OPENS_IN_DOUBLE: Final = frozenset('"$`\\!')
_END_OF_ROWS: Final = "ROWS"
_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)

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
        raise Refusal(
            "there is no curl and no sqlexec here, so there is nothing to translate; {forms}", START, forms=FORMS
        )
    if alone and len(found) == 1 and found[0].translation is None:
        raise CommandRefused(found[0].refusal)
    unused = [name for name in given if name not in before.asked]
    if unused and all(one.translation for one in found):
        raise CommandRefused(
            said(
                "{option}: there is no ${name} in the line whose value it leaves open",
                option=setting("set", unused[0]),
                name=unused[0],
            )
        )
    return found


def _each(snippet: Snippet, before: Scope, catalogue: Catalogue) -> Iterator[Translated]:
    """The one-liners of a part of a text; what they set is known to those behind them."""
    blank = snippet.text[: len(snippet.text) - len(snippet.text.lstrip())]
    line, column = snippet.place
    lines = blank.count("\n")
    place = LinePlace(line + lines, len(blank) - blank.rfind("\n") if lines else column + len(blank))
    of_quotes = Told()
    try:
        if len(snippet.text.strip()) > LONGEST:
            raise Refusal(
                "a command of more than {longest} characters; a one-liner is not", place, longest=Quantity(LONGEST)
            )
        if snippet.stray is not None:
            raise Refusal(
                "a loop or a condition ends here whose beginning is not read: its calls may depend on it",
                snippet.stray,
            )
        pipelines = parse(lex(snippet.text, of_quotes, snippet.place))
    except CommandRefused as error:
        yield Translated(place, None, _with_quote(error, of_quotes.faults))
        return
    left_out = Told()
    calls: list[tuple[ShellPipeline, Scope]] = []
    for pipeline in pipelines:
        if values := assigned(pipeline):
            for name, value in values:
                before.set_before(name, value)
        elif not is_left_out(pipeline, left_out):
            calls.append((pipeline, Scope(before.given, dict(before.values), asked=before.asked)))
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
    return said(
        "{error}; this may come of another place, {place}: {fault}",
        error=error,
        place=fault.place.text,
        fault=fault.what,
    )


# ---- a one-liner -------------------------------------------------------------------------------------------------


def _read(pipeline: ShellPipeline, scope: Scope) -> OneLiner:
    *before, last = pipeline.stages
    check_following(pipeline)
    calls_first = bool(before) and isinstance(before[0], ShellCommand) and before[0].program in CALLERS
    outer, rows = scope, None
    guards: list[tuple[Guard, ShellText]] = []
    if isinstance(last, Loop):
        rows = read_loop(before, last)
        scope = outer.within(rows.variables)
        call = read_single(_body(last, scope, guards), scope.told)
        if "IFS" in scope.values:
            raise Refusal(
                "IFS is set for more than the read of a loop: set it there, while IFS=';' read …", last.place
            )
    elif isinstance(last, ShellCommand) and last.program in ENDS and not calls_first:
        call, rows = ENDS[last.program](before, last, scope.told)
        scope = outer.within(rows.variables)
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
    texts = [
        one for one in (*(word.text for word in call.words), *scope.values.values()) if isinstance(one, ShellText)
    ]
    lookups = [(one.key, one.variable) for one in scope.lookups if one.variable is not None]
    rows = scope.in_columns(rows, [*texts, ShellText(tuple(variable for _, variable in lookups))])
    renamed = {rows.variable_of(variable): key for key, variable in lookups}
    return OneLiner(call, scope, table_of(rows, outer, renamed), guards)


def _body(loop: Loop, scope: Scope, guards: list[tuple[Guard, ShellText]]) -> ShellPipeline:
    calls: list[ShellPipeline] = []
    for pipeline in loop.body:
        guard, values = pipeline.stages[0], assigned(pipeline)
        if calls and values:
            raise Refusal(
                "a variable is set behind the call, for the next row: this is not translated", pipeline.place
            )
        for name, text in values:
            scope.set_for_row(name, text)
        if isinstance(guard, Guard):
            guards.append((guard, scope.value_of(guard.variable)))
            _check_guard(guard, is_first=not calls)
        elif not values and not is_left_out(pipeline, scope.told):
            calls.append(pipeline)
    if not calls:
        raise Refusal("the loop makes no call: there is no curl in it", loop.place)
    for second in calls[1:]:
        raise Refusal("a second command in the loop: a run makes one call for each row", second.place)
    return calls[0]


def _check_guard(guard: Guard, *, is_first: bool) -> None:
    if not is_first:
        raise Refusal("a condition behind the call is not translated", guard.place)
    for one in guard.body:
        if not is_left_out(one, Told()):
            raise Refusal("a command for some rows alone is not translated", one.place)


# ---- the command -------------------------------------------------------------------------------------------------


def _translate(pipeline: ShellPipeline, scope: Scope, catalogue: Catalogue) -> Translation:
    line = _read(pipeline, scope)
    told = line.scope.told
    request = read_request(line.call, told)
    call = read_call(request, line, catalogue)
    line.check_guards(call.template.names)
    line.refuse_told(secret_placeholders(call.template))
    job, generic = _commands(line, call)
    return Translation(
        job or generic,
        generic if job else None,
        line.table.text,
        line.table.pipe,
        tuple(sorted({*told.faults, *call.told.faults})),
        [*_notes(line, request, call, as_itself=job is not None), *told.notes, *call.told.notes],
    )


def _commands(line: OneLiner, call: TranslatedCall) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    table, lookups = line.table, line.scope.lookups
    file = (table.file,) if table.file else ()
    keys = {one.key: one.text for one in lookups if one.variable is None}
    used = {*call.template.names, *(one.key for one in lookups)}
    generic = (
        *(PROGRAM, "run", CALL, *file, *call.options, *table.options(used)),
        *_options("--set", keys.items()),
        *_options("--ask", call.secrets),
    )
    form = job_form(call)
    columns = _columns(form, call, line) if form is not None else None
    if form is None or columns is None:
        return None, generic
    secrets = [name for name, column in form.columns.items() if column in call.secrets]
    return (
        *(PROGRAM, "run", form.name, *file, *_options("--set", {**form.values, **keys}.items())),
        *(*table.options_of_job(columns), *_options("--ask", secrets)),
    ), generic


def _options(name: str, values: Iterable[str | tuple[str, str]]) -> Iterator[str]:
    for value in values:
        yield from (name, value if isinstance(value, str) else "=".join(value))


def _columns(form: JobForm, call: TranslatedCall, line: OneLiner) -> dict[str, str] | None:
    """The columns of the rows by the names of a job's values; None where the job cannot take them so."""
    found = {one.id for one in line.scope.lookups}
    if any(name != column for name, column in form.columns.items() if column in found):
        return None
    columns = {name: column for name, column in form.columns.items() if column not in (*call.secrets, *found)}
    columns |= {one.key: one.key for one in line.scope.lookups if one.variable is not None}
    # A call with undefined variables shows their names, which a job has not.
    is_known = set(columns.values()) <= set(line.table.names)
    return columns if is_known and len(set(columns.values())) == len(columns) else None


def _notes(line: OneLiner, request: Request, call: TranslatedCall, *, as_itself: bool) -> Iterator[Said]:
    if call.job and not as_itself:
        yield said(
            "the catalogue has a job for this: {run}; {jobs} says how",
            run=f"{PROGRAM} run {call.job.name}",
            jobs=f"{PROGRAM} jobs {call.job.name}",
        )
    for name in call.secrets:
        yield said(NOT_PRINTED, name=name)
    if request.address:
        yield said(
            "the address is that of the settings: {option}, or {variable}",
            option=setting("api-url", request.address),
            variable=API_URL,
        )
    program = line.call.program
    yield said(NEVER_READ, program=program)
    if not all(one.encoded for one in request.data):
        yield said(NOT_ENCODED, program="curl -d" if program == "curl" else program)
    if line.table.file:
        yield from (said(TYPED, name=name) for name in call.untyped)
    if line.table.names and not call.varies:
        yield SAME_FOR_ALL
    yield from (said(GUARDED, name=guard.variable.letters[0].name) for guard, _ in line.guards)
