"""Somebody who does what a page says, in a new folder: types its commands, and compares what they say with it."""

import asyncio
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import anyio
import anyio.to_thread
from openpyxl import load_workbook

from billing.database.dsn import Dsn
from lab.mock.server import running
from tests.cli.conftest import PATIENCE, Cli, Ended, Started, clean_environment
from tests.cli.forking import Output
from tests.cli.terminal.terminals import opened
from tests.docs.blocks import Block, Page, words
from tools.house import ROOT

ADDRESS = "http://127.0.0.1:8082"
"""Where the pages have their billing; here it is on a free port."""
LATENCY = 0.01
LOCALES = {"en": "C.UTF-8", "ru": "ru_RU.UTF-8"}
SETTINGS = f"""\
[api]
url = "{ADDRESS}"

[database]
address = "billing.fdb"
"""

_RUN = re.compile(r"\b((?=[a-z]*\d)(?=\d*[a-z])[a-hj-km-np-z2-9]{5})\b")
_TYPED_RUN = re.compile(rf"\bRUN\b|{_RUN.pattern}")
_PORT = re.compile(r"http://127\.0\.0\.1:(\d+)")
_CELL = re.compile(r"^\| `([A-Z]+\d+)` \| (.*) \| (.*) \|$", re.MULTILINE)
_TERMINAL = re.compile(r"\x1b\[[\d;?]*[A-Za-z]|\r")


