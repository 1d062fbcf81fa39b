"""The pages say what is there: their links lead somewhere, and the format of job files is told whole."""

import re
from pathlib import Path

import pytest

from cli.jobfile.job_file import FORMAT, KEYS, PACING, RUN, STEP, read

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
JOB_FILES = ROOT / "docs" / "job-files.md"
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_NAMED = re.compile(r"`(docs/[\w./-]+\.md)`")
_EXAMPLE = re.compile(r"```toml\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_that_a_page_points_to_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [page.parent / link.partition("#")[0] for link in _LINK.findall(text) if "://" not in link]
    named = [ROOT / name for name in _NAMED.findall(text)]
    assert [str(path) for path in (*links, *named) if not path.exists()] == []


def test_the_readme_has_links_to_be_held() -> None:
    assert "docs/job-files.md" in _LINK.findall(PAGES[0].read_text(encoding="utf-8"))


def test_every_key_of_a_job_file_is_told() -> None:
    text = JOB_FILES.read_text(encoding="utf-8")
    keys = ["format", f"[{RUN}]", f"[[{STEP}]]", *KEYS, *PACING]
    assert [key for key in keys if f"`{key}`" not in text] == []


def test_the_example_is_a_job_file(tmp_path: Path) -> None:
    (example,) = _EXAMPLE.findall(JOB_FILES.read_text(encoding="utf-8"))
    (tmp_path / "night.toml").write_text(example, encoding="utf-8")
    file = read(tmp_path / "night.toml")
    assert f"format = {FORMAT}\n" in example
    assert [step.order.kind.name for step in file.steps] == [
        "balances",
        "warning-threshold",
        "call",
        "administrators",
    ]
