"""Whose files are taken, and which are told to be open to others."""

import errno
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from billing.secret import Secret
from checkpoints.journal import Journal
from cli.session.order import keys_of
from cli.session.session import profile_of, profile_path
from cli.settings.flags import Flags
from cli.settings.settings import HookEvent, Settings, load
from cli.terminal.exits import SettingsRefused
from jobs.access.vault import VaultKeys, new_key
from tests.checkpoints.samples import within
from tests.cli.conftest import Typed, settings_file

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


def test_a_settings_file_of_somebody_else_is_to_be_named(tmp_path: Path, give_away: GiveAway, typed: Typed) -> None:
    path = settings_file(tmp_path, SECRETS)
    assert load(Flags(), {}, tmp_path).api_url.value == URL
    give_away(path)
    ended = typed("status")
    assert ended.exit == 2
    assert f"the settings file {path} belongs to " in ended.words
    assert "If you trust it, name it with --config carbon-migrate.toml; or make it yours: chown " in ended.words
    assert load(Flags(config=path), {}, tmp_path).api_url.value == URL
    # A link that somebody else has made is not followed either.
    (tmp_path / "mine").mkdir()
    mine = settings_file(tmp_path / "mine", SECRETS)
    path.unlink()
    path.symlink_to(mine)
    assert load(Flags(), {}, tmp_path).api_url.value == URL
    give_away(path)
    with pytest.raises(SettingsRefused, match="belongs to"):
        load(Flags(), {}, tmp_path)


def test_a_settings_file_that_everybody_may_write_is_not_taken(tmp_path: Path) -> None:
    path = settings_file(tmp_path, SECRETS)
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
    settings_file(tmp_path, SECRETS)
    settings = load(Flags(), {}, tmp_path)
    path = profile_path(settings)
    path.write_text(f'billing = "{URL}"\nversion = "5"\n', encoding="utf-8")
    assert profile_of(settings).version == "5"
    give_away(path)
    with pytest.raises(SettingsRefused, match=r"the billing's profile .* belongs to"):
        profile_of(settings)


# ---- open to others ---------------------------------------------------------------------------------------------


def journal_in(folder: Path) -> Path:
    journal = folder / "carbon-migrate.journal"
    within(journal, keep_nothing)
    return journal


async def keep_nothing(_: Journal) -> None:
    return


def test_a_journal_that_others_can_read_is_told_with_the_command_that_closes_it(tmp_path: Path, typed: Typed) -> None:
    journal = journal_in(tmp_path)
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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # What only names credentials may be read by everybody.
        (TOML, True),
        (TOML.replace(', psw = "of-the-file"', ""), False),
        (SECRETS, True),
        ("[api]\nheaders = { Authorization = 'Bearer very-secret' }\n", True),
        ("[database]\npassword = 'very-secret'\n", True),
        (f'[api]\nurl = "{URL}"\n', False),
    ],
)
def test_a_settings_file_with_secrets_that_others_can_read_is_told(
    text: str, told: bool, tmp_path: Path, typed: Typed
) -> None:
    path = settings_file(tmp_path, text)
    for mode, open_to_others in ((0o600, False), (0o640, told), (0o644, told)):
        path.chmod(mode)
        for said in (typed("status").err, typed("doctor").out):
            assert (f"chmod 600 {path}" in said) is open_to_others
            assert "very-secret" not in said
            assert "of-the-file" not in said


# ---- beside a journal -------------------------------------------------------------------------------------------


def test_a_journal_in_a_folder_that_others_may_write_is_refused(tmp_path: Path, typed: Typed) -> None:
    journal = journal_in(tmp_path)
    tmp_path.chmod(0o777)
    for command in ("status", "resume"):
        says = [f"others on this machine may write the folder of the journal {journal}", f"chmod go-w {tmp_path}"]
        typed.refused(command, says=says)
    assert "others on this machine may write the folder" in typed("doctor").out
    # With the sticky bit nobody removes the files of others.
    tmp_path.chmod(0o1777)
    assert typed("status").exit == 0
    tmp_path.chmod(0o775)
    os.chown(tmp_path, -1, ANOTHER if os.getuid() == 0 else -1)
    assert (typed("status").exit == 2) is (os.getuid() == 0)


