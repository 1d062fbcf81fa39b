"""The setting `vault_key`: from whom a key is taken, and that commands without need of it work without it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from cli.session.vaults import keys_of
from cli.settings.flags import Flags
from cli.settings.settings import Settings, load
from cli.terminal.exits import SettingsRefused
from jobs.access.vault_keys import VaultKeys, new_key

VARIABLE = "CARBON_MIGRATE_VAULT_KEY"
KEY, OTHER = new_key(), new_key()


def _load(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> Settings:
    (folder / "carbon-migrate.toml").write_text(text, encoding="utf-8")
    return load(Flags(), {"XDG_STATE_HOME": str(folder), **(environment or {})}, folder)


def _key_file(folder: Path, text: str = f"{KEY}\n", mode: int = 0o600) -> None:
    (folder / "vault.key").write_text(text, encoding="utf-8")
    (folder / "vault.key").chmod(mode)


def test_a_key_is_taken_from_a_file_beside_the_settings_and_never_shown(tmp_path: Path) -> None:
    _key_file(tmp_path, f"{KEY}\n{OTHER}\n")
    settings = _load(tmp_path, 'vault_key = "vault.key"\n')
    assert keys_of(settings) == VaultKeys.parse(f"{KEY} {OTHER}")
    assert {KEY, OTHER} <= settings.secrets
    assert KEY not in repr(settings)


def test_a_credential_and_a_variable_have_the_key_itself(tmp_path: Path) -> None:
    (tmp_path / "vault-key").write_text(f"{KEY}\n", encoding="utf-8")
    text = 'vault_key = {credential = "vault-key"}\n'
    assert keys_of(_load(tmp_path, text, {"CREDENTIALS_DIRECTORY": str(tmp_path)})) == VaultKeys.parse(KEY)
    # The variable goes before the file, whose credential is not needed then.
    assert keys_of(_load(tmp_path, text, {VARIABLE: OTHER})) == VaultKeys.parse(OTHER)
    with pytest.raises(SettingsRefused, match="vault_key is the credential vault-key, and only what systemd starts"):
        keys_of(_load(tmp_path, text))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_can_reach_is_refused_with_the_command_that_closes_it(tmp_path: Path, mode: int) -> None:
    _key_file(tmp_path, mode=mode)
    with pytest.raises(SettingsRefused, match=r"(?s)toml, line 1: vault_key: .*chmod 600 .*vault\.key"):
        keys_of(_load(tmp_path, 'vault_key = "vault.key"\n'))


def test_a_command_that_needs_no_key_works_with_one_that_is_wrong(tmp_path: Path) -> None:
    assert keys_of(_load(tmp_path, "")) is None
    settings = _load(tmp_path, 'vault_key = "nowhere"\n')
    with pytest.raises(SettingsRefused, match="nowhere cannot be read"):
        keys_of(settings)
    with pytest.raises(SettingsRefused, match=f"{VARIABLE}: vault_key cannot be used: it has a word"):
        keys_of(_load(tmp_path, "", {VARIABLE: "geheim"}))
    (tmp_path / "vault.key").mkdir()
    with pytest.raises(SettingsRefused, match=r"not a file of keys|cannot be read"):
        keys_of(_load(tmp_path, 'vault_key = "vault.key"\n'))
