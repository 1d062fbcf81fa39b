"""`validate`: the record of a run has titles of columns, counts and sums, and nothing of a row."""

import json
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from tests.cli.conftest import Place
from tests.cli.test_import import subscriber, table

CANARY: Final = "Канарейкин"
HEADER: Final = ("Договор", "Имя", "Папка", "Логин", "Тариф", "Телефон", "Порог", "Баланс", "Заметка")
OF: Final = ("--program", "UTM5", "--program-version", "5.5-011")
RECORD: Final = Path("record.toml")


def rows(number: int) -> list[list[str]]:
    """Subscribers whose every cell is a canary, of which the last three are refused."""
    good = [[*subscriber(one, folder=f"{CANARY}ы"), f"{CANARY} {one}"] for one in range(1, number + 1)]
    for one, row in enumerate(good, 1):
        row[1] = f"{CANARY} {one}"
    good[-1][0] = good[-2][0]
    good[-3][5] = f"{CANARY}-phone"
    return good


async def recorded(
    place: Place, header: tuple[str, ...], *words: str, number: int = 16
) -> tuple[dict[str, Any], str]:
    """Import the rows under a header from a folder of canaries, and record it; the record, and all that was told."""
    folder = place.cli.folder / f"{CANARY}-folder"
    folder.mkdir(exist_ok=True)
    file = folder / f"{CANARY}.csv"
    file.write_text(table(rows(number), header), encoding="utf-8")
    map_file = folder / f"{CANARY}.toml"
    map_file.write_text('format = 1\n[subscriber]\nname = "Имя"\n', encoding="utf-8")
    loaded: tuple[str | Path, ...] = ("import", file, "--map", map_file, *words, "--skip-bad", "--yes", "--json")
    run = (await place.cli(*loaded, may_end_with=(0, 1))).closing["run"]
    await place.cli("verify", run, may_end_with=(0, 1))
    told = await place.cli("validate", RECORD, *OF, "--force", "--json")
    text = (place.cli.folder / RECORD).read_text(encoding="utf-8")
    assert told.closing["record"] == tomllib.loads(text)
    return tomllib.loads(text), f"{text}{json.dumps(told.closing['record'], ensure_ascii=False)}"


async def test_a_record_counts_what_became_of_the_rows_and_has_none_of_them(place: Place) -> None:
    place.traffic.model, place.traffic.method = "Users", "create"
    refused = {"error": f"{CANARY}: логин запрещён"}
    place.traffic.answer = lambda number: web.json_response(refused) if number == 2 else None
    record, told = await recorded(place, HEADER, "--rate", "500", "--no-canary", "--settle", "0.1")
    assert record["columns"]["name"] == "Имя"
    assert record["columns"]["account.login"] == "Логин"
    assert record["pacing"] == {"rate": "500", "canary": "no", "settle": "0.1"}
    assert (record["program"], record["version"], record["settings"]) == ("UTM5", "5.5-011", "map")
    assert record["rows"] | {"steps": 0} == {"read": 16, "entered": 12, "refused": 3, "left_out": 0, "steps": 0}
    assert record["reasons"]["refused"]["'…' is also in …"] == 2
    assert record["reasons"]["rejected"]["another text"] == 1
    assert (record["verified"]["different"], record["verified"]["expected"]) == (0, record["verified"]["found"])
    cells = {cell for row in rows(16) for cell in row if len(cell) > 3}
    secrets = {CANARY, "127.0.0.1", str(place.cli.folder), place.billing.url, *cells}
    assert [one for one in sorted(secrets) if one in told] == []


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        ((*HEADER[:1], f"{CANARY} 2", *HEADER[2:]), "Договор"),
        ((*HEADER[:-1], "8912000"), "…"),
        ((*HEADER[:-1], "500,00"), "…"),
    ],
    ids=["equal to a cell", "digits", "an amount"],
)
async def test_a_title_that_may_be_a_cell_is_not_told(place: Place, header: tuple[str, ...], shown: str) -> None:
    name = header[1]
    record, told = await recorded(place, header, "--map", f"name={name}")
    assert record["columns"]["contract_number"] == shown
    assert record["columns"]["name"] == "…"
    assert [title for title in header if title not in HEADER and title in told] == []


async def test_few_rows_have_no_sums(place: Place) -> None:
    record, told = await recorded(place, HEADER, number=4)
    assert "expected" not in record["verified"]
    assert [one for one in ("1,50", "1.50") if one in told] == []


async def test_a_run_that_cannot_be_recorded_is_refused_and_says_what_to_type(place: Place) -> None:
    run = await place.entered(3)
    await place.cli.refused("validate", RECORD, *OF, says=f"carbon-migrate verify {run}")
    await place.cli("verify", run)
    written = await place.cli("validate", "-", run, *OF)
    assert tomllib.loads(written.out)["columns"] == {"contract_number": "contract_number", "amount": "amount"}
    undo = (await place.cli.closing("undo", run, "--yes", "--set", "way=opposite"))["run"]
    await place.cli.refused("validate", RECORD, undo, *OF, says="has no table of a built-in job")
    await place.cli.refused("validate", RECORD, run, "--program", "UTM5", says="--program-version")
    assert not (place.cli.folder / RECORD).exists()


async def test_a_map_that_is_gone_leaves_no_titles_and_says_so(place: Place) -> None:
    await recorded(place, HEADER)
    (place.cli.folder / f"{CANARY}-folder" / f"{CANARY}.toml").unlink()
    told = await place.cli.told("validate", "-", *OF, says="it has no titles of columns")
    assert "[columns]" in told
    assert "Договор" not in told
