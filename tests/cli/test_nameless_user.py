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


def test_a_home_is_asked_for_only_where_one_is_needed(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    typed.refused("status", says="there is no journal")
    for path in ("~/a.journal", "~somebody/a.journal"):
        says = f"{path}: there is no home folder for {path.partition('/')[0]}; give the whole path"
        typed.refused("status", "--journal", path, says=says)
    says = "names a home folder that does not exist"
    typed.refused("run", "random-password", "rows.csv", "--set", "to=~/passwords.csv", says=says)
    monkeypatch.delenv("XDG_STATE_HOME")
    typed.refused("run", "balances", "balances.csv", says=["user 54321 has no home folder", "set XDG_STATE_HOME"])


def test_the_journal_names_the_user_by_the_number_and_firebird_has_a_private_folder() -> None:
    assert own_name().startswith("user 54321@")
    assert ourselves().startswith("user 54321@")
    folder = private_folder()
    assert folder == Path("/tmp") / f"carbon-migrate-{os.getuid()}"  # noqa: S108 - where it is made
    assert folder.stat().st_mode & 0o077 == 0
