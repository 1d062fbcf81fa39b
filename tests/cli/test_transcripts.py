"""What commands say, whole: each file of `tests/cli/transcripts` is typed as it stands, and says what stands there.

`== TITLE` begins a case: an empty folder, and of files of `billing` a billing of its own. `@ NAME` makes what it
begins with, `< FILE` is written, `$ WORDS` are typed, without a billing also behind variables as in a shell, `% LINE`
is given to `translate`, `& LINE` to the shell, and `? SQL` to the billing's database. Behind them stand what is said
on stderr (`!`), on stdout (`>`), and the exit code unless it is 0. Runs are RUN1, RUN2 … in the order of their
journal.

A change of a sentence is a change of these files: `SCREENS=write pytest tests/cli/test_transcripts.py` writes them
anew, and the difference is read before it is committed.
"""

import fcntl
import io
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from anyio.from_thread import start_blocking_portal

from checkpoints.journal import Journal
from checkpoints.records import NewItem, NewRun, Run
from checkpoints.states import State
from cli.session.run_view import StepMark
from tests.checkpoints.samples import NEW_RUN, come_to, frozen_run, new_item, sent_run, within
from tests.cli.conftest import Ended, Typed, place_in, settings_file
from tools.house import ROOT

FOLDER: Final = Path(__file__).parent / "transcripts"
WIDE: Final = "5000"
"""Columns of a terminal: no line is broken by the length of a path."""
JOURNAL: Final = Path("carbon-migrate.journal")
BLOCK: Final = re.compile(r"^\S.*\n(?:  .*\n)*\n*", re.MULTILINE)
"""A line that says what to do, with what stands indented below it."""
VARYING: Final = (
    (r"[\w.-]+@[\w.-]+(, process \d+|(?=\)|: seen))", "WHO"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.\d]*( UTC|Z|\+00:00)?", "WHEN"),
    (r"^\d\d:\d\d:\d\d ", "TIME "),
    (r'"(seconds|bytes_before|bytes_after)":[\d.]+', r'"\1":N'),
    (r'"per_second":([\d.]+|null)', '"per_second":N'),
    (r'(?<="in doubt":)[\d.]+', "N"),
    (r"\b0:\d\d\b(, [\d.,\u202f\xa0 ]+ a second)?", "0:NN"),
    (
        r"at [\d\u202f\xa0 ]+ a second|(?<=rows a second ).*|(?<=journal is rewritten: ).*|\d+ ms|(?<=checked: )\d+",
        "N",
    ),
    (r"\d+ at once", "N at once"),
    (r" {2,}", "  "),
    (r"─{2,}", "──"),
)
"""Who typed it and when, how long it took, and how wide a table is for it: another each time."""


def sent(*fates: State, new: NewRun = NEW_RUN, paused: bool = False) -> Callable[[Journal], Awaitable[object]]:
    """Makes a run whose rows have come to these states."""

    async def make(journal: Journal) -> None:
        items = [new_item(str(number), line=number + 1) for number, _ in enumerate(fates, 1)]
        run = await sent_run(journal, *items, fates={}, new=new)
        if paused:
            await journal.pause(run, "olga")
        await come_to(journal, run, dict(enumerate(fates, 1)))

    return make


def waiting(items: Sequence[NewItem], *numbers: int) -> Callable[[Journal], Awaitable[object]]:
    """Makes a run of these rows, of which those of these numbers wait for a person."""
    fates = dict.fromkeys(numbers, State.MANUAL)
    return lambda journal: sent_run(journal, *items, fates=fates)


def named(key: str, label: str) -> NewItem:
    return NewItem(key, label, f"account {key}", "{}")


async def given_up(journal: Journal) -> None:
    await journal.discard(await frozen_run(journal, new_item("1")))


def step(number: int, *, round: int = 1, file: str = "/etc/night.toml") -> NewRun:  # noqa: A002 - its name
    """One of the two steps of a job file."""
    mark = StepMark(file, round, number, 2, datetime(2026, 11, 25, 1, tzinfo=UTC))
    return replace(NEW_RUN, parameters=mark.to_parameters(), source=f"{file} {number} {round}")


async def left_open(journal: Journal) -> None:
    """A run that nobody has approved, and one that needs somebody in each way."""
    await frozen_run(journal, new_item("1"))
    for state in (State.PENDING, State.UNKNOWN, State.MANUAL):
        await sent(state, new=replace(NEW_RUN, source=state))(journal)


