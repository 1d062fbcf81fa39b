"""The scripts in the shells themselves: what Tab makes of a word, typed at a terminal."""

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from cli.commands.completion import SHELLS, script
from tests.cli.conftest import PATIENCE, clean_environment

ROOT = Path(__file__).parents[3]

PROMPT = "ready> "
STARTS: Mapping[str, Sequence[str]] = {
    "bash": ("--norc", "--noprofile", "-i"),
    "zsh": ("-f", "-i"),
}
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


class Keyboard:
    """A shell at a terminal, and what it has shown since the last question."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.seen = ""

    async def shows(self, text: str) -> None:
        with anyio.fail_after(PATIENCE):
            while text not in self.seen:
                await anyio.wait_readable(self._master)
                self.seen += os.read(self._master, 65536).decode(errors="replace")

    def types(self, text: str) -> None:
        self.seen = ""
        os.write(self._master, text.encode())


@contextmanager
def at_a_shell(shell: str, folder: Path, environment: Mapping[str, str]) -> Iterator[Keyboard]:
    master, slave = pty.openpty()
    process = subprocess.Popen(  # noqa: S603 - a shell of the system
        [there(shell), *STARTS[shell]],
        cwd=folder,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Keyboard(master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


@pytest.mark.parametrize("shell", STARTS)
async def test_tab_completes_a_command_a_job_a_parameter_and_a_file(
    shell: str, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    with at_a_shell(shell, tmp_path, environment) as keyboard:
        # The prompt is written in two parts, so that the echo of the line is not taken for it.
        keyboard.types(SETS_UP[shell].replace("{prompt}", "rea''dy> ") + "\n")
        await keyboard.shows(PROMPT)
        # What is shown is what the shell adds to the word.
        for typed, added in (
            ("carbon-migrate pl", "an "),
            ("bal", "ances "),
            ("inp", "ut-of-balances.csv "),
            ("--set am", "ount="),
        ):
            keyboard.types(f"{typed}\t")
            await keyboard.shows(added)


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
