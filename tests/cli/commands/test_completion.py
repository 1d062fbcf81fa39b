"""What can stand at the end of a line that is being typed."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from checkpoints.journal import Journal
from cli.commands.completion import SHELLS, script
from tests.checkpoints.samples import NEW_RUN, frozen_run, new_item, within
from tests.cli.conftest import Typed, clean_environment
from tests.cli.terminal.terminals import opened

Words = Callable[[str], list[str]]


@pytest.fixture
def words(typed: Typed) -> Words:
    """The words that bash is given for a line."""

    def ask(line: str) -> list[str]:
        ended = typed("completion", "bash", "--line", line)
        assert (ended.exit, ended.err) == (0, "")
        return ended.out.splitlines()

    return ask


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """Three runs of a journal, the newest first; another one was given up."""

    async def make(journal: Journal) -> list[str]:
        names = [(await frozen_run(journal, new_item(str(number)))).name for number in range(3)]
        await journal.discard(await journal.create_run(NEW_RUN))
        return names[::-1]

    return within(tmp_path / "carbon-migrate.journal", make)


def test_runs_are_those_of_the_journal_the_newest_first(words: Words, runs: list[str]) -> None:
    for command in ("status", "resume", "export", "undo", "report", "run balances x.csv --continue"):
        assert words(f"carbon-migrate {command} ") == runs
    assert words(f"carbon-migrate verify {runs[0][:3]}") == [name for name in runs if name.startswith(runs[0][:3])]
    assert words("carbon-migrate status --journal other.journal ") == []


# ---- The scripts in the shells themselves: what Tab makes of a word, typed at a terminal


ROOT = Path(__file__).parents[3]

PROMPT = "ready> "
STARTS: Mapping[str, Sequence[str]] = {"bash": ("--norc", "--noprofile", "-i"), "zsh": ("-f", "-i")}
SETS_UP = {
    "bash": "bind 'set enable-bracketed-paste off'; source carbon-migrate.bash; PS1='{prompt}'",
    "zsh": "autoload -Uz compinit; compinit -u -d dump; source ./carbon-migrate.zsh; PS1='{prompt}'",
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A folder with the scripts and the command, and the environment of a shell there."""
    for shell in SHELLS:
        (tmp_path / f"carbon-migrate.{shell}").write_text(script(shell), encoding="utf-8")
    command = tmp_path / "bin" / "carbon-migrate"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cli "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    (tmp_path / "input-of-balances.csv").touch()
    ours = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "TERM": "dumb", "PATH": f"{command.parent}:/usr/bin:/bin"}
    return clean_environment() | ours


def there(shell: str) -> str:
    """The shell's path; where it is not installed the test fails, and says what to type."""
    found = shutil.which(shell)
    assert found, f"the tests need {shell}. Type: sudo apt-get update && sudo apt-get install -y {shell}"
    return found


@pytest.mark.parametrize("shell", STARTS)
async def test_tab_completes_words_and_files(shell: str, tmp_path: Path, environment: Mapping[str, str]) -> None:
    with opened([there(shell), *STARTS[shell]], tmp_path, environment) as terminal:
        # The prompt is written in two parts, so that the echo of the line is not taken for it.
        terminal.types(SETS_UP[shell].replace("{prompt}", "rea''dy> ") + "\n")
        await terminal.shows(PROMPT)
        # What is shown is what the shell adds to the word.
        for typed, added in (
            ("carbon-migrate pl", "an "),
            ("bal", "ances "),
            ("inp", "ut-of-balances.csv "),
            ("--set am", "ount="),
        ):
            terminal.seen = ""
            terminal.types(f"{typed}\t")
            await terminal.shows(added)


def test_fish_completes_them_too(tmp_path: Path, environment: Mapping[str, str]) -> None:
    shell = there("fish")
    for line, completed in (
        ("carbon-migrate pl", "plan\tShow what a run would do; nothing is sent."),
        ("carbon-migrate plan bal", "balances\tenter opening balances, by subscriber's id or by contract number"),
        ("carbon-migrate plan balances inp", "input-of-balances.csv"),
        ("carbon-migrate plan balances --set am", "amount=\tthe amount in roubles, as 1 234,50 or -50.5"),
    ):
        done = subprocess.run(  # noqa: S603 - a shell of the system
            [shell, "--no-config", "-c", f"source carbon-migrate.fish; complete -C '{line}'"],
            cwd=tmp_path,
            env=dict(environment),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == completed
