"""Counts what a row costs, free of noise: Python calls in the rooms, statements, and round trips to PostgreSQL.

`python -m tools.calls` prints all measures with their budgets; with the name of a measure also the functions
that it calls, and how often. `tests/tools/test_calls.py` holds the budgets.

A call counts where its function stands in a room of the house and no module is being imported; a coroutine and a
generator count once. The cost of a further row is the difference between a command for many rows and one for few.
"""

import collections
import csv
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from types import FrameType
from typing import Any, Final

from engine.pipeline import gate, witness
from lab.crash import postgres_server
from tools.house import ROOMS, ROOT

FEW, MANY = 200, 400
GROUPS = 40
_SHOWN: Final = 0.05
STEPS = 3  # of a subscriber: himself, his account, his balance
_INSIDE: Final = tuple(f"{ROOT}{os.sep}{room}{os.sep}" for room in ROOMS)
_STATEMENT: Final = (str(ROOT / "billing" / "database" / "file_database.py"), "select")
"""The function that asks the process that reads the billing's file for a statement."""
_DRIVER: Final = f"{os.sep}psycopg{os.sep}"
_SECONDS_THAT_A_LOOK_COUNTS: Final = (
    (witness, "READING_COUNTS"),
    (witness, "FRESH"),
    (witness, "READING_COUNTS"),
    (gate, "TRUSTED"),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command, or one row of it, costs.

    `calls` are Python calls in the rooms, by file and function; `journal` and `billing` are statements that this
    process executes in the journal and in the billing's database; `trips` are those to PostgreSQL and back.
    """

    calls: Mapping[str, float]
    journal: float
    billing: float
    trips: float

    @property
    def all_calls(self) -> float:
        """Calls of all functions."""
        return sum(self.calls.values())

    def beyond(self, few: "Cost", rows: int) -> "Cost":
        """The cost of each of the further `rows`, where `few` is the cost without them."""
        calls = {name: (calls - few.calls.get(name, 0)) / rows for name, calls in self.calls.items()}
        counts = (self.journal - few.journal, self.billing - few.billing, self.trips - few.trips)
        return Cost(calls, *(count / rows for count in counts))


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a measure may cost; None for statements of the journal or the billing that are not held."""

    calls: float
    journal: float | None = None
    billing: float | None = None
    trips: float | None = None


BUDGETS: Final[Mapping[str, Budget]] = {
    "run: one row": Budget(6_000),
    "run: a further row": Budget(150, 1),
    "plan: a further row": Budget(58, 0.02, 0.02),
    "status": Budget(1_200),
    "verify: a further row": Budget(53, 0.02, 0.02),
    "undo: a further row": Budget(225, 1, 0.1),
    "import: a further step": Budget(375, 3, 0.2),
    "worker: a further row": Budget(155, 0.6, trips=0.3),
    "worker: a further group": Budget(520, 12, trips=6.6),
}
"""Each is a little above what was counted last: a change that costs more says so here.

A busy machine makes groups smaller or greater, and shows more seconds: some twentieth is for that.
"""


class _Counter:
    """Counts, as a profile function of all threads that start after it was set."""

    def __init__(self) -> None:
        self.calls = collections.Counter[str]()
        self.journal = 0
        self.billing = 0
        self.trips = 0
        self._importing = collections.Counter[int]()

    def note(self, frame: FrameType, event: str, argument: Any) -> None:  # noqa: ANN401 - as sys.setprofile has it
        if event == "c_call":
            if argument.__name__ in {"execute", "executemany"} and _of_sqlite(argument):
                self.journal += 1
            return
        code = frame.f_code
        if code.co_name == "<module>":
            self._importing[threading.get_ident()] += {"call": 1, "return": -1}.get(event, 0)
        elif event == "call" and not self._importing[threading.get_ident()]:
            file = code.co_filename
            if file.startswith(_INSIDE) and not _resumed(frame):
                self.calls[f"{file[len(str(ROOT)) + 1 :]}:{code.co_qualname}"] += 1
                self.billing += (file, code.co_name) == _STATEMENT
            elif _DRIVER in file:
                # One of its functions waits for the server, another one sees the results of the statements.
                self.trips += code.co_name == "wait" and "gen" in frame.f_locals and not _resumed(frame)
                self.journal += len(frame.f_locals["results"]) if code.co_name == "_set_results" else 0


def _resumed(frame: FrameType) -> bool:
    """Whether a generator or a coroutine goes on after a yield or an await, which depends on the timing.

    The argument of the instruction RESUME is 0 at the start of a function (documentation of `dis`).
    """
    return frame.f_code.co_code[frame.f_lasti + 1] & 3 != 0


def _of_sqlite(function: Any) -> bool:  # noqa: ANN401 - a function of C
    return type(getattr(function, "__self__", None)).__module__ == "sqlite3"


def cost_of(words: Sequence[str], *, may_end_with: Sequence[int] = (0,)) -> Cost:
    """The cost of a command of the program, in a fork of this process.

    Raises `RuntimeError` for an exit code that is not in `may_end_with`.
    """
    read, write = os.pipe()
    if not (child := os.fork()):
        os.close(read)
        null = os.open(os.devnull, os.O_RDWR)
        for end in (0, 1, 2):
            os.dup2(null, end)
        counter = _Counter()
        # However long a row has to wait on a busy machine, it is looked at once.
        for module, name in _SECONDS_THAT_A_LOOK_COUNTS:
            setattr(module, name, inf)
        sys.argv = ["carbon-migrate", *words]
        threading.setprofile(counter.note)
        from cli.main import main  # noqa: PLC0415 - counted only from here on

        sys.setprofile(counter.note)
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        except BaseException as error:  # noqa: BLE001 - the parent says it
            code = repr(error)
        sys.setprofile(None)
        found = {"code": code, "calls": counter.calls, "counts": (counter.journal, counter.billing, counter.trips)}
        # A signal may cut a single write.
        with os.fdopen(write, "w") as pipe:
            json.dump(found, pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        found = json.load(pipe)
    os.waitpid(child, 0)
    if (found["code"] or 0) not in may_end_with:
        raise RuntimeError(f"{' '.join(words)} ended with {found['code']}")
    return Cost(found["calls"], *found["counts"])


class Workbench:
    """A mock billing of its own, in a folder of its own, and the input files of the measures."""

    def __init__(self, folder: Path, url: str, postgres: str) -> None:
        self._folder = folder
        self._postgres = postgres
        self._numbers = iter(_contract_numbers(url))
        self._made = 0

    def journal(self) -> str:
        """The path of a journal that no command has used."""
        self._made += 1
        return str(self._folder / f"{self._made}.journal")

    def shared_journal(self) -> str:
        """The address of a journal in PostgreSQL that no command has used."""
        self._made += 1
        return f"{self._postgres}?schema=journal_{self._made}"

    def balances(self, rows: int) -> str:
        """A file of opening balances, each of an account that no other file has."""
        self._made += 1
        lines = [("contract_number", "amount"), *((next(self._numbers), f"{self._made}.50") for _ in range(rows))]
        return self._write(lines)

    def subscribers(self, rows: int) -> str:
        """A file of new subscribers for an import."""
        self._made += 1
        heads = ("contract_number", "name", "folder", "login", "balance")
        names = (f"{self._made}-{row}" for row in range(rows))
        return self._write([heads, *((f"N{one}", f"Subscriber {one}", "Moved", f"n{one}", "1.50") for one in names)])

    def _write(self, lines: Sequence[Sequence[str]]) -> str:
        path = self._folder / f"{self._made}.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, delimiter=";").writerows(lines)
        return str(path)


@contextmanager
def a_workbench() -> Iterator[Workbench]:
    """Create and serve a mock billing while the context lasts, with this process's environment leading there."""
    command = shutil.which("carbon-migrate", path=str(Path(sys.executable).parent)) or "carbon-migrate"
    with postgres_server.running() as postgres, tempfile.TemporaryDirectory() as name:
        folder, before = Path(name), dict(os.environ)
        billing = str(folder / "billing.fdb")
        os.environ.update(HOME=name, XDG_STATE_HOME=name, CARBON_MIGRATE_DATABASE=billing)
        subprocess.run([command, "mock", "init", billing, "--abonents", "4000"], check=True, capture_output=True)  # noqa: S603 - our own words
        serving = [command, "mock", "serve", billing, "--port", "0"]
        with subprocess.Popen(serving, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:  # noqa: S603 - as above
            try:
                url = server.stdout.readline().strip() if server.stdout else ""
                os.environ["CARBON_MIGRATE_API_URL"] = url
                yield Workbench(folder, url, postgres.url)
            finally:
                server.terminate()
                os.environ.clear()
                os.environ.update(before)


def _contract_numbers(url: str) -> list[str]:
    """Contract numbers of subscribers that share their account with nobody, asked of the mock."""
    fields = json.dumps(["contract_number", "account_id"])
    form = {"method1": "objects.filter", "arg1": json.dumps({"is_folder": 0, "deleted": 0}), "fields": fields}
    with urllib.request.urlopen(f"{url}/rest_api/v2/Abonents/", urllib.parse.urlencode(form).encode()) as answer:  # noqa: S310 - the mock
        found = [one["fields"] for one in json.load(answer)["result"]]
    shared = collections.Counter(one["account_id"] for one in found)
    return [one["contract_number"] for one in found if one["contract_number"] and shared[one["account_id"]] == 1]


_WAY: Final = ("--set", "way=opposite")
_SENDING: Final = ("--yes", "--in-flight", "64", "--settle", "1", "--no-canary")


def _further(cost: Callable[[int], Cost], each: int = 1) -> Cost:
    few, many = cost(FEW), cost(FEW + MANY)
    return many.beyond(few, MANY * each)


def measured(bench: Workbench) -> Iterator[tuple[str, Cost]]:
    """The measures of `BUDGETS`, in their order."""
    yield "run: one row", cost_of(_run(bench.balances(1), bench.journal()))
    journals = {rows: bench.journal() for rows in (FEW, FEW + MANY)}
    imports = {rows: bench.subscribers(rows) for rows in journals}

    def there(rows: int) -> tuple[str, ...]:
        return (_run_in(journals[rows]), "--journal", journals[rows])

    def planned(rows: int) -> tuple[str, ...]:
        return ("plan", "balances", bench.balances(rows), "--journal", bench.journal())

    def imported(rows: int) -> tuple[str, ...]:
        return ("import", imports[rows], *_SENDING, "--journal", bench.journal())

    yield "run: a further row", _further(lambda rows: cost_of(_run(bench.balances(rows), journals[rows])))
    yield "plan: a further row", _further(lambda rows: cost_of(planned(rows)))
    yield "status", cost_of(("status", *there(FEW)))
    yield "verify: a further row", _further(lambda rows: cost_of(("verify", *there(rows))))
    undone = _further(lambda rows: cost_of(("undo", *there(rows), *_WAY, *_SENDING), may_end_with=(0, 1)))
    yield "undo: a further row", undone
    yield "import: a further step", _further(lambda rows: cost_of(imported(rows)), STEPS)
    yield "worker: a further row", _further(lambda rows: _by_worker(bench.balances(rows), bench.shared_journal()))
    # One row in flight is a group of one: how many rows are in a group depends on the timing, what it costs does not.
    few, many = (_by_worker(bench.balances(rows), bench.shared_journal(), "1") for rows in (1, 1 + GROUPS))
    yield "worker: a further group", many.beyond(few, GROUPS)


def _by_worker(file: str, journal: str, in_flight: str = "64") -> Cost:
    """The cost of handing a run in, and of the process that a worker starts for it.

    What the worker itself costs, its queue and its signs of life, is by run and second, and nothing of it by row.
    """
    handing_in = cost_of((*_run(file, journal), "--detach", "--in-flight", in_flight))
    working = cost_of(("resume", "--end-outside-hours", "--json", "--quiet", "--journal", journal))
    calls = collections.Counter(handing_in.calls)
    calls.update(working.calls)
    counts = ((one.journal, one.billing, one.trips) for one in (handing_in, working))
    return Cost(calls, *map(sum, zip(*counts, strict=True)))


def _run_in(journal: str) -> str:
    """The name of the newest run of a journal."""
    with closing(sqlite3.connect(journal)) as connection:
        ((name,),) = connection.execute("select name from runs order by run_id desc limit 1")
    return str(name)


def _run(file: str, journal: str) -> tuple[str, ...]:
    return ("run", "balances", file, *_SENDING, "--journal", journal)


def exceeded(name: str, cost: Cost) -> str | None:
    """What of a measure is above its budget, in words; None where nothing is."""
    budget = BUDGETS[name]
    found = (
        (cost.all_calls, budget.calls, "calls"),
        (cost.journal, budget.journal, "statements of the journal"),
        (cost.billing, budget.billing, "selects of the billing"),
        (cost.trips, budget.trips, "round trips to PostgreSQL"),
    )
    over = [f"{spent:.2f} {what}, and {most:g} are allowed" for spent, most, what in found if most and spent > most]
    return f"{name}: {', '.join(over)}" if over else None


def main(arguments: Sequence[str]) -> int:
    """Print all measures, and the functions of those that are named; 1 where a budget is exceeded."""
    code = 0
    with a_workbench() as bench:
        for name, cost in measured(bench):
            files = {function.partition(":")[0] for function, calls in cost.calls.items() if calls > 0}
            sys.stdout.write(
                f"{name:24} {cost.all_calls:8.0f} calls of {BUDGETS[name].calls:6.0f}; statements: "
                f"journal {cost.journal:.2f}, billing {cost.billing:.2f}; round trips {cost.trips:.2f}; "
                f"files {len(files)}\n"
            )
            if name in arguments:
                shown = sorted((function, calls) for function, calls in cost.calls.items() if calls >= _SHOWN)
                sys.stdout.writelines(f"    {calls:8.2f} {function}\n" for function, calls in shown)
            code |= exceeded(name, cost) is not None
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
