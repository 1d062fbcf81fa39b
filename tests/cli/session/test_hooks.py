"""Hooks: what a command or an address is told, without sockets and with them, and beside a load."""

import functools
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import aiohttp
import anyio
import anyio.to_thread
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aioresponses import CallbackResult, aioresponses, core

from billing.secret import Mask, Secret
from checkpoints.errors import JournalError
from checkpoints.journal import Journal
from checkpoints.records import Run, Totals
from checkpoints.states import State
from cli.session import hooks as calls
from cli.session.events import Held, HoldEnded, LiveRun, NeedsPerson, RunBegan, RunEnded, RunEvent
from cli.session.hooks import LIMIT, PING_EVERY, RETURNS, call_hooks, ping
from cli.settings.flags import Flags
from cli.settings.settings import Hook, HookEvent, HookSettings, load
from cli.show.closing import Closing
from cli.terminal.exits import Exit
from cli.terminal.screen import OutputMask
from cli.terminal.texts import language
from engine.pipeline.progress import Progress
from lab.crash.loops import loops
from tests.cli.conftest import PATIENCE, Ended, Place, Started
from tests.virtual_clock import run as on_virtual_clock
from tests.virtual_clock import settle
from tools.house import ROOT


@pytest.fixture(autouse=True)
def _answers_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a response what aiohttp wants since 3.14, and aioresponses 0.7.9 does not know."""
    made = functools.partial(aiohttp.ClientResponse, stream_writer=Mock(output_size=0))
    monkeypatch.setattr(core, "ClientResponse", made)


@dataclass
class Address:
    """An address that is served: keeps what it is asked, and answers."""

    url: str = ""
    answer: bytes = b"ok"
    status: int = 200
    heard: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    async def attend(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        self.heard.append((request.method, request.headers, await request.read()))
        return web.Response(body=self.answer, status=self.status)


@pytest.fixture
async def served() -> AsyncIterator[Address]:
    address, application = Address(), web.Application()
    application.router.add_route("*", "/{rest:.*}", address.attend)
    async with TestServer(application) as server:
        address.url = str(server.make_url("/12345:token-of-the-bot/send"))
        yield address


# ---- One call of a hook, to a command or an address: whatever that does is told by a sentence, and is never an error


MESSAGE = b'{"event":"on-end"}\n'
TOKEN = "12345:token-of-the-bot"
PASSWORD = "Canary-of-the-database"
APPRISE = """
class Apprise:
    def add(self, url):
        self.url = url
        return "nonsense" not in url
    def notify(self, title, body):
        import logging
        logging.getLogger("apprise").error("POST %s", self.url)
        if "hang" in self.url:
            import time
            time.sleep(1000)
        with open("sent", "w") as file:
            file.write("|".join([self.url, title, body]))
        return "refused" not in self.url
"""


def shell(script: str, *words: str | Path) -> Hook:
    return Hook("sh", ("sh", "-c", script, "sh", *map(str, words)))


def address(url: str) -> Hook:
    return Hook("https://example.org", url=Secret(url))


async def told(hook: Hook) -> str:
    return await calls.tell(hook, MESSAGE, Mask([PASSWORD]))


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("exit 7", "it ended with exit code 7"),
        ("echo no mail today >&2; exit 75", "it ended with exit code 75: no mail today"),
        (f"echo {PASSWORD} is wrong >&2; exit 1", "it ended with exit code 1: ••• is wrong"),
        ("kill -TERM $$", "it was ended by SIGTERM"),
        ("exec 0<&-; exit 0", "taken"),
        ("head -c 10000000 /dev/zero; head -c 10000000 /dev/zero >&2", "taken"),
        (r"head -c 10000000 /dev/zero | tr '\0' x >&2; exit 1", f"it ended with exit code 1: {'x' * 200}"),
    ],
)
async def test_what_a_command_does_is_told_and_bounded(script: str, answer: str) -> None:
    found = await told(shell(script))
    assert found.startswith(answer)
    assert len(found) < 400


async def test_a_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "not-executable").touch()
    for name, why in (("nothing", "No such file or directory"), ("not-executable", "Permission denied")):
        assert await told(Hook("x", (str(tmp_path / name),))) == f"it cannot be started: {why}"


@pytest.fixture
def fifo(tmp_path: Path) -> tuple[Path, int]:
    """A pipe with a name, which is at its end when nobody holds it any more; the end to read from."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path, os.open(path, os.O_RDONLY | os.O_NONBLOCK)


