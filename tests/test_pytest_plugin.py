"""The plugin as somebody else's test suite takes it: another pytest, among packages that are called as ours are."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import anyio

from lab.crash.loops import loops

ROOT = Path(__file__).parents[1]
RECORDINGS = ROOT / "examples" / "ci" / "recordings"
INI = """
[pytest]
filterwarnings = error
asyncio_default_fixture_loop_scope = function
carbon_migrate_subscribers = 30
carbon_migrate_licence = 40
"""
TESTS = """
import json
import urllib.error
import urllib.parse
import urllib.request

import pytest

from billing import OURS
from carbon_migrate_testing import Effects

OPERATIONS = "FinanceOperations"


def pay(url, subscriber=2001):
    values = {"abonent_id": subscriber, "op_summa": "5.00", "op_type_id": 8}
    form = {"method1": "objects.create", "arg1": json.dumps(values)}
    body = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(f"{url}/rest_api/v2/{OPERATIONS}/", body) as answer:
        return json.load(answer)["result"]


def test_the_ledger_has_what_was_done_to_whom_and_by_which_request(carbon_billing):
    assert OURS
    one, three, two = (pay(carbon_billing.url, subscriber) for subscriber in (2001, 2003, 2001))
    keys = [made["pk"] for made in (one, two, three)]
    assert carbon_billing.effects(OPERATIONS) == {2001: 2, 2003: 1}
    assert carbon_billing.ledger() == [
        Effects(OPERATIONS, 2001, 2, (keys[0], keys[1]), (1, 3)),
        Effects(OPERATIONS, 2003, 1, (keys[2],), (2,)),
    ]


async def test_each_test_has_its_own(carbon_billing):
    assert carbon_billing.ledger() == []
    assert carbon_billing.state()["licence"] == 40


def test_faults_come_and_go(carbon_billing):
    carbon_billing.fail("503", method="objects.create", times=1)
    carbon_billing.fail("429", requests="2", from_=0.0)
    for status in (503, 429):
        with pytest.raises(urllib.error.HTTPError, match=str(status)) as raised:
            pay(carbon_billing.url)
        raised.value.close()
    assert carbon_billing.injected() == {"503": 1, "429": 1}
    carbon_billing.recover()
    pay(carbon_billing.url)
    with pytest.raises(ValueError, match="did you mean 'reset-after-effect'"):
        carbon_billing.fail("reset-after-efect")


@pytest.mark.carbon_billing(licence=50, quirks={"error_status": 500})
class TestOneThat:
    @pytest.mark.carbon_billing(licence=60)
    def test_is_started_otherwise(self, carbon_billing):
        state = carbon_billing.state()
        assert (state["licence"], len(state["quirks"])) == (60, 1)
        carbon_billing.change(licence=None, latency=0.01)
        assert carbon_billing.state()["licence"] is None

    @pytest.mark.carbon_billing(license=60)
    @pytest.mark.xfail(raises=pytest.UsageError, strict=True)
    def test_is_asked_for_by_a_wrong_word(self, carbon_billing):
        pass

    @pytest.mark.carbon_billing(quirks={"no_such": 1})
    def test_does_not_start_says_why(self, request):
        with pytest.raises(Exception, match="no_such"):
            request.getfixturevalue("carbon_billing")


def test_the_program_runs_on_it_whatever_the_environment_says(carbon_billing, tmp_path, monkeypatch):
    monkeypatch.setenv("CARBON_MIGRATE_API_URL", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "carbon-migrate.toml").write_text("this is not TOML")
    (tmp_path / "balances.csv").write_text("abonent_id;amount\\n2003;7,00\\n")
    ended = carbon_billing.run("run", "balances", "balances.csv", "--yes", timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert carbon_billing.effects(OPERATIONS) == {2003: 1}


def test_a_replay_is_held_against_its_recording(carbon_replay):
    with pytest.raises(pytest.fail.Exception) as failed:
        with carbon_replay("balances.rec") as billing:
            with pytest.raises(urllib.error.HTTPError) as raised:
                pay(billing.url)
            raised.value.close()
            report = billing.report()
    assert (report.served, report.unknown_count, report.same) == (0, 1, False)
    assert "never made" in str(failed.value) and OPERATIONS in str(failed.value)
    with pytest.raises(ZeroDivisionError), carbon_replay("balances.rec"):
        1 / 0
"""
HANGS = """
import os, sys
from pathlib import Path

def test_that_hangs(carbon_billing):
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
    print(f"children: {children}", flush=True)
    sys.stdin.read()
"""


def project(folder: Path, tests: str) -> Mapping[str, str]:
    """A project of somebody else, and the environment that it is tested in."""
    for name in ("billing", "jobs", "cli", "engine", "texts"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("OURS = True\n", encoding="utf-8")
    (folder / "pytest.ini").write_text(INI, encoding="utf-8")
    (folder / "test_own.py").write_text(tests, encoding="utf-8")
    shutil.copy(RECORDINGS / "balances.rec", folder)
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return {**own, "PYTHONPATH": str(folder)}


def pytest_of(*words: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-p", "carbon_migrate_testing", "-p", "no:cacheprovider", *words]


async def test_a_test_suite_of_somebody_else(tmp_path: Path) -> None:
    environment = project(tmp_path, TESTS)
    process = await asyncio.create_subprocess_exec(
        *pytest_of("-q", "-n", "2", "-o", "asyncio_mode=auto"),
        cwd=tmp_path,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert b"7 passed, 1 xfailed" in output


async def test_a_billing_ends_with_a_pytest_that_is_killed(tmp_path: Path) -> None:
    environment = project(tmp_path, HANGS)
    process = await asyncio.create_subprocess_exec(
        *pytest_of("-s", "-o", "carbon_migrate_subscribers=1"),
        cwd=tmp_path,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    output = ""
    while not (found := re.search(r"children: (\d+) ?\n", output)):
        line = await process.stdout.readline()
        assert line, output
        output += line.decode()
    billing = os.pidfd_open(int(found[1]))
    try:
        process.kill()
        await process.wait()
        with anyio.fail_after(loops(60)):
            await anyio.wait_readable(billing)
    finally:
        os.close(billing)


async def test_who_uses_none_of_it_pays_nothing() -> None:
    script = (
        "import sys, pytest; before = set(sys.modules); import carbon_migrate_testing\n"
        "print(*(set(sys.modules) - before))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", script, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output.decode().split() == ["carbon_migrate_testing"]
