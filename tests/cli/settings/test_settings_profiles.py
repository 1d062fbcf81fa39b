"""Profiles of settings: laid over the common part, one of them chosen, one billing each."""

from pathlib import Path

import pytest

from cli.settings.flags import COMMON_PART, Flags
from cli.settings.known_billings import known_billings
from cli.settings.settings import Settings, load
from cli.terminal.exits import SettingsRefused
from cli.terminal.language import typed_language
from cli.terminal.layout import Badge, badge_of
from tests.cli.conftest import Typed
from tests.cli.settings.test_settings import written

TOML = """\
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
LIST = "has profiles of settings, and none is chosen: test, production"


def loaded(folder: Path, profile: str | None = None, text: str = TOML, **environment: str) -> Settings:
    written(folder, text)
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
    text = f'default_profile = "test"\n{TOML}'
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


@pytest.mark.parametrize(
    ("profile", "text", "told"),
    [
        (None, TOML, LIST),
        ("prodution", TOML, r"--profile: .* no profile of .* 'prodution' \(did you mean 'production'\?\)"),
        ("test", "", "there is no profile of settings 'test', for .*carbon-migrate.toml has none"),
        ("", f'default_profile = "production"\n{TOML}', LIST),
        (None, f'default_profile = "nort"\n{TOML}', "line 1: there is no profile of settings 'nort'"),
        (None, f"default_profile = 5\n{TOML}", "line 1: default_profile: it is the name"),
        ("test", 'profile = "test"\n', "line 1: profile: it is a table"),
        ("test", "[profile]\ntest = 5\n", r"line 2: profile.test: it is a table"),
        ("a b", '[profile."a b"]\n', "line 1: profile.a b: a name has letters"),
        ("test", "[profile.test]\nname = 5\n", "line 2: profile.test.name: Expected `str`"),
        ("test", "[profile.test]\nproduction = 1\n", "line 2: profile.test.production: Expected `bool"),
        ("test", '[profile.test]\nname = "a\\u001bb"\n', "line 2: profile.test.name: .*nobody can type"),
        (
            "test",
            "[profile.test]\n[profile.other.api]\nulr = 'x'\n",
            r"line 3: .*ulr' .*'url'.*\[profile.other.api\] has",
        ),
        ("test", "[profile.test]\njurnal = 'x'\n", r"line 2: .*'journal'\?\); \[profile.test\] has: name, p"),
        ("test", "[profile.test.api]\nurl = 5\n", "line 2: profile.test.api.url: Expected `str"),
        ("test", "[profile.test.profile.x]\n", "there is no setting 'profile.test.profile'"),
    ],
)
def test_what_is_wrong_with_profiles_is_refused_with_its_line(
    profile: str | None, text: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsRefused, match=told):
        loaded(tmp_path, profile, text)


def test_a_variable_for_a_file_without_profiles_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(SettingsRefused, match="CARBON_MIGRATE_PROFILE: there is no profile of settings 'test'"):
        loaded(tmp_path, None, "", CARBON_MIGRATE_PROFILE="test")


def test_no_flag_and_no_variable_names_another_billing_than_the_profile(tmp_path: Path) -> None:
    with pytest.raises(SettingsRefused, match=r"test has api.url http://stand:8082, and CARBON_MIGRATE_API_URL says"):
        loaded(tmp_path, "test", CARBON_MIGRATE_API_URL="http://north:8082")
    with pytest.raises(SettingsRefused, match=r"production has database.address .* and CARBON_MIGRATE_DATABASE says"):
        loaded(tmp_path, "production", CARBON_MIGRATE_DATABASE="stand:/billing.gdb")
    assert loaded(tmp_path, "test", CARBON_MIGRATE_API_URL="http://STAND:8082/").target == "http://stand:8082"


@pytest.mark.parametrize(
    ("common", "told"),
    [
        ('journal = "all.journal"\n', "line 1: journal: all.journal would be that of .* test and production"),
        ('metrics = { file = "all.prom" }\n', "metrics.file: all.prom would be that of"),
    ],
)
def test_profiles_of_two_billings_share_no_file(common: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsRefused, match=told):
        loaded(tmp_path, "test", common + TOML)
    # Two profiles of one billing may: it is the billing that a journal belongs to.
    alike = common + TOML.replace("http://north:8082", "http://stand:8082")
    assert loaded(tmp_path, "test", alike).profile
    assert loaded(tmp_path, "test", 'metrics = { file = "{run}.prom" }\n' + TOML).profile


def test_a_journal_in_postgres_is_for_many_billings_but_not_for_two_addresses_of_one(tmp_path: Path) -> None:
    shared = 'journal = "postgresql://db/all"\n' + TOML
    for name in ("test", "production"):
        assert str(loaded(tmp_path, name, shared).journal.value).startswith("postgresql://db:5432/all")
        settings = loaded(tmp_path, name, TOML, CARBON_MIGRATE_JOURNAL="postgresql://db/all")
        assert settings.journal.value.is_shared
    with pytest.raises(SettingsRefused, match="test and production have one database, so they are one billing"):
        loaded(tmp_path, "test", shared + '[profile.test.database]\naddress = "north/3050:/billing.gdb"\n')


def test_all_billings_have_the_journal_of_the_file_and_those_of_the_profiles(tmp_path: Path) -> None:
    named = TOML.replace("[profile.test.api]", '[profile.test]\njournal = "test.journal"\n[profile.test.api]')
    settings = loaded(tmp_path, COMMON_PART, 'journal = "all.journal"\n' + named)
    assert [one.path.name for one in known_billings(settings, {}).journals] == ["all.journal", "test.journal"]


def test_the_journal_of_another_profile_and_billing_is_refused_by_flag_and_by_variable(tmp_path: Path) -> None:
    named = TOML.replace("[profile.test.api]", '[profile.test]\njournal = "test.journal"\n[profile.test.api]')
    written(tmp_path, named)
    (tmp_path / "link").symlink_to(tmp_path / "test.journal")
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    for journal in ("test.journal", str(tmp_path / "link")):
        with pytest.raises(SettingsRefused, match=r"^--journal: .* is the journal of .* test, which is another"):
            load(Flags(profile="production", journal=journal), state, tmp_path)
    default = tmp_path / "state" / "carbon-migrate" / "north-8082.journal"
    with pytest.raises(
        SettingsRefused, match=r"^CARBON_MIGRATE_JOURNAL: .* choose that profile: --profile production"
    ):
        load(Flags(profile="test"), {**state, "CARBON_MIGRATE_JOURNAL": str(default)}, tmp_path)
    assert load(Flags(profile="production", journal=str(default)), state, tmp_path).journal.value.path == default
    # Two profiles of one billing share what is the billing's.
    alike = named.replace("http://north:8082", "http://stand:8082")
    written(tmp_path, alike)
    assert load(Flags(profile="production", journal="test.journal"), state, tmp_path).profile


def test_a_journal_of_the_working_folder_is_taken_by_the_profile_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "carbon-migrate.journal").touch()
    with pytest.raises(SettingsRefused, match=r"all profiles .* Say in the one .*: journal = \"carbon-migrate"):
        loaded(tmp_path, "test")
    named = TOML.replace(
        "[profile.test.api]", '[profile.test]\njournal = "carbon-migrate.journal"\n[profile.test.api]'
    )
    assert loaded(tmp_path, "test", named).journal.value.path.parent == tmp_path
    assert loaded(tmp_path, "production", named).journal.value.path.name == "north-8082.journal"


@pytest.mark.parametrize(
    ("text", "production"),
    [
        ("[profile.north]\nproduction = true\n", True),
        ("[profile.north]\n", False),
        ("[profile.Production]\n", True),
        ("[profile.production]\nproduction = false\n", False),
    ],
)
def test_production_is_what_says_so_or_is_called_so(text: str, production: bool, tmp_path: Path) -> None:
    (name,) = (word.strip("[]").removeprefix("profile.") for word in text.splitlines()[:1])
    profile = loaded(tmp_path, name, text).profile
    assert profile
    assert profile.badge == Badge(name, production=production)


def test_a_badge_is_kept_with_a_run_and_read_again() -> None:
    for badge in (Badge("test"), Badge("production", "ISP North", production=True)):
        assert badge_of(badge.to_parameters()) == badge
    assert badge_of({"input_file": "a.csv"}) is None


def test_the_language_of_a_profile_is_that_of_the_screens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, TOML)
    monkeypatch.chdir(tmp_path)
    assert typed_language(["status", "--profile", "production"], {}) == "ru"
    assert typed_language(["status"], {"CARBON_MIGRATE_PROFILE": "production"}) == "ru"
    assert typed_language(["status", "--profile", "test"], {"LANG": "ru_RU.UTF-8"}) == "en"


def test_what_asks_no_billing_needs_no_profile(typed: Typed, tmp_path: Path) -> None:
    written(tmp_path, TOML)
    assert typed("jobs").exit == 0
    refused = typed("status")
    assert (refused.exit, LIST in refused.err) == (2, True)
