"""Where a setting comes from, and what is refused of it."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st

from billing.secret import Secret
from cli.settings.flags import Flags
from cli.settings.places import name_of_billing
from cli.settings.settings import SettingValue, load
from cli.settings.tables import HookEvent, HookSettings
from cli.terminal.exits import SettingsRefused

TOML = """\
journal = "loads.journal"

[api]
url = "http://of-the-file:8082"
form = { hash_key = "very-secret" }

[api.headers]
Authorization = "Basic c2VjcmV0"

[database]
address = "billing:/var/db/billing.gdb"
password = "masterkey"
"""


def written(folder: Path, text: str, name: str = "carbon-migrate.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_flag_goes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    written(tmp_path, TOML)
    variable = {"CARBON_MIGRATE_API_URL": "http://of-the-variable:1"}
    by_flag = load(Flags(api_url="http://of-the-flag:1"), variable, tmp_path).api_url
    by_variable = load(Flags(), variable, tmp_path).api_url
    by_file = load(Flags(), {}, tmp_path).api_url
    assert (by_flag.value, by_flag.origin) == ("http://of-the-flag:1", "--api-url")
    assert (by_variable.value, by_variable.origin) == ("http://of-the-variable:1", "CARBON_MIGRATE_API_URL")
    assert (by_file.value, by_file.origin) == ("http://of-the-file:8082", "carbon-migrate.toml, line 4")


NO_NAME = "database.password: a credential has a name of letters"
NO_CREDENTIALS = ("", "../db", "/etc/shadow", ".db", "a b", "a" * 101, "пароль")
CHARSETS = {"CP1251": "WIN1251", "windows-1251": "WIN1251", "utf-8": "UTF8", "KOI8-R": "KOI8R"}
WRONG = [
    ('[api]\n\nurl = "http://a"\nulr = "x"', "line 4: there is no setting 'api.ulr' (did you mean 'url'?); [api] "),
    ("jurnal = 'x'", "line 1: there is no setting 'jurnal' (did you mean 'journal'?); the file has: language, "),
    ("[databse]\nuser = 'x'", "line 1: there is no setting 'databse'"),
    ("[database]\nuser = 5", "line 2: database.user: Expected `str"),
    ("[api]\nform = { hash_key = 5 }", "line 2: api.form: Expected `str | object`, got `int`"),
    ("journal =", "is not TOML: "),
    ('journal = "a\\u0000b"', "is not TOML: journal: it holds a NUL"),
    *((f"[api]\ntimeout = {one}", "line 2: api.timeout: ") for one in ("0", "-1", "nan", "3601")),
    ("[api]\ntimeout = 0", " are not seconds above 0"),
    *((f'[metrics]\nfile = "{one}"', "line 2: metrics.file: it names no file") for one in ("", "folder/", "..")),
    *((f"[metrics]\nport = {one}", "line 2: metrics.port: it is not a port from 0") for one in (-1, 65_536)),
    *((f'[database]\npassword = {{credential = "{one}"}}', f"line 2: {NO_NAME}") for one in NO_CREDENTIALS),
    ('[database]\npassword = {credentials = "db"}', "line 2: database.password: Object "),
    ("[database]\npassword = {credential = 5}", "line 2: database.password"),
    ('[database]\nuser = {credential = "db"}', "line 2: database.user: Expected `str"),
    ('[hooks]\non-end = {credential = "db"}', "line 2: hooks.on-end: a credential is an address here"),
    ('[hooks]\non-end = "mail \'olga"', "line 2: hooks.on-end: a quote is not closed"),
    ('[hooks]\non-end = ""', "hooks.on-end: it names no command"),
    ("[hooks]\non-end = []", "hooks.on-end: it names no command"),
    ("[hooks]\non-end = 5", "hooks.on-end: Expected `str | object | array | null`, got `int`"),
    (
        '[hooks]\non-end = "ftp://example.org/canary"',
        "on-end: it is not an address that begins with http:// or https://",
    ),
    ('[hooks]\non-end = "https:///x"', "hooks.on-end: it is not an address that begins with http:// or https://"),
    ('[hooks]\nping = "curl"', "hooks.ping: it is not an address that begins with http:// or https://"),
    ('[hooks]\non-error = "mail"', "there is no setting 'hooks.on-error'"),
    ("[hooks]\nhold-seconds = -1", "hooks.hold-seconds: -1 are not seconds from 0 up to 86400"),
    ("[hooks]\nhold-seconds = nan", "hooks.hold-seconds: nan are not seconds from 0 up to 86400"),
    *((f'[database]\ncharset = "{one}"', f"Firebird calls it {name}") for one, name in CHARSETS.items()),
    ('[database]\ncharset = "koi7"', "'koi7' is not a charset of the database: there are UTF8, WIN1251, "),
    ('[database]\ncharset = "NONE"', "UTF8 is usual, WIN1251 in version 4"),
    (f"[database]\ncharset = {json.dumps(chr(27) * 100)}", "is not a charset of the database"),
]
"""What stands in a settings file, and what is said of it."""


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_a_file_that_is_wrong_is_refused_with_its_line(text: str, told: str, tmp_path: Path) -> None:
    written(tmp_path, f"{text}\n")
    written(tmp_path, "canary", "db")
    with pytest.raises(SettingsRefused) as refused:
        load(Flags(), {"CREDENTIALS_DIRECTORY": str(tmp_path)}, tmp_path)
    said = str(refused.value).replace("\u00a0", "")
    assert told in said
    assert "carbon-migrate.toml" in said
    assert "canary" not in said
    assert all(line.isprintable() and len(line) < 600 for line in said.splitlines())


def test_a_file_that_was_named_must_be_there_and_be_a_text(tmp_path: Path) -> None:
    with pytest.raises(SettingsRefused, match=r"there is no file .*nowhere.toml"):
        load(Flags(config=tmp_path / "nowhere.toml"), {}, tmp_path)
    (tmp_path / "carbon-migrate.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsRefused, match="not UTF-8"):
        load(Flags(), {}, tmp_path)


def test_a_file_as_a_windows_editor_writes_it_is_taken(tmp_path: Path) -> None:
    (tmp_path / "carbon-migrate.toml").write_bytes(b"\xef\xbb\xbf" + TOML.replace("\n", "\r\n").encode())
    url = load(Flags(), {}, tmp_path).api_url
    assert (url.value, url.origin) == ("http://of-the-file:8082", "carbon-migrate.toml, line 4")


def test_what_a_flag_says_is_told_by_its_name_and_may_be_written_in_more_than_one_way(tmp_path: Path) -> None:
    with pytest.raises(SettingsRefused, match=r"http://HOST:8082.*from --api-url"):
        _ = load(Flags(api_url="billing:8082"), {}, tmp_path).client
    with pytest.raises(SettingsRefused, match=r"'utf8\\x00' is not a charset.*from --database-charset"):
        load(Flags(database_charset="utf8\0"), {}, tmp_path)
    for name in ("utf8", " WIN1251 ", "Koi8R"):
        assert load(Flags(database_charset=name), {}, tmp_path).database_charset.value == name.strip().upper()
    for url in ("http://Billing:8082", "http://billing:8082/"):
        assert load(Flags(api_url=url), {}, tmp_path).target == "http://billing:8082"


def test_without_anything_there_are_defaults_and_no_billing(tmp_path: Path) -> None:
    settings = load(Flags(), {"CARBON_MIGRATE_API_URL": "", "XDG_STATE_HOME": str(tmp_path / "state")}, tmp_path)
    assert settings.api_url.value is None
    assert settings.dsn is None
    assert settings.journal.value.path == tmp_path / "state" / "carbon-migrate" / "carbon-migrate.journal"
    with pytest.raises(SettingsRefused, match=r"--api-url(.|\n)*CARBON_MIGRATE_API_URL(.|\n)*\[api\]"):
        _ = settings.target


def test_what_the_file_names_is_sought_beside_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    text = 'journal = "a.journal"\n[database]\naddress = "b.fdb"\n[metrics]\nfile = "figures/{run}.prom"\n'
    path = written(folder, text, "other.toml")
    settings = load(Flags(config=path), {}, tmp_path)
    assert settings.journal.value.path == folder / "a.journal"
    assert settings.database.value == str(folder / "b.fdb")
    assert settings.log == folder / "a.journal.log"
    assert (settings.metrics.file, bool(load(Flags(), {}, tmp_path).metrics)) == (
        folder / "figures" / "{run}.prom",
        False,
    )
    assert load(Flags(config=path, journal="c.journal"), {}, tmp_path).journal.value.path == tmp_path / "c.journal"


def test_a_password_on_a_command_line_is_refused_with_where_to_give_it(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsRefused, match=r"CARBON_MIGRATE_DATABASE_PASSWORD, or password in \[database\]"
    ) as told:
        load(Flags(database_password="of-the-flag"), {}, tmp_path)
    assert "of-the-flag" not in str(told.value)
    assert load(Flags(database_password=""), {}, tmp_path).database_password.origin == "--database-password"


def test_secrets_stand_in_no_repr(tmp_path: Path) -> None:
    written(tmp_path, TOML)
    settings = load(Flags(), {"CARBON_MIGRATE_DATABASE_PASSWORD": "of-the-variable"}, tmp_path)
    assert settings.dsn
    assert settings.dsn.database == "billing:/var/db/billing.gdb", "on a server it is no path"
    assert settings.dsn.password == Secret("of-the-variable")
    shown = f"{settings!r} {settings.client!r} {settings.dsn!r} {Flags(database_password='of-the-variable')!r}"
    assert settings.secrets == {"of-the-variable", "very-secret", "Basic c2VjcmV0", "c2VjcmV0", "secret"}
    for secret in ("of-the-variable", "very-secret", "c2VjcmV0"):
        assert secret not in shown


def test_how_long_the_billing_may_be_silent(tmp_path: Path) -> None:
    assert (load(Flags(), {}, tmp_path).timeout.value, load(Flags(), {}, tmp_path).timeout.origin) == (
        60.0,
        "built in",
    )
    written(tmp_path, TOML.replace("[api]", "[api]\ntimeout = 20"))
    by_file = load(Flags(), {}, tmp_path)
    assert (by_file.timeout.value, by_file.timeout.origin) == (20.0, "carbon-migrate.toml, line 4")
    assert (by_file.client.read, by_file.client.deadline) == (20.0, 40.0)
    by_flag = load(Flags(timeout=1.5), {}, tmp_path)
    assert (by_flag.timeout.origin, by_flag.client.read) == ("--timeout", 1.5)


# ---- where the journal lies when nobody says -------------------------------------------------------------------

URL = "http://169.254.80.82:8082"


def of_url(tmp_path: Path, folder: str = "here", url: str = URL) -> SettingValue[Path]:
    (tmp_path / folder).mkdir(exist_ok=True)
    environment = {"CARBON_MIGRATE_API_URL": url, "XDG_STATE_HOME": str(tmp_path / "state")}
    found = load(Flags(), environment, tmp_path / folder).journal
    return SettingValue(found.value.path, found.origin)


def test_the_journal_belongs_to_the_billing_wherever_the_command_is_typed(tmp_path: Path) -> None:
    expected = tmp_path / "state" / "carbon-migrate" / "169.254.80.82-8082.journal"
    assert of_url(tmp_path).value == of_url(tmp_path, "there").value == expected
    assert of_url(tmp_path, url=f"{URL}/").value == expected, "one address in two spellings"
    assert of_url(tmp_path, url="http://169.254.80.82:8083").value != expected
    assert of_url(tmp_path, url=f"{URL}/billing").value != expected


def test_a_journal_of_the_working_folder_is_used_and_named(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    there = tmp_path / "old" / "carbon-migrate.journal"
    there.touch()
    setting = of_url(tmp_path, "old")
    assert (setting.value, setting.origin) == (there, "found in the working folder")


def test_without_an_address_it_is_the_only_one_that_there_is(tmp_path: Path) -> None:
    state = tmp_path / "state" / "carbon-migrate"
    state.mkdir(parents=True)
    (state / "one-8082.journal").touch()
    (state / "one-8082.journal.log").touch()
    (state / "one-8082.journal-plans").touch()
    assert of_url(tmp_path, url="").value == state / "one-8082.journal"
    (state / "two-8082.journal").touch()
    assert not of_url(tmp_path, url="").value.exists()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://10.0.0.5:8082", "10.0.0.5-8082"),
        ("HTTPS://Billing.Example.ORG/", "billing.example.org-443"),
        ("http://[fe80::1%25eth0]:8082", "fe80_1_eth0-8082"),
        ("http://somebody:word@billing:8082/a/../b", "billing-8082_b"),
        ("http://xn--90ahcb.xn--p1ai:8082", "8082"),
        ("http://billing:port", "http_billing_port"),
        *(
            (url, "")
            for url in ("http://[::1]:8082/..%2f..", "nonsense", "http://h:99999", "http://ы:1/а б", "/../x")
        ),
    ],
)
def test_whatever_the_address_is_the_journal_is_one_file_of_the_folder(tmp_path: Path, url: str, name: str) -> None:
    journal = of_url(tmp_path, url=url).value
    assert journal.parent == tmp_path / "state" / "carbon-migrate"
    assert journal.name.removesuffix(".journal").strip(".-")
    assert not name or journal.name == f"{name}.journal"


def test_a_journal_on_a_network_file_system_is_refused_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "cli.settings.settings.network_of", lambda path: "nfs4" if path.name == "shared.journal" else ""
    )
    flags = Flags(journal="shared.journal")
    with pytest.raises(SettingsRefused, match=r"shared\.journal \(--journal\) is on a network file system \(nfs4\)"):
        load(flags, {}, tmp_path)
    assert load(Flags(journal="mine.journal"), {}, tmp_path).journal.value.path == tmp_path / "mine.journal"
    told = replace(flags, journal_on_network=True)
    assert load(told, {}, tmp_path).journal.value.path == tmp_path / "shared.journal"
    written(tmp_path, "journal = 'shared.journal'\njournal_on_network = true\n")
    assert load(Flags(), {}, tmp_path).journal.value.path == tmp_path / "shared.journal"


# ---- A billing's address as the name of its journal: the same, however it is found


PLAIN = r"(?i:https?)://[0-9a-zA-Z.-]{1,20}(:[0-9]{1,4})?(/[0-9a-zA-Z_-]{0,5}){0,3}"


@given(st.from_regex(PLAIN, fullmatch=True))
def test_a_plain_address_has_the_name_that_its_parts_give(address: str) -> None:
    url = yarl.URL(address)
    parts = f"{url.host}-{url.port}{url.path.rstrip('/')}".casefold()
    assert name_of_billing(address) == (re.sub(r"[^0-9a-z.-]+", "_", parts).strip("_.-") or "billing")


# ---- The table [hooks] of the settings file: commands and addresses, and what is refused of them


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
