"""The Firebird library in this process, and a database file that is read through a keeper: real processes."""

import fcntl
import gc
import importlib
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import fdb
import pytest

from billing.database import client_library as embedded
from billing.database import database as databases
from billing.database import file_database as kept_reader
from billing.database.database import Database, create
from billing.database.dsn import Dsn
from billing.database.file_database import FileDatabase, open_file_database
from billing.database.sql_blocks import Values
from billing.errors import BillingError, DatabaseAway, NoDatabase, NotTheBilling, RuntimeMissing, StatementRefused
from lab.crash.loops import loops
from tests.billing.selects.selecting import ENDLESS, wait_until_it_counts

PATIENCE = round(loops(20) * 1000)
"""Milliseconds."""

PAGES = "select a.id, b.id, a.name from abonents a, tarif b order by a.id, b.id"
OPEN_HERE = "select count(*) from mon$transactions where mon$attachment_id = current_connection"


@pytest.fixture
def reader(billing_file: Path) -> Iterator[Database]:
    with open_file_database(Dsn(str(billing_file))) as database:
        yield database


def keeper_of(database: Database) -> FileDatabase:
    assert isinstance(database._reader, FileDatabase)
    return database._reader


@contextmanager
def watched(pid: int) -> Iterator[Callable[[], bool]]:
    """Whether a process, which may be nobody's child here, has ended by now or soon."""
    descriptor = os.pidfd_open(pid)
    ended = select.poll()
    ended.register(descriptor, select.POLLIN)
    try:
        yield lambda: bool(ended.poll(PATIENCE))
    finally:
        os.close(descriptor)


def test_rows_come_as_they_do_without_a_keeper(billing_file: Path, reader: Database) -> None:
    query = (
        "select id, name, create_date, cast(1.25 as numeric(9, 2)), cast('2024-02-29' as date), current_role,"
        " cast(null as varchar(3)), cast(1.5 as double precision), cast('текст' as blob sub_type text),"
        " cast('x' as char(2) character set octets) from abonents order by id"
    )
    with Database(Dsn(str(billing_file))) as direct:
        wanted = list(direct.query(query))
    assert len(wanted) > 1_000
    assert list(reader.query(query)) == wanted


def test_selects_may_be_read_side_by_side(reader: Database) -> None:
    wanted = list(reader.query(PAGES))
    assert list(zip(reader.query(PAGES), reader.query(PAGES), strict=True)) == list(zip(wanted, wanted, strict=True))
    with ThreadPoolExecutor(4) as pool:
        assert all(rows == wanted for rows in pool.map(lambda _: list(reader.query(PAGES)), range(4)))


def test_a_select_that_is_left_halfway_is_closed(reader: Database) -> None:
    rows = reader.query(PAGES)
    next(rows)
    assert list(reader.query(OPEN_HERE)) == [(2,)]
    del rows
    gc.collect()
    assert list(reader.query(OPEN_HERE)) == [(1,)]


def other_than_a_billing(folder: Path) -> Dsn:
    dsn = Dsn(str(folder / "other.fdb"))
    create(dsn).close()
    return dsn


def text(folder: Path) -> Dsn:
    path = folder / "text.fdb"
    path.write_bytes(b"not a database " * 1000)
    return Dsn(str(path))


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (lambda folder: Dsn(str(folder / "none.fdb")), NoDatabase),
        (lambda folder: Dsn(str(folder)), NoDatabase),
        (text, NoDatabase),
        (other_than_a_billing, NotTheBilling),
    ],
)
def test_what_cannot_be_opened_is_told(made: Callable[[Path], Dsn], kind: type[BillingError], tmp_path: Path) -> None:
    dsn = made(tmp_path)
    with pytest.raises(kind) as directly:
        Database(dsn).connect()
    with pytest.raises(kind) as through_a_keeper:
        open_file_database(dsn).connect()
    assert type(through_a_keeper.value) is type(directly.value) is kind
    assert str(through_a_keeper.value) == str(directly.value)