@pytest.mark.loops(60)
@pytest.mark.parametrize("what", ["a link", "a pipe", "an open file", "somebody else's"])
def test_what_lies_beside_a_journal_is_ones_own(what: str, tmp_path: Path, typed: Typed, give_away: GiveAway) -> None:
    """It is a closed file of the one who works on the journal."""
    journal, elsewhere = journal_in(tmp_path), tmp_path / "elsewhere"
    elsewhere.touch()
    told = {"an open file": "everybody may write", "somebody else's": "belongs to"}.get(what, "is not a regular file")
    for ending in ("-wal", "-shm", "-journal", "-plans", "-secrets", ".log"):
        path = journal.with_name(f"{journal.name}{ending}")
        path.unlink(missing_ok=True)
        if what == "a link":
            path.symlink_to(elsewhere)
        elif what == "a pipe":
            os.mkfifo(path)
        else:
            path.touch(0o600)
        if what == "an open file":
            path.chmod(0o666)
        elif what == "somebody else's":
            give_away(path)
        typed.refused("resume", says=[str(path), told])
        assert elsewhere.read_text() == ""
        path.unlink()


def test_a_pipe_in_place_of_a_journal_does_not_hang_doctor(tmp_path: Path, typed: Typed) -> None:
    """`transcripts/files-of-others.txt` has other commands, and other files."""
    os.mkfifo(tmp_path / "pipe")
    ended = typed("doctor", "--journal", "pipe")
    assert (ended.exit, "regular file" in ended.told) == (2, True), ended.told
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_pipe_that_the_shell_has_opened_is_read(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, SECRETS.encode())
    os.close(writing)
    assert load(Flags(config=Path(f"/dev/fd/{reading}")), {}, tmp_path).api_url.value == URL
    os.close(reading)


# ---- what names code, and where money goes ----------------------------------------------------------------------


@pytest.mark.parametrize("names", ['jobs = ["ours.py"]\n', '[hooks]\non-end = "true"\n'])
@pytest.mark.parametrize("named", [False, True])
def test_settings_with_code_are_their_users_alone(
    names: str, named: bool, tmp_path: Path, give_away: GiveAway
) -> None:
    path = settings_file(tmp_path, names)
    flags = Flags(config=path) if named else Flags()
    load(flags, {}, tmp_path)
    path.chmod(0o660)
    with pytest.raises(SettingsRefused, match=r"its group may write the settings file(.|\n)*chmod go-w"):
        load(flags, {}, tmp_path)
    path.chmod(0o600)
    give_away(path)
    with pytest.raises(SettingsRefused, match=r"the settings file .* belongs to"):
        load(flags, {}, tmp_path)


# ---- what doctor says of places and ways ------------------------------------------------------------------------


def test_doctor_names_a_way_that_is_not_encrypted(tmp_path: Path, typed: Typed) -> None:
    told = "the connection to 192.0.2.7 is not encrypted"
    settings_file(tmp_path, "[api]\ntimeout = 0.2\n")
    assert told in " ".join(typed("doctor", "--api-url", "http://192.0.2.7:8082").out.split())
    assert told not in typed("doctor", "--api-url", "https://192.0.2.7:8082").out
    assert "not encrypted" not in typed("doctor", "--api-url", "http://127.0.0.1:9").out


def test_doctor_names_a_journal_that_a_restart_would_lose(typed: Typed) -> None:
    told = "is in memory (tmpfs), and is gone when the machine or the container restarts"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        assert told in " ".join(typed("doctor", "--journal", f"{folder}/a.journal").out.split())


# ---- A journal that another user has made, and files that this user cannot read: what is said of them


Closes = Callable[[Path, int], None]
STRANGER = 65_000
"""A user who is not root, and has made none of the files."""


