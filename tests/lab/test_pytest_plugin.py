"""The fixture as a user's own test suite takes it: another pytest, in a process of its own."""

import asyncio
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFTEST = 'pytest_plugins = ["lab.pytest_plugin"]\n'
TESTS = """
import json
import urllib.parse
import urllib.request


def pay(url, summa):
    values = {"abonent_id": 2001, "op_summa": summa, "op_type_id": 8}
    form = {"method1": "objects.create", "arg1": json.dumps(values)}
    body = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(url + "/rest_api/v2/FinanceOperations/", body) as answer:
        return json.load(answer)


def test_a_payment(mock_billing_server):
    assert "result" in pay(mock_billing_server.url, "5.00")
    assert mock_billing_server.ledger.effects("FinanceOperations") == {2001: 1}


def test_another_has_its_own(mock_billing_server):
    assert mock_billing_server.ledger.totals() == []
    assert "result" in pay(mock_billing_server.url, "6.00")
"""


async def test_a_test_suite_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (tmp_path / "test_own.py").write_text(TESTS, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            "-W",
            "error",
            "--rootdir",
            str(tmp_path),
        ),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert b"2 passed" in output


async def test_nothing_but_the_fixtures_needs_pytest() -> None:
    script = (
        "import sys; sys.modules['pytest'] = None\n"
        "import lab.mock.server, lab.record.replay, lab.record.diff, lab.record.recorder"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-W", "error", "-c", script, cwd=ROOT)
    assert await process.wait() == 0