async def undone(journal: Journal) -> None:
    """The undo of the newest run is at its end."""
    (newest,) = (await journal.runs())[-1:]
    await sent(State.ACCEPTED, new=undo_of(newest))(journal)


async def undoes(journal: Journal) -> None:
    """The undo of the newest run has begun."""
    (newest,) = (await journal.runs())[-1:]
    await frozen_run(journal, new_item("1"), new=undo_of(newest))


def undo_of(run: Run) -> NewRun:
    return NewRun("undo", {"run": run.name, "way": "list"}, NEW_RUN.target, f"run {run.name}")


async def years_pass(_: Journal) -> None:
    with closing(sqlite3.connect(JOURNAL, isolation_level=None)) as journal:
        for column in ("runs set created_at", "items set changed_at"):
            journal.execute(f"update {column} = '2020-01-01T00:00:00.000+00:00'")


QUERIES: Final = {
    "entered": "select abonent_id, op_type, cast(op_summa / 100000000 as bigint) from finance_operations "
    "where descr containing '[cm ' order by abonent_id, op_id",
    "balance": "select cast((m.ostatok + m.debit - m.credit) / 100000000 as bigint) from abonents a "
    "join admin_accounts m on m.id = a.account_id where a.id = {}",
}
"""What is asked by a word: subscriber, type and kopecks of what was entered by runs, and the balance of one."""
MADE: Final[Mapping[str, Callable[[Journal], Awaitable[object]]]] = {
    "a stopped run": sent(State.ACCEPTED, State.PENDING),
    "a run at its end": sent(State.ACCEPTED, State.ACCEPTED),
    "a run at its end with all outcomes": sent(State.APPLIED, State.ACCEPTED, State.REJECTED, State.APPLIED),
    "a run that was given up": given_up,
    "a paused step at its end": sent(State.ACCEPTED, new=step(1), paused=True),
    "a step at its end": sent(State.ACCEPTED, new=step(1)),
    "the other step at its end": sent(State.ACCEPTED, new=step(2)),
    "a step of the next round at its end": sent(State.ACCEPTED, new=step(1, round=2)),
    "a step of another file at its end": sent(State.ACCEPTED, new=step(1, file="/etc/other.toml")),
    "runs that need somebody": left_open,
    "its undo at its end": undone,
    "its undo that has begun": undoes,
    "years have passed": years_pass,
    # The contract number of the first row is the number of the second.
    "rows for a person": waiting([named("9001", "2"), named("9002", "9002"), named("9003", "9003")], 1, 2, 3),
    "a row for a person whose number is the key of another": waiting([named("7", "1"), named("9002", "7")], 2),
}
"""What a case can begin with."""


@dataclass(slots=True)
class Stage:
    """Where a case is played: a folder, and a billing if it has one."""

    typed: Callable[..., Ended]
    monkeypatch: pytest.MonkeyPatch
    names: dict[str, str]
    """What stands in a file for words that are others each time; the longest first."""
    asks: Callable[[str], Ended] | None = None

    def does(self, sign: str, words: str, text: str) -> Ended | None:
        """Do what a line says, with the text below it; what is said of it."""
        match sign:
            case "@":
                within(JOURNAL, MADE[words])
                return Ended(0, "", "")
            case "<":
                settings_file(Path(), text, words)
            case "$":
                typed = shlex.split(words)
                with self.monkeypatch.context() as patch:
                    while name := re.match(r"([A-Z_]+)=", typed[0]):
                        patch.setenv(name[1], typed.pop(0)[name.end() :])
                    return self.typed(*typed)
            case "%":
                self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(words.encode())))
                return self.typed("translate")
            case "&":
                done = subprocess.run(f"umask 022; {words}", shell=True, check=False, capture_output=True, text=True)  # noqa: S602 - ours
                return Ended(done.returncode, done.stdout, done.stderr)
            case "?":
                assert self.asks is not None, "this file has no billing"
                return self.asks(words)
        return None

    def played(self, block: str) -> Iterator[str]:
        """A line with what is said of it now."""
        head, *body = block.splitlines(keepends=True)
        sign, _, rest = head.rstrip("\n").partition(" ")
        words = re.sub(r"\b(HERE|ROOT|URL|DATABASE|RUN\d+|PLAN\d+)\b", lambda found: self.names[found[1]], rest)
        yield head
        ended = self.does(sign, words, "".join(line.removeprefix("    ") for line in body if line.strip()))
        if ended is None:
            yield from body
            return
        yield from self.told(ended)
        yield from (line for line in body if not line.strip())

    def told(self, ended: Ended) -> Iterator[str]:
        """What was said, without what is another each time."""
        for path, name in ((JOURNAL, "RUN"), (Path(f"{JOURNAL}-plans"), "PLAN")):
            if path.is_file() and path.stat().st_size:
                with closing(sqlite3.connect(path)) as journal, suppress(sqlite3.DatabaseError):
                    runs = journal.execute("select name from runs order by run_id")
                    now = {f"{name}{number}": run for number, (run,) in enumerate(runs, 1)}
                    self.names |= {f"LOST-{it}": was for it, was in self.names.items() if now.get(it, was) != was}
                    self.names |= now
        for mark, text in (("!", ended.err), (">", ended.out)):
            for line in text.splitlines():
                yield f"  {mark} {self.alike(line)}".rstrip() + "\n"
        if ended.exit:
            yield f"  [{ended.exit}]\n"

    def alike(self, line: str) -> str:
        """A line without what is another each time."""
        for name, value in self.names.items():
            line = line.replace(value, name)
        for varies, name in VARYING:
            line = re.sub(varies, name, line)
        return line.replace(f"{date.today()}", "TODAY")  # noqa: DTZ011 - as the program writes it


