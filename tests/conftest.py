"""What the tests of several rooms share: a mock billing as a file, over HTTP, and on a real server."""

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from billing.api.client import BillingClient, ClientSettings, Patience
from billing.database.database import Database
from billing.database.dsn import Dsn
from checkpoints.journal import Journal, open_journal
from lab.crash.loops import loops
from lab.mock.facts import Quirks
from lab.mock.population import create
from lab.mock.server import MockBilling, running
from tests import firebird_server as real_firebird
from tests import postgres_server as real_postgres
from tests.cli.forking import close_command_server
from tests.firebird_server import FirebirdServer
from tests.janitor import Janitor
from tests.postgres_server import PostgresServer

ABONENTS = 1_000
SEED = 7
SLOW_FIXTURES = {"billing_template", "firebird_server", "postgres_server"}
"""What `make quick` does without: all that has a billing, or a server."""
LIMIT = 120
"""Loops after which a test counts as hanging, unless it has a limit of its own."""
AT_THE_END = 1_500
"""Quick tests that are left for the end: together they take as long as the longest of the others."""
JANITOR = pytest.StashKey[Janitor]()

# No deadline: how long an example takes is up to what else runs on the machine, as is how long it takes to draw it.
NOT_BY_TIME = (HealthCheck.too_slow,)
SHARED_FIXTURES = (*NOT_BY_TIME, HealthCheck.function_scoped_fixture)
"""What is not checked of a test whose examples share a folder, or a billing."""

settings.register_profile("same", max_examples=50, deadline=None, derandomize=True, suppress_health_check=NOT_BY_TIME)
settings.register_profile("explore", deadline=None, print_blob=True, suppress_health_check=NOT_BY_TIME)


def pytest_configure(config: pytest.Config) -> None:
    """Set up what processes that tests start inherit: signals, bytecode, folders, before the engine is loaded.

    A shell in the background ignores SIGINT, and nohup SIGHUP; so do all programs that they start in turn, to which
    tests send both. Where bytecode is not to be written, each of a thousand processes would compile all modules
    again, and each worker rewrite all assertions. Tests stop and kill processes that hold locks, and whoever shares
    the lock table with them waits: no two workers share one, nor does a test with a load that runs on this machine.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # The same examples in each run: what is found is found at once, and nothing fails by chance.
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
    # Known by then: where pytest itself keeps the folders of tests that fail.
    tempfile.gettempdir()
    janitor = config.stash[JANITOR] = Janitor()
    for name in ("FIREBIRD_LOCK", "TMPDIR"):
        folder = janitor.folder / name.lower()
        folder.mkdir()
        os.environ[name] = str(folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    close_command_server()
    if janitor := config.stash.get(JANITOR, None):
        janitor.close()


def pytest_xdist_auto_num_workers() -> int:
    """Two workers a core: half of their time they wait for processes that they have started, or for time to pass."""
    return 2 * len(os.sched_getaffinity(0))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that may take longest, and end with quick ones.

    One that takes long and begins last is waited for by all workers but its own. Between the two all are mixed: while
    some wait, others work.
    """
    items.sort(key=_time_limit, reverse=True)
    for item in items:
        item.add_marker(pytest.mark.timeout(loops(_time_limit(item) or LIMIT)))
        proves = item.get_closest_marker("prove") is not None
        if proves or _time_limit(item) or not SLOW_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    quick = [item for item in items if item.get_closest_marker("slow") is None]
    last = set(quick[-AT_THE_END:])
    items.sort(key=last.__contains__)


def pytest_collection_finish() -> None:
    """Let the collector of garbage pass over what stays to the end: all modules, and ten thousand tests."""
    gc.collect()
    gc.freeze()


def _time_limit(item: pytest.Item) -> float:
    """The loops after which a test counts as hanging, 0 for the usual limit."""
    marker = item.get_closest_marker("loops")
    return float(marker.args[0]) if marker else 0.0


@pytest.fixture(scope="session")
def thousand_subscribers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mock billing with 1,000 subscribers that can receive a balance; not to be opened, only copied."""
    path = tmp_path_factory.mktemp("template") / "billing.fdb"
    create(path, subscribers=ABONENTS, seed=SEED)
    return path


@pytest.fixture(scope="session")
def billing_template(thousand_subscribers: Path) -> Path:
    """What `billing_file` is a copy of."""
    return thousand_subscribers


@pytest.fixture
def billing_file(billing_template: Path, tmp_path: Path) -> Path:
    """A copy of the template for one test."""
    return Path(shutil.copy(billing_template, tmp_path / "billing.fdb"))


@pytest.fixture
def database(billing_file: Path) -> Iterator[Database]:
    """A reader of `billing_file`."""
    with Database(Dsn(str(billing_file))) as database:
        yield database


@pytest.fixture
def quirks() -> Quirks:
    """Those of `mock_billing`."""
    return Quirks()


@pytest.fixture
async def mock_billing(billing_file: Path, quirks: Quirks) -> AsyncIterator[MockBilling]:
    """A mock billing over `billing_file`, at `url`, with its `ledger`."""
    async with running(billing_file, quirks=quirks) as server:
        yield server


@pytest.fixture
async def client(mock_billing: MockBilling) -> AsyncIterator[BillingClient]:
    """A client of `mock_billing` that reads once."""
    async with BillingClient(ClientSettings(mock_billing.url), patience=Patience(attempts=1)) as client:
        yield client


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    """A new journal in a file."""
    async with open_journal(tmp_path / "journal") as opened:
        yield opened


@pytest.fixture(scope="session")
def firebird_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FirebirdServer]:
    """A real Firebird 3 server; where there is none the test fails, and says what to type."""
    with real_firebird.running(tmp_path_factory.mktemp("firebird")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL; where there is none the test fails, and says what to type."""
    with real_postgres.running() as server:
        yield server


@pytest.fixture(scope="session")
def billing_on_server(firebird_server: FirebirdServer) -> Dsn:
    """The subscribers of the template in a database of the real server; not to be written to."""
    return firebird_server.populated(abonents=ABONENTS, seed=SEED)


@pytest.fixture(params=["embedded", "server"])
def either_dsn(request: pytest.FixtureRequest) -> Dsn:
    """The same subscribers, by the embedded Firebird 5 and by a Firebird 3 server; not to be written to."""
    if request.param == "embedded":
        return Dsn(str(request.getfixturevalue("billing_file")))
    on_server = request.getfixturevalue("billing_on_server")
    assert isinstance(on_server, Dsn)
    return on_server


@pytest.fixture
def either_database(either_dsn: Dsn) -> Iterator[Database]:
    """A reader of `either_dsn`."""
    with Database(either_dsn) as database:
        yield database