def test_what_a_statement_is_refused_for_is_told_as_without_a_keeper(billing_file: Path, reader: Database) -> None:
    refused: tuple[tuple[str, Values], ...] = (
        ("select nothing from abonents", {}),
        ("select id from abonents where contract_number = :n", {"n": "x" * 100}),
        ("select id / 0 from abonents", {}),
        ("select case when id > 2500 then id / 0 else id end from abonents order by id", {}),
    )
    with Database(Dsn(str(billing_file))) as direct:
        for query, values in refused:
            with pytest.raises(StatementRefused) as directly:
                list(direct.query(query, values))
            with pytest.raises(StatementRefused) as through_a_keeper:
                list(reader.query(query, values))
            assert str(through_a_keeper.value) == str(directly.value)
            assert list(reader.query(OPEN_HERE)) == [(1,)]
    with pytest.raises(StatementRefused, match="Column unknown"):
        reader.describe("select nothing from abonents")


def test_a_server_needs_no_keeper(billing_on_server: Dsn) -> None:
    with open_file_database(billing_on_server) as database:
        assert not isinstance(database._reader, FileDatabase)


def test_a_keeper_that_dies_is_a_database_that_is_away_and_the_next_use_starts_another(reader: Database) -> None:
    first = keeper_of(reader)
    rows = reader.query(PAGES)
    next(rows)
    os.kill(first.pid, signal.SIGKILL)
    with pytest.raises(DatabaseAway, match="the process that reads it was ended by SIGKILL"):
        list(reader.query(OPEN_HERE))
    assert list(reader.query(OPEN_HERE)) == [(1,)]
    second = keeper_of(reader)
    assert second.pid != first.pid
    # What was read through the first is lost, and does not take the second along.
    with pytest.raises(DatabaseAway):
        list(rows)
    assert keeper_of(reader) is second


def test_the_error_of_a_keeper_that_has_died_can_be_collected(reader: Database) -> None:
    """An error may be part of a cycle, and the collector of Python 3.13 shows a buffer in it that is still viewed."""
    keeper = keeper_of(reader)
    os.kill(keeper.pid, signal.SIGKILL)
    with watched(keeper.pid) as has_ended:
        assert has_ended()
    with pytest.raises(DatabaseAway) as raised:
        list(reader.query(OPEN_HERE))
    cause = raised.value.__cause__
    assert isinstance(cause, OSError)
    frames = [frame for frame, _ in traceback.walk_tb(cause.__traceback__)]
    views = [value for frame in frames for value in frame.f_locals.values() if isinstance(value, memoryview)]
    assert [view for view in views if not isinstance(view.obj, bytes)] == []


def test_nothing_is_left_after_closing(reader: Database) -> None:
    keeper = keeper_of(reader)
    rows = reader.query(PAGES)
    next(rows)
    reader.close()
    assert keeper._process.returncode == 0
    with pytest.raises(ProcessLookupError):
        os.kill(keeper.pid, 0)
    assert list(reader.query(OPEN_HERE)) == [(1,)], "the next use opens another"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_keeper_is_not_asked_to_end_by_a_signal(number: signal.Signals, reader: Database) -> None:
    keeper = keeper_of(reader)
    os.kill(keeper.pid, number)
    assert list(reader.query(OPEN_HERE)) == [(1,)]
    assert keeper_of(reader) is keeper


def test_closing_does_not_wait_for_a_select_without_end(
    billing_file: Path, reader: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "PATIENCE", 0.05)
    keeper = keeper_of(reader)
    with ThreadPoolExecutor(1) as pool:
        counting = pool.submit(list, reader.query(ENDLESS))
        wait_until_it_counts(Dsn(str(billing_file)))
        reader.close()
        with pytest.raises(DatabaseAway):
            counting.result()
    assert keeper._process.returncode == 0, "the engine was left in good form"


def test_a_keeper_that_does_not_end_is_killed(reader: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_reader, "_ENDING", 0.05)
    keeper = keeper_of(reader)
    os.kill(keeper.pid, signal.SIGSTOP)
    reader.close()
    assert keeper._process.returncode == -signal.SIGKILL


