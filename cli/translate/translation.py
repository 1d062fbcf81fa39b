"""The translation of a one-liner: the command that does the same, and the faults of the line."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from cli.terminal.texts import API_URL
from cli.translate.call import TranslatedCall, calling
from cli.translate.curl import read_curl
from cli.translate.findings import Finding, named, refused
from cli.translate.grammar import ShellCommand
from cli.translate.job_form import JobForm, job_form
from cli.translate.line_fields import with_fields
from cli.translate.lookups import Lookups, read_lookups
from cli.translate.request import CallRequest
from cli.translate.scope import Scope
from cli.translate.script import OneLiner, SelectRows
from cli.translate.select_table import select_table
from cli.translate.tables import LoopTable, Placeholders
from cli.translate.text_table import TYPED, text_table
from cli.translate.wget import read_wget
from cli.translate.words import Word
from jobs.catalogue.catalogue import Catalogue
from jobs.catalogue.typed_call import CALL
from jobs.spec.chain_kind import secret_placeholders
from texts.remedies import PROGRAM, setting
from texts.said import said, wording

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
    faults: tuple[Finding, ...]
    notes: tuple[str, ...]

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


def translate(parts: OneLiner, given: Mapping[str, str], catalogue: Catalogue) -> tuple[Translation, set[str]]:
    """The command for a one-liner, and the names of `given` that it has used.

    `given` are values of variables that it does not define. Raises `CommandRefused`, naming the part, for a line that
    cannot be translated.
    """
    parts = with_fields(parts)
    of_rows = parts.rows.variables if parts.rows else ()
    outer = Scope((*of_rows, *parts.commands), parts.constants, given)
    scope = outer.within(parts.within)
    lookups = read_lookups(parts, scope)
    table = _table(parts, outer, lookups)
    request = _request(_resolved(lookups.call, scope))
    names = Placeholders(table, scope, lookups.found)
    call = calling(request, names, catalogue)
    _check_guards(parts, lookups, table, call.template.names)
    if table is not None:
        table.refuse_secrets(secret_placeholders(call.template), parts.call.place)
    found = {*parts.faults, *request.faults, *scope.faults, *call.faults, *(table.faults if table else ())}
    job, generic = _commands(call, table, lookups)
    return (
        Translation(
            job or generic,
            generic if job else None,
            table.text if table else "",
            table.pipe if table else "",
            tuple(sorted(found, key=lambda fault: (fault.place, fault.kind))),
            tuple(dict.fromkeys(_notes(parts, request, table, call, scope, as_itself=job is not None))),
        ),
        scope.asked,
    )


def _table(parts: OneLiner, scope: Scope, lookups: Lookups) -> LoopTable | None:
    rows = parts.rows
    if rows is None:
        return None
    renamed = {one.variable.name: one.key for one in lookups.found.values() if one.variable is not None}
    if isinstance(rows.origin, SelectRows):
        return select_table(rows.origin.sql, rows, scope, renamed)
    return text_table(rows.origin, rows, scope, renamed)


def _check_guards(parts: OneLiner, lookups: Lookups, table: LoopTable | None, used: Sequence[str]) -> None:
    """Refuse a condition by which the loop passes rows over that the run would send."""
    never_empty = {*lookups.found, *(table.never_empty(used) if table else ())}
    for guard in parts.guards:
        if guard.variable not in never_empty:
            raise refused(
                guard.place,
                said(
                    "${variable} can be empty in a row, which the loop passes over and the run would send: take "
                    "such rows out of the file",
                    variable=named(guard.variable),
                ),
            )


def _request(command: ShellCommand) -> CallRequest:
    return read_wget(command) if command.program == "wget" else read_curl(command)


def _resolved(command: ShellCommand, scope: Scope) -> ShellCommand:
    """The command with all values substituted that are known before the first row."""
    return replace(command, words=tuple(_word(word, scope) for word in command.words))


def _word(word: Word, scope: Scope) -> Word:
    kept = scope.resolve(word.kept) if word.kept is not None else None
    return replace(word, text=scope.resolve(word.text), kept=kept)


def _commands(
    call: TranslatedCall, table: LoopTable | None, lookups: Lookups
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """The command of the catalogue's own job, where it makes the same call, and that of `call`."""
    file = (table.file,) if table is not None and table.file else ()
    used = {*call.template.names, *(one.key for one in lookups.found.values())}
    keys = {one.key: one.text for one in lookups.found.values() if one.variable is None}
    asked = tuple(word for name in call.secrets for word in ("--ask", name))
    generic = (
        *(PROGRAM, "run", CALL, *file, *call.options, *(table.options(used) if table else ())),
        *_set(keys),
        *asked,
    )
    form = job_form(call)
    columns = _columns(form, call, table, lookups) if form is not None else None
    if form is None or columns is None:
        return None, generic
    rows = table.options_of_job(columns) if table else ()
    secret = (word for name, column in form.columns.items() if column in call.secrets for word in ("--ask", name))
    return (PROGRAM, "run", form.name, *file, *_set({**form.values, **keys}), *rows, *secret), generic


def _columns(form: JobForm, call: TranslatedCall, table: LoopTable | None, lookups: Lookups) -> dict[str, str] | None:
    """The columns of the rows by the names of a job's values; None where the job cannot take them so."""
    found = {one.id for one in lookups.found.values()}
    if any(name != column for name, column in form.columns.items() if column in found):
        return None
    columns = {name: column for name, column in form.columns.items() if column not in (*call.secrets, *found)}
    columns |= {one.key: one.key for one in lookups.found.values() if one.variable is not None}
    # A call with undefined variables shows their names, which a job has not.
    is_known = set(columns.values()) <= set(table.names if table is not None else ())
    return columns if is_known and len(set(columns.values())) == len(columns) else None


def _set(values: Mapping[str, str]) -> Iterator[str]:
    for name, value in values.items():
        yield from ("--set", f"{name}={value}")


def _notes(
    parts: OneLiner,
    request: CallRequest,
    table: LoopTable | None,
    call: TranslatedCall,
    scope: Scope,
    *,
    as_itself: bool,
) -> Iterator[str]:
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
    program = parts.call.program
    yield said(NEVER_READ, program=program)
    if not all(one.encoded for one in request.data):
        yield said(NOT_ENCODED, program="curl -d" if program == "curl" else program)
    if table is not None:
        yield from table.notes
        if table.file:
            yield from (said(TYPED, name=name) for name in call.untyped)
        if not call.varies:
            yield SAME_FOR_ALL
    yield from (said(GUARDED, name=guard.variable) for guard in parts.guards)
    yield from (*parts.notes, *request.notes, *scope.notes, *call.notes)
