"""Jobs of one's own: the example is planned, run, killed, resumed, verified and undone; bad files are named."""

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
UNKNOWN = """
from jobs.spec.parameters import USER
from jobs.spec.spec import JobSpec

JOB = JobSpec(
    name="reset-session",
    summary="end the session of an account",
    model="Users",
    chain=('objects.get {"id": {user_id}}', "reset_session"),
    parameters=(USER,),
    example="carbon-migrate run reset-session accounts.csv",
)
"""


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


def test_it_is_a_job_as_any_other(typed: Typed, tmp_path: Path) -> None:
    path = declare(tmp_path, EXAMPLE.read_text("utf-8"))
    assert len(EXAMPLE.read_text("utf-8").splitlines()) <= 25
    assert "paper-invoice" in typed("jobs").out
    shown = typed("jobs", "paper-invoice")
    assert "select id as abonent_id, 50 as fee from abonents where parent_id=:folder" in shown.out
    assert "--set folder=…" in shown.out
    (tmp_path / "steps.toml").write_text(
        'format = 1\n[[step]]\njob = "paper-invoice"\nset = { abonent_id = "5", fee = "x" }\n', encoding="utf-8"
    )
    typed.refused("run", "steps.toml", "--yes", "--api-url", "http://127.0.0.1:9", says="steps.toml, line 4")
    assert path.exists()


def test_a_call_is_known_by_a_job_of_ones_own(typed: Typed, tmp_path: Path) -> None:
    line = (
        "curl -s http://h:8082/rest_api/v2/Users/ -d "
        """'method1=objects.get&arg1={"id": 5}&method2=reset_session'"""
    )
    assert "run call" in typed("translate", line).out
    declare(tmp_path, UNKNOWN)
    assert typed("translate", line).out.startswith("carbon-migrate run reset-session")
    declare(tmp_path, "1/0")
    broken = typed("translate", line)
    assert "run call" in broken.out
    assert "ZeroDivisionError" in broken.words


def test_words_are_completed_from_what_is_written_and_nothing_is_run(typed: Typed, tmp_path: Path) -> None:
    declare(tmp_path, f"{EXAMPLE.read_text('utf-8')}\nraise SystemExit(open('ran', 'w').close())\n")
    words = typed("completion", "fish", "--line", "carbon-migrate run paper").out
    assert words == "paper-invoice\tcharge subscribers for invoices on paper\n"
    assert (
        "fee=\tthe fee in roubles, as 50"
        in typed("completion", "fish", "--line", "carbon-migrate run paper-invoice --set ").out
    )
    assert not (tmp_path / "ran").exists()


def test_a_bad_file_is_named_with_line_and_reason_and_the_rest_works(typed: Typed, tmp_path: Path) -> None:
    for content, why in (
        ("import sys\n\nsys.exit(3)\n", "line 3: SystemExit: 3"),
        ("def broken():\n    return 1 / 0\n\n\nbroken()\n", "line 2: ZeroDivisionError: division by zero"),
        ("class Own(BaseException):\n    pass\n\n\nraise Own\n", "line 5: ours.Own"),
        ("JOB = (\n", "line 1: SyntaxError: '(' was never closed"),
        ("import nowhere.to_be_found\n", "line 1: ModuleNotFoundError: No module named 'nowhere'"),
        ("\0", "source code string cannot contain null bytes"),
        ("x = 1\n", "it declares no job: nothing at its top is a JobSpec"),
        (SETTING.format(name="balances"), "line 5: there is a job 'balances' already: give this one another name"),
        (SETTING.format(name="undo"), "line 5: 'undo' cannot be the name of a job"),
        (SETTING.format(name="Our Job"), "line 5: 'Our Job' cannot be the name of a job: take small letters"),
        (OURS + OURS.replace("JOB", "TWO"), "line 17: there is a job 'ours'"),
        (OURS.replace('"limit",', '"limits",'), "job ours: it takes limit, and has no parameter"),
        (OURS.replace('"save")', '"save {")'), "line 5: job ours: chain, link 3"),
        (OURS.replace('"limit",', '"enter",'), "job ours: it takes limit, and has no parameter"),
        (UNKNOWN.replace("reset_session", "objects.get"), "job reset-session: by its methods it needs writes=False"),
        (OURS.replace("summary=", "sumary="), "unexpected keyword argument 'sumary'"),
    ):
        path = declare(tmp_path, content)
        listed = typed("jobs")
        assert listed.exit == 0
        assert "tariff-threshold" in listed.out
        assert why in listed.words
        assert str(path) in listed.words
        assert typed("jobs", "balances").exit == 0
        assert typed("status", "--api-url", "http://127.0.0.1:9").exit == 2, "there is no journal"
        typed.refused("run", "no-such-job", "x.csv", "--api-url", "http://127.0.0.1:9", says=why)
        assert typed("jobs", "check", "ours.py").exit == 2


