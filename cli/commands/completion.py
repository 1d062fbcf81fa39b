"""`completion`: the scripts that complete commands in a shell; they ask this command for the words."""

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Final

import typer

from cli.completion.candidates import TABLE, Candidate, candidates
from cli.settings.flags import argument, flag
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import printable
from engine.errors import nearest
from texts.remedies import PROGRAM

app: Final = typer.Typer(add_completion=False)

_ONE_LINE: Final = 100
"""Characters of what is said of a word."""


@app.command(
    "completion",
    epilog=f"For bash: {PROGRAM} completion bash > ~/.local/share/bash-completion/completions/{PROGRAM}",
)
def _completion(
    shell: Annotated[str, argument("bash|zsh|fish", "The shell.")],
    line: Annotated[str | None, flag("--line", "TEXT", "What is typed so far: print the words for its end.")] = None,
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
        return
    sys.stdout.writelines(f"{one}\n" for one in SHELLS[shell](candidates(line)))


def script(shell: str) -> str:
    """The script for a shell: it hands the line up to the cursor to this command, and takes the words that come back.

    Where none come back it completes the names of files.
    """
    return TABLE.with_name(f"{PROGRAM}.{shell}").read_text(encoding="utf-8")


def _for_bash(found: Sequence[Candidate]) -> list[str]:
    # For bash the word begins anew behind the "=" of an option.
    return [
        one.word.partition("=")[2] if one.word.startswith("--") and "=" in one.word else one.word for one in found
    ]


def _for_zsh(found: Sequence[Candidate]) -> list[str]:
    return [f"{_without_colons(one.word)}:{printable(one.help, _ONE_LINE)}" for one in found]


def _for_fish(found: Sequence[Candidate]) -> list[str]:
    return [f"{one.word}\t{printable(one.help, _ONE_LINE)}" for one in found]


def _without_colons(word: str) -> str:
    return word.replace(":", "\\:")


SHELLS: Final[Mapping[str, Callable[[Sequence[Candidate]], list[str]]]] = MappingProxyType(
    {"bash": _for_bash, "zsh": _for_zsh, "fish": _for_fish}
)
"""The shells, each with how it reads the words."""
