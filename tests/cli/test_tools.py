"""`doctor`, `mock`, `demo`, `selftest`, `jobs`, and a load that was recorded."""

import gzip
import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from billing.database.database import attach
from billing.database.dsn import Dsn
from cli.commands.jobs import as_object
from cli.commands.mock import QUIRKS
from cli.commands.selftest import ALL_JOBS, ROWS, USUAL_JOBS, Series
from cli.terminal.exits import Exit
from jobs.catalogue.catalogue import JOBS
from jobs.spec.columns import locate
from jobs.spec.spec import JobSpec, own_select
from lab.crash import plan as lab_plan
from lab.demo import make_folder
from lab.mock.facts import Quirks
from lab.simulation.campaign import Campaign, run
from tests.cli.conftest import Place, Typed
from tools.house import ROOT

LINES, COLUMNS = 24, 80
"""Of a terminal as it opens."""


async def test_doctor_says_what_is_wrong_and_goes_on(place: Place) -> None:
    place.cli.environment["CARBON_MIGRATE_DATABASE_PASSWORD"] = "do-not-show"
    wrong = ("--api-url", "http://127.0.0.1:9", "--database", "nowhere.fdb")
    ended = await place.cli("doctor", "--json", *wrong, may_end_with=(2,))
    told = ended.closing
    assert [one["check"] for one in told["checks"] if one["standing"] == "wrong"] == ["api", "database"]
    assert (told["in_the_way"], told["exit"]) == (2, 2)
    assert told["settings"]["api url"] == {"value": "http://127.0.0.1:9", "origin": "--api-url"}
    assert told["settings"]["password"] == {"value": "set", "origin": "CARBON_MIGRATE_DATABASE_PASSWORD"}
    ended.saying(["✗ api Nobody answers", "2 problems in the way of a run"])
    assert "do-not-show" not in ended.words + ended.out


async def test_a_mock_is_made_once_and_served(place: Place) -> None:
    (await place.cli("mock", "init", "b.fdb", "--abonents", "20", "--seed", "3")).saying("20 subscribers")
    await place.cli.refused("mock", "init", "b.fdb", "--abonents", "20", says="is there already")
    await place.cli.refused("mock", "serve", "nowhere.fdb", says="there is no nowhere.fdb")
    port = place.billing.url.rpartition(":")[2]
    await place.cli.refused("mock", "serve", "b.fdb", "--port", port, says=f"port {port}")


@pytest.mark.loops(90)
@pytest.mark.parametrize(
    ("language", "readme", "holds"),
    [
        ("en", "README.md", "the proof holds after"),
        pytest.param("ru", "README.ru.md", "доказательство сходится за", marks=pytest.mark.prove),
    ],
)
async def test_the_demo_proves_itself_on_one_screen_as_the_readme_shows_it(
    place: Place, language: str, readme: str, holds: str
) -> None:
    place.cli.environment |= {"CARBON_MIGRATE_LANG": language, "COLUMNS": str(COLUMNS)}
    ended = await place.cli("demo", "--quick")
    lines = ended.out.splitlines()
    assert len(lines) < LINES
    assert max(map(len, lines)) <= COLUMNS
    assert holds in ended.out
    compared = [re.split(r" {3,}", line.strip())[1:] for line in lines if line.endswith("✓")]
    assert len(compared) == 5, ended.out
    assert all(asked == found for asked, found, _ in compared)
    assert 250 < int(compared[0][0]) <= 300, "balances of one account are added up: fewer rows than subscribers"
    assert re.search(r"\$ kill -9 \d+", ended.out)
    (proof,) = re.findall(r"^    2\. .*\n(?:    .*\n)+", (ROOT / readme).read_text(encoding="utf-8"), re.MULTILINE)
    assert holds in proof
    assert [line for line in without_figures(proof) if line not in without_figures(ended.out)] == []
    # What it advises can be typed where it was started.
    status = await place.cli("status", "--journal", ".demo/carbon-migrate.journal")
    assert compared[0][0] in status.out


def without_figures(text: str) -> list[str]:
    return [" ".join(re.sub(r"\d[\d .,:\u00a0]*(?<! )", "N", line).split()) for line in text.splitlines()]


def test_the_folder_of_an_earlier_demo_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make_folder()
    (folder / "billing.fdb").touch()
    assert make_folder() == folder
    assert [path.name for path in folder.iterdir()] == ["made-by-carbon-migrate-demo"]