async def test_a_command_that_hangs_is_killed_with_children(
    fifo: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "LIMIT", 0.5)
    hangs = shell('trap "" TERM INT; exec 3> "$1"; sleep 1000 & echo begun >&3; wait; wait', fifo[0])
    assert await told(hangs) == "killed: it had not ended after 0.5 seconds"
    assert await read_to_its_end(fifo[1]) == b"begun\n"


async def test_a_command_that_is_given_up_while_it_starts_leaves_no_child(
    fifo: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_process = anyio.open_process

    async def slowly(*words: Any, **given: Any) -> Any:
        process = await open_process(*words, **given)
        await anyio.sleep(0.1)
        return process

    monkeypatch.setattr(anyio, "open_process", slowly)
    async with anyio.create_task_group() as group:
        group.start_soon(told, shell('exec 3> "$1"; sleep 1000 & echo begun >&3; wait', fifo[0]))
        await anyio.wait_readable(fifo[1])
        group.cancel_scope.cancel()
    assert await read_to_its_end(fifo[1]) == b"begun\n"


async def read_to_its_end(descriptor: int) -> bytes:
    heard = b""
    with anyio.fail_after(loops(5)):
        await anyio.wait_readable(descriptor)
        while part := os.read(descriptor, 100):
            heard += part
            await anyio.wait_readable(descriptor)
    os.close(descriptor)
    return heard


async def test_a_command_is_done_before_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_GRACE", 0.1)
    pid = tmp_path / "pid"
    assert await told(shell('sleep 1000 & echo "$!" > "$1"', pid)) == "taken"
    os.kill(int(pid.read_text()), signal.SIGKILL)


async def test_a_command_sees_no_passwords_of_databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("CARBON_MIGRATE_DATABASE_PASSWORD", "masterkey"),
        ("PGPASSWORD", "masterkey"),
        ("CARBON_MIGRATE_JOURNAL", "postgresql://load:masterkey@127.0.0.1/load"),
        ("CARBON_MIGRATE_API_URL", "http://127.0.0.1:8082"),
        ("PGPASSFILE", "/etc/load/pgpass"),
        ("TELEGRAM_TOKEN", TOKEN),
    ):
        monkeypatch.setenv(name, value)
    assert await told(shell('cat > "$1"; env > "$2"', tmp_path / "heard", tmp_path / "e")) == "taken"
    assert (tmp_path / "heard").read_bytes() == MESSAGE
    seen = (tmp_path / "e").read_text()
    # What it starts in turn knows that a hook has started it.
    assert "CARBON_MIGRATE_IN_HOOK=1\n" in seen
    assert "masterkey" not in seen
    assert "CARBON_MIGRATE_API_URL=http://127.0.0.1:8082\n" in seen
    assert "PGPASSFILE=/etc/load/pgpass\n" in seen
    assert TOKEN in seen


# ---- addresses --------------------------------------------------------------------------------------------------


async def test_an_address_is_posted_to_a_ping_gets_and_each_answer_is_judged_by_its_status(served: Address) -> None:
    served.answer = b"x" * 10_000_000
    for served.status, answer in (
        (200, "taken"),
        (204, "taken"),
        (301, "the redirect 301"),
        (404, "error 404"),
        (500, "error 500"),
    ):
        assert answer in await told(address(served.url))
        assert (await ping(address(served.url)) is None) is (answer == "taken")
    (post, headers, body), (get, _, nothing), *_ = served.heard
    assert (post, headers["Content-Type"], body) == ("POST", "application/json", MESSAGE)
    assert (get, nothing, len(served.heard)) == ("GET", b"", 10)
    found = await told(address(f"http://127.0.0.1:9/{TOKEN}/send"))
    assert found.startswith("it cannot be reached: ")
    assert TOKEN not in found


