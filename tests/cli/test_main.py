"""Errors become sentences and exit codes; a fault of ours keeps its details where they can be sent from."""

import os
import pwd
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import pytest

from billing.database.client_library import private_folder
from billing.errors import BillingAway
from checkpoints.errors import ForbiddenTransition, RunHeld
from cli.main import COMMANDS, load
from cli.session import run_session
from cli.session.journal import ourselves, own_name
from cli.terminal.exits import CommandRefused, Exit, SettingsRefused, code_of
from engine.errors import CountsDiffer, InputRefused, LookUpFailed
from tests.cli.conftest import Ended, Typed


def test_each_error_has_its_code() -> None:
    for error, code in (
        (SettingsRefused("x"), Exit.REFUSED),
        (CommandRefused("x", Exit.STOPPED), Exit.STOPPED),
        (InputRefused("x"), Exit.REFUSED),
        (LookUpFailed("x"), Exit.STOPPED),
        (CountsDiffer("x"), Exit.FAULT),
        (RunHeld("x"), Exit.REFUSED),
        (ForbiddenTransition("x"), Exit.FAULT),
        (BillingAway("x"), Exit.STOPPED),
    ):
        assert code_of(error) is code


def faulty(error: Exception, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> Ended:
    async def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(run_session, "begin", broken)
    ended = typed("run", "balances", "x.csv", "--api-url", "http://127.0.0.1:9")
    assert ended.exit == 70
    return ended


def test_a_fault_of_ours_is_told_without_a_traceback(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = faulty(RuntimeError("[red]impossible[/]"), typed, monkeypatch)
    assert "a fault of carbon-migrate itself: RuntimeError: [red]impossible[/]" in ended.words
    assert "Traceback" not in ended.err
    (report,) = (tmp_path / "state" / "carbon-migrate").iterdir()
    assert f"The details are in {report}: please report them" in ended.words
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert "Traceback" in report.read_text(encoding="utf-8")
    assert "What was sent is in the journal" in ended.words


@pytest.mark.parametrize("error", [MemoryError(), ExceptionGroup("tasks", [MemoryError()])])
def test_too_little_memory_is_a_sentence(
    error: Exception, typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = faulty(error, typed, monkeypatch)
    assert "there is not enough memory: give this machine or its container more" in ended.words
    assert "What was sent is in the journal" in ended.words
    assert "fault of carbon-migrate" not in ended.words
    assert not list((tmp_path / "state").rglob("fault-*"))


@pytest.mark.parametrize("arguments", [("jobs",), ("doctor",), ("status",)])
def test_a_fault_of_a_command_that_sends_nothing_says_nothing_of_what_was_sent(
    arguments: tuple[str, ...], typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("impossible")

    for where in ("jobs.show", "doctor.settings_in_force", "status.open_existing"):
        monkeypatch.setattr(f"cli.commands.{where}", broken)
    ended = typed(*arguments)
    assert ended.exit == 70
    assert "a fault of carbon-migrate itself: RuntimeError: impossible" in ended.words
    assert "sent" not in ended.words


def test_the_report_of_a_fault_follows_no_link_and_overwrites_nothing(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        @staticmethod
        def now(_zone: object) -> datetime:
            return datetime(2026, 11, 26, tzinfo=UTC)

    monkeypatch.setattr("cli.commands.execution.datetime", Clock)
    folder, elsewhere = tmp_path / "state" / "carbon-migrate", tmp_path / "elsewhere"
    folder.mkdir(parents=True)
    (folder / f"fault-20261126-000000-000000-{os.getpid()}.txt").symlink_to(elsewhere)
    faulty(RuntimeError("impossible"), typed, monkeypatch).saying("The details stand above")
    assert not elsewhere.exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    command = load(name)
    assert " ".join((command.help or "").split("\n\n")[0].split()) == COMMANDS[name].summary


def test_reading_leaves_no_trace(typed: Typed, tmp_path: Path) -> None:
    assert typed("--version").out.startswith("carbon-migrate ")
    assert typed("status").exit == 2
    assert list(tmp_path.iterdir()) == []


# ---- a user without an entry in the password file, as in a container or a service ---------------------------------


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(who: object) -> NoReturn:
        raise KeyError(f"uid not found: {who}")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(pwd, "getpwnam", nobody)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nameless")
def test_a_home_is_asked_for_only_where_one_is_needed(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    typed.refused("status", says="there is no journal")
    for path in ("~/a.journal", "~somebody/a.journal"):
        says = f"{path}: there is no home folder for {path.partition('/')[0]}; give the whole path"
        typed.refused("status", "--journal", path, says=says)
    says = "names a home folder that does not exist"
    typed.refused("run", "random-password", "rows.csv", "--set", "to=~/passwords.csv", says=says)
    monkeypatch.delenv("XDG_STATE_HOME")
    typed.refused("run", "balances", "balances.csv", says=["user 54321 has no home folder", "set XDG_STATE_HOME"])


@pytest.mark.usefixtures("nameless")
def test_the_journal_names_the_user_by_the_number_and_firebird_has_a_private_folder() -> None:
    assert own_name().startswith("user 54321@")
    assert ourselves().startswith("user 54321@")
    folder = private_folder()
    assert folder == Path("/tmp") / f"carbon-migrate-{os.getuid()}"  # noqa: S108 - where it is made
    assert folder.stat().st_mode & 0o077 == 0
