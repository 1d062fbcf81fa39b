"""`completion`: the scripts that complete commands in a shell, and the words that they ask this command for.

All commands with their options stand in a table, since importing a command takes longer than a person waits for a
word. Nothing is known of a word that is a file or free: the shell completes files then.
"""

import ast
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

import msgspec

from checkpoints.errors import JournalError
from checkpoints.states import State
from checkpoints.stores import runs_of
from cli.settings.flags import Flags
from cli.terminal.exits import CommandRefused
from cli.terminal.options import argument, as_command, option
from cli.terminal.texts import moment, printable, reader
from engine.errors import nearest
from engine.pacing.policy import SETTINGS, Policy
from texts.said import PROGRAM, SETTINGS_FILE

if TYPE_CHECKING:
    from cli.settings.settings import Settings

LATEST: Final = 50
"""Runs that are offered."""
_ONE_LINE: Final = 100
"""Characters of what is said of a word."""
_LONGEST: Final = 1_000_000
"""Bytes of a declaration that are looked through."""
TABLE: Final = Path(__file__).parents[1] / "completion" / "options.json"
VALUES: Final = "…"
"""At the end of an argument's word where it may be given several times."""


class Option(msgspec.Struct, frozen=True, omit_defaults=True):
    """An option: its names, the longest first, and the word that it takes; "" for a switch."""

    names: tuple[str, ...]
    help: str
    word: str = ""
    choices: tuple[str, ...] = ()
    repeatable: bool = False


class CommandSyntax(msgspec.Struct, frozen=True, omit_defaults=True):
    """A command: the first paragraph of its help, its options, and the words that its arguments take."""

    help: str
    options: tuple[Option, ...] = ()
    arguments: tuple[str, ...] = ()

    def option(self, name: str) -> Option | None:
        """The option of that name, None without one."""
        return next((option for option in self.options if name in option.names), None)


@cache
def commands() -> Mapping[str, CommandSyntax]:
    """All commands by name, those of a group as `mock serve`; the program itself as ""."""
    return msgspec.json.decode(TABLE.read_bytes(), type=dict[str, CommandSyntax])


@as_command(
    "completion", epilog=f"For bash: {PROGRAM} completion bash > ~/.local/share/bash-completion/completions/{PROGRAM}"
)
def _completion(
    shell: str = argument("bash|zsh|fish", "The shell."),
    line: str | None = option("TEXT", "What is typed so far: print the words for its end."),
) -> None:
    """Print the script that completes commands in bash, zsh or fish.

    With --line, as the script asks, print what can stand at the cursor: commands, options, jobs, runs, states,
    settings.
    """
    if shell not in SHELLS:
        raise CommandRefused(
            "there is no shell {shell!r}{nearest}: {shells}",
            shell=shell,
            nearest=nearest(shell, SHELLS),
            shells=tuple(SHELLS),
        )
    if line is None:
        sys.stdout.write(script(shell))
    else:
        # The words that can stand at the cursor; none where anything may be named.
        typed = read_line(line)
        found = {f"{typed.prefix}{word}": told for word, told in _words(typed) if word.startswith(typed.current)}
        sys.stdout.writelines(f"{SHELLS[shell](word, told)}\n" for word, told in found.items())


def script(shell: str) -> str:
    """The script for a shell: it hands the line up to the cursor to this command, and takes the words that come back.

    Where none come back it completes the names of files.
    """
    return TABLE.with_name(f"{PROGRAM}.{shell}").read_text(encoding="utf-8")


SHELLS: Final[Mapping[str, Callable[[str, str], str]]] = {
    # For bash the word begins anew behind the "=" of an option.
    "bash": lambda word, _: word.partition("=")[2] if word.startswith("--") and "=" in word else word,
    "zsh": lambda word, told: f"{word.replace(':', chr(92) + ':')}:{printable(told, _ONE_LINE)}",
    "fish": lambda word, told: f"{word}\t{printable(told, _ONE_LINE)}",
}
"""The shells, each with how it reads a word and what is said of it."""


