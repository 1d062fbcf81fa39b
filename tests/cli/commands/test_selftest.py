"""`selftest` as a command; `tests/lab/crash/test_selftest.py` has the lab itself."""

from pathlib import Path

import pytest

from cli.commands.selftest import ALL_JOBS, ROWS, USUAL_JOBS, Series
from cli.commands.selftest_fleet import FleetSeries
from lab.crash import drawing, experiment_plan
from tests.cli.conftest import Typed

SERIES = Series(5, count_on=True, rounds=1, minutes=1.0, job=None, rows=ROWS, faults=(), config=None)


def test_the_help_names_what_the_lab_has() -> None:
    assert (ALL_JOBS, USUAL_JOBS, ROWS) == (drawing.ALL, experiment_plan.JOBS, experiment_plan.ROWS)


def test_an_experiment_is_repeated_with_what_was_given() -> None:
    assert SERIES.repeat(7) == "carbon-migrate selftest --seed 7 --rounds 1"
    given = Series(5, True, 1, 1.0, "payment", 100, ("my plan.toml", "503:0.5"), Path("r.toml"))
    assert given.repeat(5) == (
        "carbon-migrate selftest --seed 5 --rounds 1 --job payment --fault 'my plan.toml' --fault 503:0.5 --rows 100 "
        "--config r.toml"
    )


def test_seeds_count_on_from_the_one_that_was_given() -> None:
    assert [SERIES.seed_of(number) for number in range(3)] == [5, 6, 7]


def test_a_series_ends_with_its_rounds_or_its_minutes() -> None:
    assert [SERIES.goes_on(done, 1000.0) for done in (0, 1)] == [True, False]
    timed = Series(5, count_on=True, rounds=None, minutes=1.0, job=None, rows=ROWS, faults=(), config=None)
    assert [timed.goes_on(done, seconds) for done, seconds in ((0, 0.0), (2, 40.0), (2, 50.0))] == [True, True, False]


def test_a_round_of_a_fleet_is_repeated_by_its_seed_and_size() -> None:
    assert FleetSeries(5, 2, quick=True).repeat(6) == "carbon-migrate selftest --fleet --quick --seed 6"


def test_what_the_command_refuses(typed: Typed, tmp_path: Path) -> None:
    assert (
        "the lab knows balances, payment, warning-threshold"
        in typed("selftest", "--job", "balance", "--rounds", "1").words
    )
    plan = tmp_path / "plan.toml"
    plan.write_text('[[fault]]\nkind = "500"\n', encoding="utf-8")
    assert typed("selftest", "--fault", str(plan)).exit == 2
    assert (
        "--fleet has rows and faults of its own: leave --job out"
        in typed("selftest", "--fleet", "--job", "payment").words
    )
    assert "--quick makes a fleet smaller: give --fleet as well" in typed("selftest", "--quick").words
    assert "there is no file nowhere.toml" in typed("selftest", "--config", "nowhere.toml").words


def test_schedules_are_counted_and_judged(typed: Typed) -> None:
    ended = typed("selftest", "--simulate", "2", "--seed", "1", "--json")
    assert (ended.exit, ended.closing["schedules"], ended.closing["violations"]) == (0, 2, [])
    assert "2 schedules" in ended.err


def test_a_campaign_that_does_not_come_to_every_situation_proves_nothing(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.simulation.campaign.ENOUGH", 2)
    ended = typed("selftest", "--simulate", "2", "--seed", "1", "--json")
    assert (ended.exit, ended.closing["violations"]) == (1, [])
    assert "undo of the undo" in ended.closing["not_reached"]
    assert "not reached:" in ended.err
