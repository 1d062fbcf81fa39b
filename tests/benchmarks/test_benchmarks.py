"""With tiny numbers, and without the other tools: the benchmarks run, and what they count is right."""

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import capacity, faulty, fleet, importing, intake, journals, listing, rig, startup, watching
from benchmarks.__main__ import CHAPTERS, main
from benchmarks.bare import bare, wired
from benchmarks.contenders import CONTENDERS, ENGINE
from benchmarks.entering import engine, on_uvloop
from benchmarks.figures import Part, Size, Spread, quantile, table
from benchmarks.machine import timed
from benchmarks.plots import Bar, Curve, bars, curves
from lab.mock.fault_plan import read_plan

pytestmark = pytest.mark.slow

SVG = "{http://www.w3.org/2000/svg}"


def parsed(plot: str) -> ET.Element:
    return ET.fromstring(plot)  # noqa: S314 - our own


def rows_of(part: Part) -> list[list[str]]:
    """The cells of the first table of a part, without its header."""
    lines = [line for line in part.text.split("\n\n")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_spread_and_table() -> None:
    assert Spread.of([3, 1, 2, 10]).shown() == "2 (1 to 10)"
    assert Spread.of([1000.4]).shown(",.1f") == "1,000.4 (1,000.4 to 1,000.4)"
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert quantile([4, 1, 3, 2], 0.5) == 3
    assert Size(3, quick=2, smoke=1).of("quick") == 2


def test_bars_are_as_long_as_their_logarithms() -> None:
    drawn = parsed(bars("A & B", [Bar("ten", Spread(10, 10, 10)), Bar("thousand", Spread(9, 1000, 1000))]))
    _, ten, thousand = (float(one.attrib["width"]) for one in drawn.iter(f"{SVG}rect"))
    assert thousand == pytest.approx(3 * ten, rel=0.01)
    assert drawn.find(f"{SVG}text") is not None


def test_curves_stay_within_their_frame() -> None:
    points = [(0.0, 0.0), (5.0, 123.0), (10.0, 7.0)]
    drawn = parsed(curves("t", [Curve("c", points)], of_x="s", of_y="ms", marks=[(5.0, "now")]))
    (line,) = drawn.iter(f"{SVG}polyline")
    places = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
    assert len(places) == 3
    width, height = float(drawn.attrib["width"]), float(drawn.attrib["height"])
    assert all(0 < x < width and 0 < y < height for x, y in places)
    assert places[1][1] == min(y for _, y in places)


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


def test_a_command_that_fails_is_told() -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        timed([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_goodput_counts_what_was_answered_in_each_phase() -> None:
    phases = capacity.Phases(warming=1, before=2, during=1, after=1)
    calls = [capacity.Call(at, 0.1) for at in (0.5, 1.0, 2.9, 3.0, 4.0, 4.5, 5.0)]
    goodputs = capacity.goodputs_of([calls], phases)
    assert [one.median for one in goodputs] == [1, 1, 2]
    assert capacity.goodput_cells(goodputs, [2, 1, 0]) == ["1 (1 to 1), 50%", "1 (1 to 1), 100%", "2 (2 to 2)"]
    assert capacity._latencies([calls], phases) == ["100, 100"] * 3


@pytest.mark.prove
def test_the_capacity_halves_under_every_policy() -> None:
    part = capacity.measure("smoke")
    shares = [[cell.partition(", ")[2] for cell in row[1:4]] for row in rows_of(part)]
    assert all("100%" in phase or set(phase) == {""} for phase in zip(*shares[:3], strict=True))
    assert [row[0] for row in rows_of(part)] == list(capacity.POLICIES)
    for plot in part.plots.values():
        assert len(list(parsed(plot).iter(f"{SVG}polyline"))) == len(capacity.POLICIES)


def test_under_faults_every_row_is_entered_exactly_once() -> None:
    shares = {row[0]: row for row in rows_of(faulty.measure("smoke"))}
    assert list(shares) == ["0%", "1%", "10%"]
    assert [row[-2:] for row in shares.values()] == [["0", "0"]] * 3
    assert int(shares["10%"][3]) > 0
    assert int(shares["0%"][3]) == 0


def test_the_proof_of_an_import_has_ten_kills_and_a_share_of_faults() -> None:
    plan = importing.proof_plan("full")
    assert (plan.rows, len(plan.disturbances), len(plan.undo_kills)) == (20_000, 10, 2)
    assert [one.share for one in plan.disturbances] == sorted({one.share for one in plan.disturbances})
    for faults in (plan.faults, plan.undo_faults):
        shares = [fault.share for fault in read_plan(faults).faults]
        assert sum(shares) == pytest.approx(importing.FAULTS)
        assert len(set(shares)) == 1


@pytest.mark.prove
def test_an_import_is_measured_in_steps(tmp_path: Path) -> None:
    steps = importing.write_subscribers(tmp_path, 30)
    rig.populated(tmp_path / "billing.fdb", 100)
    with rig.mock(tmp_path / "billing.fdb", slots=8, latency_ms=0) as mock:
        closing = importing.load(tmp_path, mock, *importing.import_command(tmp_path))
    # Folders are steps as well.
    assert closing.states["accepted"] > steps > 60
    assert closing.seconds > 0


@pytest.mark.prove
def test_a_run_is_measured_alone_and_watched() -> None:
    ((latency, *spreads),) = rows_of(watching.measure("smoke"))
    assert latency == "after 200 ms"
    assert all(float(spread.split()[0]) > 0 for spread in spreads)


def test_rows_out_of_firebird_are_frozen() -> None:
    assert [row[0] for row in rows_of(intake.measure("smoke"))] == ["fetched, page by page", "frozen in the journal"]


def test_a_page_names_its_parts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nothing-like-this"])
    told = capsys.readouterr().err
    assert all(chapter.name in told for chapter in CHAPTERS)
    with pytest.raises(SystemExit):
        main(["--write", "intake"])
    assert "name no part" in capsys.readouterr().err


@pytest.mark.prove
def test_the_start_of_each_command_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "COMMANDS", {name: startup.COMMANDS[name] for name in ("`--help`", "`status`")})
    rows = rows_of(startup.measure("smoke"))
    assert [row[0] for row in rows] == ["`--help`", "`status`"]
    for _, seconds, processor, peak, _ in rows:
        assert float(seconds) > 0
        assert float(processor) > 0
        assert int(peak.removesuffix(" MiB")) > 0


@pytest.mark.prove
def test_lists_and_a_verification_are_measured_beside_reading_and_saving_with_their_memory() -> None:
    rows = rows_of(listing.measure("smoke"))
    assert [row[0] for row in rows] == list(listing.KINDS.values())
    assert {row[1] for row in rows} == {"300"}
    assert {row[0]: row[3] for row in rows}[listing.KINDS["both"]] == "1.00"
    for row in rows:
        assert all(int(cell.removesuffix(" MiB")) > 0 for cell in row[-2:])


@pytest.mark.prove
def test_claims_and_outcomes_are_measured_in_both_stores_by_the_size_of_their_groups() -> None:
    rows = rows_of(journals.measure("smoke"))
    assert [row[0] for row in rows] == ["1", "4", "16", "64", "256"]
    assert all(float(cell.split()[0].replace(",", "")) > 0 for row in rows for cell in row[1:6])


@pytest.mark.prove
def test_a_round_of_a_fleet_enters_each_row_once() -> None:
    worked = fleet._round("smoke", 1)
    assert (worked.rows, worked.writes, worked.twice) == (10, 10, 0)
    assert worked.processor > 0


@pytest.mark.prove
def test_what_a_takeover_costs_is_told_beside_a_fleet_that_nobody_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    def worked(_: str, workers: int, *, kills: bool = False) -> fleet.Worked:
        seconds = 20.0 / workers + 7 * kills
        return fleet.Worked(100, seconds, 5.0, 100, 40 + 3 * kills, 0, (5.5, 8.0) if kills else ())

    monkeypatch.setattr(fleet, "_round", worked)
    part = fleet.measure("smoke")
    assert [row[:3] for row in rows_of(part)] == [
        ["1", "5 (5 to 5)", "1.00 (1.00 to 1.00)"],
        ["2", "10 (10 to 10)", "2.00 (2.00 to 2.00)"],
        ["4", "20 (20 to 20)", "4.00 (4.00 to 4.00)"],
    ]
    (cost,) = rows_of(Part(part.text.split("\n\n")[1]))
    assert cost[3:] == ["7.0 (7.0 to 7.0)", "5.5, 8.0", "0 (0 to 0)", "3 (3 to 3)", "0"]
