"""Remedies of the engine's errors, rendered as the flags and commands that a person types."""

from collections.abc import Mapping
from typing import Final

from cli.terminal.texts import DATABASE, PROGRAM, SETTINGS_FILE
from engine.errors import EngineError, Remedy, Said, sentence

_LASTING: Final[Mapping[str, str]] = {"database": f"with {DATABASE}, or as address in [database] of {SETTINGS_FILE}"}
"""Where a setting can be given once for all runs."""


def command_line(remedy: Remedy) -> str:
    """A remedy as it is typed: flags alone, or the whole command in backticks."""
    flags = [f"--{name} {value}" if value else f"--{name}" for name, value in remedy.settings]
    if remedy.lasting:
        return ", ".join([*flags, *(_LASTING[name] for name, _ in remedy.settings)])
    if not remedy.command:
        return " ".join(flags)
    return f"`{' '.join(word for word in (PROGRAM, remedy.command, remedy.run, *flags) if word)}`"


def render(said: Said) -> str:
    """A sentence with its remedies as they are typed."""
    return sentence(said, command_line)


def describe_error(error: BaseException) -> str:
    """The text of an error, with the engine's remedies as they are typed."""
    return render(error.said) if isinstance(error, EngineError) else str(error)
