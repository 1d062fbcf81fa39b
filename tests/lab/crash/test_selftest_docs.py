"""The page of promises names tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_promise_has_a_test_that_is_there() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("|")][2:]
    named = [re.search(r"`(tests/[\w/]+\.py)::(\w+)` \|$", line) for line in table]
    assert len(table) > 30
    assert all(named), [line for line, found in zip(table, named, strict=True) if not found]
    for found in filter(None, named):
        module = ROOT / found[1]
        assert module.exists(), found[0]
        assert re.search(rf"def {found[2]}\(", module.read_text(encoding="utf-8")), found[0]