def test_a_file_that_is_not_there_or_not_ours_is_not_run(typed: Typed, tmp_path: Path) -> None:
    path = declare(tmp_path, f"{EXAMPLE.read_text('utf-8')}\nopen('ran', 'w').close()\n")
    for mode, why in ((0o646, "everybody may write the declaration"), (0o664, "its group may write the declaration")):
        path.chmod(mode)
        typed.refused("jobs", "paper-invoice", says=[why, "chmod go-w "])
        assert typed("jobs", "check", "ours.py").exit == 2
    path.chmod(0o644)
    if not os.getuid():
        os.chown(path, STRANGER, -1)
        assert "belongs to user 4711, and this is root" in typed("jobs", "paper-invoice").words
        assert typed("jobs", "check", str(path)).exit == 2
    path.unlink()
    missing = typed("jobs")
    assert missing.exit == 0
    assert f"carbon-migrate.toml, line 1: there is no file {path}" in missing.words
    assert not (tmp_path / "ran").exists()


def test_what_a_function_of_it_raises_is_a_refused_row(typed: Typed, tmp_path: Path) -> None:
    content = OURS.replace("parse=roubles", "parse=lambda text: text.amount")
    declare(tmp_path, content)
    refused = typed("run", "ours", "--set", "abonent_id=5", "--set", "limit=1", "--api-url", "http://127.0.0.1:9")
    assert refused.exit == 2
    assert "limit: AttributeError: 'str' object has no attribute 'amount'" in refused.words
    declare(tmp_path, OURS.replace("parse=roubles", "parse=int"))
    refused = typed("run", "ours", "--set", "abonent_id=5", "--set", "limit=1", "--api-url", "http://127.0.0.1:9")
    assert "limit: TypeError: 1 is no text" in refused.words


async def test_a_field_that_the_billing_lacks_is_named_with_its_declaration(place: Place) -> None:
    path = declare(place.cli.folder, OURS.replace('set {"limit"', 'set {"limits"'))
    for words in (("plan",), ("run", "--yes")):
        given = ("ours", "--set", "abonent_id=2001", "--set", "limit=5", *words[1:])
        await place.cli.refused(words[0], *given, says=["limits", f"for the job ours: mend its chain in {path}"])


def test_what_cannot_be_promised_is_said_with_4(typed: Typed, tmp_path: Path) -> None:
    declare(tmp_path, UNKNOWN)
    checked = typed("jobs", "check", "ours.py")
    assert checked.exit == 4
    said = " ".join(checked.out.split())
    for words in ("no look-up: ", "not repeatable: ", "no read-back: ", "no undo: ", "no select of its own: "):
        assert words in said
    assert "not tried in the lab: the lab does not know what objects.get → reset_session of Users does" in said
    assert "it can be used, but not without a person" in said
    says = "--job reset-session: the lab does not know what objects.get → reset_session of Users does"
    typed.refused("selftest", "--job", "reset-session", "--rounds", "1", says=says)


def test_a_look_up_that_is_declared_is_promised_and_what_no_effect_can_be_made_of_is_refused(
    typed: Typed, tmp_path: Path
) -> None:
    looked_up = UNKNOWN.replace(
        "parameters=(USER,)",
        'parameters=(USER, Parameter("look_up", "finds it", "select 1 from users where id = :user_id"))',
    ).replace("import USER", "import USER, Parameter")
    declare(tmp_path, looked_up)
    checked = typed("jobs", "check", "ours.py")
    assert checked.exit == 4, "there is no undo"
    assert "no look-up" not in checked.out
    assert "no read-back" not in checked.out
    declare(tmp_path, looked_up.replace("select 1 from users where id = :user_id", ""))
    assert "no look-up: " in typed("jobs", "check", "ours.py").out
    declare(tmp_path, EXAMPLE.read_text("utf-8").replace(', "op_type_id": 1', ""))
    says = "job paper-invoice: objects.create of FinanceOperations has to say op_type_id"
    typed.refused("jobs", "check", "ours.py", says=says)


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


def test_the_help_of_a_declared_job_shows_its_columns_and_options(typed: Typed, tmp_path: Path) -> None:
    declare(tmp_path, SETTING.format(name="lower-limit"))
    shown = " ".join(typed("run", "lower-limit", "--help").out.split())
    assert "run [OPTIONS] lower-limit [FILE]" in shown
    assert "lower-limit: lower what a subscriber may owe" in shown
    assert "limit (required) in roubles" in shown
    assert "--changed-declaration" in shown
    assert "--changed-declaration" not in typed("run", "balances", "--help").out
