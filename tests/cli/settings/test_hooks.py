"""The table [hooks] of the settings file: commands and addresses, and what is refused of them."""

from pathlib import Path

import pytest

from cli.settings.flags import Flags
from cli.settings.hooks import HookEvent, HookSettings
from cli.settings.settings import load
from cli.terminal.exits import SettingsRefused

TOKEN = "bot1234567890:Canary-of-a-bot"


def hooks(folder: Path, text: str) -> HookSettings:
    (folder / "carbon-migrate.toml").write_text(f"[hooks]\n{text}\n", encoding="utf-8")
    return load(Flags(), {}, folder).hooks


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ('"logger -t load"', ("logger", "-t", "load")),
        ('''"notify --to 'олег и ольга'"''', ("notify", "--to", "олег и ольга")),
        ('["notify", "$HOME; rm -rf *"]', ("notify", "$HOME; rm -rf *")),
        ('"/etc/hooks/mail a@b.ru"', ("/etc/hooks/mail", "a@b.ru")),
        ('"logger see https://example.org"', ("logger", "see", "https://example.org")),
    ],
)
def test_a_command_is_words(given: str, words: tuple[str, ...], tmp_path: Path) -> None:
    hook = hooks(tmp_path, f"on-end = {given}").hooks[HookEvent.END]
    assert tuple(hook.command) == words
    assert hook.name == words[0]


def test_a_command_with_a_path_is_sought_beside_the_file_or_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/olga")
    found = hooks(tmp_path, 'on-start = "hooks/mail"\non-end = "~/bin/mail"').hooks
    assert found[HookEvent.START].name == str(tmp_path / "hooks" / "mail")
    assert found[HookEvent.END].name == "/home/olga/bin/mail"


@pytest.mark.parametrize("named", ["s.toml", "./s.toml"])
def test_a_path_beside_a_file_that_is_named_without_its_folder_stays_a_path(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.toml").write_text(
        'jobs = ["./ours.py"]\n[hooks]\non-end = "./mail"\n[metrics]\nfile = "./run.prom"\n'
        '[database]\naddress = "./billing.fdb"\n',
        encoding="utf-8",
    )
    found = load(Flags(config=Path(named)), {}, tmp_path)
    assert tuple(found.hooks.hooks[HookEvent.END].command) == (str(tmp_path / "mail"),)
    assert found.database.value == str(tmp_path / "billing.fdb")
    assert found.metrics.file == tmp_path / "run.prom"
    assert found.own_jobs.files == (tmp_path / "ours.py",)


def test_of_an_address_only_its_host_is_shown(tmp_path: Path) -> None:
    assert not load(Flags(), {}, tmp_path).hooks
    path = tmp_path / "carbon-migrate.toml"
    path.write_text(
        f'[hooks]\non-hold = "https://olga:s3cret-word@example.org/{TOKEN}/send?to=load"\nping = "http://a.b/balances"\n'
    )
    path.chmod(0o644)
    settings = load(Flags(), {}, tmp_path)
    (open_to_others,) = settings.exposed
    assert str(path) in open_to_others.command
    hook = settings.hooks.hooks[HookEvent.HOLD]
    assert hook.name == "https://example.org"
    assert TOKEN not in repr(settings)
    assert {TOKEN, "s3cret-word"} <= settings.secrets
    # Words that may stand anywhere are not hidden everywhere.
    assert not {"send", "balances", "load"} & settings.secrets


def test_an_address_of_apprise_asks_for_apprise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = f'on-end = "apprise://tgram://{TOKEN}/5"'
    with pytest.raises(SettingsRefused, match=r"hooks\.on-end: Apprise is not installed; type pip install apprise"):
        hooks(tmp_path, given)
    (tmp_path / "apprise.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    hook = hooks(tmp_path, given).hooks[HookEvent.END]
    assert (hook.name, hook.url.reveal()) == ("apprise", f"apprise://tgram://{TOKEN}/5")
    with pytest.raises(SettingsRefused, match=r"hooks\.ping: it is not an address"):
        hooks(tmp_path, f'ping = "apprise://tgram://{TOKEN}/5"')