def test_an_address_that_does_not_answer_is_left() -> None:
    async def hang(*_: object, **__: object) -> None:
        await anyio.sleep_forever()

    async def ask() -> tuple[str, float]:
        began = anyio.current_time()
        with aioresponses() as web_answers:
            web_answers.post("https://example.org/hangs", callback=hang)
            return await told(address("https://example.org/hangs")), anyio.current_time() - began

    answer, seconds = on_virtual_clock(ask())
    assert answer == "no answer within 10 seconds"
    assert seconds == pytest.approx(LIMIT)


# ---- Apprise ----------------------------------------------------------------------------------------------------


@pytest.fixture
def _apprise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module with as much of Apprise as is used, found by whoever is started here."""
    (tmp_path / "apprise.py").write_text(APPRISE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_apprise")
@pytest.mark.parametrize(
    ("url", "answer"),
    [
        (f"tgram://{TOKEN}/5", "taken"),
        (f"refused://{TOKEN}", "it ended with exit code 1: Apprise could not deliver it"),
        (f"nonsense://{TOKEN}", "it ended with exit code 1: Apprise does not know such an address"),
        (f"hang://{TOKEN}", "killed: it had not ended after 0.3 seconds"),
    ],
)
async def test_apprise_is_told_in_a_process(
    url: str, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if url.startswith("hang"):
        monkeypatch.setattr(calls, "LIMIT", 0.3)
    message = b'{"event":"on-person","text":"run k7m2q needs you","commands":["resume k7m2q"]}'
    assert await calls.tell(Hook("apprise", url=Secret(f"apprise://{url}")), message, Mask()) == answer
    if answer == "taken":
        sent = (tmp_path / "sent").read_text()
        assert sent == f"{url}|carbon-migrate: on-person|run k7m2q needs you\nresume k7m2q"


async def test_a_script_that_others_may_write_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "tell"
    script.write_text("#!/bin/sh\n")
    for mode, answer in (
        (0o777, f"it is not run: everybody may write the hook {script}"),
        (0o775, f"it is not run: its group may write the hook {script}"),
        (0o755, "taken"),
    ):
        script.chmod(mode)
        for words in (("sh", str(script)), (str(script),)):
            assert (await told(Hook("sh", words))).startswith(answer)
    # Nor is one of somebody else.
    if os.getuid():
        monkeypatch.setattr("os.geteuid", lambda: 4712)
    else:
        os.chown(script, 4711, -1)
    assert (await told(Hook("tell", (str(script),)))).startswith(f"it is not run: the hook {script} belongs to")


async def test_no_netrc_goes_along_and_the_proxy_is_used(
    served: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login olga password canary\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert await told(address(served.url)) == "taken"
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", served.url.removesuffix(f"/{TOKEN}/send"))
    assert await told(address("http://hooks.example/x")) == "taken"
    (_, first, _), (_, second, _) = served.heard
    assert "Authorization" not in first
    assert second["Host"] == "hooks.example"


# ---- The hooks of `examples/hooks` send what they are told, and show no token


HOOKS = ROOT / "examples" / "hooks"
BOT_TOKEN = "12345:Canary-of-the-bot"
TOLD = {
    "event": "on-person",
    "text": "загрузка k7m2q (balances) ждёт вас: 1 строка ждёт вашего решения",
    "run": "k7m2q",
    "host": "billing-1",
    "billing": "http://billing:8082",
    "source": "balances.csv",
    "commands": ["carbon-migrate reconcile k7m2q"],
}


def call(name: str, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own example
        [sys.executable, str(HOOKS / name), *words],
        input=json.dumps(TOLD),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=loops(30),
    )


def test_the_example_of_a_settings_file_is_one(tmp_path: Path) -> None:
    settings = load(Flags(config=HOOKS / "carbon-migrate.toml"), {"XDG_STATE_HOME": str(tmp_path)}, tmp_path)
    assert set(settings.hooks.hooks) == set(HookEvent)
    assert settings.hooks.ping


def test_a_mail_says_what_happened_and_what_to_type(tmp_path: Path) -> None:
    sendmail = tmp_path / "sendmail"
    sendmail.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\ncat > {tmp_path}/mail\n')
    sendmail.chmod(0o700)
    found = call("mail.py", "billing@example.org", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert (found.returncode, found.stderr) == (0, "")
    mail = (tmp_path / "mail").read_text()
    assert "To: billing@example.org" in mail
    assert "Subject: carbon-migrate, billing-1: on-person k7m2q" in mail
    assert (tmp_path / "words").read_text() == "-i -t\n"


async def chat(api: str, **token: str) -> "subprocess.CompletedProcess[str]":
    return await anyio.to_thread.run_sync(lambda: call("telegram.py", "-100", TELEGRAM_API=api, **token))


async def test_a_chat_hears_it_with_the_token_of_a_file(served: Address, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{BOT_TOKEN}\n")
    found = await chat(served.url.rpartition("/12345")[0], TELEGRAM_TOKEN_FILE=str(tmp_path / "token"))
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    ((_, _, body),) = served.heard
    assert served.paths == [f"/bot{BOT_TOKEN}/sendMessage"]
    assert json.loads(body) == {"chat_id": "-100", "text": f"{TOLD['text']}\ncarbon-migrate reconcile k7m2q"}


@pytest.mark.parametrize("reached", [True, False])
async def test_what_goes_wrong_is_said_without_the_token(served: Address, *, reached: bool) -> None:
    served.status = 401
    found = await chat(
        served.url.rpartition("/12345")[0] if reached else "http://127.0.0.1:9", TELEGRAM_TOKEN=BOT_TOKEN
    )
    assert found.returncode == 1
    assert found.stderr.startswith("Telegram answered 401" if reached else "Telegram cannot be reached: ")
    assert BOT_TOKEN not in found.stderr


# ---- When hooks are called: each event once, a hold once it has lasted, a ping every minute, and all is noted


URL = "https://hooks.example.org/told"
PING = "https://hooks.example.org/ping"
HOOK = Hook("https://hooks.example.org", url=Secret(URL))
ALL = HookSettings(dict.fromkeys(HookEvent, HOOK))
TOTALS = Totals(counts={State.ACCEPTED: 3, State.REJECTED: 1}, refused=2)
ENDED = RunEnded(Closing(Exit.REJECTED, "k7m2q", "balances", TOTALS))


class History:
    """Keeps the notes of a run in memory, or cannot."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str]] = []
        self.fails = False

    async def note_command(self, _run: Run, _who: str, command: str, answer: str) -> None:
        if self.fails:
            raise JournalError("the disk is full")
        self.notes.append((command, answer))


