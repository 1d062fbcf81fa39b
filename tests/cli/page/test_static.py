"""What the browser loads: its words, its addresses, and the library that is vendored."""

import hashlib
import re
from pathlib import Path
from typing import Final

import pytest

import cli.page
from checkpoints.states import State
from cli.page.application import LABELS

STATIC: Final = Path(cli.page.__file__).parent / "static"
SCRIPTS: Final = sorted(STATIC.glob("*.js"))
OWN: Final = (STATIC / "page.html", STATIC / "page.css", *SCRIPTS)
VENDORED: Final = STATIC / "uplot"

KEY: Final = re.compile(r'text\("([a-z0-9_.]+)"|data-(?:text|hint)="([a-z0-9_.]+)"')
QUOTED: Final = re.compile(r'"([a-z0-9_]+(?:\.[a-z0-9_]+)*)"')
STAGES: Final = {"stage.silent", "stage.paused", "stage.held"}
"""Keys that a script puts together."""


def test_all_words_of_the_page_are_those_that_can_be_said_in_each_language_and_each_is_used() -> None:
    named = {key for file in OWN for found in KEY.findall(file.read_text(encoding="utf-8")) for key in found if key}
    assert named - set(LABELS) == set()
    page = re.sub(r"<[^>]*>", "", (STATIC / "page.html").read_text(encoding="utf-8"))
    assert {word for word in page.split() if re.search(r"[^\W\d_]", word)} == {"carbon-migrate"}
    source = "".join(file.read_text(encoding="utf-8") for file in OWN)
    assert set(LABELS) - set(QUOTED.findall(source)) - STAGES == set()


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
