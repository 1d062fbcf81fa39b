"""With tiny numbers, and without the other tools: the benchmarks run, and what they count is right."""

import re
from xml.etree import ElementTree as ET

import pytest

from benchmarks import disturbed, fleet, lists, loads, rig, starting
from benchmarks.__main__ import MACHINE, MEASUREMENTS, PAGE
from benchmarks.page import Part, Size, bars, curves
from benchmarks.senders import IN_FLIGHT, bare, engine, on_uvloop, send, wired
from lab.crash.load import FAULTY
from tests.postgres_server import open_the_way
from tools.house import ROOT
from tools.markdown import with_block

pytestmark = pytest.mark.slow


def rows_of(part: Part) -> list[list[str]]:
    """The cells of the first table of a part, without its header."""
    lines = [line for line in str(part[0]).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_page_has_a_block_for_each_measurement_in_their_order() -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert re.findall(r"^<!-- ([\w-]+) -->$", page, re.MULTILINE) == [MACHINE, *MEASUREMENTS]
    for name in (MACHINE, *MEASUREMENTS):
        assert "new figures" in with_block(page, name, "new figures")


@pytest.mark.parametrize(
    "words",
    [
        f"{IN_FLIGHT} calls in flight, one process",
        f"{disturbed.FEW_SLOTS} slots of {disturbed.SLOW_MS} ms, so {disturbed.NOMINAL:.0f} rows a second",
        f'"While" is the first {disturbed.PHASES[Size.FULL][2]} seconds',
        f"{disturbed.SLOTS} slots of {disturbed.LATENCY_MS} ms, {disturbed.SLOTS} calls in flight",
        f"in equal parts by {', '.join(rig.KINDS)}. What is lost is looked up through the API {disturbed.SETTLE:g} s",
        f"`run balances` against a mock billing with {loads.SLOTS} slots, as many calls in flight",
        f"{FAULTY:.0%} of the rows are faulty, in every way in turn, {loads.FAULTS:.0%} of the requests fail",
        f"on the same mock billing, {loads.SLOTS} slots of {loads.LATENCY_MS:g} ms, in pairs",
        f"{fleet.BILLINGS[Size.FULL]} billings that answer a call after {fleet.LATENCY * 1000:.0f} ms",
        f"{fleet.IN_FLIGHT} calls in flight at each",
        f"a worker takes {fleet.BILLINGS_A_WORKER} at a time",
        f"its lease is {fleet.LEASE:g} s, and a worker counts as dead after {fleet.STALLED_AFTER:g} s",
        f"{loads.SPANS[Size.FULL]:g} seconds each, nobody looks at the page, and {loads.TABS} tabs",
        f"and {loads.DEAD} clients do",
        f"`status` lists {starting.RUNS} runs",
    ],
)
def test_the_page_says_how_it_is_measured_as_it_is(words: str) -> None:
    assert words in (ROOT / PAGE).read_text(encoding="utf-8")


def test_plots_are_svg_with_what_they_show() -> None:
    bar = bars("a.svg", "Rows & seconds", {"one": [1.0, 3.0, 2.0], "other": [400.0, 500.0, 600.0]})
    curve = curves("b.svg", "Over time", {"calm": [(0.0, 1.0), (5.0, 3.0)]}, ("seconds", "rows/s"), (2.0, "halves"))
    texts = [{one.text for one in ET.fromstring(plot.svg).iter() if one.text} for plot in (bar, curve)]  # noqa: S314 - our own
    assert {"Rows & seconds", "one", "other", "2", "500", "1", "10", "100", "1,000"} <= texts[0]
    assert {"Over time", "calm", "halves", "seconds", "rows/s", "0", "4"} <= texts[1]


def test_the_engine_and_the_bare_loop_send_all_rows() -> None:
    with rig.answering(0) as url:
        for sender, figures in ((engine, {"freezing", "sending"}), (bare, {"sending"}), (wired, {"sending"})):
            took = on_uvloop(sender, url, 200)
            assert took.keys() == figures
            assert min(took.values()) > 0


@pytest.mark.parametrize("name", ["bare aiohttp", "this engine, with its journal"])
def test_a_contender_is_a_process_that_tells_how_long_it_sent(name: str) -> None:
    with rig.answering(0) as url:
        rows, sending, whole, processor = send(name, url, 0, 50 / 40_000)
    assert rows == 50
    assert 0 < whole < sending
    assert processor > 0


def test_under_faults_every_row_is_entered_exactly_once() -> None:
    shares = {row[0]: row for row in rows_of(disturbed.faults(Size.SMOKE))}
    assert list(shares) == ["0%", "1%", "10%"]
    assert [row[-2:] for row in shares.values()] == [["0", "0"]] * 3
    assert int(shares["10%"][3]) > 0
    assert int(shares["0%"][3]) == 0


@pytest.mark.prove
def test_an_import_is_measured_in_steps() -> None:
    with rig.billing(100, slots=8, latency_ms=0) as mock:
        steps = loads.write_subscribers(mock.folder, 30)
        said = rig.timed([*rig.CLI, *loads.import_words(mock), *mock.flags()]).said
    closing = rig.closing_of(said)
    # Folders are steps as well.
    assert closing.states["accepted"] > steps > 60
    assert closing.seconds > 0


def test_rows_out_of_firebird_are_frozen() -> None:
    assert [row[0] for row in rows_of(lists.intake(Size.SMOKE))] == ["fetched, page by page", "frozen in the journal"]


@pytest.mark.prove
def test_a_round_of_a_fleet_enters_each_row_once() -> None:
    open_the_way()
    worked = fleet.a_round(Size.SMOKE, 1)
    assert (worked.rows, worked.writes, worked.twice) == (10, 10, 0)
    assert worked.processor > 0
