"""The words that can stand at the cursor: commands, options, and the values that are known here."""

import ast
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from checkpoints.errors import JournalError
from checkpoints.states import State
from cli.settings.flags import Flags
from cli.terminal.exits import CommandRefused
from cli.terminal.language import reader
from cli.terminal.texts import moment, printable
from texts.remedies import PROGRAM, SETTINGS_FILE

if TYPE_CHECKING:
    from cli.settings.settings import Settings


# ---- the options and arguments of all commands, as data -----------------------------------------------------------


TABLE: Final = Path(__file__).with_name("options.json")

VALUES: Final = "…"
"""At the end of an argument's word where it may be given several times."""


class Option(msgspec.Struct, frozen=True, omit_defaults=True):
    """An option: its names, the longest first, and the word that it takes; "" for a switch."""

    names: tuple[str, ...]
    help: str
    word: str = ""
    choices: tuple[str, ...] = ()
    repeatable: bool = False

    @property
    def name(self) -> str:
        """Its longest name."""
        return self.names[0]


class CommandSyntax(msgspec.Struct, frozen=True, omit_defaults=True):
    """A command: the first paragraph of its help, its options, and the words that its arguments take."""

    help: str
    options: tuple[Option, ...] = ()
    arguments: tuple[str, ...] = ()

    def option(self, name: str) -> Option | None:
        """The option of that name, None without one."""
        return next((option for option in self.options if name in option.names), None)

    def argument(self, place: int) -> str:
        """The word of the argument at this place, counted from 0; "" where none is taken."""
        if place < len(self.arguments):
            return self.arguments[place]
        last = self.arguments[-1] if self.arguments else ""
        return last if last.endswith(VALUES) else ""


@cache
def commands() -> Mapping[str, CommandSyntax]:
    """All commands by name, those of a group as `mock serve`."""
    return msgspec.json.decode(TABLE.read_bytes(), type=dict[str, CommandSyntax])


def as_json(table: Mapping[str, CommandSyntax]) -> bytes:
    """The table as it is kept."""
    return msgspec.json.format(msgspec.json.encode(table), indent=1) + b"\n"


# ---- a command line that is being typed ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Typed:
    """A command line up to the cursor, read by the options of its command.

    `current` is the unfinished word. It is the value of the option `expects`, where there is one, else an argument at
    `place`, or an option. `prefix` stands before a value within the word, as in `--state=`.
    """

    current: str
    name: str = ""
    command: CommandSyntax | None = None
    expects: Option | None = None
    place: int = 0
    prefix: str = ""
    arguments: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)


def read_line(line: str) -> Typed:
    """Read a command line up to the cursor; quotes may be open, as they are while somebody types."""
    *words, current = _after_program(split(line))
    before = 0
    while before < len(words) and words[before].startswith("-"):
        option = commands()[""].option(words[before])
        before += 2 if option is not None and option.word else 1
    # Without a command yet, the words are the options of the program itself.
    name, rest = (words[before], words[before + 1 :]) if words[before:] else ("", words)
    if rest and f"{name} {rest[0]}" in commands():
        name, rest = f"{name} {rest[0]}", rest[1:]
    command = commands().get(name)
    if command is None or (name and any(other.startswith(f"{name} ") for other in commands())):
        return Typed(current, name, command)
    arguments: list[str] = []
    given: dict[str, str] = {}
    expects: Option | None = None
    for word in rest:
        flag, equals, value = word.partition("=")
        if expects is not None:
            given[expects.name], expects = word, None
        elif not word.startswith("-") or word == "-":
            arguments.append(word)
        elif (option := command.option(flag)) is not None:
            given[option.name] = value
            expects = option if option.word and not equals else None
    prefix = ""
    if expects is None and current.startswith("--") and "=" in current:
        flag, _, value = current.partition("=")
        expects, prefix, current = command.option(flag), f"{flag}=", value
    return Typed(current, name, command, expects, len(arguments), prefix, tuple(arguments), given)


