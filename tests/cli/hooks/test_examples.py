"""The hooks of `examples/hooks` send what they are told, and show no token."""

import json
import subprocess
import sys
from pathlib import Path

import anyio.to_thread
import pytest

from cli.settings.flags import Flags
from cli.settings.settings import load
from cli.settings.tables import HookEvent
from lab.crash.loops import loops
from tests.cli.hooks.conftest import Address
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


async def chat(api: str, **token: str) -> "subprocess.CompletedProcess[str]":
    return await anyio.to_thread.run_sync(lambda: call("telegram.py", "-100", TELEGRAM_API=api, **token))


async def test_a_chat_hears_it_with_the_token_of_a_file(served: Address, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    found = await chat(served.url.rpartition("/12345")[0], TELEGRAM_TOKEN_FILE=str(tmp_path / "token"))
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    ((_, _, body),) = served.heard
    assert served.paths == [f"/bot{TOKEN}/sendMessage"]
    assert json.loads(body) == {"chat_id": "-100", "text": f"{MESSAGE['text']}\ncarbon-migrate reconcile k7m2q"}


@pytest.mark.parametrize("reached", [True, False])
async def test_what_goes_wrong_is_said_without_the_token(served: Address, *, reached: bool) -> None:
    served.status = 401
    found = await chat(served.url.rpartition("/12345")[0] if reached else "http://127.0.0.1:9", TELEGRAM_TOKEN=TOKEN)
    assert found.returncode == 1
    assert found.stderr.startswith("Telegram answered 401" if reached else "Telegram cannot be reached: ")
    assert TOKEN not in found.stderr
