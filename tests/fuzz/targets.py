"""What is fuzzed: functions of an input, which raise on a fault. Its first bytes choose among options.

Each writes what it needs into a folder that it alone uses.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Final

from billing.api.answers import judge, read_answer
from cli.session import job_file
from cli.settings.settings import SettingsFile
from engine.errors import InputRefused
from engine.job import Source
from engine.sources.detect import open_input
from engine.sources.sample import Layout
from jobs.catalogue.catalogue import BUILT_IN
from texts.said import SaidError

SUFFIXES: Final = (".csv", ".txt", ".json", ".xlsx", ".ods", "")
ENCODINGS: Final = ("auto", "utf-8", "cp1251")
COLUMNS: Final = ((), ("id",), ("contract_number", "amount"), ("contract_number", "rest..."))
DELIMITERS: Final = ("", ";", "\t", ",", " ")
STATUSES: Final = (200, 201, 400, 401, 404, 408, 429, 500, 502, 503, 504)
PAGE: Final = 2


def read_input(data: bytes, folder: Path) -> None:
    """A file of rows is read or refused, each row as wide as its header, and the same from a page's cursor on."""
    if len(data) < 3:
        return
    path = folder / f"input{SUFFIXES[data[0] % len(SUFFIXES)]}"
    path.write_bytes(data[3:])
    encoding, columns = ENCODINGS[data[1] // 16 % len(ENCODINGS)], COLUMNS[data[1] % len(COLUMNS)]
    layout = Layout(encoding, DELIMITERS[data[2] % len(DELIMITERS)], columns=columns)

    def opened() -> Source:
        return open_input(path, layout, page_rows=PAGE)

    with suppress(InputRefused):
        source = opened()
        width = len(source.header)
        pages = list(source.pages(None))
        for row in chain.from_iterable(page.rows for page in pages):
            if len(row.cells) != width:
                raise AssertionError(f"{row} under {source.header}")
        if len(pages) > 1 and list(opened().pages(pages[0].cursor)) != pages[1:]:
            raise AssertionError("other rows from a cursor on")


def read_response(data: bytes, _folder: Path) -> None:
    """Whatever is answered is evidence, and the same each time."""
    if len(data) < 2:
        return
    body = data[2:]
    word = "".join(letter for letter in body[:30].decode("latin-1") if letter >= " ")
    headers: Mapping[str, str] = (
        {},
        {"Content-Type": "application/json"},
        {"Content-Type": "text/html; charset=cp1251"},
        {"Content-Type": f"text/html; charset={word}"},
        {"Retry-After": word, "Date": word},
    )[data[1] % 5]
    status, is_cabinet = STATUSES[data[0] % len(STATUSES)], data[1] >= 128
    found = [judge(read_answer(status, headers, body, cabinet=is_cabinet, now=0.0)) for _ in range(2)]
    if found[0] != found[1]:
        raise AssertionError(f"{found[0]} and {found[1]}")


def read_settings(data: bytes, folder: Path) -> None:
    """A settings file is read, or refused with a sentence."""
    path = folder / "settings.toml"
    path.write_bytes(data)
    with suppress(SaidError):
        SettingsFile.read(path)


def read_job_file(data: bytes, folder: Path) -> None:
    """A job file is read, or refused with a sentence."""
    path = folder / "job.toml"
    path.write_bytes(data)
    with suppress(SaidError):
        job_file.read(path, BUILT_IN)


TARGETS: Final[Mapping[str, Callable[[bytes, Path], None]]] = {
    "input": read_input,
    "response": read_response,
    "settings": read_settings,
    "job-file": read_job_file,
}
