"""Firebird's library in this process: the engine of an embedded database and the client of a remote one.

Findings from experiments with `firebird-embedded` 5.0.4.4:

- its engine plugin finds `libtomcrypt` only when this and `libtommath` were loaded with `RTLD_GLOBAL` before;
- it opens a database for one process only, unless a `firebird.conf` says `ServerMode = Classic`. The package's own
  folder must not be written to, so the engine gets a home of links with our `firebird.conf` beside them;
- processes that share a database must share one folder for the lock table. Two tables on one file would corrupt it,
  so the folder comes from the user's entry in the password file: the environment may differ between a shell and
  cron, and then `$XDG_CACHE_HOME` or `$TMPDIR` would lead two processes to two folders;
- at its first connection it replaces the handlers of SIGINT and SIGTERM, see `_signals_kept`.
"""

import ctypes
import ctypes.util
import hashlib
import os
import pwd
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import fdb

from billing.errors import RuntimeMissing

CONFIGURATION = """\
# Several processes open one database: the mock billing and a migration.
ServerMode = Classic
# Seconds until the locks of a process that was killed are given up; the default of 10 would be waited for each time.
DeadlockTimeout = 1
# The real billing is an old Firebird: it knows neither the newer passwords nor encryption on the wire.
AuthClient = Srp256, Srp, Legacy_Auth
WireCrypt = Enabled
"""
_TOMMATH = "libtommath.so.1"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LARGER_THAN_SIGACTION = 512
# fdb keeps the loaded library in its own module, for good; the lock lets one thread load it.
_loading = threading.Lock()


def load(client_library: Path | None = None) -> None:
    """Load the Firebird library, once a process; later calls return at once.

    `client_library` is the path of another `libfbclient`, for a remote server only. A `FIREBIRD` or `FIREBIRD_LOCK`
    that is already set is respected. Raises `RuntimeMissing`, also when another library than `client_library` is
    already loaded: a process has one.
    """
    with _loading:
        loaded = getattr(fdb.fbcore, "api", None)
        if loaded is None:
            _load(client_library)
        elif client_library and Path(loaded.client_library_name).resolve() != client_library.resolve():
            raise RuntimeMissing(
                "this process already uses {loaded}; it cannot load {library} besides",
                loaded=str(loaded.client_library_name),
                library=client_library,
            )


def owner() -> int:
    return os.getuid()


def lock_folder_is_shared() -> bool:
    """Whether the folder of the lock table was configured: only then may databases of other users be opened."""
    return Path(os.environ.get("FIREBIRD_LOCK", "")) != private_folder() / "lock"


def private_folder() -> Path:
    """The user's own folder for Firebird's homes and lock table: the same in all processes of the user.

    It is under the home folder in the password file or, if that is not writable or the user has no entry there, under
    /tmp. Raises `RuntimeMissing` when the folder in /tmp belongs to another user.
    """
    with suppress(OSError, KeyError):
        home = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache" / "carbon-migrate" / "firebird"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(home, os.W_OK):
            return home
    folder = Path("/tmp") / f"carbon-migrate-{os.getuid()}"  # noqa: S108 - not $TMPDIR, see above; checked below
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise RuntimeMissing("{folder} is not a private folder of this user: remove it", folder=folder)
    return folder


def home(runtime: Path, folder: Path) -> Path:
    """The home of links to `runtime` under `folder`, created if missing; other processes may do the same at once.

    Its name depends on the runtime and the configuration, so an existing home never changes.
    """
    mark = hashlib.sha256(f"{runtime}\n{CONFIGURATION}".encode()).hexdigest()[:12]
    wanted = folder / f"home-{mark}"
    if wanted.is_dir():
        return wanted
    made = Path(tempfile.mkdtemp(prefix="making-", dir=folder))
    for file in runtime.iterdir():
        # Firebird writes to the log, so every home has its own.
        if file.name not in {"firebird.conf", "firebird.log"}:
            (made / file.name).symlink_to(file)
    (made / "firebird.conf").write_text(CONFIGURATION, encoding="utf-8")
    try:
        made.rename(wanted)
    except OSError:
        shutil.rmtree(made)
        if not wanted.is_dir():
            raise
    return wanted


def _load(client_library: Path | None) -> None:
    try:
        spec = find_spec("firebird.embedded")
    except ModuleNotFoundError:
        spec = None
    if not (spec and spec.submodule_search_locations):
        found = client_library or ctypes.util.find_library("fbclient")
        if found is None:
            raise RuntimeMissing(
                "there is no embedded Firebird for {system} on this processor, and no client library. Type: sudo "
                "apt-get install -y libfbclient2",
                system=sys.platform,
            )
        _load_client(Path(found))
        return
    runtime = Path(spec.submodule_search_locations[0]).resolve() / "runtime"
    for library in (_TOMMATH, str(runtime / "libtomcrypt.so.1")):
        try:
            ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise RuntimeMissing(
                "Firebird needs the library {library}, which cannot be loaded ({error}). Type: sudo apt-get install "
                "-y libtommath1",
                library=library,
                error=error,
            ) from error
    folder = private_folder()
    chosen = os.environ.get("FIREBIRD")
    root = Path(chosen) if chosen else home(runtime, folder)
    if not os.environ.get("FIREBIRD_LOCK"):
        (folder / "lock").mkdir(mode=0o700, exist_ok=True)
        os.environ["FIREBIRD_LOCK"] = str(folder / "lock")
    os.environ["FIREBIRD"] = str(root)
    own = root / "libfbclient.so.2"
    _load_client(client_library or (own if own.exists() else runtime / "libfbclient.so.2"))


def _load_client(library: Path) -> None:
    try:
        fdb.load_api(str(library))
    except Exception as error:
        # fdb raises bare Exceptions here, and the loader raises OSErrors.
        raise RuntimeMissing(
            "the Firebird library {library} cannot be loaded: {error}", library=library, error=error
        ) from error
    with _signals_kept(), suppress(fdb.Error):
        fdb.connect(dsn="/dev/null/no database", user="sysdba", password="-")  # noqa: S106 - there is nothing to open


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Put back the handlers of SIGINT and SIGTERM that Firebird replaces at its first connection.

    Firebird's handlers shut the library down at once, while the program may still need the database to stop cleanly.
    Python's handlers run as well, and Python's `signal` does not see Firebird's.
    """
    libc = ctypes.CDLL(None)
    handlers = {number: ctypes.create_string_buffer(_LARGER_THAN_SIGACTION) for number in _SIGNALS}
    for number, handler in handlers.items():
        libc.sigaction(number, None, handler)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            libc.sigaction(number, handler, None)