@pytest.fixture
def closed_to_us(monkeypatch: pytest.MonkeyPatch) -> Closes:
    """Makes the system refuse what is closed (`os.R_OK`, `os.W_OK`) of a file, which it would not do for root."""

    def close(path: Path, what: int) -> None:
        may, opens = os.access, os.open
        closing = os.O_RDWR | os.O_WRONLY if what == os.W_OK else ~0

        def access(file: Any, mode: int, **more: Any) -> bool:
            return not (str(file) == str(path) and mode & what) and may(file, mode, **more)

        def open_(file: Any, flags: int, *more: Any, **named: Any) -> int:
            if str(file) == str(path) and (flags & closing or what == os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return opens(file, flags, *more, **named)

        monkeypatch.setattr(os, "access", access)
        monkeypatch.setattr(os, "open", open_)
        monkeypatch.setattr(os, "geteuid", lambda: STRANGER)

    return close


def test_of_a_journal_that_is_read_only_no_other_user_is_named(tmp_path: Path) -> None:
    journal = tmp_path / "read-only.journal"
    within(journal, keep_nothing)
    mount = [
        "unshare",
        "--mount",
        "--map-root-user",
        "sh",
        "-c",
        'mount --bind -o ro "$1" "$1" && shift && "$@"',
        "sh",
    ]
    command = [sys.executable, "-m", "cli", "--lang", "en", "status", "--journal", str(journal)]
    done = subprocess.run([*mount, str(tmp_path), *command], capture_output=True, text=True, check=False)  # noqa: S603 - our own interpreter
    words = " ".join(done.stderr.split())
    assert f"the journal {journal} cannot be written: Read-only file system. What only reads has to be" in words
    assert done.returncode == 2


@pytest.mark.parametrize("command", [("run", "balances", "b.csv"), ("plan", "balances", "b.csv"), ("status",)])
@pytest.mark.parametrize("has_log", [True, False])
def test_it_is_the_journal_that_cannot_be_written_and_not_its_log(
    command: tuple[str, ...], has_log: bool, typed: Typed, closed_to_us: Closes, tmp_path: Path
) -> None:
    journal = tmp_path / "theirs.journal"
    within(journal, keep_nothing)
    (tmp_path / "b.csv").write_text("contract_number;amount\n1;5\n", encoding="utf-8")
    log = tmp_path / "theirs.journal.log"
    if has_log:
        log.touch(mode=0o600)
    closed_to_us(journal, os.W_OK)
    closed_to_us(log if has_log else tmp_path, os.W_OK)
    ended = typed(*command, "--journal", str(journal), "--api-url", URL)
    assert f"the journal {journal} cannot be written: Permission denied. It belongs to " in ended.words
    assert "work as that user, or name another journal" in ended.words
    assert ended.exit == 2


@pytest.mark.parametrize("flag", ["--journal", "--config"])
def test_doctor_names_a_file_that_it_cannot_read(
    flag: str, typed: Typed, closed_to_us: Closes, tmp_path: Path
) -> None:
    path = tmp_path / "closed"
    path.touch(mode=0o600)
    closed_to_us(path, os.R_OK)
    ended = typed("doctor", "-v", flag, str(path), "--api-url", URL)
    assert "✓ program" in ended.out
    assert ended.exit == 2
    if flag == "--journal":
        assert f"✗ journal the journal {path} cannot be written: Permission denied" in " ".join(ended.out.split())


# ---- Secrets that systemd keeps; `transcripts/settings.txt` has what is said where one is missing, or is none


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


def test_doctor_says_where_secrets_are_from(
    typed: Typed, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "carbon-migrate.toml").write_text(TOML.replace("http://billing:8082", "http://127.0.0.1:1"))
    (folder / "chat").unlink()
    (folder / "db").unlink()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    found = typed("doctor", "-v")
    assert found.exit == 2
    words = " ".join(found.out.split())
    assert "carbon-migrate.toml, line 4: credential proxy" in words
    assert "hooks.on-end is the credential chat, and the service was not given it" in words
    assert "database.password is the credential db, and the service was not given it" in words
    assert "canary" not in found.out + found.err


# ---- The setting `vault_key`: from whom a key is taken, and that commands without need of it work without it


KEY, OTHER = new_key(), new_key()


def _key_file(folder: Path, text: str = f"{KEY}\n", mode: int = 0o600) -> None:
    (folder / "vault.key").write_text(text, encoding="utf-8")
    (folder / "vault.key").chmod(mode)


def test_a_key_is_taken_from_a_file_a_credential_or_a_variable_and_never_shown(tmp_path: Path) -> None:
    _key_file(tmp_path, f"{KEY}\n{OTHER}\n")
    found = settings(tmp_path, None, 'vault_key = "vault.key"\n')
    assert keys_of(found) == VaultKeys.parse(f"{KEY} {OTHER}")
    assert {KEY, OTHER} <= found.secrets
    assert KEY not in repr(found)
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