@dataclass
class InMemory:
    """As much of a journal as a hook needs, for there is no thread on a virtual clock."""

    history: History = field(default_factory=History)
    path: Path = Path("/var/lib/loads.journal")
    name: str = "/var/lib/loads.journal"


@dataclass
class Told:
    """What the addresses were told and when, in seconds since the run began."""

    journal: InMemory = field(default_factory=InMemory)
    messages: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    pings: list[float] = field(default_factory=list)
    status: int = 200
    pings_taken: Callable[[int], bool] = lambda _: True

    @property
    def events(self) -> list[tuple[float, str]]:
        return [(when, message["event"]) for when, message in self.messages]


NOW = datetime(2026, 11, 26, tzinfo=UTC)
RUN = Run("balances", {}, "http://billing:8082", "balances.csv", run_id=1, name="k7m2q", created_at=NOW)


Hear = Callable[[RunEvent], None]
Course = Callable[[Hear], Awaitable[None]]


def tell(
    course: Course,
    settings: HookSettings = ALL,
    told: Told | None = None,
    *,
    secrets: Sequence[str] = (),
    lang: str = "en",
) -> Told:
    """Let a run take this course beside its hooks, on a virtual clock."""
    found = told or Told()
    mask = OutputMask()
    mask.hide(secrets)

    async def work() -> None:
        began = anyio.current_time()

        def heard(_url: object, **sent: Any) -> CallbackResult:
            found.messages.append((anyio.current_time() - began, msgspec.json.decode(sent["data"])))
            return CallbackResult(status=found.status)

        def pinged(_url: object, **_: object) -> CallbackResult:
            found.pings.append(anyio.current_time() - began)
            return CallbackResult(status=200 if found.pings_taken(len(found.pings)) else 503)

        live = LiveRun(RUN, cast("Journal", found.journal), Progress().status)
        with aioresponses() as web:
            web.post(URL, callback=heard, repeat=True)
            web.get(PING, callback=pinged, repeat=True)
            told, events = anyio.create_memory_object_stream[RunEvent](math.inf)
            async with told, events, anyio.create_task_group() as group:
                group.start_soon(call_hooks(settings, language(lang), mask), live, events)
                await settle()
                await course(told.send_nowait)

    on_virtual_clock(work())
    return found


