"""The tests that docs/reference/jobs.md names go through the job."""

import ast
from collections.abc import Collection
from functools import cache
from pathlib import Path

import pytest

from billing.api.client import BillingClient, ClientSettings
from jobs.access.gateway import Gateway
from jobs.catalogue.built_in import IMPORT
from jobs.catalogue.catalogue import JOBS
from jobs.effects.factory import effect_of
from jobs.spec.spec import JobSpec
from lab.crash.trials import TRIALS
from tests.cli.show import test_answer_files
from tests.jobs.catalogue import test_readings
from tests.jobs.effects import test_there_and_back
from tests.proofs import ANSWERS, NAMED, READS, THERE_AND_BACK, WRITES, proofs_of
from tools.reference import effects_of, jobs_page

TESTS = Path(__file__).parents[1]
EACH = pytest.mark.parametrize("job", JOBS.values(), ids=list(JOBS))


def test_the_page_has_thirty_recipes_and_each_job() -> None:
    lines = jobs_page().splitlines()
    for number in range(1, 31):
        assert sum(line.startswith(f"| {number} | [") for line in lines) == 1
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == ["Names of columns", *JOBS]
    widths = {line.replace(r"\|", "").count("|") for line in lines if line.startswith("| ") and "tests/" in line}
    assert widths == {11}


@EACH
def test_the_tests_that_it_names_are_there(job: JobSpec) -> None:
    proofs = proofs_of(job)
    assert proofs.whole_way
    assert proofs.own
    assert bool(proofs.undo) is job.writes
    named = [test.partition("::") for test in (*proofs.whole_way, *proofs.undo, *proofs.own)]
    assert [(path, name) for path, _, name in named if name not in _functions(TESTS / path)] == []


def test_no_job_is_named_that_is_not_there() -> None:
    assert NAMED - JOBS.keys() == set()


@EACH
def test_what_goes_through_a_table_of_jobs_goes_through_this_one(job: JobSpec) -> None:
    tables: dict[str, Collection[str]] = {
        WRITES: TRIALS,
        READS: test_answer_files.CASES,
        ANSWERS: {name for name, *_ in test_readings.CASES},
        THERE_AND_BACK: {way.kind.name for way in test_there_and_back.WAYS.values()},
    }
    proofs = proofs_of(job)
    named = [test for test in (*proofs.whole_way, *proofs.own) if test in tables]
    # An import has no row in a table of jobs that make one call.
    assert named or job is IMPORT
    assert [test for test in named if job.name not in tables[test]] == []


@cache
def _functions(path: Path) -> frozenset[str]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return frozenset(one.name for one in body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))


@EACH
async def test_what_it_says_of_a_second_call_is_what_the_effect_says(job: JobSpec) -> None:
    if job.name == "call":
        return
    async with BillingClient(ClientSettings("http://billing.invalid")) as client:
        effect = effect_of(Gateway(client), job, {one.name: one.default or "1" for one in job.parameters})
    twice, *_ = effects_of(job)[0].split(":")
    assert twice == ("yes" if effect.repeatable else "no")
