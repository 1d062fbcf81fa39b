"""What a source gives, for tests of all kinds of them."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.job import Row, Source
from engine.sources.detect import open_input
from engine.sources.sample import Layout

FLAT = 700_000
"""What ten times the rows may take more, at their peak: of a short file the sample is shorter as well."""


def written(folder: Path, data: str | bytes, name: str = "input.csv") -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def rows_of(source: Source, after: str | None = None) -> list[Row]:
    return [row for page in source.pages(after) for row in page.rows]


def cells_of(source: Source) -> list[tuple[str, ...]]:
    return [row.cells for row in rows_of(source)]


def refusals_of(source: Source) -> list[Refusal]:
    return [refusal for page in source.pages(None) for refusal in page.refusals]


def why_refused(path: Path, layout: Layout | None = None) -> str:
    with pytest.raises(InputRefused) as caught:
        list(open_input(path, layout or Layout()).pages(None))
    return str(caught.value)


def why_refused_or_its_row(path: Path, layout: Layout) -> str:
    """Why the whole of an input is refused, or else its last row."""
    try:
        *_, last = open_input(path, layout).pages(None)
    except InputRefused as error:
        return str(error)
    return last.refusals[-1].reason


def goes_on_after_every_page(source: Source) -> None:
    """Whatever page was the last, the rest is read exactly; `source` has several pages."""
    pages = list(source.pages(None))
    assert len(pages) > 1
    for number, page in enumerate(pages, 1):
        assert list(source.pages(page.cursor)) == pages[number:]


def peak_of_reading(path: Path) -> int:
    """The most memory, in bytes, that reading the whole of a file takes."""
    tracemalloc.start()
    try:
        source = open_input(path, Layout())
        assert source.header
        for _ in source.pages(None):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def memory_is_flat(write: Callable[[int], Path], rows: int = 20_000) -> None:
    """A tenth of the rows takes as much memory as all of them."""
    small = peak_of_reading(write(rows // 10))
    assert peak_of_reading(write(rows)) < small + FLAT