async def whole(hear: Hear) -> None:
    hear(RunBegan(Totals(counts={State.PENDING: 4}), taken_up=False))
    await anyio.sleep(5)
    hear(NeedsPerson(1, "1 row waits for your decision", ["carbon-migrate reconcile k7m2q"]))
    hear(ENDED)


def test_each_event_is_told_when_it_happens_and_noted() -> None:
    found = tell(whole)
    assert found.events == [(0, "on-start"), (5, "on-person"), (5, "on-end")]
    assert found.journal.history.notes == [
        (f"{event} https://hooks.example.org", "taken") for event in ("on-start", "on-person", "on-end")
    ]

    # What a message is about, to people and to scripts.
    start, person, end = (message for _, message in found.messages)
    for message in (start, person, end):
        assert (message["run"], message["job"], message["billing"]) == ("k7m2q", "balances", "http://billing:8082")
        assert message["job_file"] is None
    assert start["states"] == {"pending": 4}
    assert start["text"] == "run k7m2q (balances) begins: 4 rows to send"
    assert person["commands"] == ["carbon-migrate reconcile k7m2q"]
    assert (end["exit"], end["states"]) == (1, {"accepted": 3, "rejected": 1})
    assert end["text"] == "run k7m2q (balances) has ended: exit code 1; accepted 3, rejected 1, refused 2"


def test_the_sentence_is_in_the_language_of_the_settings_and_all_else_is_not() -> None:
    english, russian = (tell(whole, lang=lang).messages for lang in ("en", "ru"))
    for (_, one), (_, other) in zip(english, russian, strict=True):
        assert one["text"] != other["text"]
        assert {**one, "text": "", "at": ""} == {**other, "text": "", "at": ""}


def held(*spans: tuple[str, float, float]) -> Course:
    """A run that is held for these causes, each so long, and goes on for so long."""

    async def course(hear: Hear) -> None:
        for cause, lasts, between in spans:
            hear(Held(cause, f"held by {cause}"))
            await anyio.sleep(lasts)
            # What still holds at the end is not told to be over.
            if between:
                hear(HoldEnded(cause))
                await anyio.sleep(between)
        hear(ENDED)

    return course


@pytest.mark.parametrize(
    ("spans", "after", "told"),
    [
        # Once, when it has lasted.
        ([("billing", 59, 100)], 60, []),
        ([("billing", 61, 100)], 60, [60]),
        ([("billing", 600, 100)], 60, [60]),
        # Each by itself, and none after the end.
        ([("rate", 15, RETURNS + 5), ("rate", 15, RETURNS + 5), ("paused", 9, 0)], 10, [10, 40]),
        # A billing that is tried by a call and fails again is one hold.
        ([("billing", 9, 1)] * 20, 60, [66]),
        ([("billing", 9, RETURNS + 1)] * 20, 60, []),
    ],
)
def test_a_hold_is_told_once_when_it_has_lasted(
    spans: Sequence[tuple[str, float, float]], after: float, told: list[float]
) -> None:
    found = tell(held(*spans), replace(ALL, hold_seconds=after))
    assert [when for when, event in found.events if event == "on-hold"] == told
    for _, message in found.messages[:-1]:
        cause = spans[0][0]
        assert (message["cause"], message["why"]) == (cause, f"held by {cause}")
        assert message["seconds"] == pytest.approx(after, abs=6)
        assert f"run k7m2q (balances) has been held for {after // 60}:" in message["text"]
        assert message["text"].endswith(f": held by {cause}")


