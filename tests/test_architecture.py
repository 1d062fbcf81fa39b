"""The house stands as its picture says: imports run down, files stay small, the table of states is the drawn one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkpoints.states import as_markdown

ROOT = Path(__file__).parents[1]

MAY_KNOW = {
    "checkpoints": {"checkpoints"},
    "billing": {"billing"},
    "engine": {"engine", "checkpoints"},
    "jobs": {"jobs", "engine", "billing", "checkpoints"},
    "lab": {"lab", "cli", "jobs", "engine", "billing", "checkpoints"},
    "cli": {"cli", "lab", "jobs", "engine", "billing", "checkpoints"},
}
LONGEST = 600


def _modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def _imports(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("room", MAY_KNOW)
def test_imports_never_run_up(room: str) -> None:
    strangers = [
        f"{module.relative_to(ROOT)} imports {name}"
        for module in _modules(room)
        for name in _imports(module)
        if (top := name.split(".")[0]) in MAY_KNOW and top not in MAY_KNOW[room]
    ]
    assert _modules(room)
    assert strangers == []


@pytest.mark.parametrize("room", MAY_KNOW)
def test_no_file_holds_more_than_one_thought(room: str) -> None:
    lengths = {str(m.relative_to(ROOT)): len(m.read_text(encoding="utf-8").splitlines()) for m in _modules(room)}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def test_the_documented_table_of_states_is_the_one_that_is_checked() -> None:
    documented = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert as_markdown() in documented
