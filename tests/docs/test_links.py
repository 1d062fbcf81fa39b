"""A link that leads nowhere is a warning of Sphinx, so an error; and what Sphinx does not see is looked at here."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.house import ROOT

OUTSIDE = sorted(ROOT.glob("*.md"))
"""Pages that are read where the code is, and not built."""

WRONG = {
    "[a file that is not there](nowhere.md)": "nowhere.md",
    "[a heading of another page that is not there](other.md#nowhere)": "nowhere",
    "[a heading of this page that is not there](#nowhere-here)": "nowhere-here",
    "[a file outside of the pages that is not there](../tests/nowhere.py)": "../tests/nowhere.py",
    "{download}`nowhere.json`": "nowhere.json",
}
RIGHT = "[a page](other.md), [a heading](other.md#a-heading), [a file](../pyproject.toml), [here](#the-page)"


@pytest.mark.slow
def test_each_kind_of_wrong_link_is_told_and_no_right_one(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in ("docs/conf.py", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    lines = ["# The page", "", RIGHT, "", *(f"- {link}" for link in WRONG), "", "```{toctree}", "other", "```", ""]
    (docs / "index.md").write_text("\n".join(lines), encoding="utf-8")
    (docs / "other.md").write_text("# Other\n\n## A heading\n", encoding="utf-8")
    # The same words as in tools/pages.py, but for the builder.
    words = ["-q", "-E", "-n", "-b", "dummy", "-d", str(tmp_path / "doctrees"), str(docs), str(tmp_path / "built")]
    ended = subprocess.run([sys.executable, "-m", "sphinx", *words], capture_output=True, text=True, check=True)  # noqa: S603 - our own words
    told = re.sub(r"\x1b\[[\d;]*m", "", ended.stderr).splitlines()
    assert len(told) == len(WRONG)
    for line, (link, target) in enumerate(WRONG.items(), start=5):
        assert any(f"index.md:{line}: WARNING" in one and target in one for one in told), link


@pytest.mark.parametrize("page", OUTSIDE, ids=lambda page: page.name)
def test_a_heading_that_a_page_outside_of_the_docs_points_to_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s:]*)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    assert [f"{file}#{anchor}" for file, anchor in links if anchor not in anchors(page.parent / (file or page))] == []


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