# ---- a command line that is being typed ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Typed:
    """A command line up to the cursor, read by the options of its command.

    `current` is the unfinished word: the value of the option `expects`, where there is one, else an argument, an
    option or a command. `prefix` stands before a value within the word, as in `--state=`.
    """

    current: str
    name: str
    command: CommandSyntax
    expects: Option | None = None
    prefix: str = ""
    arguments: Sequence[str] = ()
    given: Mapping[str, str] = field(default_factory=dict)


def read_line(line: str) -> Typed:
    """Read a command line up to the cursor; quotes may be open, as they are while somebody types."""
    *rest, current = _words_of(line)
    # `sudo` or a variable may stand before the program.
    begun = next((place for place, word in enumerate(rest) if PurePath(word).name == PROGRAM), 0)
    rest, name = rest[begun + 1 :], ""
    while rest[:-1] and rest[0].startswith("-"):
        # Without a command yet, the words are the options of the program itself.
        option = commands()[""].option(rest[0])
        rest = rest[2:] if option is not None and option.word else rest[1:]
    while rest and (group := f"{name} {rest[0]}".lstrip()) in commands():
        name, rest = group, rest[1:]
    command = commands()[name]
    arguments, given, expects, prefix = list[str](), dict[str, str](), None, ""
    for word in rest:
        flag_, equals, value = word.partition("=")
        if expects is not None:
            given[expects.names[0]], expects = word, None
        elif not word.startswith("-") or word == "-":
            arguments.append(word)
        elif (option := command.option(flag_)) is not None:
            given[option.names[0]] = value
            expects = option if option.word and not equals else None
    if expects is None and current.startswith("--") and "=" in current:
        flag_, _, current = current.partition("=")
        expects, prefix = command.option(flag_), f"{flag_}="
    return Typed(current, name, command, expects, prefix, arguments, given)


def _words_of(line: str) -> list[str]:
    """The words of an unfinished line; the last one, at the cursor, may be empty."""
    for end in ("", "'", '"'):
        with suppress(ValueError):
            words = shlex.split(line.removesuffix("\\") + end)
            return [*words, ""] if not end and (not line or line[-1].isspace()) else words
    return [""]


# ---- the words that can stand at the cursor -----------------------------------------------------------------------


def _words(typed: Typed) -> Iterator[tuple[str, str]]:
    command, place = typed.command, len(typed.arguments)
    if typed.expects is not None:
        yield from ((one, "") for one in typed.expects.choices)
        yield from _values(typed.expects.word, typed)
    elif typed.current.startswith("-"):
        for option in command.options:
            # Those that are not given yet, by their long names.
            if option.repeatable or option.names[0] not in typed.given:
                names = (name for name in option.names if name.startswith("--") or name == typed.current)
                yield from ((name, reader().translate(option.help)) for name in names)
    elif not command.arguments and not typed.arguments:
        group = f"{typed.name} ".lstrip()
        own = {name.removeprefix(group): one for name, one in commands().items() if name.startswith(group)}
        yield from ((name, reader().translate(one.help)) for name, one in own.items() if name and " " not in name)
    elif command.arguments and (place < len(command.arguments) or command.arguments[-1].endswith(VALUES)):
        yield from _values(command.arguments[min(place, len(command.arguments) - 1)], typed)


def _values(word: str, typed: Typed) -> Iterator[tuple[str, str]]:
    """The known values of an option or argument that takes `word`, as the help shows it."""
    # Of `JOB|FILE` the other is a file, which the shell completes.
    match word.removesuffix(VALUES).partition("|")[0]:
        case "RUN":
            yield from _runs(typed)
        case "PROFILE":
            yield from _profiles(typed)
        case "JOB":
            yield from _jobs(typed)
        case "NAME=VALUE":
            yield from _parameters(typed)
        case "STATE":
            yield from ((name, "") for name in (*State, "refused", "answers"))
        case _ if "|" in word and word.replace("|", "").isalpha() and word.islower():
            yield from ((one, "") for one in word.split("|"))