def test_a_keeper_that_does_not_open_a_file_or_cannot_be_started_is_given_up(
    billing_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_reader, "_OPENING", 0.0)
    with pytest.raises(DatabaseAway, match="it was not opened within 0 s"):
        open_file_database(Dsn(str(billing_file))).connect()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(DatabaseAway, match="no process to read it can be started"):
        open_file_database(Dsn(str(billing_file))).connect()


def test_the_keeper_shares_the_lock_table_of_its_parent(billing_file: Path, reader: Database) -> None:
    with Database(Dsn(str(billing_file))) as direct:
        seen = {
            pid for (pid,) in direct.query("select mon$server_pid from mon$attachments where mon$user = 'SYSDBA'")
        }
    assert seen == {os.getpid(), keeper_of(reader).pid}


def test_the_code_of_the_keeper_is_its_parents_whatever_lies_in_the_folder(
    billing_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = tmp_path / "strange"
    strange.mkdir()
    for name in ("fdb", "random", "billing"):
        (strange / f"{name}.py").write_text("raise SystemExit('a stranger')")
    monkeypatch.chdir(strange)
    with open_file_database(Dsn(str(billing_file))) as reader:
        assert list(reader.query(OPEN_HERE)) == [(1,)]


PARENT = """
import signal, sys, threading
from billing.database.database import Dsn
from billing.database.file_database import open_file_database

heard = threading.Event()
signal.signal(signal.SIGINT, lambda *_: heard.set())
database = open_file_database(Dsn(sys.argv[1]))
rows = database.query(sys.argv[2])
if "count" in sys.argv[2]:
    database.connect()
    threading.Thread(target=next, args=(rows,), daemon=True).start()
else:
    next(rows)
print(database._reader.pid, flush=True)
sys.stdin.readline()
assert heard.wait(20)
print(len(list(rows)), database._reader.pid, flush=True)
sys.stdin.readline()
"""


@contextmanager
def parent(billing_file: Path, query: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process, in a group of its own, that reads a select through a keeper; and the keeper's number."""
    with subprocess.Popen(  # noqa: S603 - this test's own program
        [sys.executable, "-c", PARENT, str(billing_file), query],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def test_when_its_parent_is_killed_the_keeper_leaves_even_a_select_without_end(billing_file: Path) -> None:
    with parent(billing_file, ENDLESS) as (process, keeper), watched(keeper) as has_ended:
        wait_until_it_counts(Dsn(str(billing_file)))
        with pytest.raises(BlockingIOError), billing_file.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.kill()
        assert has_ended()
    with Database(Dsn(str(billing_file))) as direct:
        left = direct.query("select count(*) from mon$attachments where mon$user = 'SYSDBA'")
        assert list(left) == [(1,)]


def test_ctrl_c_to_the_group_does_not_reach_the_keeper(billing_file: Path) -> None:
    with parent(billing_file, PAGES) as (process, keeper), watched(keeper) as has_ended:
        assert process.stdin
        assert process.stdout
        os.killpg(process.pid, signal.SIGINT)
        process.stdin.write("\n")
        process.stdin.flush()
        rows, still = map(int, process.stdout.readline().split())
        assert rows > 1_000
        assert still == keeper
        assert os.getsid(keeper) == keeper
        process.stdin.close()
        assert has_ended()


def _python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-W", "error", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=loops(60),
        env=os.environ | environment,
    )


def _clean(**environment: str) -> dict[str, str]:
    # What this process has set for itself would be respected.
    return {"FIREBIRD": "", "FIREBIRD_LOCK": ""} | environment


def test_a_second_library_is_refused() -> None:
    embedded.load()
    embedded.load(Path(fdb.fbcore.api.client_library_name))
    with pytest.raises(RuntimeMissing, match="already uses"):
        embedded.load(Path("/nowhere/libfbclient.so.2"))


def test_the_lock_table_stands_in_one_place_whatever_the_environment_says(tmp_path: Path) -> None:
    script = "import os; from billing.database.client_library import load; load(); print(os.environ['FIREBIRD_LOCK'])"
    told = _python(script, **_clean(HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path), TMPDIR=str(tmp_path)))
    assert told.stderr == ""
    folder = Path(told.stdout.strip())
    assert folder == embedded.private_folder() / "lock"
    assert folder.stat().st_mode & 0o077 == 0


def test_an_already_set_home_and_lock_folder_are_respected(tmp_path: Path, billing_file: Path) -> None:
    (place,) = importlib.import_module("firebird.embedded").__path__
    root = embedded.home(Path(place).resolve() / "runtime", tmp_path)
    lock = tmp_path / "lock"
    lock.mkdir()
    script = (
        "import os, sys; from billing.database.database import Database, Dsn\n"  # noqa: S608 - names of ours
        f"with Database(Dsn({str(billing_file)!r})) as d: list(d.query('select 1 from abonents'))\n"
        "print(os.environ['FIREBIRD'], os.environ['FIREBIRD_LOCK'])"
    )
    done = _python(script, FIREBIRD=str(root), FIREBIRD_LOCK=str(lock))
    assert done.stderr == ""
    assert done.stdout.split() == [str(root), str(lock)]
    assert list(lock.iterdir()), "the lock table should be in the folder that was set"


def test_homes_made_at_the_same_time_are_one(tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    (runtime / "libfbclient.so.2").touch()
    (runtime / "firebird.conf").write_text("ServerMode = Super\n")
    folder = tmp_path / "private"
    folder.mkdir()
    together = threading.Barrier(8)

    def make(_: int) -> Path:
        together.wait()
        return embedded.home(runtime, folder)

    with ThreadPoolExecutor(8) as pool:
        homes = set(pool.map(make, range(8)))
    (home,) = homes
    assert (home / "firebird.conf").read_text() == embedded.CONFIGURATION
    assert (home / "libfbclient.so.2").readlink() == runtime / "libfbclient.so.2"
    assert list(folder.iterdir()) == [home], "what lost the race should be gone"


def test_a_missing_library_is_told_with_the_command_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fdb.fbcore.api", None)
    monkeypatch.setattr(embedded, "_TOMMATH", "libtommath-that-is-not-there.so.1")
    with pytest.raises(RuntimeMissing, match="sudo apt-get install -y libtommath1"):
        embedded.load()
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    monkeypatch.setattr("ctypes.util.find_library", lambda _: None)
    with pytest.raises(RuntimeMissing, match="sudo apt-get install -y libfbclient2"):
        embedded.load()


def test_a_library_that_is_none_is_told(tmp_path: Path) -> None:
    library = tmp_path / "libfbclient.so.2"
    library.write_text("not a library")
    done = _python(
        "import sys, pathlib; from billing.database import client_library as embedded\n"
        "from billing.errors import RuntimeMissing\n"
        f"try: embedded.load(pathlib.Path({str(library)!r}))\n"
        "except RuntimeMissing as error: print(error)"
    )
    assert done.stderr == ""
    assert f"the Firebird library {library} cannot be loaded" in done.stdout


def test_signals_stay_ours_and_the_database_open(billing_file: Path) -> None:
    # Firebird's own handler would shut it down, and the query after the signal would fail.
    done = _python(
        "import os, signal, time; from billing.database.database import Database, Dsn\n"  # noqa: S608 - names of ours
        f"d = Database(Dsn({str(billing_file)!r}))\n"
        "for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, lambda *_: print('ours'))\n"
        "d.connect()\n"
        "for number in (signal.SIGTERM, signal.SIGINT): os.kill(os.getpid(), number); time.sleep(0.2)\n"
        "print(list(d.query('select count(*) from tarif'))); d.close()"
    )
    assert done.stderr == ""
    assert done.stdout.split("\n")[:3] == ["ours", "ours", "[(6,)]"]


def test_another_users_database_is_refused_unless_the_lock_folder_was_chosen(
    billing_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "owner", lambda: os.getuid() + 1)
    monkeypatch.setenv("FIREBIRD_LOCK", str(embedded.private_folder() / "lock"))
    with pytest.raises(DatabaseAway, match="belongs to another user"):
        Database(Dsn(str(billing_file))).connect()
