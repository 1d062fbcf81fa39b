"""The Firebird library in this process: one home, one lock table, our own signal handlers."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fdb
import pytest

from billing.database import client_library as embedded
from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.errors import DatabaseAway, RuntimeMissing
from lab.crash.loops import loops


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


def test_loading_again_and_from_many_threads_does_nothing() -> None:
    embedded.load()
    loaded = fdb.fbcore.api
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: embedded.load(), range(32)))
    assert fdb.fbcore.api is loaded


def test_a_second_library_is_refused() -> None:
    embedded.load()
    embedded.load(Path(fdb.fbcore.api.client_library_name))
    with pytest.raises(RuntimeMissing, match="already uses"):
        embedded.load(Path("/nowhere/libfbclient.so.2"))


def test_the_lock_table_stands_in_one_place_whatever_the_environment_says(tmp_path: Path) -> None:
    script = "import os; from billing.database.client_library import load; load(); print(os.environ['FIREBIRD_LOCK'])"
    plain = _python(script, **_clean())
    other = _python(script, **_clean(HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path), TMPDIR=str(tmp_path)))
    assert plain.stderr == other.stderr == ""
    assert plain.stdout == other.stdout
    folder = Path(plain.stdout.strip())
    assert folder == embedded.private_folder() / "lock"
    assert folder.stat().st_mode & 0o077 == 0


def test_an_already_set_home_and_lock_folder_are_respected(tmp_path: Path, billing_file: Path) -> None:
    runtime = embedded._runtime()
    assert runtime is not None
    root = embedded.home(runtime, tmp_path)
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
    with pytest.raises(RuntimeMissing, match="sudo apt-get install -y libtommath1"):
        embedded._preload("libtommath-that-is-not-there.so.1")
    monkeypatch.setattr("ctypes.util.find_library", lambda _: None)
    with pytest.raises(RuntimeMissing, match="sudo apt-get install -y libfbclient2"):
        embedded._system_client()


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stay_ours_and_the_database_open(number: signal.Signals, billing_file: Path) -> None:
    # Firebird's own handler would shut it down, and the query after the signal would fail.
    done = _python(
        "import os, signal, time; from billing.database.database import Database, Dsn\n"  # noqa: S608 - names of ours
        f"signal.signal({int(number)}, lambda *_: print('ours'))\n"
        f"d = Database(Dsn({str(billing_file)!r})); d.connect()\n"
        f"os.kill(os.getpid(), {int(number)}); time.sleep(0.2)\n"
        "print(list(d.query('select count(*) from tarif'))); d.close()"
    )
    assert done.stderr == ""
    assert done.stdout.split("\n")[:2] == ["ours", "[(6,)]"]


def test_another_users_database_is_refused_unless_the_lock_folder_was_chosen(
    billing_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "owner", lambda: os.getuid() + 1)
    monkeypatch.setenv("FIREBIRD_LOCK", str(embedded.private_folder() / "lock"))
    with pytest.raises(DatabaseAway, match="belongs to another user"):
        Database(Dsn(str(billing_file))).connect()
