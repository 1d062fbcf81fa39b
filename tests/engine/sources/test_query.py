import pytest

from engine.job import Row, RowPage, Source
from engine.sources.query import PagedQuery

KEYS = [1, 2, 5, 8, 9]


def fetch(after: str | None) -> RowPage | None:
    keys = [key for key in KEYS if key > int(after or 0)][:2]
    return RowPage(tuple(Row(None, (str(key),)) for key in keys), (), str(keys[-1])) if keys else None


def keys_after(source: Source, after: str | None) -> list[str]:
    return [row.cells[0] for page in source.pages(after) for row in page.rows]


def test_pages_follow_the_key_to_its_end() -> None:
    query = PagedQuery("subscribers of folder 1", ("id",), fetch)
    assert keys_after(query, None) == ["1", "2", "5", "8", "9"]
    assert [page.cursor for page in query.pages(None)] == ["2", "8", "9"]


def test_goes_on_after_any_cursor() -> None:
    query = PagedQuery("subscribers of folder 1", ("id",), fetch)
    assert keys_after(query, "2") == ["5", "8", "9"]
    assert keys_after(query, "9") == []


def test_is_neither_digested_nor_checked_whole() -> None:
    query = PagedQuery("subscribers of folder 1", ("id",), fetch)
    assert (query.name, query.header) == ("subscribers of folder 1", ("id",))
    assert query.digest == ""
    assert not query.checked_whole


def test_a_cursor_that_stays_is_a_fault_and_not_an_endless_loop() -> None:
    query = PagedQuery("stuck", (), lambda _: RowPage((), (), "7"))
    with pytest.raises(RuntimeError, match="stayed at '7'"):
        list(query.pages(None))
