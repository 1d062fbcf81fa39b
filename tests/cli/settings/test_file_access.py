"""Whose files are taken, and which are told to be open to others."""

import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from checkpoints.journal import open_journal
from cli.settings.flags import Flags
from cli.settings.profiles import profile_of, profile_path
from cli.settings.settings import load
from cli.terminal.exits import SettingsRefused
from tests.cli.conftest import Typed

STRANGER = 4711
ANOTHER = 4712
URL = "http://169.254.80.82:8082"
SECRETS = f'[api]\nurl = "{URL}"\nform = {{ hash_key = "very-secret" }}\n'

GiveAway = Callable[[Path], None]


@pytest.fixture
def give_away(monkeypatch: pytest.MonkeyPatch) -> GiveAway:
    """Makes a file another user's: as root by giving it away, else by being another user from then on."""

    def give(path: Path) -> None:
        if os.getuid():
            monkeypatch.setattr("os.geteuid", lambda: ANOTHER)
        else:
            os.chown(path, STRANGER, -1, follow_symlinks=False)

    return give


def settings_file(folder: Path, text: str = SECRETS) -> Path:
    path = folder / "carbon-migrate.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def test_a_settings_file_of_somebody_else_is_not_taken_unless_it_is_named(
    tmp_path: Path, give_away: GiveAway, typed: Typed
) -> None:
    path = settings_file(tmp_path)
    assert load(Flags(), {}, tmp_path).api_url.value == URL
    give_away(path)
    ended = typed("status")
    assert ended.exit == 2
    assert f"the settings file {path} belongs to " in ended.words
    assert "If you trust it, name it with --config carbon-migrate.toml; or make it yours: chown " in ended.words
    assert load(Flags(config=path), {}, tmp_path).api_url.value == URL


def test_a_link_that_somebody_else_has_made_is_not_followed(tmp_path: Path, give_away: GiveAway) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "carbon-migrate.toml").symlink_to(settings_file(tmp_path / "mine"))
    assert load(Flags(), {}, tmp_path).api_url.value == URL
    give_away(tmp_path / "carbon-migrate.toml")
    with pytest.raises(SettingsRefused, match="belongs to"):
        load(Flags(), {}, tmp_path)


def test_a_settings_file_that_everybody_may_write_is_not_taken(tmp_path: Path) -> None:
    path = settings_file(tmp_path)
    path.chmod(0o666)
    with pytest.raises(SettingsRefused, match=r"everybody may write the settings file(.|\n)*chmod o-w "):
        load(Flags(), {}, tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SettingsRefused, match="is no file: remove it"):
        load(Flags(), {}, tmp_path)


def test_a_journal_of_somebody_else_in_the_working_folder_is_not_taken(tmp_path: Path, give_away: GiveAway) -> None:
    journal = tmp_path / "carbon-migrate.journal"
    journal.touch()
    give_away(journal)
    with pytest.raises(SettingsRefused, match=r"the journal .* belongs to .*--journal carbon-migrate\.journal"):
        load(Flags(), {}, tmp_path)
    assert load(Flags(journal="carbon-migrate.journal"), {}, tmp_path).journal.value.path == journal


def test_a_profile_of_somebody_else_is_not_taken(tmp_path: Path, give_away: GiveAway) -> None:
    settings_file(tmp_path)
    settings = load(Flags(), {}, tmp_path)
    path = profile_path(settings)
    path.write_text(f'billing = "{URL}"\nversion = "5"\n', encoding="utf-8")
    assert profile_of(settings).version == "5"
    give_away(path)
    with pytest.raises(SettingsRefused, match=r"the billing's profile .* belongs to"):
        profile_of(settings)


# ---- open to others ---------------------------------------------------------------------------------------------


async def made(journal: Path) -> None:
    async with open_journal(journal):
        pass


def test_a_journal_that_others_can_read_is_told_with_the_command_that_closes_it(tmp_path: Path, typed: Typed) -> None:
    journal = tmp_path / "carbon-migrate.journal"
    anyio.run(made, journal)
    assert typed("status").err == ""
    journal.chmod(0o644)
    told = typed("status")
    assert f"others on this machine can read the journal {journal}" in told.words
    assert f"  chmod 600 {journal}\n" in told.err
    assert f"chmod 600 {journal}" in typed("doctor").out
    (tmp_path / "carbon-migrate.journal.log").touch(mode=0o666)
    assert f"  chmod 600 {journal} {journal}.log\n" in typed("status").err
    journal.chmod(0o600)
    (tmp_path / "carbon-migrate.journal.log").chmod(0o600)
    assert typed("status").err == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SECRETS, True),
        ("[api]\nheaders = { Authorization = 'Bearer very-secret' }\n", True),
        ("[database]\npassword = 'very-secret'\n", True),
        (f'[api]\nurl = "{URL}"\n', False),
    ],
)
def test_a_settings_file_that_others_can_read_is_told_where_it_holds_secrets(
    text: str, told: bool, tmp_path: Path, typed: Typed
) -> None:
    path = settings_file(tmp_path, text)
    for mode, open_to_others in ((0o600, False), (0o640, told), (0o644, told)):
        path.chmod(mode)
        for said in (typed("status").err, typed("doctor").out):
            assert (f"chmod 600 {path}" in said) is open_to_others
            assert "very-secret" not in said