class OtherTerminal:
    """A command that works beside the others, and what it has said so far."""

    def __init__(self, started: Started) -> None:
        self._started = started
        self._parts: list[list[bytes]] = [[], []]
        self._more = anyio.Event()
        streams = (started.process.stdout, started.process.stderr)
        self._ears = [asyncio.create_task(self._hear(*one)) for one in zip(self._parts, streams, strict=True)]

    async def _hear(self, parts: list[bytes], stream: Output) -> None:
        async for part in stream:
            parts.append(part)
            self._more.set()
            self._more = anyio.Event()

    @property
    def said(self) -> Ended:
        out, err = (b"".join(parts).decode(errors="replace") for parts in self._parts)
        return Ended(0, out, err)

    async def says(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Wait until it has said that."""
        with anyio.fail_after(PATIENCE):
            while not (found := pattern.search(_plain(self.said.out)) or pattern.search(_plain(self.said.err))):
                await self._more.wait()
        return found

    async def ends(self) -> int:
        with anyio.fail_after(PATIENCE):
            return await self._started.process.wait()

    async def interrupt(self) -> None:
        """What Ctrl-C does to it, and the closing of its window to what does not end by that."""
        self._started.signal(signal.SIGINT)
        with anyio.move_on_after(PATIENCE):
            await self._started.process.wait()
        self._started.process.kill()
        await asyncio.gather(*self._ears)


@dataclass(slots=True)
class Reader:
    """Who reads a page in a folder: what is known of the runs there, of the addresses, and what works beside."""

    cli: Cli
    terminals: AsyncExitStack
    control: str = ""
    addresses: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    beside: list[OtherTerminal] = field(default_factory=list)

    async def do(self, block: Block) -> None:
        """Do what a block says; fails by an assertion where that does not do what the page says."""
        if block.of("not run"):
            return
        if (fault := block.of("the billing fails")) is not None:
            plan = f"fault = [{{{fault.text}}}]"
            async with aiohttp.ClientSession() as session, session.put(f"{self.control}/faults", data=plan) as told:
                assert told.ok, await told.text()
        for one in (remark for remark in block.remarks if remark.what == "first"):
            numbers = {one.how: one.number}
            await self._type(one.text, code=numbers.get("ends with", 0), killed=numbers.get("killed after", 0))
        if (cells := block.of("cells of")) is not None:
            await anyio.to_thread.run_sync(correct, self.cli.folder / cells.text, block.text)
        elif (file := block.of("file") or block.of("added to")) is not None:
            path = self.cli.folder / file.text
            before = path.read_text(encoding="utf-8") if file.what == "added to" else ""
            path.write_text(before + self._placed(block.text), encoding="utf-8")
        beside, answer, more = (block.of(what) for what in ("in another terminal", "answered", "typed as well"))
        others = shlex.split(more.text) if more else []
        for command, says in block.typed:
            if beside is not None:
                await self._type_beside(command, says, others, beside.number)
                continue
            code, killed = block.number("ends with"), block.number("killed after")
            ended = await self._type(command, others, answer.text if answer else "", code=code, killed=killed)
            self._compare(command, says, ended)
        if (ends := block.of("then the other terminal ends with")) is not None:
            other = self.beside[-1]
            assert await other.ends() == ends.number, other.said

    async def leave(self) -> None:
        """End what works in other terminals."""
        for other in reversed(self.beside):
            await other.interrupt()
        await self.terminals.aclose()

    def _placed(self, text: str) -> str:
        """A text of the page with the addresses of this billing."""
        for shown, address in self.addresses.items():
            text = text.replace(shown, address)
        return text

    async def _type(
        self, command: str, more: Sequence[str] = (), answer: str = "", *, code: int = 0, killed: int = 0
    ) -> Ended:
        command = self._named(command)
        plain = words(command)
        if answer:
            environment = {**self.cli.environment, "TERM": "xterm"}
            with opened(["sh", "-c", command], self.cli.folder, environment) as terminal:
                terminal.types(f"{answer}\n")
                ended = Ended(await terminal.ends(), _TERMINAL.sub("", terminal.seen), "")
        elif plain and plain[0] == "carbon-migrate":
            until = await self._calls() + killed if killed else 0
            async with self.cli.started(*plain[1:], *more) as started:
                if killed:
                    await self._reach(until, started)
                    started.signal(signal.SIGKILL)
                ended = await started.ended(None)
        else:
            shell = ["sh", "-c", command]
            folder, environment = self.cli.folder, self.cli.environment
            done = await anyio.run_process(shell, cwd=folder, env=environment, check=False, stdin=subprocess.DEVNULL)
            ended = Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
        code = -signal.SIGKILL if killed else code
        assert ended.exit == code, f"{command}\nends with {ended.exit}, not with {code}\n{ended.out}\n{ended.err}"
        return ended

    async def _type_beside(self, command: str, says: Sequence[str], more: Sequence[str], calls: int) -> None:
        typed = words(self._named(command))
        assert typed is not None, "a shell cannot be left working"
        assert typed[0] == "carbon-migrate", command
        ports = [place for place, word in enumerate(typed) if typed[place - 1] == "--port"]
        shown = [typed[place] for place in ports]
        for place in ports:
            typed[place] = "0"
        serves = typed[1:3] == ["mock", "serve"]
        until = await self._calls() + calls if calls else 0
        more = ["--control-port", "0"] if serves else more
        started = await self.terminals.enter_async_context(self.cli.started(*typed[1:], *more))
        other = OtherTerminal(started)
        self.beside.append(other)
        for port in shown:
            address = (await other.says(_PORT))[0]
            self.addresses[f"http://127.0.0.1:{port}"] = address
        if serves:
            self.control = (await other.says(re.compile(r"control: (\S+)")))[1]
        for line in says:
            self._learn(await other.says(self._pattern(line)))
        if calls:
            await self._reach(until, started)

    async def _calls(self) -> int:
        """How many calls have arrived at the billing."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.control}/state") as answer:
            return int((await answer.json())["requests"])

    async def _reach(self, calls: int, started: Started) -> None:
        """Wait until so many calls have arrived, or the command that makes them has ended before."""
        with anyio.fail_after(PATIENCE):
            while started.process.returncode is None and await self._calls() < calls:  # noqa: ASYNC110 - a billing in another process counts
                await anyio.sleep(LATENCY)

    def _named(self, command: str) -> str:
        """What is typed: with the names that the runs of the page have here, the newest where none was shown."""
        command = self._placed(command)
        for plan in re.findall(r"--plan (\S+)", command):
            self.runs.setdefault(plan, self._newest("*.journal-plans", plan))
        for run in (found[0] for found in _TYPED_RUN.finditer(command)):
            if run == "RUN" or run not in self.runs:
                self.runs[run] = self._newest("*.journal", run)
        return _TYPED_RUN.sub(lambda found: self.runs.get(found[0], found[0]), command)

    def _newest(self, journals: str, name: str) -> str:
        """The newest run of a journal; `name` where there is none."""
        state = Path(self.cli.environment["XDG_STATE_HOME"])
        found = [path for folder in (state, self.cli.folder) for path in folder.rglob(journals)]
        for path in sorted(found, key=lambda one: one.stat().st_mtime, reverse=True):
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as journal:
                for (newest,) in journal.execute("select name from runs order by run_id desc limit 1"):
                    return str(newest)
        return name

    def _compare(self, command: str, says: Sequence[str], ended: Ended) -> None:
        """Look for each line of the page behind the one before it, on stdout or on stderr, wherever lines break."""
        streams = [_plain(ended.out), _plain(ended.err)]
        for line in says:
            pattern = self._pattern(line)
            found = [pattern.search(stream) for stream in streams]
            assert any(found), f"{command}\ndoes not say: {line}\n\n{ended.out}\n{ended.err}"
            place, match = next((place, match) for place, match in enumerate(found) if match)
            streams[place] = streams[place][match.end() :]
            self._learn(match)

    def _learn(self, match: re.Match[str]) -> None:
        self.runs |= {name.removeprefix("run_"): run for name, run in match.groupdict().items()}

    def _pattern(self, line: str) -> re.Pattern[str]:
        parts = re.split(f"(…)|{_RUN.pattern}", _plain(self._placed(line)))
        return re.compile("".join(self._part(part) for part in parts if part))

    def _part(self, part: str) -> str:
        if part == "…":
            return ".{0,200}?"
        if _RUN.fullmatch(part) and part not in self.runs:
            return f"(?P<run_{part}>[a-z2-9]{{5}})"
        return re.escape(self.runs.get(part, part))


