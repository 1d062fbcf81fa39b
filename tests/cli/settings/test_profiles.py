"""The file of a profile: found by the billing's host and port, read strictly, written whole."""

from datetime import date
from pathlib import Path

import msgspec
import pytest

from billing.profile import UNKNOWN, Fact, Profile, StornoEffect, TypeEight
from cli.session.session import profile_of, profile_path, write_profile
from cli.settings.flags import Flags
from cli.settings.settings import Settings, load
from cli.terminal.exits import SettingsRefused
from tests.cli.conftest import Place

URL = "http://billing.example:8082"
DAY = date(2026, 11, 25)
LEARNED = msgspec.structs.replace(
    UNKNOWN,
    billing=URL,
    version="5.24.06",
    type_8=Fact(TypeEight.ADDS, DAY),
    descr_length=Fact(120, DAY),
    descr_filters=Fact(("exact", "contains"), DAY),
    storno_type_8=Fact(StornoEffect.KEEPS, DAY),
    read_latency=Fact({"1": 3.5, "8": 20.25}, DAY),
    columns=Fact({"users": ("id", "login")}, DAY),
)


def settings_in(folder: Path, *, with_file: bool = True) -> Settings:
    if with_file:
        (folder / "carbon-migrate.toml").write_text(f'[api]\nurl = "{URL}"\n', encoding="utf-8")
    return load(Flags(api_url=URL), {"XDG_STATE_HOME": str(folder / "state")}, folder)


def test_it_lies_beside_the_settings_file_or_in_the_state_folder(tmp_path: Path) -> None:
    assert profile_path(settings_in(tmp_path, with_file=False)) == (
        tmp_path / "state" / "carbon-migrate" / "billing.example-8082.profile.toml"
    )
    assert profile_path(settings_in(tmp_path)) == tmp_path / "billing.example-8082.profile.toml"


def test_what_was_learned_is_read_again(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, with_file=False)
    assert profile_of(settings) == UNKNOWN
    path = write_profile(settings, LEARNED)
    assert profile_of(settings) == LEARNED
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    # What is assumed is no part of the file: a later version of this program may assume better.
    assert "charset" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('type_8 = { value = "sets", learned = 2026-11-25', "is not TOML"),
        ('version = "5"\ntype_9 = { value = "sets" }', r"line 2, column 1: type_9: there is no key 'type_9' here"),
        ('type_8 = { value = "both" }', r"line 1, column 12: type_8.value: Invalid enum value 'both'"),
        ('[descr_length]\nvalue = "255"', r"line 2, column 1: descr_length.value: Expected `int`, got `str`"),
        ("[descr_kept]\nvalue = 1", r"line 2, column 1: descr_kept.value: Expected `bool`, got `int`"),
        (
            '[type_8]\nvalue = "adds"\nsure = true',
            r"line 3, column 1: type_8.sure: there is no key 'sure' here; there are: learned, ",
        ),
        ("[type_8]\nlearned = 2026-11-25", r"line 1, column 2: type_8: Object missing required field `value`"),
        ('[type_8]\nvalue = "adds"\nlearned = "soon"', r"line 3, column 1: type_8.learned: Invalid RFC3339"),
        ('billing = "http://other:1"', "is of the billing http://other:1"),
        ('[type_8]\nvalue = "adds"', "nobody knows which"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_place(tmp_path: Path, text: str, why: str) -> None:
    settings = settings_in(tmp_path)
    profile_path(settings).write_text(text, encoding="utf-8")
    with pytest.raises(SettingsRefused, match=why):
        profile_of(settings)


def test_a_profile_that_is_not_utf8_and_a_folder_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    profile_path(settings).write_bytes(b'billing = "\xff"')
    with pytest.raises(SettingsRefused, match="cannot be read: it is not UTF-8"):
        profile_of(settings)
    (tmp_path / "carbon-migrate.toml").unlink()
    (tmp_path / "state").write_text("a file", encoding="utf-8")
    with pytest.raises(SettingsRefused, match=r"billing.example-8082.profile.toml cannot be written"):
        write_profile(settings_in(tmp_path, with_file=False), LEARNED)


async def test_doctor_shows_each_fact_and_no_command_takes_a_profile_that_cannot_be_used(place: Place) -> None:
    told = await place.cli.told("doctor", "-v")
    for words in ("no probe has asked this billing", "assumed", "an operation of type 8 sets the balance to its sum"):
        assert words in told
    learned(place, LEARNED, "5.24.06")
    told = await place.cli.told("doctor", "-v")
    for words in ("of version 5.24.06: 6 facts known", "known 2026-11-25", "type 8 adds its sum to the balance"):
        assert words in told
    path = learned(place, LEARNED, "5.23.01")
    assert "learned from version 5.23.01, and the billing is of version 5.24.06 now" in await place.cli.told("doctor")
    path.write_text("[type_8]\nvalue = 8\n", encoding="utf-8")
    balances = place.balances(2)
    await place.cli.refused("run", "balances", balances.path, "--yes", says="line 2, column 1: type_8.value")
    assert (await place.found()).rows == 0
    assert "line 2, column 1: type_8.value" in await place.cli.told("doctor", ends=2)


def learned(place: Place, profile: Profile, version: str) -> Path:
    """Let this be what a probe has learned of the billing."""
    state = {"XDG_STATE_HOME": place.cli.environment["XDG_STATE_HOME"]}
    settings = load(Flags(api_url=place.billing.url), state, place.cli.folder)
    return write_profile(settings, msgspec.structs.replace(profile, billing=settings.target, version=version))


def storno_restores(place: Place) -> None:
    """Let a probe have seen that a storno of type 8 brings the balance back."""
    learned(place, msgspec.structs.replace(UNKNOWN, storno_type_8=Fact(StornoEffect.RESTORES, DAY)), "5.24.06")


async def test_the_preview_names_what_no_probe_has_confirmed_and_an_undo_takes_what_one_has(place: Place) -> None:
    place.balances(1)
    ended = await place.cli("run", "balances", "balances.csv", "--yes")
    assert "an operation of type 8 sets the balance to its sum" in ended.words
    assert "No probe has confirmed what is assumed; this asks the billing: carbon-migrate probe" in ended.words
    adds = msgspec.structs.replace(UNKNOWN, type_8=Fact(TypeEight.ADDS, DAY), descr_kept=Fact(True, DAY))
    learned(place, adds, "5.24.06")
    ended = await place.cli("plan", "balances", "balances.csv", "--json", "--again")
    assert ended.closing["assumptions"] == []
    (run,) = await place.runs()
    # The probe's word is the default, and it is kept with the run; whoever says otherwise is told.
    ended = await place.cli(
        "undo", run.name, "--set", "way=opposite", "--yes", "--settle", "0.1", may_end_with=(0, 1)
    )
    assert (await place.runs())[-1].parameters["type_8"] == "adds"
    more = ("--set", "way=opposite", "--set", "type_8=sets", "--yes", "--settle", "0.1")
    ended = await place.cli("undo", run.name, *more, may_end_with=(0, 1))
    assert "--set type_8=sets counts, and the probe of 2026-11-25 says: an operation of type 8 adds" in ended.words
