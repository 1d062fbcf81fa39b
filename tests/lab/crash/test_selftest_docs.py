"""The pages of promises and of threats name tests that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NAMED = re.compile(r"`(tests/[\w/-]+\.(?:py|txt))::([^`]+)`")
"""A test by its file and name, or a case of a transcript by its title."""


@pytest.mark.parametrize("name", ["reliability.md", "explanation/threats.md"])
def test_every_promise_has_a_test_that_is_there(name: str) -> None:
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    found = 0
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        head, _, *rows = table.splitlines()
        if "test" not in head:
            continue
        for row in rows:
            named = NAMED.findall(row.split("|")[-2])
            assert named, row
            for file, test in named:
                module = ROOT / file
                assert module.exists(), file
                begins = f"def {test}(" if module.suffix == ".py" else f"== {test}\n"
                assert begins in module.read_text(encoding="utf-8"), test
                found += 1
    assert found > 30