def _after_program(words: Sequence[str]) -> Sequence[str]:
    """The words after the program, which `sudo` or a variable may stand before."""
    for place, word in enumerate(words[:-1]):
        if PurePath(word).name == PROGRAM:
            return words[place + 1 :]
    return words[1:] or [""]


def split(line: str) -> list[str]:
    """The words of an unfinished line; the last one, at the cursor, may be empty."""
    for end in ("", "'", '"'):
        with suppress(ValueError):
            words = shlex.split(line.removesuffix("\\") + end)
            return [*words, ""] if not end and (not line or line[-1].isspace()) else words
    return [""]


# ---- the words that can stand at the cursor -----------------------------------------------------------------------


LATEST: Final = 50
"""Runs that are offered."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A word that can stand at the cursor, and what it is."""

    word: str
    help: str = ""


@dataclass(frozen=True, slots=True)
class WrittenJob:
    """A job as it is written: its summary, and its parameters with what is said of them."""

    summary: str
    parameters: Mapping[str, str]


def candidates(line: str) -> list[Candidate]:
    """The words that can stand at the end of this line; none where a file, or anything, is to be named."""
    typed = read_line(line)
    found = [
        Candidate(f"{typed.prefix}{one.word}", one.help)
        for one in _all_of(typed)
        if one.word.startswith(typed.current)
    ]
    return list({one.word: one for one in found}.values())


def _all_of(typed: Typed) -> Iterator[Candidate]:
    is_option, command = typed.current.startswith("-"), typed.command
    if typed.expects is not None:
        choices = typed.expects.choices
        yield from (map(Candidate, choices) if choices else _values(typed.expects.word, typed))
        return
    if not (command and typed.name and is_option):
        yield from _commands(typed.name)
    if command and is_option:
        yield from _options(command, typed)
    elif command and typed.name:
        yield from _values(command.argument(typed.place), typed)


def _commands(name: str) -> Iterator[Candidate]:
    """All commands, or those of a group."""
    group = f"{name} " if name else ""
    for one, command in commands().items():
        own = one.removeprefix(group)
        if one and one.startswith(group) and " " not in own:
            yield Candidate(own, reader().translate(command.help))


def _options(command: CommandSyntax, typed: Typed) -> Iterator[Candidate]:
    """The options that are not given yet, by their long names."""
    for option in command.options:
        if option.repeatable or option.name not in typed.given:
            for name in option.names:
                if name.startswith("--") or name == typed.current:
                    yield Candidate(name, reader().translate(option.help))


# ---- values -----------------------------------------------------------------------------------------------------


def _values(word: str, typed: Typed) -> Iterator[Candidate]:
    """The known values of an option or argument that takes `word`, as the help shows it."""
    plain = word.removesuffix(VALUES)
    # Of `JOB|FILE` the other is a file, which the shell completes.
    values = _KNOWN.get(word) or _KNOWN.get(plain) or _KNOWN.get(plain.split("|")[0])
    if values:
        yield from values(typed)
    elif "|" in word and word.replace("|", "").isalpha() and word.islower():
        yield from map(Candidate, word.split("|"))


def _runs(typed: Typed) -> Iterator[Candidate]:
    """The latest runs of the journal that the line and the settings name; none where it cannot be read."""
    from checkpoints.earlier_runs import runs_of  # noqa: PLC0415 - only what is asked for is imported

    settings = _settings_of(typed)
    with suppress(JournalError, OSError):
        for run in reversed(runs_of(settings.journal.value)[-LATEST:]) if settings else ():
            if not run.discarded_at:
                yield Candidate(run.name, f"{run.job} {printable(run.source, 60)}, {moment(run.created_at)}")


def _settings_of(typed: Typed) -> "Settings | None":
    """The settings that the line and its folder give, None where they cannot be used."""
    from cli.settings.places import in_full  # noqa: PLC0415 - as above
    from cli.settings.settings import load  # noqa: PLC0415 - as above

    given = typed.given
    with suppress(CommandRefused, OSError):
        files = {name: in_full(path) for name in ("--config",) if (path := given.get(name))}
        flags = Flags(
            api_url=given.get("--api-url"),
            journal=given.get("--journal"),
            config=files.get("--config"),
            profile=given.get("--profile"),
        )
        return load(flags, os.environ, Path.cwd())
    return None


