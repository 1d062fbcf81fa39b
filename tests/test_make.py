"""`make test` and `make prove` are all tests together, each of them in one of the two, and CI runs both."""

import os
import shlex
import subprocess
from collections.abc import Sequence
from itertools import chain, combinations
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

ROOT = Path(__file__).parents[1]
MARKS = ("prove", "slow")


def typed(target: str) -> list[str]:
    """What make types last for a target: its own line, after the set-up.

    The tests run under a make themselves, whose flags would have this one name its folder last.
    """
    outside = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    command = ["make", "-n", "--no-print-directory", target]
    said = subprocess.run(command, cwd=ROOT, env=outside, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return shlex.split(said.splitlines()[-1])


def picks(expression: str, marks: Sequence[str]) -> bool:
    def has(name: str, /, **_: str | int | bool | None) -> bool:
        return name in marks

    return Expression.compile(expression).evaluate(has)


def test_each_test_is_in_one_of_two_and_nothing_else_tells_them_apart(request: pytest.FixtureRequest) -> None:
    test, prove = typed("test"), typed("prove")
    at = test.index("-m", test.index("pytest")) + 1
    assert [*test[:at], *test[at + 1 :]] == [*prove[:at], *prove[at + 1 :]]
    assert request.config.getini("testpaths") == ["tests"]
    assert [word for word in test if word.startswith("tests")] == []
    for marks in chain.from_iterable(combinations(MARKS, number) for number in range(len(MARKS) + 1)):
        assert picks(test[at], marks) is not picks(prove[at], marks), marks


def test_ci_and_the_readme_name_both() -> None:
    assert {"make test", "make prove"} <= set((ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines())
    for name in ("README.md", "CONTRIBUTING.md"):
        page = (ROOT / name).read_text(encoding="utf-8")
        assert [target for target in ("make test", "make prove") if target not in page] == [], name
