"""Where a setting comes from; `transcripts/settings.txt` has what is refused of a file and of its profiles."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from billing.secret import Secret
from cli.settings.flags import COMMON_PART, Flags, Pacing
from cli.settings.settings import HookEvent, HookSettings, Settings, SettingValue, known_billings, load
from cli.terminal.exits import SettingsRefused
from cli.terminal.layout import Badge
from cli.terminal.texts import typed_language
from lab.mock.faults import MockAnswer
from tests.cli.conftest import Ended, Place, Typed, settings_file

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


@pytest.mark.parametrize("named", ["s.toml", "./s.toml", "etc/s.toml"])
def test_what_the_file_names_lies_beside_the_file(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/olga")
    text = """\
journal = "a.journal"
jobs = ["./ours.py"]
[database]
address = "./b.fdb"
[metrics]
file = "figures/{run}.prom"
[hooks]
on-start = "hooks/mail"
on-hold = "./mail"
on-end = "~/bin/mail"
"""
    path = Path(named)
    folder = tmp_path / path.parent
    folder.mkdir(exist_ok=True)
    settings_file(folder, text, path.name)
    found = load(Flags(config=path), {}, tmp_path)
    assert found.journal.value.path.absolute() == folder / "a.journal"
    assert found.log is not None
    assert found.log.absolute() == folder / "a.journal.log"
    assert (found.database.value, found.own_jobs.files) == (str(folder / "b.fdb"), (folder / "ours.py",))
    assert found.metrics.file == str(folder / "figures" / "{run}.prom")
    assert [hook.name for hook in found.hooks.hooks.values()] == [
        str(folder / "hooks" / "mail"),
        str(folder / "mail"),
        "/home/olga/bin/mail",
    ]
    assert not load(Flags(), {}, tmp_path).metrics
    assert load(Flags(config=path, journal="c.journal"), {}, tmp_path).journal.value.path == tmp_path / "c.journal"


def test_a_password_on_a_command_line_is_refused_with_where_to_give_it(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsRefused, match=r"CARBON_MIGRATE_DATABASE_PASSWORD, or password in \[database\]"
    ) as told:
        load(Flags(database_password="of-the-flag"), {}, tmp_path)
    assert "of-the-flag" not in str(told.value)
    assert load(Flags(database_password=""), {}, tmp_path).database_password.origin == "--database-password"


def test_secrets_stand_in_no_repr(tmp_path: Path) -> None:
    """The file may be as a Windows editor writes it."""
    (tmp_path / "carbon-migrate.toml").write_bytes(b"\xef\xbb\xbf" + TOML.replace("\n", "\r\n").encode())
    settings = load(Flags(), {"CARBON_MIGRATE_DATABASE_PASSWORD": "of-the-variable"}, tmp_path)
    assert settings.dsn
    assert settings.dsn.database == "billing:/var/db/billing.gdb", "on a server it is no path"
    assert settings.dsn.password == Secret("of-the-variable")
    shown = f"{settings!r} {settings.client!r} {settings.dsn!r} {Flags(database_password='of-the-variable')!r}"
    assert settings.secrets == {"of-the-variable", "very-secret", "Basic c2VjcmV0", "c2VjcmV0", "secret"}
    for secret in ("of-the-variable", "very-secret", "c2VjcmV0"):
        assert secret not in shown


def test_how_long_the_billing_may_be_silent(tmp_path: Path) -> None:
    built_in = load(Flags(), {}, tmp_path).timeout
    assert (built_in.value, built_in.origin) == (60.0, "built in")
    settings_file(tmp_path, TOML.replace("[api]", "[api]\ntimeout = 20"))
    for flags, value, origin in (
        (Flags(), 20.0, "carbon-migrate.toml, line 4"),
        (Flags(timeout=1.5), 1.5, "--timeout"),
    ):
        found = load(flags, {}, tmp_path)
        assert (found.timeout.value, found.timeout.origin) == (value, origin)
        assert (found.client.read, found.client.deadline) == (value, 2 * value)


# ---- where the journal lies when nobody says -------------------------------------------------------------------

URL = "http://169.254.80.82:8082"


def of_url(tmp_path: Path, folder: str = "here", url: str = URL) -> SettingValue[Path]:
    (tmp_path / folder).mkdir(exist_ok=True)
    environment = {"CARBON_MIGRATE_API_URL": url, "XDG_STATE_HOME": str(tmp_path / "state")}
    found = load(Flags(), environment, tmp_path / folder).journal
    return SettingValue(found.value.path, found.origin)


def test_the_journal_belongs_to_the_billing_wherever_the_command_is_typed(tmp_path: Path) -> None:
    state = tmp_path / "state" / "carbon-migrate"
    expected = state / "169.254.80.82-8082.journal"
    assert of_url(tmp_path).value == of_url(tmp_path, "there").value == expected
    assert of_url(tmp_path, url=f"{URL}/").value == expected, "one address in two spellings"
    assert of_url(tmp_path, url="http://169.254.80.82:8083").value != expected
    assert of_url(tmp_path, url=f"{URL}/billing").value != expected
    # Without an address it is the only one that there is.
    state.mkdir(parents=True)
    for name in ("one-8082.journal", "one-8082.journal.log", "one-8082.journal-plans"):
        (state / name).touch()
    assert of_url(tmp_path, url="").value == state / "one-8082.journal"
    (state / "two-8082.journal").touch()
    assert not of_url(tmp_path, url="").value.exists()
    # One of the working folder is used, and named.
    there = tmp_path / "there" / "carbon-migrate.journal"
    there.touch()
    setting = of_url(tmp_path, "there")
    assert (setting.value, setting.origin) == (there, "found in the working folder")


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


def test_a_journal_on_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "cli.settings.settings.network_of", lambda path: "nfs4" if path.name == "shared.journal" else ""
    )
    flags = Flags(journal="shared.journal")
    with pytest.raises(SettingsRefused, match=r"shared\.journal \(--journal\) is on a network file system \(nfs4\)"):
        load(flags, {}, tmp_path)
    assert load(Flags(journal="mine.journal"), {}, tmp_path).journal.value.path == tmp_path / "mine.journal"
    told = replace(flags, journal_on_network=True)
    assert load(told, {}, tmp_path).journal.value.path == tmp_path / "shared.journal"
    settings_file(tmp_path, "journal = 'shared.journal'\njournal_on_network = true\n")
    assert load(Flags(), {}, tmp_path).journal.value.path == tmp_path / "shared.journal"


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


def test_an_address_of_apprise_asks_for_apprise_where_hooks_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: Typed
) -> None:
    given = f'on-end = "apprise://tgram://{TOKEN}/5"'
    settings_file(tmp_path, f"[hooks]\n{given}\n")
    for command in ("export", "verify", "report"):
        typed.refused(command, "k7m2q", says="there is no journal")
    for command in ("undo", "resume"):
        typed.refused(command, "k7m2q", says="[hooks]: Apprise is not installed; type pip install apprise")
    (tmp_path / "apprise.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    typed.refused("undo", "k7m2q", says="there is no journal")
    hook = hooks(tmp_path, given).hooks[HookEvent.END]
    assert (hook.name, hook.url.reveal()) == ("apprise", f"apprise://tgram://{TOKEN}/5")
    with pytest.raises(SettingsRefused, match=r"hooks\.ping: it is not an address"):
        hooks(tmp_path, f'ping = "apprise://tgram://{TOKEN}/5"')


# ---- Profiles of settings: laid over the common part, one of them chosen, one billing each


PROFILES = """\
language = "en"
[api]
timeout = 20
form = { hash_key = "of-all", city = "1" }

