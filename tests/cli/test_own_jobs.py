"""Jobs of one's own: the example is planned, run, killed, resumed, verified and undone.

`transcripts/own-jobs.txt` has what is said of them, and of bad files.
"""

import os
from hashlib import sha256
from pathlib import Path

import pytest

from checkpoints.states import State
from tests.cli.conftest import Place, Typed

EXAMPLE = Path(__file__).parents[2] / "examples" / "jobs" / "ours.py"
STRANGER = 4711
ROWS = 6
PACING = ("--in-flight", "2", "--settle", "0.1")

SETTING = """
from jobs.spec.parameters import SUBSCRIBER, Parameter, roubles
from jobs.spec.spec import JobSpec

JOB = JobSpec(
    name="{name}",
    summary="lower what a subscriber may owe",
    model="AdminAccounts",
    chain=('objects.get {{"account_id_abonents": {{abonent_id}}}}', 'set {{"limit": "{{limit}}"}}', "save"),
    parameters=(*SUBSCRIBER, Parameter("limit", "in roubles", parse=roubles, columns=())),
    example="carbon-migrate run {name} limits.csv",
)
"""
OURS = SETTING.format(name="ours")


def declare(folder: Path, content: str, name: str = "ours.py") -> Path:
    (folder / "carbon-migrate.toml").write_text(f'jobs = ["{name}"]\n', encoding="utf-8")
    path = folder / name
    path.write_text(content, encoding="utf-8")
    path.chmod(0o644)
    return path


def short(content: str) -> str:
    return sha256(content.encode()).hexdigest()[:12]


@pytest.mark.loops(120)
async def test_the_example_is_planned_run_killed_resumed_verified_and_undone(place: Place) -> None:
    cli, text = place.cli, EXAMPLE.read_text("utf-8")
    assert len(text.splitlines()) <= 25
    path = declare(cli.folder, text)
    ids = place.subscribers(ROWS)
    place.rows("abonent_id;сумма", *(f"{key};5{number},50" for number, key in enumerate(ids)), name="balances.csv")
    ((last,),) = place.query("select max(op_id) from finance_operations")
    job = ("paper-invoice", "balances.csv", "--set", "document=2026-11")
    assert (await cli.closing("plan", *job))["states"] == {State.PENDING: ROWS}
    place.billing.latency = 0.1
    await place.kill_at(3, "run", *job, "--yes", *PACING)
    place.billing.latency = 0.0

    # The file is changed while the run is open: all that works on it refuses, and says what it was and what it is.
    changed = text.replace("50", "60")
    path.write_text(changed, encoding="utf-8")
    (begun,) = await place.runs()
    says = [
        f"with SHA-256 {short(text)}…, and now it is {short(changed)}…",
        "Put the file back as it was; or",
        "add --changed-declaration",
    ]
    for command in ("resume", "verify", "reconcile"):
        await cli.refused(command, begun.name, *(["--yes"] if command == "resume" else []), says=says)
    await cli.refused("run", *job, "--yes", says=says)
    # The settings name it no more.
    (cli.folder / "carbon-migrate.toml").write_text("", encoding="utf-8")
    refused = await cli("resume", begun.name, "--yes", may_end_with=(2,))
    assert f"which {path} has declared, and the settings give no such job: name that file in jobs of" in refused.words
    declare(cli.folder, changed)
    ended = await cli.closing("resume", begun.name, "--yes", "--changed-declaration", *PACING)
    assert ended["states"] == {State.ACCEPTED: ROWS}

    path.write_text(text, encoding="utf-8")
    await cli("verify", begun.name)
    await cli("report", begun.name, "--lang", "en", "-o", "report.html")
    page = (cli.folder / "report.html").read_text("utf-8")
    for words in (
        "charge subscribers for invoices on paper (paper-invoice)",
        "taken up with --changed-declaration",
        *(sha256(declared.encode()).hexdigest() for declared in (text, changed)),
    ):
        assert words in page
    # A second run of the same rows enters nothing, and says so.
    assert (await place.run(*job, ends=1))["states"] == {State.SKIPPED: ROWS}
    path.write_text(changed, encoding="utf-8")
    assert short(changed) in (await cli("undo", begun.name, "--yes", may_end_with=(2,))).words
    undo = ("undo", begun.name, "--set", "way=opposite", "--yes", *PACING)
    assert (await cli.closing(*undo, "--changed-declaration"))["states"] == {State.ACCEPTED: ROWS}
    sums = "select count(*), cast(sum(op_summa) as numeric(18, 0)) from finance_operations where op_id > :last"
    assert place.query(sums, last=last) == [(2 * ROWS, 0)]


async def test_a_field_that_the_billing_lacks_is_named_with_its_declaration(place: Place) -> None:
    path = declare(place.cli.folder, OURS.replace('set {"limit"', 'set {"limits"'))
    for words in (("plan",), ("run", "--yes")):
        given = ("ours", "--set", "abonent_id=2001", "--set", "limit=5", *words[1:])
        await place.cli.refused(words[0], *given, says=["limits", f"for the job ours: mend its chain in {path}"])


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a file away")
def test_a_file_of_somebody_else_is_not_run(typed: Typed, tmp_path: Path) -> None:
    path = declare(tmp_path, f"{EXAMPLE.read_text('utf-8')}\nopen('ran', 'w').close()\n")
    os.chown(path, STRANGER, -1)
    assert "belongs to user 4711, and this is root" in typed("jobs", "paper-invoice").words
    assert typed("jobs", "check", str(path)).exit == 2
    assert not (tmp_path / "ran").exists()


@pytest.mark.prove
@pytest.mark.loops(240)
def test_a_job_that_enters_another_sum_than_it_was_given_fails_its_round(typed: Typed, tmp_path: Path) -> None:
    declaration = EXAMPLE.read_text("utf-8").replace(
        "parse=roubles", 'parse=lambda text: roubles(f"{2 * float(text):.2f}")'
    )
    declare(tmp_path, declaration)
    checked = typed("jobs", "check", "ours.py", "--rounds", "1", "--seed", "3", "--rows", "20")
    assert checked.exit == 1, checked.err
    assert "✗ asked for 41 430.64, the journal's states add up to 82 861.28" in checked.words
    assert "1 of 1 round failed" in checked.words
    assert "it can be used" not in checked.words
