"""What the browser loads: its words, its addresses, and the library that is vendored."""

import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest

import cli.page
from checkpoints.states import State
from cli.page.labels import LABELS

STATIC: Final = Path(cli.page.__file__).parent / "static"
SCRIPTS: Final = sorted(STATIC.glob("*.js"))
OWN: Final = (STATIC / "page.html", STATIC / "page.css", *SCRIPTS)
VENDORED: Final = STATIC / "uplot"

KEY: Final = re.compile(r'text\("([a-z0-9_.]+)"|data-(?:text|hint)="([a-z0-9_.]+)"')
QUOTED: Final = re.compile(r'"([a-z0-9_]+(?:\.[a-z0-9_]+)*)"')
STAGES: Final = {"stage.silent", "stage.paused", "stage.held"}
"""Keys that a script puts together."""


class Parts(HTMLParser):
    """The tags of a page with their attributes, and its words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if words := "".join(letter for letter in data if letter.isalpha()):
            self.words.append((self.tags[-1][0], words))


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts((STATIC / "page.html").read_text(encoding="utf-8"))


def test_each_key_that_the_browser_uses_has_its_words() -> None:
    named = {key for file in OWN for found in KEY.findall(file.read_text(encoding="utf-8")) for key in found if key}
    assert named - set(LABELS) == set()


def test_each_of_the_words_is_used() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in OWN)
    assert set(LABELS) - set(QUOTED.findall(source)) - STAGES == set()


def test_a_place_that_a_script_fills_in_is_in_the_page(parts: Parts) -> None:
    ids = {attributes["id"] for _, attributes in parts.tags if attributes.get("id")}
    charts = {f"{name}-legend" for name in ("speed", "latency")}
    wanted = {
        found for file in SCRIPTS for found in re.findall(r'find\("([a-z-]+)"', file.read_text(encoding="utf-8"))
    }
    assert wanted <= ids
    assert charts <= ids


def test_no_word_stands_in_the_page_itself(parts: Parts) -> None:
    assert {(tag, words) for tag, words in parts.words if words != "carbonmigrate"} == set()


def test_there_is_no_code_and_no_style_in_the_page(parts: Parts) -> None:
    for tag, attributes in parts.tags:
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        assert [name for name in attributes if name == "style" or name.startswith("on")] == []


@pytest.mark.parametrize("file", OWN, ids=lambda file: file.name)
def test_no_address_leads_elsewhere_and_no_text_becomes_html(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert re.findall(r"https?://|(?<=[\"'(])//", text) == []
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text) == []


def test_each_state_has_its_sign_and_its_colour() -> None:
    signs = (STATIC / "run.js").read_text(encoding="utf-8")
    colours = (STATIC / "page.css").read_text(encoding="utf-8")
    listed = signs[signs.index("const SIGNS") : signs.index("};", signs.index("const SIGNS"))]
    assert set(re.findall(r"^ {2}(\w+):", listed, flags=re.MULTILINE)) == set(State)
    assert {state for state in State if f".state-{state}" not in colours} == set()


def test_uplot_is_the_file_of_its_package() -> None:
    table = (VENDORED / "README.md").read_text(encoding="utf-8")
    stated = dict(re.findall(r"^\| `([^`]+)` \| `[^`]+` \| `([0-9a-f]{64})` \|$", table, flags=re.MULTILINE))
    found = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in VENDORED.iterdir()
        if file.name != "README.md"
    }
    assert stated == found
    (version,) = re.findall(r"^# uPlot ([0-9.]+)$", table, flags=re.MULTILINE)
    assert f"(v{version})" in (VENDORED / "uPlot.iife.min.js").read_text(encoding="ascii")[:100]