def _profiles(typed: Typed) -> Iterator[Candidate]:
    """The profiles of settings of the file that the line names; none where it cannot be read."""
    from cli.settings.places import in_full  # noqa: PLC0415 - as above
    from cli.settings.settings import profiles_in  # noqa: PLC0415 - as above

    with suppress(CommandRefused, OSError):
        for one in profiles_in(in_full(typed.given.get("--config", SETTINGS_FILE))):
            yield Candidate(one.badge.profile, printable(one.badge.sentence))


def _jobs(typed: Typed) -> Iterator[Candidate]:
    from jobs.catalogue.catalogue import JOBS  # noqa: PLC0415 - as above

    yield from (Candidate(name, job.summary) for name, job in JOBS.items())
    yield from (Candidate(name, job.summary) for name, job in _written_jobs(typed).items())
    if typed.name == "jobs":
        yield Candidate("check")


def _written_jobs(typed: Typed) -> Mapping[str, WrittenJob]:
    """The jobs of declarations, as they are written there: completing a word runs no code that is not ours."""
    settings = _settings_of(typed)
    return written_jobs(settings.own_jobs.files) if settings else {}


def _parameters(typed: Typed) -> Iterator[Candidate]:
    """The parameters of the job that the line names, each to be followed by its value; none that is a secret."""
    from jobs.catalogue.catalogue import JOBS  # noqa: PLC0415 - as above

    name = typed.arguments[0] if typed.arguments else ""
    if job := JOBS.get(name):
        yield from (Candidate(f"{one.name}=", one.help) for one in job.parameters if not one.secret)
    elif written := _written_jobs(typed).get(name):
        yield from (Candidate(f"{one}=", told) for one, told in written.parameters.items())


def _settings(_: Typed) -> Iterator[Candidate]:
    """The settings of a working run."""
    from engine.pacing.policy import SETTINGS, Policy  # noqa: PLC0415 - as above

    return (Candidate(f"{name}=", setting.told(Policy())) for name, setting in SETTINGS.items())


def _states(_: Typed) -> Iterator[Candidate]:
    return map(Candidate, [*State, "refused", "answers"])


_KNOWN: Final[Mapping[str, Callable[[Typed], Iterator[Candidate]]]] = MappingProxyType(
    {
        "RUN": _runs,
        "PROFILE": _profiles,
        "JOB": _jobs,
        "NAME=VALUE": _parameters,
        "NAME=VALUE…": _settings,
        "STATE": _states,
    }
)
"""The values that are known, by the word that the help shows for them."""


# ---- the jobs of declarations as they are written, for completion -------------------------------------------------


_LONGEST: Final = 1_000_000
"""Bytes of a declaration that are looked through."""


def written_jobs(files: Sequence[Path]) -> dict[str, WrittenJob]:
    """The jobs of these files by name; none of a file that cannot be read, or is no Python."""
    found: dict[str, WrittenJob] = {}
    for file in filter(Path.is_file, files):
        with suppress(OSError, SyntaxError, ValueError, RecursionError), file.open("rb") as opened:
            for call in _calls(ast.parse(opened.read(_LONGEST)), "JobSpec"):
                parameters = {_text(one, "name", 0): _text(one, "help", 1) for one in _calls(call, "Parameter")}
                parameters.pop("", None)
                if name := _text(call, "name", 0):
                    found[name] = WrittenJob(_text(call, "summary", 1), parameters)
    return found


def _calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name in {getattr(node.func, "id", ""), getattr(node.func, "attr", "")}:
            yield node


def _text(call: ast.Call, keyword: str, place: int) -> str:
    """The text of an argument, "" where it is none."""
    found: Sequence[ast.expr] = [one.value for one in call.keywords if one.arg == keyword] or call.args[
        place : place + 1
    ]
    return value if found and isinstance(found[0], ast.Constant) and isinstance(value := found[0].value, str) else ""