def test_it_is_pinged_every_minute_and_at_the_end_and_what_fails_is_noted_once() -> None:
    async def long(hear: Hear) -> None:
        await anyio.sleep(5.5 * PING_EVERY)
        hear(ENDED)

    told = Told(pings_taken=lambda number: number not in {2, 3})
    found = tell(long, HookSettings(ping=Hook("https://hooks.example.org", url=Secret(PING))), told)
    assert found.pings == [0, 60, 120, 180, 240, 300, 330]
    assert found.journal.history.notes == [
        ("ping https://hooks.example.org", "it answered with the error 503"),
        ("ping https://hooks.example.org", "it is taken again"),
    ]


def test_a_hook_that_fails_and_a_journal_that_fails_stop_no_other_call() -> None:
    told = Told(status=500)
    told.journal.history.fails = True
    assert [event for _, event in tell(whole, told=told).events] == ["on-start", "on-person", "on-end"]


# ---- a load beside which hooks are called: they hear what happens, and change nothing ----------------------------

ROWS = 4
SECRETS = ("Canary-of-the-form", "Canary-of-a-header", "Canary-of-the-database", "bot1234567890:Canary-of-a-bot")
KEEPS = 'cat > "$1.json"; tr "\\0" "\\n" < /proc/$PPID/cmdline > "$1.args"; env > "$1.env"'
FAILS = "head -c 10000000 /dev/zero; head -c 10000000 /dev/zero >&2; exit 9"


def toml(hooks: Mapping[str, object]) -> str:
    """The settings of a load with these hooks, and with a secret of each sort."""
    form, header, database, bot = SECRETS
    lines = [f"{name} = {json.dumps(value)}" for name, value in hooks.items()]
    return "\n".join(
        [
            f'api.form = {{ hash_key = "{form}" }}\napi.headers = {{ X-Token = "{header}" }}',
            f'database.password = "{database}"',
            'metrics.file = "carbon-{run}.prom"',
            "[hooks]",
            f'ping = "http://127.0.0.1:9/{bot}"',
            *lines,
        ]
    )


def keeping(event: str) -> list[str]:
    return ["sh", "-c", KEEPS, "sh", event]


def use(place: Place, hooks: Mapping[str, object]) -> None:
    """Let loads have these hooks."""
    place.write(toml(hooks), "carbon-migrate.toml").chmod(0o600)


async def loaded(place: Place, hooks: Mapping[str, object], *flags: str, may_end_with: int = 0) -> Ended:
    use(place, hooks)
    rows = place.balances(ROWS).path
    # Another load of the same rows: what the first one entered does not count.
    return await place.cli(
        "run", "balances", rows, "--yes", "--json", "--again", *flags, may_end_with=(may_end_with,)
    )


def heard(place: Place, event: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place.cli.folder / f"{event}.json").read_text())
    return found


async def notes(place: Place, name: str) -> list[tuple[str, str]]:
    async with place.journal() as journal:
        commands = await journal.history.commands(await journal.run(name))
    return [(one.command, one.answer) for one in commands if one.command.startswith("on-")]


