"""Counts what a row costs, free of noise: Python calls in the rooms, statements, and round trips to PostgreSQL.

`python -m tools.calls` prints all measures with their budgets; with the name of a measure also the functions
that it calls, and how often. `tests/tools/test_calls.py` holds the budgets.

A call counts where its function stands in a room of the house and no module is being imported; a coroutine and a
generator count once. The cost of a further row is the difference between a command for many rows and one for few.
"""

import collections
import csv
import itertools
import json
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from math import inf
from types import FrameType, MappingProxyType
from typing import Any, Final, NamedTuple

from benchmarks import rig
from billing.database.database import Database
from billing.database.dsn import Dsn
from engine.pipeline import gate, witness
from lab.crash import program
from tools.house import ROOMS, ROOT

FEW, MANY = 200, 400
GROUPS = 40
_SHOWN: Final = 0.05
STEPS = 3  # of a subscriber: himself, his account, his balance
_INSIDE: Final = tuple(f"{ROOT}{os.sep}{room}{os.sep}" for room in ROOMS)
_STATEMENT: Final = (str(ROOT / "billing" / "database" / "file_database.py"), "select")
"""The function that asks the process that reads the billing's file for a statement."""
_DRIVER: Final = f"{os.sep}psycopg{os.sep}"
_NUMBERS: Final = """
    select min(contract_number) from abonents
    where is_folder = 0 and deleted = 0 and contract_number <> '' group by account_id having count(*) = 1
"""
"""Contract numbers of subscribers that share their account with nobody."""
_SECONDS_THAT_A_LOOK_COUNTS: Final = (
    (witness, "READING_COUNTS"),
    (witness, "FRESH"),
    (witness, "READING_COUNTS"),
    (gate, "TRUSTED"),
)


class Cost(NamedTuple):
    """What one command, or one row of it, costs; of a budget the most, and infinity for what is not held.

    `calls` are Python calls in the rooms; `journal` and `billing` are statements that this process executes in the
    journal and in the billing's database; `trips` are those to PostgreSQL and back; `functions` are the calls by file
    and function.
    """

    calls: float
    journal: float = inf
    billing: float = inf
    trips: float = inf
    functions: Mapping[str, float] = MappingProxyType({})

    def beyond(self, few: "Cost", rows: int) -> "Cost":
        """The cost of each of the further `rows`, where `few` is the cost without them."""
        functions = {name: (calls - few.functions.get(name, 0)) / rows for name, calls in self.functions.items()}
        calls, journal, billing, trips = ((one - other) / rows for one, other in zip(self[:4], few[:4], strict=True))
        return Cost(calls, journal, billing, trips, functions)


BUDGETS: Final[Mapping[str, Cost]] = {
    "run: one row": Cost(6_000, 165),
    "run: a further row": Cost(150, 1),
    "plan: a further row": Cost(57, 0.02, 0.02),
    "status": Cost(1_225, 16),
    "verify: a further row": Cost(33, 0.02, 0.02),
    "undo: a further row": Cost(214, 1, 0.1),
    "import: a further step": Cost(329, 3, 0.2),
    "worker: a further row": Cost(152, 0.4, trips=0.2),
    "worker: a further group": Cost(480, 6.9, trips=3.6),
}
"""Each is a little above what was counted last: a change that costs more says so here.

A busy machine makes groups smaller or greater, and shows more seconds: some twentieth is for that.
"""


class _Counter:
    """Counts, as a profile function of all threads that start after it was set."""

    def __init__(self) -> None:
        self.calls = collections.Counter[str]()
        self.statements = collections.Counter[str]()
        self._importing = collections.Counter[int]()

    def note(self, frame: FrameType, event: str, argument: Any) -> None:  # noqa: ANN401 - as sys.setprofile has it
        if event == "c_call":
            if argument.__name__ in {"execute", "executemany"}:
                self.statements["journal"] += type(getattr(argument, "__self__", None)).__module__ == "sqlite3"
            return
        code = frame.f_code
        if code.co_name == "<module>":
            self._importing[threading.get_ident()] += {"call": 1, "return": -1}.get(event, 0)
        elif event == "call" and not self._importing[threading.get_ident()]:
            file = code.co_filename
            if file.startswith(_INSIDE) and not _resumed(frame):
                self.calls[f"{file[len(str(ROOT)) + 1 :]}:{code.co_qualname}"] += 1
                self.statements["billing"] += (file, code.co_name) == _STATEMENT
            elif _DRIVER in file:
                # One of its functions waits for the server, another one sees the results of the statements.
                self.statements["trips"] += code.co_name == "wait" and "gen" in frame.f_locals and not _resumed(frame)
                self.statements["journal"] += len(frame.f_locals["results"]) if code.co_name == "_set_results" else 0


