"""What a command does not need it does not import: help, jobs, status and translate are there at once."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from checkpoints.journal import open_journal
from tests.checkpoints.samples import frozen_run, new_item
from tests.cli.oneliners import PUBLISHED
from tools.house import ROOMS

HEAVY = frozenset({"aiohttp", "yarl", "fdb", "firebird", "uvloop", "xlsxwriter", "charset_normalizer", "lab"})
"""HTTP, the database and its engine, the loop for many calls, workbooks, encodings, conversions of flags, the lab."""
DECLARED = frozenset({"jobs.spec.parameters", "billing.directory.models"})
"""What jobs and the models of the billing are declared with."""

SETTINGS = """
[api]
url = "http://billing.example.org:8082"
[database]
address = "billing.fdb"
"""

AT_THE_END = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.__stderr__))
"""
TYPED = f"{AT_THE_END}\nfrom cli.main import main\nmain()"
ALL_COMMANDS = f"{AT_THE_END}\nfrom cli.main import COMMANDS, load\nfor name in COMMANDS: load(name)"

INTERRUPTED = """
import os, signal, sys
class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "cli.commands.execution": os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
from cli.main import main
main()
"""


def ended(program: str, arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """How a program ends that is typed in a folder."""
    return subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "HOME": str(folder), "XDG_STATE_HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def imported(program: str, arguments: Sequence[str], folder: Path, code: int = 0) -> set[str]:
    """The packages and modules that a program has imported when it ends with this code."""
    done = ended(program, arguments, folder)
    assert done.returncode == code, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("--version",),
        ("run", "--help"),
        ("run", "balances", "--help"),
        ("jobs", "balances"),
        ("translate", PUBLISHED["session"].line),
        ("completion", "bash", "--line", "carbon-migrate plan balances --set "),
    ],
)
def test_what_asks_nobody_loads_neither_http_nor_a_database(arguments: Sequence[str], tmp_path: Path) -> None:
    found = imported(TYPED, arguments, tmp_path)
    assert "cli" in found
    assert found & HEAVY == set()


@pytest.fixture
async def run(tmp_path: Path) -> str:
    """The name of a run in the journal of a folder whose settings name a billing and its database."""
    (tmp_path / "carbon-migrate.toml").write_text(SETTINGS, encoding="utf-8")
    journal_file = tmp_path / "carbon-migrate" / "billing.example.org-8082.journal"
    journal_file.parent.mkdir()
    async with open_journal(journal_file) as journal:
        return (await frozen_run(journal, new_item("1"), new_item("2"))).name


def test_a_look_at_runs_loads_neither_http_nor_a_database(run: str, tmp_path: Path) -> None:
    for words in (
        ("status", run),
        ("status", run, "--watch"),
        ("completion", "bash", "--line", "carbon-migrate status "),
    ):
        assert imported(TYPED, words, tmp_path) & (HEAVY if words[0] == "completion" else HEAVY | DECLARED) == set()


def test_the_flags_of_a_run_are_read_without_what_few_runs_need(tmp_path: Path) -> None:
    typed = ("run", "balances", "none.csv", "--set", "op_type=8", "--yes", "--in-flight", "4")
    found = imported(TYPED, typed, tmp_path, code=2)
    assert "cli.session.order" in found
    assert found & {"lab", "cli.session.job_file", "cli.report", "cli.translate"} == set()


@pytest.mark.parametrize(("arguments", "most"), [(("--help",), 11), (("status",), 121)])
def test_a_quick_command_imports_few_of_our_modules_and_neither(
    arguments: Sequence[str], most: int, run: str, tmp_path: Path
) -> None:
    assert run
    found = imported(TYPED, arguments, tmp_path)
    assert len([one for one in found if one.partition(".")[0] in ROOMS]) <= most
    assert found & (HEAVY | DECLARED) == set()


def test_no_command_loads_the_lab_before_it_is_called(tmp_path: Path) -> None:
    found = imported(ALL_COMMANDS, (), tmp_path)
    assert "aiohttp" in found, "the commands are imported"
    assert "lab" not in found


@pytest.mark.parametrize("typed", [("worker",), ("run", "balances", "none.csv", "--detach")])
def test_what_needs_a_library_that_is_missing_says_what_to_install(typed: Sequence[str], tmp_path: Path) -> None:
    program = "import sys\nsys.modules['psycopg'] = None\nfrom cli.main import main\nmain()"
    done = ended(program, [*typed, "--journal", "postgresql://nowhere.example.org/none"], tmp_path)
    assert (done.returncode, "pip install 'carbon-migrate[postgres]'" in done.stderr) == (2, True), done.stderr


def test_ctrl_c_while_it_starts_shows_nothing_of_the_inside(tmp_path: Path) -> None:
    done = ended(INTERRUPTED, ["status"], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
