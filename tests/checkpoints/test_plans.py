"""What is written for each row finds its items by their ids, and does not go through all items of the run."""

import re
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from checkpoints.queries import blocks
from checkpoints.sqlite_connection import connect
from checkpoints.sqlite_schema import prepare

_BY_ID: Final = (
    *("claim", "record", "keep", "doubt_answers", "doubt_shared_ids"),
    *("merge_carrier", "merge_rows", "refuse_items", "withdraw_items", "taken_back_of"),
)


def plan(path: Path, name: str) -> str:
    prepare(path)
    sql = blocks()[name]
    with closing(connect(path)) as db:
        rows: list[tuple[int, int, int, str]] = db.execute(
            f"explain query plan {sql}", dict.fromkeys(re.findall(r":(\w+)", sql), "[]")
        ).fetchall()
    return "\n".join(row[-1] for row in rows)


@pytest.mark.parametrize("name", _BY_ID)
def test_items_are_found_by_their_ids(path: Path, name: str) -> None:
    found = plan(path, name)
    assert re.search(r"SEARCH (items|i) USING INTEGER PRIMARY KEY", found), found


@pytest.mark.parametrize("name", ["lane_mates", "mates_in_shared_lanes", "first_in_lanes", "standing_by_lane"])
def test_what_shares_a_lane_is_found_by_its_lane(path: Path, name: str) -> None:
    found = plan(path, name)
    assert re.search(r"SEARCH items USING INDEX items_by_lane \(run_id=\? AND lane=\?\)", found), found


def test_an_id_that_two_rows_have_is_found_by_its_index(path: Path) -> None:
    found = plan(path, "doubt_shared_ids")
    assert found.count("items_by_answer (run_id=? AND answer=?)") == 2, found


def test_an_item_that_others_need_is_found_by_its_key(path: Path) -> None:
    found = plan(path, "items_by_key")
    assert "SEARCH one USING INDEX items_by_key (key=?)" in found, found


@pytest.mark.parametrize("name", ["in_effect_last_first", "last_unsettled"])
def test_what_is_read_backwards_is_read_along_the_list(path: Path, name: str) -> None:
    found = plan(path, name)
    assert "SEARCH items USING INDEX items_by_run (run_id=? AND number<?)" in found, found
    assert "ORDER BY" not in found, found
