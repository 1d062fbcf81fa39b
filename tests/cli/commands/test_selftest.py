"""`selftest` as a command; `tests/lab/crash/test_selftest.py` has the lab itself."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from cli.commands.jobs import as_object
from cli.commands.selftest import ALL_JOBS, ROWS, SEED, USUAL_JOBS, Series
from cli.terminal.exits import Exit
from jobs.catalogue.catalogue import JOBS
from jobs.spec.columns import locate
from jobs.spec.spec import JobSpec, own_select
from lab.crash import plan as lab_plan
from lab.simulation.campaign import Campaign, run
from tests.cli.conftest import Typed


def of(*words: str, rounds: int | None = 1) -> Series:
    return Series(5, ["selftest", *words], lambda *_: None, rounds=rounds)  # type: ignore[arg-type]


def test_the_help_names_what_the_lab_has() -> None:
    assert (ALL_JOBS, USUAL_JOBS, ROWS) == (lab_plan.ALL, lab_plan.JOBS, lab_plan.ROWS)


def test_a_series_counts_on_ends_and_says_how_each_experiment_is_repeated() -> None:
    assert of("--seed", SEED, "--fault", "my plan.toml").repeat(7) == (
        "carbon-migrate selftest --seed 7 --fault 'my plan.toml'"
    )
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
    typed("selftest", "--job", "payment", "--fault", "plan.toml", "--fault", "503:0.5", "--rows", "100")
    typed("selftest", "--fleet", "--quick", "--seed", "7")
    assert repeated == [
        "carbon-migrate selftest --seed 5 --rounds 1",
        "carbon-migrate selftest --seed 5 --rounds 1 --job payment --fault plan.toml --fault 503:0.5 --rows 100",
        "carbon-migrate selftest --fleet --quick --seed 5",
    ]


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
