"""The catalogue as it is shown, and the examples that it gives."""

import json

import pytest

from cli.commands.jobs import as_object
from jobs.catalogue.catalogue import JOBS
from jobs.spec.columns import locate
from jobs.spec.spec import JobSpec, own_select
from tests.cli.conftest import Typed

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


def test_a_job_that_there_is_not_is_refused_in_the_language_of_the_reader(typed: Typed) -> None:
    ended = typed("jobs", "zzz", "--lang", "ru")
    assert f"задания 'zzz' нет; есть: {', '.join(JOBS)}" in " ".join(ended.err.split())