async def test_a_command_hears_what_json_says_and_no_secret_goes_anywhere(place: Place) -> None:
    ended = await loaded(place, {"on-start": keeping("start"), "on-end": keeping("end")})
    closing = ended.closing
    end = heard(place, "end")
    assert {**end, **closing} == end
    assert heard(place, "start")["states"] == {"pending": ROWS}
    assert (end["run"], end["billing"]) == (closing["run"], place.billing.url)
    assert end["source"] == str(place.cli.folder / "balances.csv")
    assert sorted(await notes(place, closing["run"])) == [("on-end sh", "taken"), ("on-start sh", "taken")]
    status = await place.cli("status", closing["run"])
    assert "on-end sh" in status.out
    settings = place.cli.folder / "carbon-migrate.toml"
    assert (place.cli.folder / f"carbon-{closing['run']}.prom").is_file()
    for path in place.cli.folder.rglob("*"):
        if path.is_file() and path != settings:
            assert [secret for secret in SECRETS if secret.encode() in path.read_bytes()] == [], path
    assert [secret for secret in SECRETS if secret in ended.out + ended.err + status.out + status.err] == []


async def test_hooks_that_fail_change_neither_json_nor_exit_code(place: Place, tmp_path: Path) -> None:
    quiet = await loaded(place, {})
    broken = {
        "on-start": ["sh", "-c", FAILS],
        "on-end": str(tmp_path / "nothing"),
        "on-hold": "http://127.0.0.1:9/",
        "hold-seconds": 0,
    }
    loud = await loaded(place, broken)
    measured = {"run": "", "seconds": 0, "held": {}}
    assert (loud.exit, list(loud.closing)) == (quiet.exit, list(quiet.closing))
    assert json.dumps(loud.closing | measured) == json.dumps(quiet.closing | measured)
    start, end = sorted(await notes(place, loud.closing["run"]), reverse=True)
    assert start[1].startswith("it ended with exit code 9")
    assert end[1] == "it cannot be started: No such file or directory"


async def test_a_hook_that_hangs_delays_neither_the_run_nor_another_hook(place: Place) -> None:
    fifo = place.cli.folder / "fifo"
    os.mkfifo(fifo)
    # The first one hangs until the run has ended, and would be killed if the run waited for it.
    hooks = {
        "on-start": ["sh", "-c", 'read end < "$1"', "sh", str(fifo)],
        "on-end": ["sh", "-c", 'echo > "$1"', "sh", str(fifo)],
    }
    loud = await loaded(place, hooks)
    assert loud.closing["states"] == {"accepted": ROWS}
    assert sorted(await notes(place, loud.closing["run"])) == [("on-end sh", "taken"), ("on-start sh", "taken")]


@asynccontextmanager
async def hanging_at_the_end(place: Place, *command: str | Path) -> AsyncIterator[Started]:
    """A command that has ended a run, and waits for its hook."""
    fifo = place.cli.folder / "begun"
    os.mkfifo(fifo)
    hooks = {"on-end": ["sh", "-c", 'echo > "$1"; sleep 1000 & wait', "sh", str(fifo)]}
    use(place, hooks)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        async with place.cli.started(*command, "--yes", "--json") as started:
            with anyio.fail_after(PATIENCE):
                await anyio.wait_readable(reading)
            yield started
    finally:
        os.close(reading)


async def test_who_does_not_wait_for_a_hook_that_hangs_has_the_same_end(place: Place) -> None:
    async with hanging_at_the_end(place, "run", "balances", place.balances(ROWS).path) as started:
        started.signal(signal.SIGINT)
        ended = await started.ended()
    assert (ended.exit, ended.closing["exit"]) == (Exit.DONE, Exit.DONE)
    assert await notes(place, ended.closing["run"]) == [("on-end sh", "given up when the run was closed")]


async def test_who_interrupts_the_hook_of_a_step_interrupts_its_job_file(place: Place) -> None:
    async with hanging_at_the_end(place, "run", two_steps(place)) as started:
        started.signal(signal.SIGINT)
        ended = await started.ended()
    assert ended.exit == Exit.INTERRUPTED
    assert [step["exit"] for step in ended.closing["steps"]] == [Exit.DONE, None]
    # What was to be told is given up as a whole: the end of the file is not told by the same hook.
    told = await notes(place, ended.closing["steps"][0]["run"])
    assert told == [("on-end sh", "given up when the run was closed")]


