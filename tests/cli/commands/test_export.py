"""Cells that a spreadsheet would run, and files that are whole or not there."""

import csv
import os
import stat
from pathlib import Path

import pytest
from aiohttp import web

from cli.show.files import OutputFile, written_to
from cli.terminal.exits import CommandRefused
from tests.cli.conftest import Place


async def write(target: OutputFile, *, fails: bool = False) -> None:
    async with written_to(target, ["число", '=a;"b"'], of_rows=True):
        if fails:
            raise RuntimeError


def names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


async def test_a_file_is_there_only_when_it_is_whole_and_what_is_there_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with pytest.raises(RuntimeError):
        await write(OutputFile(path), fails=True)
    assert names(tmp_path) == []
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(CommandRefused, match="--force"):
        await write(OutputFile(path))
    assert path.read_text(encoding="utf-8") == "mine"
    await write(OutputFile(path, force=True))
    assert path.read_bytes() == '\ufeffчисло;"\'=a;""b"""\r\n'.encode()
    assert names(tmp_path) == ["out.csv"]
    # A link is replaced and not written through, a pipe or a device never.
    (tmp_path / "theirs.csv").write_text("theirs")
    (tmp_path / "link.csv").symlink_to("theirs.csv")
    with pytest.raises(CommandRefused, match="is there already"):
        await write(OutputFile(tmp_path / "link.csv"))
    await write(OutputFile(tmp_path / "link.csv", force=True))
    assert (tmp_path / "theirs.csv").read_text() == "theirs"
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with pytest.raises(CommandRefused, match="is not a regular file"):
        await write(OutputFile(pipe, force=True))
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    # A place that cannot be written is a sentence.
    other = r"would be a CSV with the name of another format.*name it \.csv"
    for name, why in (
        ("a.xlsx", other),
        ("a.ODS", other),
        ("a.jsonl", other),
        ("a.pdf", other),
        ("nowhere/a.csv", "cannot be written"),
    ):
        with pytest.raises(CommandRefused, match=why):
            await write(OutputFile(tmp_path / name))
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("a\x00b", "a␀b"),
        ("\x1b=1", "␛=1"),
        ("\x0b=1", "␋=1"),
        ("a\tb\r\nc\u202f\u00a0", "a\tb\r\nc\u202f\u00a0"),
        ("a\ud800b\udcff", "a\ufffdb\ufffd"),
        ("\u009b31m\x7f", "\ufffd31m␡"),
    ],
)
async def test_controls_of_a_cell_are_shown_as_signs(tmp_path: Path, cell: str, shown: str) -> None:
    async with written_to(OutputFile(tmp_path / "out.csv"), [cell], of_rows=True):
        pass
    with (tmp_path / "out.csv").open(encoding="utf-8-sig", newline="") as stream:
        assert list(csv.reader(stream, delimiter=";")) == [[shown]]


def cells_of(place: Place, name: str) -> list[list[str]]:
    with (place.cli.folder / name).open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.reader(stream, delimiter=";"))


async def test_a_whole_export_has_a_file_for_each_outcome_that_there_is(place: Place) -> None:
    balances = place.balances(4)
    with balances.path.open("a", encoding="utf-8") as file:
        file.write("nobody;5\n")
    rejected = {"call": "FinanceOperations", "error": "Объект уже удалён"}
    place.traffic.answer = lambda number: web.json_response(rejected) if number == 2 else None
    arguments = ("--skip-bad", "--no-canary", "--in-flight", "1")
    name = (await place.run("balances", balances.path, *arguments, ends=1))["run"]
    ended = await place.cli("export", name, "-o", "out")
    assert sorted(names(place.cli.folder / "out")) == [f"{name}-accepted.csv", f"{name}-rejected.csv"]
    ended.saying(
        [f"3 rows accepted: out/{name}-accepted.csv", f"2 rows rejected and refused: out/{name}-rejected.csv"]
    )
    _, bad, refused = cells_of(place, f"out/{name}-rejected.csv")
    assert bad[:1] + bad[2:5] == [balances.numbers[1], f"{name}/2", "3", "rejected"]
    assert bad[6] == "Объект уже удалён"
    assert refused[:5] == ["nobody", "5", f"{name}/r1", "6", "refused"]
    # Once more: what is the same stays, and what somebody has edited is not lost.
    again, edited = ("export", name, "-o", "out"), place.cli.folder / "out" / f"{name}-rejected.csv"
    before = edited.stat().st_mtime_ns
    await place.cli(*again)
    assert edited.stat().st_mtime_ns == before
    whole = edited.read_bytes()
    edited.write_bytes(whole.replace(b"nobody", b"00123"))
    await place.cli.refused(*again, says="--force")
    await place.cli.refused("export", name, "--state", "bad", "-o", str(edited), says="--force")
    assert b"00123" in edited.read_bytes()
    await place.cli(*again, "--force")
    assert sorted(names(place.cli.folder / "out")) == [f"{name}-accepted.csv", f"{name}-rejected.csv"]
    assert edited.read_bytes() == whole
    # Accepted rows carry the billing's answer, also on stdout.
    ended = await place.cli("export", name, "--state", "accepted", "-o", "-")
    assert ended.out.startswith("\ufeffcontract_number;amount;carbon_row;carbon_line;")
    lines = [line.split(";") for line in ended.out.splitlines()[1:]]
    assert [line[0] for line in lines] == [balances.numbers[one] for one in (0, 2, 3)]
    assert [line[2:5] for line in lines] == [[f"{name}/{one}", str(one + 1), "accepted"] for one in (1, 3, 4)]
    assert all(line[5].isdigit() for line in lines)
    await place.cli.refused("export", "xxxxx", "--state", "acepted", "-o", "-", says="did you mean 'accepted'?")


# ---- a finished run in words that a person means -------------------------------------------------------------------
