"""The contenders: common ways to send rows to such an API, each at its best, and this engine.

Each gets a list of rows in its own file format, prepared beforehand, and sends one POST a row with the same form. The
shell loop is the vendor's own recipe, with the encoding that its one-liners lack.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import msgspec

from benchmarks.entering import AMOUNT, IN_FLIGHT, MODEL, OPENING
from benchmarks.machine import Took, timed

PROCESSES: Final = 16
"""Parallel processes for contenders that start one for each row: more of them are slower."""

_CURL: Final = ("curl", "-s", "-o", "/dev/null")
_FIELDS: Final = 'fields=["op_id"]'


@dataclass(frozen=True, slots=True)
class Sent:
    """The duration of a load: the sending alone, and the whole process with its start and preparation."""

    rows: int
    sending: float
    whole: float
    processor: float


@dataclass(frozen=True, slots=True)
class Contender:
    """A contender. `at_once` and `after` are its numbers of rows for immediate and for delayed answers.

    `lists` writes its list and returns the command that sends it.
    """

    name: str
    at_once: int
    after: int
    lists: Callable[[Path, str, int], list[str]]

    def send(self, folder: Path, url: str, rows: int) -> Sent:
        """Send this many rows."""
        took = timed(self.lists(folder, f"{url}/rest_api/v2/{MODEL}/", rows), cwd=_working_folder(self))
        return Sent(rows, _sending(took), took.seconds, took.processor)


def _working_folder(contender: Contender) -> Path | None:
    """Its working folder: our own processes need the project's modules, the others need nothing."""
    return Path.cwd() if contender.lists in {_bare, _engine} else None


def _sending(took: Took) -> float:
    """Seconds of sending as the process reports them; the whole duration where it reports none."""
    if not took.said.startswith("{"):
        return took.seconds
    return float(msgspec.json.decode(took.said)["sending"])


def _argument(row: str) -> str:
    return f'arg1={{"abonent_id":{row},"op_summa":"{AMOUNT}","op_type_id":{OPENING},"descr":"Миграция балансов"}}'


def _ids(folder: Path, rows: int) -> Path:
    path = folder / "ids"
    path.write_text("".join(f"{one}\n" for one in range(1, rows + 1)), encoding="ascii")
    return path


def _form(row: str) -> list[str]:
    return [
        argument
        for pair in ("method1=objects.create", _argument(row), _FIELDS)
        for argument in ("--data-urlencode", pair)
    ]


def _loop(folder: Path, url: str, rows: int) -> list[str]:
    script = (
        f"while read -r id; do {' '.join(_CURL)} --data-urlencode method1=objects.create "
        f"""--data-urlencode '{_argument("'$id'")}' --data-urlencode '{_FIELDS}' {url}; done < {_ids(folder, rows)}"""
    )
    return ["sh", "-c", script]


def _xargs(folder: Path, url: str, rows: int) -> list[str]:
    return ["xargs", "-a", str(_ids(folder, rows)), "-P", str(PROCESSES), "-I", "ID", *_CURL, *_form("ID"), url]


def _parallel(folder: Path, url: str, rows: int) -> list[str]:
    # parallel quotes the row itself, and joins the rest for a shell: `-q` quotes that as well.
    options = ["-q", "-j", str(PROCESSES), "--will-cite", "--joblog", str(folder / "joblog"), "-I", "ID"]
    return ["parallel", *options, *_CURL, *_form("ID"), url, "::::", str(_ids(folder, rows))]


def _curl(folder: Path, url: str, rows: int) -> list[str]:
    path = folder / "curl.conf"
    with path.open("w", encoding="ascii") as config:
        for row in range(1, rows + 1):
            pairs = [("method1", "objects.create"), ("arg1", _argument(str(row)).partition("=")[2])]
            form = urlencode([*pairs, ("fields", '["op_id"]')])
            following = "next\n" if row < rows else ""
            config.write(f'url = "{url}"\ndata = "{form}"\noutput = "/dev/null"\n{following}')
    return ["curl", "-s", "-Z", "--parallel-max", str(IN_FLIGHT), "-K", str(path)]


def _bare(_: Path, url: str, rows: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.bare", str(rows), url.partition("/rest_api")[0]]


def _engine(_: Path, url: str, rows: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.entering", str(rows), url.partition("/rest_api")[0]]


CONTENDERS: Final = (
    Contender("shell loop with curl", 300, 80, _loop),
    Contender(f"`xargs -P {PROCESSES}` with curl", 300, 300, _xargs),
    Contender(f"GNU parallel `-j {PROCESSES} --joblog` with curl", 150, 150, _parallel),
    Contender(f"`curl -Z --parallel-max {IN_FLIGHT}`", 40_000, 10_000, _curl),
    Contender("bare aiohttp", 40_000, 10_000, _bare),
    Contender("this engine, with its journal", 40_000, 10_000, _engine),
)
ENGINE: Final = CONTENDERS[-1]
