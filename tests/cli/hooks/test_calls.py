"""One call of a hook, to a command or an address: whatever that does is told by a sentence, and is never an error."""

import os
import signal
from pathlib import Path

import anyio
import pytest
from aioresponses import aioresponses

from billing.secret import Mask, Secret
from cli.hooks import reader as calls
from cli.hooks.reader import LIMIT, HookCalls
from cli.settings.tables import Hook
from lab.crash.loops import loops
from tests.cli.hooks.conftest import Address
from tests.virtual_clock import run as on_virtual_clock

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
    hook_calls = HookCalls(Mask([PASSWORD]))
    async with hook_calls.open():
        return await hook_calls.tell(hook, MESSAGE)


async def test_a_command_has_the_message_on_its_standard_input(tmp_path: Path) -> None:
    assert await told(shell('cat > "$1"', tmp_path / "heard")) == "taken"
    assert (tmp_path / "heard").read_bytes() == MESSAGE


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
    plain = tmp_path / "not-executable"
    plain.write_text("")
    assert await told(Hook("x", (str(tmp_path / "nothing"),))) == "it cannot be started: No such file or directory"
    assert await told(Hook("x", (str(plain),))) == "it cannot be started: Permission denied"


async def test_a_command_that_hangs_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The child holds the other end of a pipe, which is at its end when the child is.
    monkeypatch.setattr(calls, "LIMIT", 0.5)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    answer = await told(shell('trap "" TERM INT; exec 3> "$1"; sleep 1000 & echo begun >&3; wait; wait', fifo))
    assert answer == "killed: it had not ended after 0.5 seconds"
    heard = b""
    with anyio.fail_after(loops(5)):
        while part := await read_part(reading):
            heard += part
    os.close(reading)
    assert heard == b"begun\n"


async def read_part(descriptor: int) -> bytes:
    await anyio.wait_readable(descriptor)
    return os.read(descriptor, 100)


async def test_a_command_is_done_when_it_has_ended_whatever_its_children_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "_GRACE", 0.1)
    pid = tmp_path / "pid"
    assert await told(shell('sleep 1000 & echo "$!" > "$1"', pid)) == "taken"
    os.kill(int(pid.read_text()), signal.SIGKILL)


async def test_a_command_does_not_see_the_passwords_of_databases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARBON_MIGRATE_DATABASE_PASSWORD", "masterkey")
    monkeypatch.setenv("PGPASSWORD", "masterkey")
    monkeypatch.setenv("CARBON_MIGRATE_JOURNAL", "postgresql://load:masterkey@127.0.0.1/load")
    monkeypatch.setenv("CARBON_MIGRATE_API_URL", "http://127.0.0.1:8082")
    monkeypatch.setenv("PGPASSFILE", "/etc/load/pgpass")
    monkeypatch.setenv("TELEGRAM_TOKEN", TOKEN)
    await told(shell('env > "$1"', tmp_path / "e"))
    seen = (tmp_path / "e").read_text()
    assert "masterkey" not in seen
    assert "CARBON_MIGRATE_API_URL=http://127.0.0.1:8082\n" in seen
    assert "PGPASSFILE=/etc/load/pgpass\n" in seen
    assert TOKEN in seen


# ---- addresses --------------------------------------------------------------------------------------------------


async def test_an_address_is_posted_to_and_a_ping_gets(served: Address) -> None:
    served.answer = b"x" * 10_000_000
    hook_calls = HookCalls(Mask([PASSWORD]))
    async with hook_calls.open():
        assert await hook_calls.tell(address(served.url), MESSAGE) == "taken"
        assert await hook_calls.ping(address(served.url)) is None
    (post, headers, body), (get, _, nothing) = served.heard
    assert (post, headers["Content-Type"], body) == ("POST", "application/json", MESSAGE)
    assert (get, nothing) == ("GET", b"")


@pytest.mark.parametrize(
    ("status", "answer"),
    [(200, "taken"), (204, "taken"), (301, "the redirect 301"), (404, "error 404"), (500, "error 500")],
)
async def test_an_answer_is_judged_by_its_status(status: int, answer: str) -> None:
    url = f"https://api.example.org/{TOKEN}/send"
    with aioresponses() as web_answers:
        web_answers.post(url, status=status, headers={"Location": "https://elsewhere.example.org/"})
        web_answers.get(url, status=status)
        assert answer in await told(address(url))
        hook_calls = HookCalls(Mask([PASSWORD]))
        async with hook_calls.open():
            pinged = await hook_calls.ping(address(url))
    assert (pinged is None) is (answer == "taken")


async def test_an_address_that_nobody_serves_is_told_without_its_token() -> None:
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
async def test_apprise_is_told_in_a_process_that_can_be_killed(
    url: str, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if url.startswith("hang"):
        monkeypatch.setattr(calls, "LIMIT", 0.3)
    message = b'{"event":"on-person","text":"run k7m2q needs you","commands":["resume k7m2q"]}'
    hook_calls = HookCalls(Mask())
    assert await hook_calls.tell(Hook("apprise", url=Secret(f"apprise://{url}")), message) == answer
    if answer == "taken":
        sent = (tmp_path / "sent").read_text()
        assert sent == f"{url}|carbon-migrate: on-person|run k7m2q needs you\nresume k7m2q"


async def test_a_script_that_others_may_write_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "tell"
    script.write_text("#!/bin/sh\n")
    for mode, what in ((0o777, "everybody may write the hook"), (0o775, "its group may write the hook")):
        script.chmod(mode)
        for words in (("sh", str(script)), (str(script),)):
            assert (await told(Hook("sh", words))).startswith(f"it is not run: {what} {script}")
    script.chmod(0o755)
    for words in (("sh", str(script)), (str(script),)):
        assert await told(Hook("sh", words)) == "taken"
    # Nor is one of somebody else.
    if os.getuid():
        monkeypatch.setattr("os.geteuid", lambda: 4712)
    else:
        os.chown(script, 4711, -1)
    assert (await told(Hook("tell", (str(script),)))).startswith(f"it is not run: the hook {script} belongs to")


async def test_no_password_of_netrc_goes_along_and_the_proxy_of_the_environment_is_used(
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


async def test_what_a_hook_starts_knows_that_a_hook_has_started_it(tmp_path: Path) -> None:
    assert await told(shell('printenv CARBON_MIGRATE_IN_HOOK > "$1"', tmp_path / "in")) == "taken"
    assert (tmp_path / "in").read_text() == "1\n"