Opens = Callable[[Path], AbstractContextManager[Stage]]


@pytest.fixture
def by_itself(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> Opens:
    """Opens a stage for what needs no billing."""

    @contextmanager
    def opened(folder: Path) -> Iterator[Stage]:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
        monkeypatch.setenv("COLUMNS", WIDE)
        yield Stage(typed, monkeypatch, {"HERE": str(folder), "ROOT": str(ROOT)})

    return opened


@pytest.fixture
def at_a_billing(billing_template: Path, monkeypatch: pytest.MonkeyPatch) -> Opens:
    """Opens a stage with a billing of its own, served from another thread; its commands are processes."""

    @contextmanager
    def opened(folder: Path) -> Iterator[Stage]:
        data, work = Path(shutil.copy(billing_template, folder / "billing.fdb")), folder / "work"
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(place_in(work, data)) as place:

            def typed(*words: str) -> Ended:
                return portal.call(partial(place.cli, *words, may_end_with=range(256)))

            def asks(words: str) -> Ended:
                name, _, key = words.partition(" ")
                sql = QUERIES.get(name, words).format(key)
                if not sql.startswith("select"):
                    portal.call(place.execute, sql)
                    return Ended(0, "", "")
                rows = portal.call(place.query, sql)
                return Ended(0, "".join(f"{';'.join(map(str, row))}\n" for row in rows), "")

            monkeypatch.chdir(work)
            url = place.billing.url
            at = f"--journal {place.cli.journal} --api-url {url} --database {place.file}"
            place.cli.environment["COLUMNS"] = WIDE
            names = {"AT": at, "HERE": str(work), "URL": url, "DATABASE": str(place.file)}
            yield Stage(typed, monkeypatch, names, asks)

    return opened


def cases_of(file: Path) -> list[str]:
    return re.split(r"^(?=== )", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]


def all_cases() -> Iterator[object]:
    """Each case of each file by its number."""
    for file in sorted(FOLDER.rglob("*.txt")):
        for number, case in enumerate(cases_of(file)):
            yield pytest.param(file, number, id=f"{file.stem}: {case.partition(chr(10))[0][3:]}")


@pytest.mark.parametrize(("file", "number"), [*all_cases()])
def test_all_that_is_said_is_as_it_stands(
    file: Path, number: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    opens: Opens = request.getfixturevalue("by_itself" if file.parent == FOLDER else "at_a_billing")
    case = cases_of(file)[number]
    with opens(tmp_path) as stage:
        said = "".join(line for block in BLOCK.findall(case) for line in stage.played(block))
    if os.environ.get("SCREENS") == "write":
        with file.open(encoding="utf-8") as written:
            fcntl.flock(written, fcntl.LOCK_EX)
            cases = cases_of(file)
            file.write_text("".join([*cases[:number], said, *cases[number + 1 :]]), encoding="utf-8")
    assert said == cases_of(file)[number], f"{file.name} is not what is said"


def test_no_secret_of_a_case_is_said() -> None:
    """All of them are words like these."""
    said = [line for one in FOLDER.rglob("*.txt") for line in one.read_text("utf-8").splitlines()]
    secret = re.compile("  [!>].*(geheim|SecretTiger|(?<!no[-_])canary)")
    assert [line for line in said if secret.match(line)] == []
