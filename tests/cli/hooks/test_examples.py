"""The hooks of `examples/hooks` send what they are told, and show no token."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cli.settings.flags import Flags
from cli.settings.hooks import HookEvent
from cli.settings.settings import load
from lab.crash.loops import loops
from tools.house import ROOT

HOOKS = ROOT / "examples" / "hooks"
TOKEN = "12345:Canary-of-the-bot"
MESSAGE = {
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
        input=json.dumps(MESSAGE),
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


@dataclass
class Bot:
    """Telegram, as far as the example knows it."""

    status: int = 200
    url: str = ""
    heard: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def bot() -> Iterator[Bot]:
    made = Bot()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.heard.append((self.path, body))
            self.send_response(made.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield made
        server.shutdown()


def test_a_chat_hears_it_with_the_token_of_a_file(bot: Bot, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    found = call("telegram.py", "-100", TELEGRAM_TOKEN_FILE=str(tmp_path / "token"), TELEGRAM_API=bot.url)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    ((path, body),) = bot.heard
    assert path == f"/bot{TOKEN}/sendMessage"
    assert body == {"chat_id": "-100", "text": f"{MESSAGE['text']}\ncarbon-migrate reconcile k7m2q"}


@pytest.mark.parametrize("reached", [True, False])
def test_what_goes_wrong_is_said_without_the_token(bot: Bot, *, reached: bool) -> None:
    bot.status = 401
    api = bot.url if reached else "http://127.0.0.1:9"
    found = call("telegram.py", "-100", TELEGRAM_TOKEN=TOKEN, TELEGRAM_API=api)
    assert found.returncode == 1
    assert found.stderr.startswith("Telegram answered 401" if reached else "Telegram cannot be reached: ")
    assert TOKEN not in found.stderr
