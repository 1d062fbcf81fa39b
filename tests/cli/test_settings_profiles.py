"""Profiles of settings as an operator has them: what is asked in production, and where it is seen which one it is."""

import shutil
from pathlib import Path

import pytest

from billing.database.dsn import Dsn
from checkpoints.journal import open_journal
from cli.commands.completion import commands
from lab.mock.server import running
from tests.cli.conftest import Place
from tests.cli.page.test_following import page_of
from tests.cli.terminal.terminals import answered
from texts.said import TAKES_PROFILE

NAMED = "PRODUCTION: ISP North (profile of settings: production)"


@pytest.fixture
def place(place: Place) -> Place:
    """A place with a settings file of two profiles, and nothing of that in the environment."""
    for name in ("API_URL", "DATABASE", "JOURNAL"):
        del place.cli.environment[f"CARBON_MIGRATE_{name}"]
    settings = f"""\
[database]
address = "{place.file}"
[profile.test.api]
url = "http://127.0.0.1:9"
[profile.production]
name = "ISP North"
journal = "carbon-migrate.journal"
api = {{ url = "{place.billing.url}" }}
"""
    place.write(settings, "carbon-migrate.toml").chmod(0o600)
    return place


async def test_undo_asks_for_the_name_and_resume_with_another_profile_names_the_right_one(place: Place) -> None:
    balances = place.balances(6)
    production = ("--profile", "production")
    ran = await place.cli(
        *("run", "balances", balances.path, *production, "--yes", "--json", "--limit-money", "0.2", "--settle", "0"),
        may_end_with=[3],
    )
    run = ran.closing["run"]
    entered = (await place.found()).rows
    assert 0 < entered < 6
    shutil.copy(place.cli.journal, place.cli.folder / "copy.journal")
    other = ("--profile", "test", "--journal", "copy.journal")
    strayed = await place.cli("resume", run, *other, "--yes", may_end_with=[2])
    assert f"run {run} works on {place.billing.url}, and the settings name http://127.0.0.1:9" in strayed.words
    assert "Give --profile production to reach its billing" in strayed.words
    assert (await place.found()).rows == entered
    # A run that was approved asks for nothing more.
    await place.cli("resume", run, *production, "--limit-money", "none")
    assert (await place.found()).rows == 6
    undo = ("undo", run, "--set", "way=opposite", *production)
    question = "Type the name of the billing, ISP North, to send:"
    not_its_name = "That is 'y', and not its name."
    answers = ([(question, "no")], [(question, "y"), (not_its_name, "no")], [(question, "isp  north")])
    for asks, code in zip(answers, (2, 2, 0), strict=True):
        seen = await answered(place, *undo, says=asks, ends=code)
        # At the head, and before the question.
        assert seen.count(f"\x1b[1;37;41m{NAMED}\x1b[0m") >= 2
        if code == 0:
            assert "--profile production" in seen.partition("carbon-migrate verify ")[2], "it can be copied"
    states = [await place.cli.closing("status", one.name, *production) for one in await place.runs()]
    # Those of a no are given up.
    assert [one["states"] for one in states] == [{"accepted": 6}, {}, {}, {"accepted": 6}]


async def test_who_looks_at_a_run_by_the_profile_of_a_copy_is_told_that_of_its_billing(place: Place) -> None:
    """Where no profile has it both addresses are named: the API alone would go with the database of the copy."""
    copy = Path(shutil.copy(place.file, place.file.with_name("copy.fdb")))
    of_both = ("--journal", "both.journal")
    words = ("balances", place.balances(2).path, "--profile", "production", *of_both)
    run = (await place.run(*words))["run"]
    settings = place.cli.folder / "carbon-migrate.toml"
    async with running(Dsn(str(copy))) as billing:
        to_copy = f'[profile.copy]\napi = {{ url = "{billing.url}" }}\ndatabase = {{ address = "{copy}" }}\n'
        known = settings.read_text(encoding="utf-8") + to_copy
        for text, flags in (
            (known, "--profile production"),
            (to_copy, f"--api-url {place.billing.url} --database {place.file}"),
        ):
            settings.write_text(text, encoding="utf-8")
            says = [f"leads to a copy of the billing of run {run}", f"Give {flags} to reach its billing"]
            for command in ("verify", "undo"):
                await place.cli.refused(command, run, "--profile", "copy", *of_both, says=says)


async def test_a_page_of_all_billings_advises_the_profile_of_each_run(place: Place) -> None:
    """Also for a run that was begun since the page is open: its profile has more than the addresses."""
    production = ("--profile", "production", "--json")
    await place.cli("run", "balances", place.balances(1).path, *production, "--yes")
    async with page_of(place, "--journal", "carbon-migrate.journal") as browser:
        flags = ("--yes", "--limit-money", "0.2", "--settle", "0")
        ran = await place.cli("run", "balances", place.balances(6).path, *production, *flags, may_end_with=[3])
        async with browser.stream(ran.closing["run"]) as stream:
            seen = (await stream.until(lambda seen: not seen["worked_by"])).data
    for advised in (seen["resume"], seen["verification"]["command"]):
        assert advised.endswith(" --profile production")
        assert "--api-url" not in advised


async def test_a_run_keeps_its_profile_and_shows_it_everywhere(place: Place) -> None:
    balances = place.balances(3)
    refused = await place.cli("run", "balances", balances.path, "--profile", "production", may_end_with=[2])
    assert "no terminal to confirm on: add --yes" in refused.words
    ran = await place.cli("run", "balances", balances.path, "--profile", "production", "--yes", "--json")
    run = ran.closing["run"]
    assert ran.err.startswith(NAMED)
    production = ("--profile", "production")
    shown = await place.cli("status", run, *production)
    assert shown.err == f"{NAMED}\n"
    assert f"settings       {NAMED}" in shown.out
    assert "settings_" not in shown.out
    *_, one = (await place.cli.closing("status", *production))["runs"]
    assert one["profile"] == {"name": "production", "billing": "ISP North", "production": True}
    await place.cli("report", run, *production, "-o", "report.html")
    assert NAMED in (place.cli.folder / "report.html").read_text(encoding="utf-8")
    undone = await place.cli.closing("undo", run, *production, "--yes", ends=1)
    assert NAMED in (await place.cli("status", undone["run"], *production)).out

    # The same journal by another profile, which is another billing: nothing of it goes there.
    other = ("--profile", "test", "--journal", "carbon-migrate.journal")
    await place.cli.refused("verify", run, *other, says="is the journal of the profile of settings production")
    await place.cli.refused("status", "--profile", "test", says="127.0.0.1-9.journal")
    where = f"run {run} is of the profile of settings production: --profile production"
    assert where in (await place.cli("verify", run, "--profile", "test", may_end_with=[2])).words
    file = place.cli.folder / "carbon-migrate.toml"
    file.write_text(
        file.read_text(encoding="utf-8").replace(
            "[profile.test.api]", '[profile.test]\njournal = "t"\n[profile.test.api]'
        ),
        encoding="utf-8",
    )
    async with open_journal(place.cli.folder / "t"):
        pass
    strayed = await place.cli.refused("resume", run, "--profile", "test", "--json", says="has no run")
    assert where in strayed.closing["error"]


def test_the_commands_that_read_settings_are_those_that_take_a_profile() -> None:
    takes = {name for name, command in commands().items() if command.option("--profile")}
    assert {name for name in takes if " " not in name} == TAKES_PROFILE
