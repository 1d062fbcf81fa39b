"""From a one-liner to the command that does the same here, with the faults that were found in it."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from cli.errors import CommandRefused
from cli.names import API_URL, PROGRAM
from cli.translate.calling import Calling, calling
from cli.translate.curl import Request, read_request
from cli.translate.faults import Fault, FaultKind
from cli.translate.oneliner import OneLiner, read
from cli.translate.passwords import as_job
from cli.translate.pipeline import Command
from cli.translate.shell import Token, Word, lex
from cli.translate.table import Table, table_of
from cli.translate.variables import Scope

_OPENS_IN_DOUBLE: Final = frozenset('"$`\\!')

NEVER_READ: Final = "curl only prints the answer, and nobody reads an error in it; the run reads each, and keeps it"
NOT_ENCODED: Final = "curl -d encodes nothing: a value with +, & or % arrives as another; the run encodes every value"
NOT_PRINTED: Final = (
    "{name} is a secret and is not printed: --ask {name} asks for it at the terminal; leave that out where a file of "
    "rows has a column {name}"
)
SAME_FOR_ALL: Final = "no variable of the loop is used: the same call is made for each row"


@dataclass(frozen=True, slots=True)
class Translation:
    """The command, an argument an entry, the faults in the order of their places, and what else is to be known."""

    command: tuple[str, ...]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]

    @property
    def pretty(self) -> str:
        """The command over several lines, an option a line, safe to paste into a shell."""
        words = [quoted(word) for word in self.command]
        start = next(at for at, word in enumerate(self.command) if word.startswith("--"))
        options = [" ".join(pair) for pair in list(pairwise(words))[start::2]]
        return " \\\n  ".join([" ".join(words[:start]), *options])


def quoted(word: str) -> str:
    """A word quoted for the shell: in double quotes where it has single ones and nothing else that means anything."""
    return f'"{word}"' if "'" in word and not _OPENS_IN_DOUBLE & set(word) else shlex.quote(word)


def translate(line: str, given: Mapping[str, str]) -> Translation:
    """The command for a line; `given` are values of variables that it does not define.

    Raises `CommandRefused`, naming the part, for what cannot be translated.
    """
    tokens, of_quotes = lex(line)
    try:
        return _translated(tokens, of_quotes, given)
    except CommandRefused as error:
        open_quotes = [fault for fault in of_quotes if fault.kind is FaultKind.UNBALANCED_QUOTE]
        if not open_quotes:
            raise
        # Most likely what is refused stands where it does because of the quote.
        why = f"{open_quotes[0].place}: {open_quotes[0].what}"
        raise CommandRefused(f"{error}; this may come of another place, {why}") from error


def _translated(tokens: Sequence[Token], of_quotes: Sequence[Fault], given: Mapping[str, str]) -> Translation:
    parts = read(tokens)
    scope = Scope(parts.rows.variables if parts.rows else (), parts.constants, given)
    table = table_of(parts.rows, scope) if parts.rows else None
    request = read_request(_resolved(parts.call, scope))
    call = calling(request, table, scope)
    _refuse_unasked(scope)
    found = {*of_quotes, *scope.faults, *call.faults, *(table.faults if table else ())}
    rows = table.options if table else ()
    job = as_job(call, table)
    return Translation(
        (PROGRAM, "run", *(job or ("call", *call.options)), *rows, *_asked(call)),
        tuple(sorted(found, key=lambda fault: (fault.place, fault.kind))),
        tuple(dict.fromkeys(_notes(parts, request, table, call, scope, as_itself=job is not None))),
    )


def _resolved(command: Command, scope: Scope) -> Command:
    """The command with all values that are known before there is a row."""
    return replace(command, words=tuple(_word(word, scope) for word in command.words))


def _word(word: Word, scope: Scope) -> Word:
    kept = scope.resolve(word.kept) if word.kept is not None else None
    return replace(word, text=scope.resolve(word.text), kept=kept)


def _refuse_unasked(scope: Scope) -> None:
    for name in scope.given:
        if name not in scope.asked:
            raise CommandRefused(f"--set {name}: there is no ${name} in the line whose value it leaves open")


def _asked(call: Calling) -> Iterator[str]:
    for name in call.secrets:
        yield from ("--ask", name)


def _notes(
    parts: OneLiner, request: Request, table: Table | None, call: Calling, scope: Scope, *, as_itself: bool
) -> Iterator[str]:
    if call.job and not as_itself:
        yield f"the catalogue has a job for this: {PROGRAM} run {call.job}; {PROGRAM} jobs {call.job} says how"
    for name in call.secrets:
        yield NOT_PRINTED.format(name=name)
    if request.address:
        yield f"the address is that of the settings: --api-url {request.address}, or {API_URL}"
    yield NEVER_READ
    if not all(one.encoded for one in request.data):
        yield NOT_ENCODED
    if table is not None:
        yield from table.select.notes
        if not call.varies:
            yield SAME_FOR_ALL
    yield from (*parts.notes, *request.notes, *scope.notes, *call.notes)