def two_steps(place: Place) -> Path:
    """A job file that enters the same rows twice."""
    rows = place.balances(ROWS).path
    shutil.copy(rows, place.cli.folder / "second.csv")
    step = '[[step]]\njob = "balances"\nfile = "{}"\nagain = true\n'
    steps = step.format(rows.name) + step.format("second.csv")
    return place.write(f"format = 1\n[run]\nsettle = 0\n{steps}", "night.toml")


def told_lines(place: Place) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place.cli.folder / "told.jsonl").read_text().splitlines()]


async def test_a_file_that_a_step_ends_before_it_begins_is_told_with_the_run_before(place: Place) -> None:
    hooks = {"on-end": ["sh", "-c", "cat >> told.jsonl; rm -f second.csv"]}
    use(place, hooks)
    ended = await place.run(two_steps(place), ends=Exit.STOPPED)
    of_run, of_file = told_lines(place)
    file = str(place.cli.folder / "night.toml")
    assert of_run["job_file"] == {"file": file, "round": 1, "step": 1, "steps": 2}
    assert (of_run["exit"], of_file["exit"]) == (Exit.DONE, Exit.STOPPED)
    assert of_file["run"] == of_run["run"]
    assert of_file["job_file"] == of_run["job_file"]
    assert of_file["steps"] == ended["steps"]
    assert of_file["text"].startswith(f"job file {place.cli.folder / 'night.toml'} has ended after step 1 of 2: ")
    assert of_file["error"] == ended["error"]
    assert "second.csv" in of_file["error"]


async def test_what_holds_a_file_between_two_steps_and_ends_it_there_is_told(place: Place) -> None:
    told = ["sh", "-c", "cat >> told.jsonl"]
    hooks = {"on-end": told, "on-hold": ["sh", "-c", "cat > hold.json; echo held >&2; exit 1"], "hold-seconds": 0}
    use(place, hooks)
    place.works_off_the_first_alone()
    async with place.cli.started("run", two_steps(place), "--yes", "--json") as started:
        await started.said("exit code 1: held")
        started.signal(signal.SIGINT)
        ended = await started.ended()
    assert ended.exit == Exit.INTERRUPTED
    assert heard(place, "hold")["cause"] == "barrier"
    of_run, of_file = told_lines(place)
    assert (of_run["exit"], of_file["exit"]) == (Exit.DONE, Exit.INTERRUPTED)
    assert (of_file["stopped"], of_file["run"]) == (ended.closing["stopped"], of_run["run"])
    assert len(await notes(place, of_run["run"])) == 3


async def test_doctor_names_who_cannot_be_told_and_lets_runs_go_on(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        place.write(
            f'[hooks]\non-end = "./mail"\non-hold = "sh -c true"\n[metrics]\nfile = "gone/run.prom"\nport = {port}\n',
            "carbon-migrate.toml",
        )
        told = " ".join((await place.cli("doctor")).out.split())
    assert f"! hooks on-end: {place.cli.folder / 'mail'} is not there, or cannot be executed" in told
    assert "on-hold" not in told
    assert f"{place.cli.folder / 'gone' / 'run.prom'}: its folder is not there, or cannot be written" in told
    assert f"port {port} cannot be had: " in told


async def test_a_run_that_a_hook_has_started_calls_no_hooks(place: Place) -> None:
    script = place.write("", "tell.sh")
    script.chmod(0o666)
    refused = await loaded(place, {"on-end": ["sh", str(script)]}, may_end_with=Exit.REFUSED)
    refused.saying(f"everybody may write the hook {script}: it is not taken")
    assert place.traffic.arrived == 0
    assert f"everybody may write the hook {script}" in await place.cli.told("doctor", ends=2)
    place.cli.environment["CARBON_MIGRATE_IN_HOOK"] = "1"
    ended = await loaded(place, {"on-start": keeping("start"), "on-end": keeping("end")})
    ended.saying("a hook has started this command, so it calls no hooks")
    assert not (place.cli.folder / "start.json").exists()
    assert await notes(place, ended.closing["run"]) == []