[hooks]
on-end = ["tell", "everybody"]

[profile.test.api]
url = "http://stand:8082"

[profile.production]
name = "ISP  North"
language = "ru"
[profile.production.api]
url = "http://north:8082"
form = { hash_key = "of-production" }
[profile.production.database]
address = "north/3050:/billing.gdb"
[profile.production.hooks]
on-end = ["tell", "olga"]
"""


def loaded(folder: Path, profile: str | None = None, text: str = PROFILES, **environment: str) -> Settings:
    settings_file(folder, text)
    return load(Flags(profile=profile), {"XDG_STATE_HOME": str(folder / "state"), **environment}, folder)


def test_a_profile_is_laid_over_the_common_part_and_each_value_names_its_line(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "production")
    assert settings.profile
    assert settings.profile.badge == Badge("production", "ISP North", production=True)
    assert (settings.api_url.value, settings.api_url.origin) == ("http://north:8082", "carbon-migrate.toml, line 16")
    assert (settings.timeout.value, settings.timeout.origin) == (20, "carbon-migrate.toml, line 3")
    assert {name: secret.reveal() for name, secret in settings.form.value.items()} == {
        "hash_key": "of-production",
        "city": "1",
    }
    assert settings.form.origin == "carbon-migrate.toml, line 17"
    assert settings.database.origin == "carbon-migrate.toml, line 19"
    assert [list(hook.command) for hook in settings.hooks.hooks.values()] == [["tell", "olga"]]
    assert settings.language.value == "ru"
    other = loaded(tmp_path, "test")
    assert other.profile
    assert other.profile.badge == Badge("test")
    assert other.form.value["hash_key"].reveal() == "of-all"
    assert other.database.value is None
    assert other.journal.value.path.name == "stand-8082.journal" != settings.journal.value.path.name


def test_the_flag_goes_before_the_variable_and_that_before_the_file(tmp_path: Path) -> None:
    text = f'default_profile = "test"\n{PROFILES}'
    chosen = [
        loaded(tmp_path, "production", text, CARBON_MIGRATE_PROFILE="test"),
        loaded(tmp_path, None, text, CARBON_MIGRATE_PROFILE="production"),
        loaded(tmp_path, None, text),
    ]
    assert [(one.profile.badge.profile, one.profile.origin.rpartition("/")[2]) for one in chosen if one.profile] == [
        ("production", "--profile"),
        ("production", "CARBON_MIGRATE_PROFILE"),
        ("test", "carbon-migrate.toml, line 1"),
    ]


SHARED = 'journal = "postgresql://db/all"\n'


def test_a_journal_of_many_billings_and_the_journals_of_all_profiles(tmp_path: Path) -> None:
    for name in ("test", "production"):
        assert str(loaded(tmp_path, name, SHARED + PROFILES).journal.value).startswith("postgresql://db:5432/all")
        assert loaded(tmp_path, name, CARBON_MIGRATE_JOURNAL="postgresql://db/all").journal.value.is_shared
    own = PROFILES.replace("[profile.test.api]", '[profile.test]\njournal = "test.journal"\n[profile.test.api]')
    settings = loaded(tmp_path, COMMON_PART, f'journal = "all.journal"\n{own}')
    assert [one.path.name for one in known_billings(settings, {}).journals] == ["all.journal", "test.journal"]


def test_production_is_what_says_so_or_is_called_so(tmp_path: Path) -> None:
    for name, says, production in (
        ("north", "production = true", True),
        ("north", "", False),
        ("Production", "", True),
        ("production", "production = false", False),
    ):
        profile = loaded(tmp_path, name, f"[profile.{name}]\n{says}\n").profile
        assert profile
        assert profile.badge == Badge(name, production=production)


def test_the_language_of_a_profile_is_that_of_the_screens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings_file(tmp_path, PROFILES)
    monkeypatch.chdir(tmp_path)
    assert typed_language(["status", "--profile", "production"], {}) == "ru"
    assert typed_language(["status"], {"CARBON_MIGRATE_PROFILE": "production"}) == "ru"
    assert typed_language(["status", "--profile", "test"], {"LANG": "ru_RU.UTF-8"}) == "en"


def test_what_asks_no_billing_needs_no_profile(typed: Typed, tmp_path: Path) -> None:
    settings_file(tmp_path, PROFILES)
    assert typed("jobs").exit == 0
    typed.refused("status", says="has profiles of settings, and none is chosen: test, production")


# ---- The flags that pace a run: what they mean to the engine, and what they do to a real one


def test_a_flag_says_what_it_was_given_also_where_that_is_the_default() -> None:
    assert Pacing().given == {}
    assert Pacing(max_in_flight="64", no_canary=False).given == {"max-in-flight": "64", "canary": "yes"}


# ---- a real run --------------------------------------------------------------------------------------------------


async def test_the_rate_holds_for_what_is_read_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    balances = place.balances(8)
    arrived: list[float] = []
    carry_out = place.billing._carry_out

    async def noted(model: str, form: Mapping[str, str]) -> MockAnswer:
        if model != "Version":
            arrived.append(anyio.current_time())
        return await carry_out(model, form)

    async def reading(*words: str | Path) -> Ended:
        arrived.clear()
        ended = await place.cli(*words, "--json", "--database", "")
        assert len(arrived) >= 8
        assert arrived[7] - arrived[0] >= 7 / 20 - 0.1
        return ended

    monkeypatch.setattr(place.billing, "_carry_out", noted)
    await reading("plan", "balances", balances.path, "--rate", "20")
    closing = (await reading("run", "balances", balances.path, "--yes", "--no-canary", "--rate", "20")).closing
    assert closing["states"] == {"accepted": 8}
    # The run keeps its rate, also for reading back.
    assert (await reading("verify", closing["run"])).closing["applied"] == 8
