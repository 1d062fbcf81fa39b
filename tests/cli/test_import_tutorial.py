"""The tutorial of an import: each command of its page is typed, and says what the page shows.

A block of four spaces has commands behind `$ `, and below each what it says: of its lines in their order, as many as
help; `…` stands for whatever is there. The name of a run is another one each time: what a command says in its place
first is its name from then on. A comment above a block says what is done with it: the exit code, a kill, what is
typed beside it so that nobody waits, a file that the block is, cells that the table below it corrects.
"""

import re
import shlex
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from openpyxl import load_workbook

from billing.database.dsn import Dsn
from lab.mock.server import MockBilling, running
from tests.cli.conftest import Cli, Ended, clean_environment
from tests.cli.flows import Arrivals

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial" / "import.ru.md"
EXAMPLES = ROOT / "examples" / "tutorial"
ADDRESS = "http://127.0.0.1:8082"
"""Where the page has the mock billing; the test has it on a free port."""

_PART = re.compile(r"^<!-- (.+) -->\n|((?:^ {4}.*\n|^\n)+)|((?:^\|.*\n)+)", re.MULTILINE)
_CELL = re.compile(r"^\| `([A-Z]+\d+)` \| (.*) \| (.*) \|$", re.MULTILINE)
_RUN = re.compile(r"\b((?=[a-z]*\d)(?=\d*[a-z])[a-hj-km-np-z2-9]{5})\b")


@dataclass(frozen=True, slots=True)
class Step:
    """A command of the page, or a file, or cells to be corrected: its lines, and what the comment above says."""

    lines: tuple[str, ...]
    comment: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.lines[0].removeprefix("$ "))

    @property
    def says(self) -> tuple[str, ...]:
        return tuple(filter(str.strip, self.lines[1:]))

    def told(self, pattern: str, default: str) -> str:
        """What the comment says in a place."""
        found = re.search(pattern, self.comment)
        return found[1] if found else default


def steps() -> Iterator[Step]:
    """What is to be done by the page, in its order."""
    comment = ""
    for told, block, table in _PART.findall(PAGE.read_text(encoding="utf-8")):
        if told:
            comment = told
        elif table and comment.startswith("cells of "):
            yield Step(tuple(table.splitlines()), comment)
            comment = ""
        elif block.strip():
            lines = [line[4:] for line in block.strip("\n").splitlines()]
            if comment.startswith("file "):
                yield Step(tuple(lines), comment)
            else:
                yield from _commands(lines, comment)
            comment = ""


def _commands(lines: Sequence[str], comment: str) -> Iterator[Step]:
    begins = [place for place, line in enumerate(lines) if line.startswith("$ ")]
    for begin, end in pairwise([*begins, len(lines)]):
        yield Step(tuple(lines[begin:end]), comment)


@dataclass(slots=True)
class Reader:
    """Somebody who does what the page says."""

    cli: Cli
    billing: MockBilling
    arrivals: Arrivals
    runs: dict[str, str] = field(default_factory=dict)

    async def do(self, step: Step) -> None:
        if name := step.told("^file (.+)", ""):
            text = "\n".join(step.lines).replace(ADDRESS, self.billing.url)
            (self.cli.folder / name).write_text(text, encoding="utf-8")
        elif name := step.told("^cells of (.+)", ""):
            await anyio.to_thread.run_sync(correct, self.cli.folder / name, "\n".join(step.lines))
        elif step.words[0] == "cp":
            shutil.copy(*(self.cli.folder / word for word in step.words[1:]))
        else:
            await self._type(step)

    async def _type(self, step: Step) -> None:
        program, *words = step.words
        assert program == "carbon-migrate"
        words = [_RUN.sub(lambda run: self.runs.get(run[1], run[1]), word) for word in words]
        words += step.told("typed as well: (.+)", "").split()
        calls = int(step.told(r"killed after (\d+) calls", "0"))
        async with self.cli.started(*words) as started:
            if calls:
                await self.arrivals.reach(self.arrivals.number + calls)
                started.signal(signal.SIGKILL)
            ended = await started.ended(None)
        code = -signal.SIGKILL if calls else int(step.told(r"ends with (\d+)", "0"))
        assert ended.exit == code, f"{shlex.join(words)}\n{ended.out}\n{ended.err}"
        self._compare(step, ended)

    def _compare(self, step: Step, ended: Ended) -> None:
        """Look for each line of the page behind the one before it, on stdout or on stderr, wherever lines break."""
        streams = [_plain(ended.out), _plain(ended.err)]
        for line in step.says:
            pattern = self._pattern(line)
            found = [pattern.search(stream) for stream in streams]
            assert any(found), f"{step.lines[0]}\ndoes not say: {line}\n\n{ended.out}\n{ended.err}"
            place, match = next((place, match) for place, match in enumerate(found) if match)
            streams[place] = streams[place][match.end() :]
            self.runs |= {name.removeprefix("run_"): run for name, run in match.groupdict().items()}

    def _pattern(self, line: str) -> re.Pattern[str]:
        parts = re.split(f"(…)|{_RUN.pattern}", _plain(line.replace(ADDRESS, self.billing.url)))
        return re.compile("".join(self._part(part) for part in parts if part))

    def _part(self, part: str) -> str:
        if part == "…":
            return ".{0,200}?"
        if _RUN.fullmatch(part) and part not in self.runs:
            return f"(?P<run_{part}>[a-z2-9]{{5}})"
        return re.escape(self.runs.get(part, part))


def correct(workbook: Path, table: str) -> None:
    """Correct the cells that the table names, which are as it says."""
    book = load_workbook(workbook)
    sheet = book.worksheets[0]
    for name, before, after in _CELL.findall(table):
        assert sheet[name].value == before, name
        sheet[name] = after
    book.save(workbook)


def _plain(line: str) -> str:
    return " ".join(line.split())


async def serve(cli: Cli, step: Step) -> None:
    """Type what serves the billing, on a free port, and end it where it is ready."""
    words = ["0" if word == "8082" else word for word in step.words[1:]]
    async with cli.started(*words) as started:
        assert (await started.first_line()).startswith("http://127.0.0.1:")
        started.signal(signal.SIGINT)
        await started.ended()


@pytest.mark.slow
async def test_each_command_of_the_page_does_what_the_page_shows(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    shutil.copytree(EXAMPLES, folder)
    environment = clean_environment() | {"LANG": "ru_RU.UTF-8", "XDG_STATE_HOME": str(tmp_path), "COLUMNS": "80"}
    del environment["CARBON_MIGRATE_JOURNAL"]
    cli = Cli(folder, environment)
    make, serving, *others = steps()
    assert make.words[:3] == ["carbon-migrate", "mock", "init"]
    await cli(*make.words[1:])
    await serve(cli, serving)
    arrivals = Arrivals()
    async with running(Dsn(str(folder / "billing.fdb")), middlewares=[arrivals.count]) as billing:
        reader = Reader(cli, billing, arrivals)
        for step in others:
            await reader.do(step)