def test_a_database_may_have_any_letters_in_its_name(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "абоненты"
    folder.mkdir()
    monkeypatch.chdir(folder)
    ended = typed("mock", "init", "биллинг.fdb", "--abonents", "9")
    assert ended.exit == 0, ended.err
    connection = attach(Dsn(str(folder / "биллинг.fdb")))
    try:
        cursor = connection.cursor()
        cursor.execute("select count(*) from abonents where is_folder = 0 and deleted = 0")
        assert cursor.fetchall() == [(9,)]
    finally:
        connection.close()


def test_a_new_name_that_the_encoding_does_not_hold_is_refused_before_anything_is_made(
    typed: Typed, tmp_path: Path
) -> None:
    says = f"the encoding here, {sys.getfilesystemencoding()}, does not hold this name"
    typed.refused("mock", "init", os.fsdecode("биллинг.fdb".encode("cp1251")), "--abonents", "9", says=says)
    assert list(tmp_path.iterdir()) == []


# ---- selftest and jobs; tests/lab/crash/test_selftest.py has the lab itself --------------------------------------


def of(*words: str, rounds: int | None = 1) -> Series:
    return Series(5, ["selftest", *words], lambda *_: None, rounds=rounds)  # type: ignore[arg-type]


def test_the_help_names_what_the_lab_has() -> None:
    assert (ALL_JOBS, USUAL_JOBS, ROWS) == (lab_plan.ALL, lab_plan.JOBS, lab_plan.ROWS)
    assert tuple(asdict(Quirks())) == QUIRKS


def test_a_series_counts_on_and_ends() -> None:
    assert [of().seed_of(number) for number in range(3)] == [5, 6, 7]
    assert [of().goes_on(done, 1000.0) for done in (0, 1)] == [True, False]
    timed = of(rounds=None)
    assert [timed.goes_on(done, seconds) for done, seconds in ((0, 0.0), (2, 40.0), (2, 50.0))] == [True, True, False]


def test_a_round_that_fails_is_repeated_by_what_is_shown(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    repeated = list[str]()

    async def prove(serieses: Sequence[Series], *_: object, **__: object) -> Exit:
        repeated.extend(series.repeat(5) for series in serieses)
        return Exit.DONE

    monkeypatch.setattr("cli.commands.selftest.prove", prove)
    typed("selftest", "--seed", "1")
    typed("selftest", "--job", "payment", "--fault", "my plan.toml", "--fault", "503:0.5", "--rows", "100")
    typed("selftest", "--fleet", "--quick", "--seed", "7")
    assert repeated == [
        "carbon-migrate selftest --seed 5 --rounds 1",
        "carbon-migrate selftest --seed 5 --rounds 1 --job payment --fault 'my plan.toml' --fault 503:0.5 --rows 100",
        "carbon-migrate selftest --fleet --quick --seed 5",
    ]


def test_a_plan_of_faults_is_whole_or_refused(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('[[fault]]\nkind = "500"\n', encoding="utf-8")
    assert typed("selftest", "--fault", "plan.toml").exit == 2


def test_schedules_are_counted_and_judged(typed: Typed) -> None:
    ended = typed("selftest", "--simulate", "2", "--seed", "1", "--json")
    assert (ended.exit, ended.closing["schedules"], ended.closing["violations"]) == (0, 2, [])
    assert "2 schedules" in ended.err


def test_a_campaign_that_is_interrupted_says_what_it_has_come_to(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(campaign: Campaign, seeds: range, _: float) -> None:
        run(campaign, seeds[:2], processes=1)
        raise KeyboardInterrupt

    monkeypatch.setattr("lab.simulation.campaign.run", interrupted)
    ended = typed("selftest", "--simulate", "50", "--seed", "1")
    assert ended.exit == 130
    assert "2 schedules, " in ended.err
    assert "interrupted" in ended.err


def test_a_campaign_that_does_not_come_to_every_situation_proves_nothing(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.simulation.campaign.ENOUGH", 2)
    ended = typed("selftest", "--simulate", "2", "--seed", "1", "--json")
    assert (ended.exit, ended.closing["violations"]) == (1, [])
    assert "undo of the undo" in ended.closing["not_reached"]
    assert "not reached:" in ended.err


# ---- the catalogue as it is shown ----------------------------------------------------------------------------------

EACH = pytest.mark.parametrize("kind", JOBS.values(), ids=list(JOBS))


def test_all_jobs_have_a_line_and_those_that_read_are_marked(typed: Typed) -> None:
    lines = typed("jobs").out.splitlines()
    for name, kind in JOBS.items():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert kind.summary in line
        assert (line.split()[1] == "reads") is not kind.writes


@EACH
def test_one_job_is_shown_with_all_that_is_known_of_it(typed: Typed, kind: JobSpec) -> None:
    shown = " ".join(typed("jobs", kind.name).out.split())
    for text in (kind.summary, kind.call, kind.undo, kind.example, *own_select(kind).splitlines()):
        assert " ".join(text.split()) in shown
    for one in (*kind.parameters, *kind.undo_parameters):
        assert f" {one.name} " in shown
        assert one.help in shown
        for column in one.columns or ():
            assert column in shown


def test_a_job_names_the_russian_columns_that_it_finds(typed: Typed) -> None:
    shown = typed("jobs", "balances").out
    for name, title in {"contract_number": "договор", "amount": "сальдо"}.items():
        (line,) = [line for line in shown.splitlines() if line.startswith(f"  {name} ") and title in line]
        assert line
    told = {one["name"]: one["columns"] for one in json.loads(typed("jobs", "balances", "--json").out)["parameters"]}
    for name in ("contract_number", "amount"):
        for title in told[name]:
            # What is told is what the rows are read by.
            found = locate("x.csv", [title], {name: tuple(told[name][1:2])}, {})[name]
            assert found is not None


def test_a_machine_is_told_the_same(typed: Typed) -> None:
    for kind in JOBS.values():
        told = typed("jobs", kind.name, "--json").closing
        assert told == as_object(kind)
        assert told["name"] == kind.name
        assert [one["name"] for one in told["parameters"]] == [one.name for one in kind.parameters]
    assert [one["name"] for one in json.loads(typed("jobs", "--json").out)] == list(JOBS)
    typed.refused("jobs", "operater", says="did you mean 'operator'?")


# ---- mock replay and mock diff: a load that was recorded ---------------------------------------------------------


async def test_without_names_a_load_is_replayed_by_rows_that_are_made_up_too(place: Place) -> None:
    # Without a database every contract number is asked for, so people are in questions and answers.
    await place.execute("update abonents set name = 'Канарейкина Вера', contract_number = 'Канарейка-' || id")
    balances = place.balances(12)
    text = balances.path.read_text(encoding="utf-8").splitlines()
    place.write("".join(f"{line};{'кто' if not number else 'Канарейкина'}\n" for number, line in enumerate(text)))
    place.without_database()
    run = ("run", "balances", "--yes", "--json", "--in-flight", "2", "--settle", "0")
    await place.cli.refused(*run, "balances.csv", "--record-names", says="name its file, --record FILE")
    closing = (await place.cli(*run, "balances.csv", "--record", "night.rec")).closing
    night = place.cli.folder / "night.rec"
    recording = gzip.decompress(night.read_bytes())
    assert closing["states"] == {"accepted": 12}
    assert "анарейк" not in recording.decode()
    assert "objects.filter" in recording.decode()
    # Names are kept where that is asked for, and a recording is not overwritten.
    await place.cli(*run, "balances.csv", "--again", "--limit", "1", "--record", "names.rec", "--record-names")
    assert balances.numbers[0].encode() in gzip.decompress((place.cli.folder / "names.rec").read_bytes())
    before = night.read_bytes()
    await place.cli.refused(*run, "balances.csv", "--again", "--record", night, says="night.rec")
    assert night.read_bytes() == before
    differs = "answered differently; not asked: 12 writes"
    await place.cli.told("mock", "diff", night, ends=Exit.REJECTED, says=differs)
    for command in ("replay", "diff"):
        await place.cli.refused("mock", command, balances.path, says="balances.csv")
    (await place.cli("mock", "rows", closing["run"], "-o", "made-up.csv")).saying("12 rows")
    rows = (place.cli.folder / "made-up.csv").read_text(encoding="utf-8")
    assert rows.startswith("contract_number;amount;кто\n")
    assert "анарейк" not in rows
    async with place.cli.started("mock", "replay", night, "--port", "0") as replay:
        elsewhere = ("--api-url", await replay.first_line())
        again = await place.cli(*run, "made-up.csv", *elsewhere, "--journal", "replayed.journal")
        replay.signal(signal.SIGTERM)
        ended = await replay.ended()
    assert ended.exit == Exit.DONE, ended
    assert again.closing["amounts"] == closing["amounts"]
    # What was not recorded is refused and named.
    async with place.cli.started("mock", "replay", night, "--port", "0") as replay:
        elsewhere = ("--api-url", await replay.first_line())
        unknown = (*run, "balances.csv", *elsewhere, "--journal", "other.journal")
        stopped = await place.cli(*unknown, may_end_with=[Exit.REFUSED, Exit.STOPPED])
        replay.signal(signal.SIGTERM)
        ended = await replay.ended()
    assert ("HTTP 404" in stopped.words, ended.exit) == (True, Exit.REJECTED)
    assert "unknown to the recording" in ended.out
    assert "never made" in ended.out
