"""What commands say, whole: each file of `tests/cli/transcripts` is typed as it stands, and says what stands there.

`== TITLE` begins a case, in an empty folder; `@ NAME` makes what it begins with, `< FILE` is written, `$ WORDS` are
typed, `% LINE` is given to `translate`, and `& LINE` to the shell. Behind a command stand what it says on stderr
(`!`), on stdout (`>`), and its exit code unless that is 0. A change of a sentence is a change of these files:
`SCREENS=write pytest tests/cli/test_transcripts.py` writes them anew, and the difference is read before it is
committed.
"""

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Final

import pytest

from checkpoints.journal import Journal
from checkpoints.records import NewRun
from checkpoints.states import State
from cli.session.run_view import StepMark
from tests.checkpoints.samples import NEW_RUN, come_to, frozen_run, new_item, sent_run, within
from tests.cli.conftest import Ended, Typed, settings_file

FOLDER: Final = Path(__file__).parent / "transcripts"
BLOCK: Final = re.compile(r"^\S.*\n(?:  .*\n)*\n*", re.MULTILINE)
"""A line that says what to do, with what stands indented below it."""
VARYING: Final = re.compile(r"[\w.-]+@[\w.-]+, process \d+|\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.\d]*( UTC|Z|\+00:00)?")
"""Who typed it and when: another one each time."""


def sent(*fates: State, new: NewRun = NEW_RUN, paused: bool = False) -> Callable[[Journal], Awaitable[str]]:
    """Makes a run whose rows have come to these states; of two of a step of a job file, where `new` says so."""

    async def make(journal: Journal) -> str:
        items = [new_item(str(number), line=number + 1) for number, _ in enumerate(fates, 1)]
        run = await sent_run(journal, *items, fates={}, new=new)
        if paused:
            await journal.pause(run, "olga")
        await come_to(journal, run, dict(enumerate(fates, 1)))
        return run.name

    return make


async def given_up(journal: Journal) -> str:
    run = await frozen_run(journal, new_item("1"))
    await journal.discard(run)
    return run.name


STEP: Final = StepMark("/etc/night.toml", 1, 1, 2, datetime(2026, 11, 25, 1, tzinfo=UTC))
MADE: Final[Mapping[str, Callable[[Journal], Awaitable[str]]]] = {
    "a stopped run": sent(State.ACCEPTED, State.PENDING),
    "a run at its end": sent(State.ACCEPTED, State.ACCEPTED),
    "a run at its end with all outcomes": sent(State.APPLIED, State.ACCEPTED, State.REJECTED, State.APPLIED),
    "a run that was given up": given_up,
    "a paused step at its end": sent(
        State.ACCEPTED, new=replace(NEW_RUN, parameters=STEP.to_parameters()), paused=True
    ),
}
"""What a case can begin with; its name is RUN where something is typed or said."""


class Stage:
    """A folder in which the cases of a file are played, one after the other."""

    def __init__(self, folder: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._typed, self._monkeypatch = folder, typed, monkeypatch
        self._names: dict[str, str] = {}

    def played(self, text: str) -> Iterator[str]:
        """The text again, with what is said now."""
        for number, block in enumerate(BLOCK.findall(text)):
            head, *body = block.splitlines(keepends=True)
            sign, _, rest = head.rstrip("\n").partition(" ")
            yield head
            if sign in {"$", "%", "&"}:
                yield from self._said(sign, self._known(rest))
                yield from (line for line in body if not line.strip())
                continue
            yield from body
            if sign == "==":
                self._begin(self._folder / str(number))
            elif sign == "@":
                self._names["RUN"] = within(Path("carbon-migrate.journal"), MADE[rest])
            elif sign == "<":
                settings_file(Path(), "".join(line.removeprefix("    ") for line in body if line.strip()), rest)

    def _begin(self, folder: Path) -> None:
        folder.mkdir()
        self._monkeypatch.chdir(folder)
        self._monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
        self._names = {"HERE": str(folder)}

    def _known(self, text: str) -> str:
        for name, value in self._names.items():
            text = text.replace(name, value)
        return text

    def _said(self, sign: str, words: str) -> Iterator[str]:
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(words.encode())))
        if sign == "&":
            done = subprocess.run(words, shell=True, check=False, capture_output=True, text=True)  # noqa: S602 - ours
            ended = Ended(done.returncode, done.stdout, done.stderr)
        else:
            ended = self._typed(*(shlex.split(words) if sign == "$" else ["translate"]))
        for mark, text in (("!", ended.err), (">", ended.out)):
            for line in reduce(
                lambda told, one: told.replace(one[1], one[0]), self._names.items(), text
            ).splitlines():
                yield f"  {mark} {VARYING.sub('…', line)}".rstrip() + "\n"
        if ended.exit:
            yield f"  [{ended.exit}]\n"


@pytest.mark.parametrize("file", sorted(FOLDER.iterdir()), ids=lambda file: file.stem)
def test_all_that_is_said_is_as_it_stands(
    file: Path, typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = file.read_text(encoding="utf-8")
    said = "".join(Stage(tmp_path, typed, monkeypatch).played(given))
    if os.environ.get("SCREENS") == "write":
        file.write_text(said, encoding="utf-8")
    assert said == file.read_text(encoding="utf-8"), f"{file.name} is not what is said"
