"""With tiny numbers, and without the other tools: the benchmarks run, and what they count is right."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import faulty, fleet, importing, intake, rig
from benchmarks.bare import bare, wired
from benchmarks.contenders import CONTENDERS, ENGINE
from benchmarks.entering import engine, on_uvloop
from benchmarks.figures import Part

pytestmark = pytest.mark.slow

SVG = "{http://www.w3.org/2000/svg}"


def parsed(plot: str) -> ET.Element:
    return ET.fromstring(plot)  # noqa: S314 - our own


def rows_of(part: Part) -> list[list[str]]:
    """The cells of the first table of a part, without its header."""
    lines = [line for line in part.text.split("\n\n")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_engine_and_the_bare_loop_send_all_rows() -> None:
    with rig.answering(0) as url:
        freezing, sending = on_uvloop(engine, url, 200)
        assert freezing > 0
        assert sending > 0
        assert on_uvloop(bare, url, 200) > 0
        assert on_uvloop(wired, url, 200) > 0


@pytest.mark.parametrize("name", ["bare aiohttp", ENGINE.name])
def test_a_contender_is_a_process_that_tells_how_long_it_sent(name: str, tmp_path: Path) -> None:
    contender = next(one for one in CONTENDERS if one.name == name)
    with rig.answering(0) as url:
        sent = contender.send(tmp_path, url, 50)
    assert sent.rows == 50
    assert 0 < sent.sending < sent.whole
    assert sent.processor > 0


def test_the_lists_of_the_others_hold_every_row_once(tmp_path: Path) -> None:
    url = "http://h:1/rest_api/v2/FinanceOperations/"
    loop, xargs, parallel, curl = (one.lists(tmp_path, url, 3) for one in CONTENDERS[:4])
    assert all(url in " ".join(command) for command in (loop, xargs, parallel))
    assert (tmp_path / "ids").read_text() == "1\n2\n3\n"
    config = (tmp_path / "curl.conf").read_text()
    assert str(tmp_path / "curl.conf") in curl
    assert config.count(f'url = "{url}"') == 3
    assert config.count("next\n") == 2
    assert [config.count(f"abonent_id%22%3A{row}%2C") for row in (1, 2, 3, 4)] == [1, 1, 1, 0]


def test_under_faults_every_row_is_entered_exactly_once() -> None:
    shares = {row[0]: row for row in rows_of(faulty.measure("smoke"))}
    assert list(shares) == ["0%", "1%", "10%"]
    assert [row[-2:] for row in shares.values()] == [["0", "0"]] * 3
    assert int(shares["10%"][3]) > 0
    assert int(shares["0%"][3]) == 0


@pytest.mark.prove
def test_an_import_is_measured_in_steps(tmp_path: Path) -> None:
    steps = importing.write_subscribers(tmp_path, 30)
    rig.populated(tmp_path / "billing.fdb", 100)
    with rig.mock(tmp_path / "billing.fdb", slots=8, latency_ms=0) as mock:
        closing = importing.load(tmp_path, mock, *importing.import_command(tmp_path))
    # Folders are steps as well.
    assert closing.states["accepted"] > steps > 60
    assert closing.seconds > 0


def test_rows_out_of_firebird_are_frozen() -> None:
    assert [row[0] for row in rows_of(intake.measure("smoke"))] == ["fetched, page by page", "frozen in the journal"]


@pytest.mark.prove
def test_a_round_of_a_fleet_enters_each_row_once() -> None:
    worked = fleet._round("smoke", 1)
    assert (worked.rows, worked.writes, worked.twice) == (10, 10, 0)
    assert worked.processor > 0