async def read(page: Page, billing_file: Path, folder: Path) -> Reader:
    """Do all that a page says, in a folder that is made for it, with the stand that the page starts from."""
    work = folder / "work"
    work.mkdir(parents=True)
    for path in page.files:
        if path.is_dir():
            shutil.copytree(path, work, dirs_exist_ok=True)
        else:
            shutil.copy(path, work)
    async with AsyncExitStack() as stack:
        reader = Reader(Cli(work, environment_of(page.language, folder)), AsyncExitStack())
        stack.push_async_callback(reader.leave)
        if page.has_billing:
            file = shutil.copy(billing_file, work / "billing.fdb")
            billing = await stack.enter_async_context(running(Dsn(str(file)), latency=LATENCY, control_port=0))
            reader.control, reader.addresses[ADDRESS] = billing.control_url, billing.url
            (work / "carbon-migrate.toml").write_text(SETTINGS.replace(ADDRESS, billing.url), encoding="utf-8")
        for block in page.blocks:
            await reader.do(block)
    return reader


def environment_of(language: str, folder: Path) -> Mapping[str, str]:
    """The environment of somebody who reads in a language, at 80 columns, with a home of his own."""
    programs = folder / "bin"
    programs.mkdir()
    script = programs / "carbon-migrate"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {sys.executable} -m cli "$@"\n')
    script.chmod(0o755)
    environment = clean_environment() | {"LANG": LOCALES[language], "COLUMNS": "80", "HOME": str(folder)}
    environment |= {"XDG_STATE_HOME": str(folder / "state"), "PATH": f"{programs}:{environment['PATH']}"}
    del environment["CARBON_MIGRATE_JOURNAL"]
    return environment


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
