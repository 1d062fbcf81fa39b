"""The translation of a one-liner: the command that does the same, and the faults of the line."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from cli.terminal.exits import CommandRefused
from cli.terminal.texts import API_URL, PROGRAM
from cli.translate.call import TranslatedCall, calling
from cli.translate.curl import CurlRequest, read_request
from cli.translate.findings import Finding, FindingKind
from cli.translate.row_source import LoopTable, table_of
from cli.translate.script import OneLiner, Scope, ShellCommand, read
from cli.translate.shell import Token, Word, lex
from jobs.catalogue.passwords import PASSWORD
from jobs.spec.chain import Hole, TemplateText, Tree, parse
from jobs.spec.parameters import USER

_PSW: Final = "psw"
_DONTSHOW: Final = "dontshow"


def as_job(call: TranslatedCall, table: LoopTable | None) -> tuple[str, ...] | None:
    """The job and options equal to the call; None where the call does something else, or gives less."""
    if call.job != PASSWORD.name or call.fields:
        return None
    get, assign = parse(call.model, call.chain).links
    hidden = assign.arguments.get(_DONTSHOW)
    if get.arguments.keys() != {"id"} or assign.arguments.keys() != {_PSW, _DONTSHOW} or not isinstance(hidden, bool):
        return None
    user, psw = get.arguments["id"], assign.arguments[_PSW]
    of_rows = [name for one in (user, psw) if (name := _placeholder(one)) and name not in call.secrets]
    if of_rows and table is None:
        # The call has undefined variables, and shows their names.
        return None
    if not (_placeholder(psw) and (_placeholder(user) or _is_id(user))):
        return None
    return (
        PASSWORD.name,
        *_said(USER.name, user),
        *(() if _PSW in call.secrets else _said(_PSW, psw)),
        *("--set", f"{_DONTSHOW}={'yes' if hidden else 'no'}"),
    )


def _said(name: str, value: Tree) -> Iterator[str]:
    column = _placeholder(value)
    if not column:
        yield from ("--set", f"{name}={value}")
    elif column != name:
        yield from ("--map", f"{name}={column}")


def _placeholder(value: Tree) -> str:
    """The one placeholder that a value consists of, "" for any other value."""
    match value:
        case Hole(name) | TemplateText(("", Hole(name), "")):
            return name
    return ""


def _is_id(value: Tree) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool) and str(value).isdecimal()


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
    """The command as a list of arguments, the faults in the order of their places, and notes."""

    command: tuple[str, ...]
    faults: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def pretty(self) -> str:
        """The command with one option a line, safe to paste into a shell."""
        words = [quoted(word) for word in self.command]
        start = next(at for at, word in enumerate(self.command) if word.startswith("--"))
        options = [" ".join(pair) for pair in list(pairwise(words))[start::2]]
        return " \\\n  ".join([" ".join(words[:start]), *options])


def quoted(word: str) -> str:
    """A word quoted for the shell: in double quotes if it has single quotes and no other special characters."""
    return f'"{word}"' if "'" in word and not _OPENS_IN_DOUBLE & set(word) else shlex.quote(word)


def translate(line: str, given: Mapping[str, str]) -> Translation:
    """The command for a line; `given` are values of variables that it does not define.

    Raises `CommandRefused`, naming the part, for a line that cannot be translated.
    """
    tokens, of_quotes = lex(line)
    try:
        return _translated(tokens, of_quotes, given)
    except CommandRefused as error:
        open_quotes = [fault for fault in of_quotes if fault.kind is FindingKind.UNBALANCED_QUOTE]
        if not open_quotes:
            raise
        # The refused part is most likely misread because of the quote.
        why = f"{open_quotes[0].place}: {open_quotes[0].what}"
        raise CommandRefused(f"{error}; this may come of another place, {why}") from error


def _translated(tokens: Sequence[Token], of_quotes: Sequence[Finding], given: Mapping[str, str]) -> Translation:
    parts = read(tokens)
    scope = Scope(parts.rows.variables if parts.rows else (), parts.constants, given)
    table = table_of(parts.rows, scope) if parts.rows else None
    request = read_request(_resolved(parts.call, scope))
    call = calling(request, table, scope)
    _refuse_unused(scope)
    found = {*of_quotes, *scope.faults, *call.faults, *(table.faults if table else ())}
    rows = table.options if table else ()
    job = as_job(call, table)
    return Translation(
        (PROGRAM, "run", *(job or ("call", *call.options)), *rows, *_asked(call)),
        tuple(sorted(found, key=lambda fault: (fault.place, fault.kind))),
        tuple(dict.fromkeys(_notes(parts, request, table, call, scope, as_itself=job is not None))),
    )


def _resolved(command: ShellCommand, scope: Scope) -> ShellCommand:
    """The command with all values substituted that are known before the first row."""
    return replace(command, words=tuple(_word(word, scope) for word in command.words))


def _word(word: Word, scope: Scope) -> Word:
    kept = scope.resolve(word.kept) if word.kept is not None else None
    return replace(word, text=scope.resolve(word.text), kept=kept)


def _refuse_unused(scope: Scope) -> None:
    for name in scope.given:
        if name not in scope.asked:
            raise CommandRefused(f"--set {name}: there is no ${name} in the line whose value it leaves open")


def _asked(call: TranslatedCall) -> Iterator[str]:
    for name in call.secrets:
        yield from ("--ask", name)


def _notes(
    parts: OneLiner,
    request: CurlRequest,
    table: LoopTable | None,
    call: TranslatedCall,
    scope: Scope,
    *,
    as_itself: bool,
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
