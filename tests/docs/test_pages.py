"""The documentation builds without a warning in each language, and its translations are those of today's pages."""

import re
import shutil
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tools.catalogues import read_catalogue
from tools.house import ROOT
from tools.pages import LANGUAGES, LOCALE, SOURCE_LANGUAGE, build, catalogues, renew, unsettled

SHOWN = {SOURCE_LANGUAGE: "balances, stopped", "ru": "balances, остановлена"}
"""What a screen of the page on trouble says in each language."""


@pytest.mark.prove
@pytest.mark.parametrize("language", [SOURCE_LANGUAGE, *LANGUAGES])
def test_the_pages_build_without_a_warning_and_show_screens_in_their_language(language: str, tmp_path: Path) -> None:
    assert build(language, tmp_path) == ""
    page = re.sub(r"<[^>]+>", "", (tmp_path / "how-to" / "trouble.html").read_text(encoding="utf-8"))
    assert SHOWN[language] in page
    other = next(one for one in (SOURCE_LANGUAGE, *LANGUAGES) if one != language)
    for name in ("index", "how-to/trouble", "reference/jobs"):
        html = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
        assert f'href="{"../" * (name.count("/") + 1)}{other}/{name}.html"' in html
        assert ("<span>Next</span>" in html) == (language == SOURCE_LANGUAGE)
        assert ("Copyright" in re.sub(r"<[^>]+>", "", html)) == (language == SOURCE_LANGUAGE)
        assert (">Reference<" in html, ">Explanation<" in html) == (language == SOURCE_LANGUAGE,) * 2


@pytest.mark.prove
def test_the_catalogues_have_the_paragraphs_of_the_pages_and_no_others(tmp_path: Path) -> None:
    copy = shutil.copytree(LOCALE, tmp_path / "locale", ignore=shutil.ignore_patterns("*.mo"))
    renew(copy)
    before = {path.relative_to(LOCALE): path.read_text(encoding="utf-8") for path in catalogues()}
    after = {path.relative_to(copy): path.read_text(encoding="utf-8") for path in catalogues(copy)}
    assert after == before, "type: make texts"


@pytest.mark.parametrize("path", list(catalogues()), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_each_paragraph_has_a_translation_of_its_present_text(path: Path) -> None:
    assert unsettled(path) == []


@pytest.mark.parametrize("path", list(catalogues()), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_translation_is_dropped_as_a_list(path: Path) -> None:
    r"""Sphinx shows the English heading where a translation begins with "1. ", which is a list; "1\. " is none."""
    texts = [str(one.string) for one in read_catalogue(path) if one.id]
    assert [text for text in texts if MarkdownIt().parse(text)[0].type.endswith("_list_open")] == []


def test_what_ends_the_builder_is_told_in_any_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "ru_RU.UTF-8")
    monkeypatch.setattr("tools.pages.DOCS", tmp_path / "nothing")
    told = build("en", tmp_path / "built")
    assert "nothing" in told
    assert "unsupported locale" not in told


# ---- A link that leads nowhere is a warning of Sphinx, so an error; what Sphinx does not see is looked at here


OUTSIDE = sorted(ROOT.glob("*.md"))
"""Pages that are read where the code is, and not built."""


@pytest.mark.parametrize("page", OUTSIDE, ids=lambda page: page.name)
def test_a_heading_that_a_page_outside_of_the_docs_points_to_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s:]*)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    assert [f"{file}#{anchor}" for file, anchor in links if anchor not in anchors(page.parent / (file or page))] == []


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