def _resumed(frame: FrameType) -> bool:
    """Whether a generator or a coroutine goes on after a yield or an await, which depends on the timing.

    The argument of the instruction RESUME is 0 at the start of a function (documentation of `dis`).
    """
    return frame.f_code.co_code[frame.f_lasti + 1] & 3 != 0


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
        # A signal may cut a single write.
        with os.fdopen(write, "w") as pipe:
            counts = [counter.calls.total(), *(counter.statements[kind] for kind in ("journal", "billing", "trips"))]
            json.dump([code, *counts, counter.calls], pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        code, *found = json.load(pipe)
    os.waitpid(child, 0)
    if (code or 0) not in may_end_with:
        raise RuntimeError(f"{' '.join(words)} ended with {code}")
    return Cost(*found)


class Workbench:
    """A mock billing of its own, in a folder of its own, and the input files of the measures."""

    def __init__(self, billing: rig.Billing, postgres: str) -> None:
        self._folder = billing.folder
        self._postgres = postgres
        self._made = 0
        with Database(Dsn(str(billing.folder / rig.DATABASE))) as database:
            self._numbers = iter([str(number) for (number,) in database.query(_NUMBERS)])

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
        numbers = itertools.islice(self._numbers, rows)
        return self._write(("contract_number", "amount"), ((number, f"{self._made}.50") for number in numbers))

    def subscribers(self, rows: int) -> str:
        """A file of new subscribers for an import."""
        heads = ("contract_number", "name", "folder", "login", "balance")
        names = (f"{self._made}-{row}" for row in range(rows))
        return self._write(heads, ((f"N{one}", f"Subscriber {one}", "Moved", f"n{one}", "1.50") for one in names))

    def _write(self, head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
        self._made += 1
        path = self._folder / f"{self._made}.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, delimiter=";").writerows([head, *lines])
        return str(path)


@contextmanager
def a_workbench() -> Iterator[Workbench]:
    """Create and serve a mock billing while the context lasts, with this process's environment leading there."""
    with program.running_postgres() as postgres, rig.billing(4_000) as billing:
        before, place = dict(os.environ), str(billing.folder)
        database = str(billing.folder / rig.DATABASE)
        os.environ.update(HOME=place, XDG_STATE_HOME=place, CARBON_MIGRATE_DATABASE=database)
        os.environ["CARBON_MIGRATE_API_URL"] = billing.url
        try:
            yield Workbench(billing, postgres.url)
        finally:
            os.environ.clear()
            os.environ.update(before)


_SENDING: Final = ("--yes", "--in-flight", "64", "--settle", "1", "--no-canary")


def measured(bench: Workbench) -> Iterator[tuple[str, Cost]]:
    """The measures of `BUDGETS`, in their order."""
    journals = {rows: bench.journal() for rows in (FEW, FEW + MANY)}
    imports = {rows: bench.subscribers(rows) for rows in journals}

    def further(cost: Callable[[int], Cost], each: int = 1) -> Cost:
        few, many = map(cost, journals)
        return many.beyond(few, MANY * each)

    def there(rows: int, *command: str) -> Cost:
        with closing(sqlite3.connect(journals[rows])) as connection:
            ((run,),) = connection.execute("select name from runs order by run_id desc limit 1")
        name, *more = command
        return cost_of((name, str(run), "--journal", journals[rows], *more), may_end_with=(0, int(name == "undo")))

    def planned(rows: int) -> Cost:
        return cost_of(("plan", "balances", bench.balances(rows), "--journal", bench.journal()))

    def imported(rows: int) -> Cost:
        return cost_of(("import", imports[rows], *_SENDING, "--journal", bench.journal()))

    yield "run: one row", cost_of(_run(bench.balances(1), bench.journal()))
    yield "run: a further row", further(lambda rows: cost_of(_run(bench.balances(rows), journals[rows])))
    yield "plan: a further row", further(planned)
    yield "status", there(FEW, "status")
    yield "verify: a further row", further(lambda rows: there(rows, "verify"))
    yield "undo: a further row", further(lambda rows: there(rows, "undo", "--set", "way=opposite", *_SENDING))
    yield "import: a further step", further(imported, STEPS)
    yield "worker: a further row", further(lambda rows: _by_worker(bench.balances(rows), bench.shared_journal()))
    # One row in flight is a group of one: how many rows are in a group depends on the timing, what it costs does not.
    few, many = (_by_worker(bench.balances(rows), bench.shared_journal(), "1") for rows in (1, 1 + GROUPS))
    yield "worker: a further group", many.beyond(few, GROUPS)


def _by_worker(file: str, shared: str, in_flight: str = "64") -> Cost:
    """The cost of handing a run in, and of the process that a worker starts for it.

    What the worker itself costs, its queue and its signs of life, is by run and second, and nothing of it by row.
    """
    handing_in = cost_of((*_run(file, shared), "--detach", "--in-flight", in_flight))
    working = cost_of(("resume", "--end-outside-hours", "--json", "--quiet", "--journal", shared))
    functions = collections.Counter(handing_in.functions)
    functions.update(working.functions)
    calls, journal, billing, trips = map(sum, zip(handing_in[:4], working[:4], strict=True))
    return Cost(calls, journal, billing, trips, functions)


def _run(file: str, journal: str) -> tuple[str, ...]:
    return ("run", "balances", file, *_SENDING, "--journal", journal)


_HELD: Final = ("calls", "statements of the journal", "selects of the billing", "round trips to PostgreSQL")


def exceeded(name: str, cost: Cost) -> str | None:
    """What of a measure is above its budget, in words; None where nothing is."""
    found = zip(cost[:4], BUDGETS[name][:4], _HELD, strict=True)
    over = [f"{spent:.2f} {what}, and {most:g} are allowed" for spent, most, what in found if spent > most]
    return f"{name}: {', '.join(over)}" if over else None


def main(arguments: Sequence[str]) -> int:
    """Print all measures, and the functions of those that are named; 1 where a budget is exceeded."""
    code = 0
    with a_workbench() as bench:
        for name, cost in measured(bench):
            files = {function.partition(":")[0] for function, calls in cost.functions.items() if calls > 0}
            sys.stdout.write(
                f"{name:24} {cost.calls:8.0f} calls of {BUDGETS[name].calls:6.0f}; statements: "
                f"journal {cost.journal:.2f}, billing {cost.billing:.2f}; round trips {cost.trips:.2f}; "
                f"files {len(files)}\n"
            )
            if name in arguments:
                shown = sorted((function, calls) for function, calls in cost.functions.items() if calls >= _SHOWN)
                sys.stdout.writelines(f"    {calls:8.2f} {function}\n" for function, calls in shown)
            code |= exceeded(name, cost) is not None
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