def _jobs(typed: Typed) -> Iterator[tuple[str, str]]:
    from jobs.catalogue.catalogue import JOBS

    yield from ((name, job.summary) for name, job in JOBS.items())
    yield from ((name, summary) for name, (summary, _) in _written_jobs(typed).items())
    if typed.name == "jobs":
        yield "check", ""


def _parameters(typed: Typed) -> Iterator[tuple[str, str]]:
    """The settings of a working run for `set`, else the parameters of the job on the line; none that is a secret."""
    from jobs.catalogue.catalogue import JOBS

    name = typed.arguments[0] if typed.arguments else ""
    if typed.name == "set":
        yield from ((f"{name}=", setting.told(Policy())) for name, setting in SETTINGS.items())
    elif job := JOBS.get(name):
        yield from ((f"{one.name}=", one.help) for one in job.parameters if not one.secret)
    elif written := _written_jobs(typed).get(name):
        yield from ((f"{one}=", told) for one, told in written[1].items())


def _runs(typed: Typed) -> Iterator[tuple[str, str]]:
    """The latest runs of the journal that the line and the settings name; none where it cannot be read."""
    settings = _settings_of(typed)
    with suppress(JournalError, OSError):
        for run in reversed(runs_of(settings.journal.value)[-LATEST:]) if settings else ():
            if not run.discarded_at:
                yield run.name, f"{run.job} {printable(run.source, 60)}, {moment(run.created_at)}"


def _profiles(typed: Typed) -> Iterator[tuple[str, str]]:
    """The profiles of settings of the file that the line names; none where it cannot be read."""
    from cli.settings.places import in_full
    from cli.settings.settings import profiles_in

    with suppress(CommandRefused, OSError):
        for one in profiles_in(in_full(typed.given.get("--config", SETTINGS_FILE))):
            yield one.badge.profile, printable(one.badge.sentence)


def _settings_of(typed: Typed) -> "Settings | None":
    """The settings that the line and its folder give, None where they cannot be used."""
    from cli.settings.places import in_full
    from cli.settings.settings import load as load_settings

    api_url, journal, config, profile = map(typed.given.get, ("--api-url", "--journal", "--config", "--profile"))
    with suppress(CommandRefused, OSError):
        file = in_full(config) if config else None
        flags = Flags(api_url=api_url, journal=journal, config=file, profile=profile)
        return load_settings(flags, os.environ, Path.cwd())
    return None


def _written_jobs(typed: Typed) -> dict[str, tuple[str, dict[str, str]]]:
    """The jobs of declarations as they are written, each with its summary and what is said of its parameters.

    Completing a word runs no code that is not ours. None of a file that cannot be read, or is no Python.
    """
    found: dict[str, tuple[str, dict[str, str]]] = {}
    settings = _settings_of(typed)
    for file in filter(Path.is_file, settings.own_jobs.files if settings else ()):
        with suppress(OSError, SyntaxError, ValueError, RecursionError), file.open("rb") as opened:
            for call in _calls(ast.parse(opened.read(_LONGEST)), "JobSpec"):
                parameters = {_text(one, "name", 0): _text(one, "help", 1) for one in _calls(call, "Parameter")}
                parameters.pop("", None)
                if name := _text(call, "name", 0):
                    found[name] = _text(call, "summary", 1), parameters
    return found


def _calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name in {getattr(node.func, "id", ""), getattr(node.func, "attr", "")}:
            yield node


def _text(call: ast.Call, keyword: str, place: int) -> str:
    named = [one.value for one in call.keywords if one.arg == keyword]
    found: Sequence[ast.expr] = named or call.args[place : place + 1]
    return value if found and isinstance(found[0], ast.Constant) and isinstance(value := found[0].value, str) else ""
