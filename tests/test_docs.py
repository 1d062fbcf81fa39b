"""The pages say what is there: links lead somewhere, words and marks are those of the code, nothing is said twice."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkpoints.states import as_markdown
from tools.catalogues import read_catalogue
from tools.house import ROOMS, ROOT
from tools.pages import LOCALE

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in page.parts),
]
WRITTEN_BY_TOOLS = {"jobs.md", "benchmarks.md"}
README_LINES = 120
ARCHITECTURE_LINES = 200
GLOSSARY_WORDS = 25
SENTENCE_WORDS = 8
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_LISTED = re.compile(r"^```{toctree}\n(.*?)^```", re.DOTALL | re.MULTILINE)
_NAMED = re.compile(r"`(docs/[\w./-]+\.md)`")
_MARKS = re.compile(r"\[([A-Z?](?:, ?[A-Z?])*)\]")
_FILE = re.compile(rf"`((?:{'|'.join([*ROOMS, 'tests', 'tools', 'benchmarks'])})/[\w./-]*?)(?:::\w+)?`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_and_file_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [page.parent / link.partition("#")[0] for link in _LINK.findall(text) if "://" not in link]
    named = [ROOT / name for name in {*_NAMED.findall(text), *_FILE.findall(text)}]
    assert [str(path) for path in (*links, *named) if not path.exists()] == []


def test_the_readme_leads_to_every_page_and_is_short() -> None:
    readme = ROOT / "README.md"
    reached, waiting = {readme}, [readme]
    while waiting:
        page = waiting.pop()
        text = page.read_text(encoding="utf-8")
        # Sphinx's lists of pages name them without ending.
        listed = [
            f"{one}.md" for names in _LISTED.findall(text) for one in names.split("\n") if one[:1] not in {"", ":"}
        ]
        links = [link.partition("#")[0] for link in _LINK.findall(text) if "://" not in link]
        found = {(page.parent / link).resolve() for link in (*links, *listed) if link.endswith(".md")}
        waiting += found - reached
        reached |= found
    assert [page.name for page in PAGES if page not in reached] == []
    assert len(readme.read_text(encoding="utf-8").splitlines()) <= README_LINES


def test_the_readmes_of_both_languages_show_the_same_commands_and_sums() -> None:
    english, russian = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ru.md")]
    for pattern in (r"^    (?:carbon-migrate|apt|uv|make) .*?(?=  |$)", r"^    [a-z]+ = .*$", r"\d 89\d"):
        assert re.findall(pattern, english, re.MULTILINE) == re.findall(pattern, russian, re.MULTILINE) != []
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    (proof,) = re.findall(r"^```text\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    shown = read_catalogue(LOCALE / "ru" / "LC_MESSAGES" / "index.po").get(proof)
    assert proof in english
    assert shown is not None
    assert str(shown.string) in russian


def test_contributing_begins_with_one_command_hooks_fetch_nothing_and_packages_are_typed() -> None:
    lines = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line][1] == "    make test"
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"repo: (.*)", hooks) == ["local"]
    assert set(re.findall(r"language: (.*)", hooks)) == {"system"}
    assert [room for room in ROOMS if not (ROOT / room / "py.typed").is_file()] == []


def test_no_sentence_stands_twice() -> None:
    places: dict[str, list[str]] = {}
    for page in PAGES:
        sentences = list(_sentences(page.read_text(encoding="utf-8")))
        # An entry of a page that a tool writes says what it says of each job or benchmark.
        for sentence in set(sentences) if page.name in WRITTEN_BY_TOOLS else sentences:
            places.setdefault(sentence, []).append(page.name)
    assert {sentence: pages for sentence, pages in places.items() if len(pages) > 1} == {}


def _sentences(text: str) -> Iterator[str]:
    """The sentences of a page, as bare words; comments, cells of tables and what is set as code are none."""
    text = re.sub(r"<!--.*?-->", "\n", text, flags=re.DOTALL)
    text = re.sub(r"^(```.*?^```|    .*?|\|.*?|#.*?)$", "\n", text, flags=re.DOTALL | re.MULTILINE)
    for paragraph in re.split(r"\n\s*\n|^\s*(?:[-*]|\d+\.) ", text, flags=re.MULTILINE):
        for sentence in re.split(r"(?<=[.!?:;])\s", paragraph):
            words = re.findall(r"\w+", sentence.casefold())
            if len(words) >= SENTENCE_WORDS:
                yield " ".join(words)


def test_the_glossary_is_in_order_and_its_words_are_those_of_the_code() -> None:
    words = re.findall(
        r"^\*\*(.+?)\*\* – ", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    code = " ".join(text for _, text in _code()).casefold()
    assert 0 < len(words) <= GLOSSARY_WORDS
    assert words == sorted(words)
    assert [word for word in words if not re.search(re.sub(r"\W", r"[\\W_]?", word), code)] == []


def test_the_architecture_is_short_and_shows_the_table_of_states() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert f"<!-- states -->\n{as_markdown()}\n<!-- /states -->" in page
    assert len(page.splitlines()) <= ARCHITECTURE_LINES


def test_every_mark_of_where_a_fact_comes_from_is_defined() -> None:
    page = (ROOT / "docs" / "provenance.md").read_text(encoding="utf-8")
    defined = set(re.findall(r"^\| \[(.)\] \|", page, re.MULTILINE))
    used = {
        mark: place
        for place, text in _code()
        if _MARKS.search(text)
        for marks in _MARKS.findall(_prose(place, text))
        for mark in marks.replace(" ", "").split(",")
    }
    assert set(used) == defined, used


def _code() -> Iterator[tuple[Path, str]]:
    """The code of the rooms, with its SQL."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in {".py", ".sql"}:
                yield path, path.read_text(encoding="utf-8")


def _prose(path: Path, text: str) -> str:
    """Comments and docstrings of a file."""
    if path.suffix == ".sql":
        return "\n".join(re.findall(r"--.*", text))
    comments = [
        one.string for one in tokenize.generate_tokens(io.StringIO(text).readline) if one.type == tokenize.COMMENT
    ]
    texts = [
        node.value.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    return "\n".join([*comments, *texts])
