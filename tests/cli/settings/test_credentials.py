"""Secrets that systemd keeps: read from its folder when they are there, and told how to be made when they are not."""

import os
from pathlib import Path

import pytest

from billing.secret import Secret
from cli.session.vaults import keys_of
from cli.settings.flags import Flags
from cli.settings.settings import Settings, load
from cli.settings.tables import HookEvent
from cli.terminal.exits import SettingsRefused
from jobs.access.vault import VaultKeys, new_key
from tests.cli.conftest import Typed

TOML = """\
[api]
url = "http://billing:8082"
form = {hash_key = {credential = "key"}, psw = "of-the-file"}
headers = {Authorization = {credential = "proxy"}}

[database]
address = "billing:/var/db/billing.gdb"
password = {credential = "db"}

[hooks]
on-end = {credential = "chat"}
ping = {credential = "ping"}
"""
GIVEN = {
    "db": "canary-of-the-database\n",
    "key": "canary-of-the-form",
    "proxy": "Bearer canary-of-the-proxy\r\n",
    "chat": "https://chat.example.org/bot123:canary-of-the-chat-1/send",
    "ping": "https://ping.example.org/canary-of-the-ping-12345",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that systemd makes for a service."""
    found = tmp_path / "credentials"
    found.mkdir()
    for name, text in GIVEN.items():
        (found / name).write_bytes(text.encode())
    return found


def settings(tmp_path: Path, folder: Path | None, text: str = TOML, **variables: str) -> Settings:
    (tmp_path / "carbon-migrate.toml").write_text(text, encoding="utf-8")
    of_systemd = {} if folder is None else {"CREDENTIALS_DIRECTORY": str(folder)}
    return load(Flags(), {"XDG_STATE_HOME": str(tmp_path), **of_systemd, **variables}, tmp_path)


def test_each_secret_may_be_a_credential_and_is_one_everywhere(tmp_path: Path, folder: Path) -> None:
    found = settings(tmp_path, folder)
    assert found.dsn is not None
    assert found.dsn.password == Secret("canary-of-the-database")
    assert found.client.extra == {"hash_key": Secret("canary-of-the-form"), "psw": Secret("of-the-file")}
    assert found.client.headers == {"Authorization": Secret("Bearer canary-of-the-proxy")}
    assert found.hooks.hooks[HookEvent.END].url == Secret(GIVEN["chat"])
    assert found.hooks.hooks[HookEvent.END].name == "https://chat.example.org"
    assert found.hooks.ping is not None
    assert found.hidden.unread == {}
    assert found.database_password.origin == "carbon-migrate.toml, line 8: credential db"
    assert "canary" not in repr(found)
    secrets = "\n".join(found.secrets)
    assert all(f"canary-of-the-{name}" in secrets for name in ("database", "form", "proxy", "ping"))


def test_a_file_that_only_names_credentials_may_be_read_by_everybody(tmp_path: Path, folder: Path) -> None:
    assert settings(tmp_path, folder, TOML.replace(', psw = "of-the-file"', "")).exposed == ()
    (one,) = settings(tmp_path, folder).exposed
    assert "chmod 600" in one.command


def test_outside_of_a_service_only_what_is_needed_is_missed(tmp_path: Path) -> None:
    of_variable = settings(tmp_path, None, CARBON_MIGRATE_DATABASE_PASSWORD="of-the-variable").dsn
    assert of_variable is not None
    assert of_variable.password == Secret("of-the-variable")
    found = settings(tmp_path, None)
    assert found.target == "http://billing:8082"
    assert found.hooks.hooks == {}
    for need, key in (
        (lambda: found.dsn, "database.password is the credential db"),
        (lambda: found.client, "api.form.hash_key is the credential key"),
        (lambda: found.hidden.require("hooks"), "hooks.on-end is the credential chat"),
    ):
        with pytest.raises(SettingsRefused, match=key) as refused:
            need()
        assert "CREDENTIALS_DIRECTORY is not set" in str(refused.value)
        assert "systemd-run --pty --property=LoadCredentialEncrypted=" in str(refused.value)


def test_a_credential_that_the_unit_does_not_give_is_told_how_to_be_made(tmp_path: Path, folder: Path) -> None:
    (folder / "db").unlink()
    with pytest.raises(SettingsRefused) as refused:
        _ = settings(tmp_path, folder).dsn
    lines = str(refused.value).splitlines()
    assert lines[0] == (
        "carbon-migrate.toml, line 8: database.password is the credential db, and the service was not given it. "
        "Encrypt it:"
    )
    assert "systemd-creds encrypt --name=db - /etc/credstore.encrypted/carbon-migrate.db" in lines[1]
    assert lines[-1] == "LoadCredentialEncrypted=db:carbon-migrate.db"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is empty"),
        (b"\n", "it is empty"),
        (b"two\nlines", "no secret of one line"),
        (b"nul\0", "no secret of one line"),
        (b"x" * 100_000, "no secret of one line"),
        ("пароль".encode("cp1251"), "it is not UTF-8"),
        (None, "it is empty"),
        ("a folder", "it cannot be read"),
    ],
    ids=["empty", "newline", "lines", "nul", "long", "cp1251", "pipe", "folder"],
)
def test_a_credential_that_is_no_secret_is_not_taken(
    content: bytes | str | None, told: str, tmp_path: Path, folder: Path
) -> None:
    (folder / "db").unlink()
    if content is None:
        os.mkfifo(folder / "db")
    elif isinstance(content, str):
        (folder / "db").mkdir()
    else:
        (folder / "db").write_bytes(content)
    with pytest.raises(SettingsRefused, match=told) as refused:
        _ = settings(tmp_path, folder).dsn
    assert "xxx" not in str(refused.value)


def test_doctor_says_where_a_secret_comes_from_and_what_is_missing(
    typed: Typed, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "carbon-migrate.toml").write_text(TOML.replace("http://billing:8082", "http://127.0.0.1:1"))
    (folder / "chat").unlink()
    (folder / "db").unlink()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    found = typed("doctor")
    assert found.exit == 2
    words = " ".join(found.out.split())
    assert "carbon-migrate.toml, line 4: credential proxy" in words
    assert "hooks.on-end is the credential chat, and the service was not given it" in words
    assert "database.password is the credential db, and the service was not given it" in words
    assert "canary" not in found.out + found.err


def test_a_command_that_needs_no_credential_works_without(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "carbon-migrate.toml").write_text(TOML)
    (tmp_path / "carbon-migrate.toml").chmod(0o600)
    assert "there is no journal" in typed("status").err
    refused = typed("run", "balances", "rows.csv", "--yes")
    assert refused.exit == 2
    assert "only what systemd starts has credentials" in refused.err


def test_each_profile_of_settings_may_have_a_credential_of_its_own(tmp_path: Path, folder: Path) -> None:
    text = """\
[database]
address = "billing:/var/db/billing.gdb"
password = {credential = "db"}

[profile.test]
api = {url = "http://test:8082"}

[profile.production]
api = {url = "http://billing:8082"}
database = {password = {credential = "key"}}
"""
    passwords = [
        settings(tmp_path, folder, text, CARBON_MIGRATE_PROFILE=name).database_password.value.reveal()
        for name in ("test", "production")
    ]
    assert passwords == ["canary-of-the-database", "canary-of-the-form"]


# ---- The setting `vault_key`: from whom a key is taken, and that commands without need of it work without it


KEY, OTHER = new_key(), new_key()


def _key_file(folder: Path, text: str = f"{KEY}\n", mode: int = 0o600) -> None:
    (folder / "vault.key").write_text(text, encoding="utf-8")
    (folder / "vault.key").chmod(mode)


def test_a_key_is_taken_from_a_file_beside_the_settings_and_never_shown(tmp_path: Path) -> None:
    _key_file(tmp_path, f"{KEY}\n{OTHER}\n")
    found = settings(tmp_path, None, 'vault_key = "vault.key"\n')
    assert keys_of(found) == VaultKeys.parse(f"{KEY} {OTHER}")
    assert {KEY, OTHER} <= found.secrets
    assert KEY not in repr(found)


def test_a_credential_and_a_variable_have_the_key_itself(tmp_path: Path) -> None:
    (tmp_path / "vault-key").write_text(f"{KEY}\n", encoding="utf-8")
    text = 'vault_key = {credential = "vault-key"}\n'
    assert keys_of(settings(tmp_path, tmp_path, text)) == VaultKeys.parse(KEY)
    # The variable goes before the file, whose credential is not needed then.
    assert keys_of(settings(tmp_path, None, text, CARBON_MIGRATE_VAULT_KEY=OTHER)) == VaultKeys.parse(OTHER)
    with pytest.raises(SettingsRefused, match="vault_key is the credential vault-key, and only what systemd starts"):
        keys_of(settings(tmp_path, None, text))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_can_reach_is_refused_with_the_command_that_closes_it(tmp_path: Path, mode: int) -> None:
    _key_file(tmp_path, mode=mode)
    with pytest.raises(SettingsRefused, match=r"(?s)toml, line 1: vault_key: .*chmod 600 .*vault\.key"):
        keys_of(settings(tmp_path, None, 'vault_key = "vault.key"\n'))


def test_a_command_that_needs_no_key_works_with_one_that_is_wrong(tmp_path: Path) -> None:
    assert keys_of(settings(tmp_path, None, "")) is None
    with pytest.raises(SettingsRefused, match="nowhere cannot be read"):
        keys_of(settings(tmp_path, None, 'vault_key = "nowhere"\n'))
    with pytest.raises(SettingsRefused, match="CARBON_MIGRATE_VAULT_KEY: vault_key cannot be used: it has a word"):
        keys_of(settings(tmp_path, None, "", CARBON_MIGRATE_VAULT_KEY="geheim"))
    (tmp_path / "vault.key").mkdir()
    with pytest.raises(SettingsRefused, match=r"vault.key cannot be read"):
        keys_of(settings(tmp_path, None, 'vault_key = "vault.key"\n'))
