"""A journal that the program of format 5 has written, and what is in it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

TEXT: Final = (Path(__file__).parent / "format5.sql").read_text(encoding="utf-8")
BILLING: Final = "http://127.0.0.1:8082"
"""The billing of its runs."""
DONE: Final = "x36kb"
"""A run at its end: two rows accepted, two refused."""
REFUSED: Final = "there is no contract number 'nobody', nor one like it"
"""Why the first of them was refused."""
STOPPED: Final = "j72sq"
"""A run that is approved, with twelve rows of 5.14 in total, none of them sent."""


def write(path: Path, billing: str = BILLING) -> None:
    """Write the journal, as one of runs into that billing."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.executescript(TEXT.replace(BILLING, billing))
    path.chmod(0o600)


def format_of(path: Path) -> int:
    """The format of a journal, whose file has to be whole."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        (found,) = connection.execute("pragma user_version").fetchone()
        (kinds,) = connection.execute("select count(*) from pragma_table_info('items') where name = 'kind'")
        assert (found, *kinds) in {(5, 0), (8, 1)}
    return int(found)


def content(path: Path) -> str:
    """All that is in a journal."""
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump())
