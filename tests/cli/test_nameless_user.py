"""A user without an entry in the password file, as in a container or a service: a sentence, never a fault."""

import os
import pwd
from pathlib import Path
from typing import NoReturn

import pytest

from billing.database.client_library import private_folder
from cli.session.control_client import ourselves, own_name
from tests.cli.conftest import Typed


@pytest.fixture(autouse=True)
def _nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(who: object) -> NoReturn:
        raise KeyError(f"uid not found: {who}")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(pwd, "getpwnam", nobody)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)


def test_a_command_that_needs_no_home_needs_none(typed: Typed) -> None:
    typed.refused("status", says="there is no journal")


def test_without_a_home_the_variable_to_set_is_named(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    typed.refused("run", "balances", "balances.csv", says=["user 54321 has no home folder", "set XDG_STATE_HOME"])


@pytest.mark.parametrize("path", ["~/a.journal", "~somebody/a.journal"])
def test_a_path_of_a_home_that_is_not_there_is_refused(typed: Typed, path: str) -> None:
    ended = typed("status", "--journal", path)
    assert ended.exit == 2
    assert f"{path}: there is no home folder for {path.partition('/')[0]}; give the whole path" in ended.words


def test_a_file_in_a_home_that_is_not_there_is_refused(typed: Typed) -> None:
    ended = typed("run", "random-password", "rows.csv", "--set", "to=~/passwords.csv")
    assert ended.exit == 2
    assert "names a home folder that does not exist" in ended.words


def test_the_journal_names_the_user_by_the_number() -> None:
    assert own_name().startswith("user 54321@")
    assert ourselves().startswith("user 54321@")


def test_firebird_has_a_private_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", os.getuid)
    folder = private_folder()
    assert folder == Path("/tmp") / f"carbon-migrate-{os.getuid()}"  # noqa: S108 - where it is made
    assert folder.stat().st_mode & 0o077 == 0
