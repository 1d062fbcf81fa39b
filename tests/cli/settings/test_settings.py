"""Where a setting comes from, and what is refused of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from billing.secret import Secret
from cli.settings.flags import Flags
from cli.settings.settings import SettingValue, load
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


@pytest.mark.parametrize(
    ("name", "variable", "value"),
    [
        ("database", "CARBON_MIGRATE_DATABASE", "value"),
        ("database_user", "CARBON_MIGRATE_DATABASE_USER", "value"),
        ("database_password", "CARBON_MIGRATE_DATABASE_PASSWORD", "value"),
        ("database_charset", "CARBON_MIGRATE_DATABASE_CHARSET", "KOI8U"),
    ],
)
def test_each_variable_sets_what_it_names(name: str, variable: str, value: str, tmp_path: Path) -> None:
    setting = getattr(load(Flags(), {variable: value}, tmp_path), name)
    found = setting.value.reveal() if isinstance(setting.value, Secret) else setting.value
    assert (found, setting.origin) == (value, variable)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("CP1251", "'CP1251' is not a charset of the database: Firebird calls it WIN1251"),
        ("windows-1251", "Firebird calls it WIN1251"),
        ("utf-8", "Firebird calls it UTF8"),
        ("KOI8-R", "Firebird calls it KOI8R"),
        ("koi7", "there are UTF8, WIN1251, .*; UTF8 is usual, WIN1251 in version 4"),
        ("zip", "there are UTF8"),
        ("NONE", "there are UTF8"),
        ("utf8\0", "there are UTF8"),
        ("\x1b[31m" * 100, r"'\\x1b\[31m.{1,100}' is not a charset"),
    ],
)
def test_a_charset_that_firebird_does_not_know_is_refused_with_the_one_that_is_meant(
    name: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsRefused, match=f"{told}.*from --database-charset") as refused:
        load(Flags(database_charset=name), {}, tmp_path)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("name", ["utf8", " WIN1251 ", "Koi8R"])
def test_a_charset_may_be_written_in_small_letters(name: str, tmp_path: Path) -> None:
    assert load(Flags(database_charset=name), {}, tmp_path).database_charset.value == name.strip().upper()


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
    path = written(folder, 'journal = "a.journal"\n[database]\naddress = "b.fdb"\n', "other.toml")
    settings = load(Flags(config=path), {}, tmp_path)
    assert settings.journal.value.path == folder / "a.journal"
    assert settings.database.value == str(folder / "b.fdb")
    assert settings.log == folder / "a.journal.log"
    assert load(Flags(config=path, journal="c.journal"), {}, tmp_path).journal.value.path == tmp_path / "c.journal"


def test_a_database_on_a_server_is_no_path(tmp_path: Path) -> None:
    written(tmp_path, TOML)
    dsn = load(Flags(), {}, tmp_path).dsn
    assert dsn
    assert dsn.database == "billing:/var/db/billing.gdb"
    assert dsn.password == Secret("masterkey")


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
    shown = f"{settings!r} {settings.client!r} {settings.dsn!r} {Flags(database_password='of-the-variable')!r}"
    assert settings.secrets == {"of-the-variable", "very-secret", "Basic c2VjcmV0", "c2VjcmV0", "secret"}
    for secret in ("of-the-variable", "very-secret", "c2VjcmV0"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '[api]\n\nurl = "http://a"\nulr = "http://b"\n',
            r"line 4: there is no setting 'api.ulr' \(did you mean 'url'\?\); \[api\] has: url",
        ),
        (
            "jurnal = 'x'\n",
            "line 1: there is no setting 'jurnal' \\(did you mean 'journal'\\?\\); the file has: language, ",
        ),
        ("[databse]\nuser = 'x'\n", "line 1: there is no setting 'databse'"),
        ("[database]\nuser = 5\n", r"line 2: database.user: Expected `str( \| null)?`, got `int`"),
        ("[api]\nform = { hash_key = 5 }\n", r"line 2: api.form: Expected `str \| object`, got `int`"),
        ("journal =\n", "is not TOML: .*line 1"),
        ('journal = "a\\u0000b"\n', "is not TOML: journal: it holds a NUL"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_line(text: str, told: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingsRefused, match=told) as refused:
        load(Flags(), {}, tmp_path)
    assert str(refused.value).startswith(str(path))


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsRefused, match=r"there is no file .*nowhere.toml"):
        load(Flags(config=tmp_path / "nowhere.toml"), {}, tmp_path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "carbon-migrate.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsRefused, match="not UTF-8"):
        load(Flags(), {}, tmp_path)


def test_an_address_that_cannot_be_used_is_told_with_its_origin(tmp_path: Path) -> None:
    settings = load(Flags(api_url="billing:8082"), {}, tmp_path)
    with pytest.raises(SettingsRefused, match=r"http://HOST:8082.*from --api-url"):
        _ = settings.client


def test_one_billing_has_one_spelling(tmp_path: Path) -> None:
    spellings = ("http://Billing:8082", "http://billing:8082/", "http://billing:8082//")
    assert {load(Flags(api_url=url), {}, tmp_path).target for url in spellings[:2]} == {"http://billing:8082"}


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


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "3601"])
def test_a_silence_that_is_none_is_refused_with_its_line(seconds: str, tmp_path: Path) -> None:
    written(tmp_path, f"[api]\ntimeout = {seconds}\n")
    with pytest.raises(SettingsRefused, match=r"line 2: api\.timeout: .* are not seconds above 0"):
        load(Flags(), {}, tmp_path)


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
    "url", ["http://[::1]:8082/..%2f..", "nonsense", "http://h:99999", "http://ы:1/а б", "/../../x"]
)
def test_whatever_the_address_is_the_journal_is_one_file_of_the_folder(tmp_path: Path, url: str) -> None:
    journal = of_url(tmp_path, url=url).value
    assert journal.parent == tmp_path / "state" / "carbon-migrate"
    assert journal.name.removesuffix(".journal").strip(".-")


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


def test_the_file_of_the_metrics_is_relative_to_the_settings_file(tmp_path: Path) -> None:
    written(tmp_path, '[metrics]\nfile = "figures/{run}.prom"\n')
    assert load(Flags(), {}, tmp_path).metrics.file == tmp_path / "figures" / "{run}.prom"
    assert not load(Flags(), {}, tmp_path / "elsewhere").metrics


@pytest.mark.parametrize("named", ["", "folder/", ".."])
def test_a_file_of_the_metrics_that_names_no_file_is_refused(named: str, tmp_path: Path) -> None:
    written(tmp_path, f'[metrics]\nfile = "{named}"\n')
    with pytest.raises(SettingsRefused, match=r"line 2: metrics\.file: it names no file"):
        load(Flags(), {}, tmp_path)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_of_the_metrics_that_is_none_is_refused(port: int, tmp_path: Path) -> None:
    written(tmp_path, f"[metrics]\nport = {port}\n")
    with pytest.raises(SettingsRefused, match=r"line 2: metrics\.port: it is not a port from 0 up to 65535"):
        load(Flags(), {}, tmp_path)
