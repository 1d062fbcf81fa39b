"""`run call`: any chain, its placeholders filled from the rows, and secrets in what people write."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from checkpoints.states import State
from tests.cli.conftest import Place, Typed
from tests.cli.terminal.terminals import answered

THRESHOLD = (
    *("--model", "AdminAccounts", "--chain", 'objects.get {"account_id_abonents": {id}}'),
    *("--chain", 'set {"limit_warning": "{sum}"}', "--chain", "save"),
)
SELECT = (
    "select id from abonents where parent_id = :folder and is_folder = 0 and deleted = 0 and account_id is not null"
)
CREATED = 'objects.create {"abonent_id": {id}, "op_type_id": 1, "op_summa": "{sum}"}'
CREATE = ("--model", "FinanceOperations", "--chain", CREATED)
PAY = ("--model", "Abonents", "--chain", 'objects.get {"id": {id}}', "--chain", 'add_payment {"SUM_IN": "{sum}"}')
RUN = ("run", "call")


def chain(*links: str) -> tuple[str, ...]:
    return tuple(word for link in links for word in ("--chain", link))


def thresholds(place: Place, folder: int) -> set[int]:
    query = (
        "select aa.limit_warning from abonents a join admin_accounts aa on aa.id = a.account_id "
        "where a.parent_id = :folder and a.is_folder = 0 and a.deleted = 0"
    )
    return {value for (value,) in place.query(query, folder=folder)}


async def test_the_vendors_third_recipe_runs_verifies_and_is_taken_back(place: Place) -> None:
    before = thresholds(place, 89)
    arguments = ("call", *THRESHOLD, "--sql", SELECT, "--set", "folder=89", "--set", "sum=-120")
    closing = await place.run(*arguments)
    assert closing["states"].keys() == {"accepted"}
    assert thresholds(place, 89) == {-120 * 10**10}
    await place.cli("verify", closing["run"])
    # A second time there is nothing to do.
    again = await place.run(*arguments)
    assert (again["calls"], again["states"].keys()) == (0, {"skipped"})
    await place.cli("undo", closing["run"], "--yes")
    assert thresholds(place, 89) == before


SMS = ("--model", "Abonents", *chain('objects.get {"id": {id}}', 'set {"sms": "+79990000001"}'))
AND_SAVE = (*chain("set", "save"), "--set", "id=2003")


async def test_another_chain_for_the_same_row_is_another_call(place: Place) -> None:
    """Methods that nobody knows are not to be repeated: what an earlier run has called is told by the whole call."""
    mail = (*SMS[:4], "--chain", 'set {"email": "a@example.org"}')
    for one in (SMS, mail):
        assert (await place.run("call", *one, *AND_SAVE))["states"] == {"accepted": 1}
    # The same call is known again, whatever its placeholder is called.
    again = [word.replace("{id}", "{who}").replace("id=", "who=") for word in (*SMS, *AND_SAVE)]
    ended = await place.cli(*RUN, *again, "--yes", "--json")
    assert ended.closing["states"] == {"skipped": 1}
    assert "entered by an earlier run" in ended.words
    fields = place.query("select sms, email from abonents where id = 2003")
    assert fields == [("+79990000001", "a@example.org")]
    # Calls without placeholders are told apart as well.
    for sms in ("+79990000001", "+79990000002"):
        links = chain('objects.get {"id": 2003}', f'set {{"sms": "{sms}"}}', "set", "save")
        assert (await place.run("call", "--model", "Abonents", *links))["states"] == {"accepted": 1}
    async with place.journal() as journal:
        last = (await journal.runs())[-1]
        (item,) = [item async for page in journal.each_page(last, frozenset(State)) for item in page]
    assert re.fullmatch(r"Abonents-[0-9a-f]{10}/1", item.key)
    assert item.label == "one call"


async def test_what_must_not_be_repeated_warns_of_what_that_means(place: Place) -> None:
    arguments = ("plan", "call", *PAY, "--set", "id=2003", "--set", "sum=5")
    assert "nobody can find out whether a lost call had its effect" in (await place.cli(*arguments)).out
    for flag in (("--repeatable",), ("--look-up", "select op_id from finance_operations where abonent_id = :id")):
        assert "nobody can find out" not in (await place.cli(*arguments, *flag)).out


async def test_money_that_is_created_is_entered_once_summed_and_counts_towards_its_limit(place: Place) -> None:
    place.rows("id;sum", "2003;50.5", "2004;7")
    closing = await place.run("call", *CREATE, "rows.csv")
    assert (closing["states"], closing["amounts"]) == ({"accepted": 2}, {"accepted": "57.5"})
    await place.cli("verify", closing["run"])
    marked = place.query("select abonent_id, descr from finance_operations where descr like '[cm %' order by 1")
    assert marked == [(2003, f"[cm {closing['run']}/1]"), (2004, f"[cm {closing['run']}/2]")]
    # However its call is written, the same operation is known, and another sum is refused.
    written = 'objects.create {"descr": "x", "op_summa": "{n}", "abonent_id": 2003, "op_type_id": "1"}'
    again = (*RUN, "--model", "FinanceOperations", "--chain", written, "--yes")
    says = f"looks as if entered already: by run {closing['run']}"
    await place.cli.refused(*again, "--set", "n=50.50", says=says)
    await place.cli.refused(*again, "--set", "n=50.51", says=f"run {closing['run']} has entered 50.50 for this key")
    await place.cli("undo", closing["run"], "--set", "way=opposite", "--yes")
    left = place.query(
        "select cast(sum(op_summa) as numeric(18, 0)) from finance_operations where descr like '%[cm %'"
    )
    assert left == [(0,)]
    place.rows("id;sum", "2005;50", "2006;70")
    before = (await place.found()).rows
    stopped = (await place.cli(*RUN, *CREATE, "rows.csv", "--limit-money", "60", "--yes", may_end_with=(3,))).saying(
        "60"
    )
    assert (await place.found()).rows == before + 1
    # What is advised goes to the end: it names the sum of the whole run, on the screen and later.
    (run, *_) = [one.name for one in reversed(await place.runs())]
    higher = f"carbon-migrate resume {run} --limit-money 120.00"
    assert higher in stopped.out
    assert higher in stopped.words
    assert higher in (await place.cli("status", run)).out
    await place.cli("resume", run, "--limit-money", "120.00", "--yes")
    assert (await place.found()).rows == before + 2


async def test_money_that_is_paid_is_no_part_of_the_key(place: Place) -> None:
    run = ("call", *PAY, "rows.csv")
    place.rows("id;sum", "2003;50.5", "2004;7")
    closing = await place.run(*run)
    assert (closing["states"], closing["amounts"]) == ({"accepted": 2}, {"accepted": "57.5"})
    says = f"looks as if entered already: by run {closing['run']}"
    await place.cli.refused("run", *run, "--yes", says=says)
    place.rows("id;sum", "2003;50.6")
    await place.cli.refused("run", *run, "--yes", says=f"run {closing['run']} has entered 50.50 for this key")
    place.rows("id;sum", "2003;5,5")
    await place.cli.refused("run", *run, "--yes", says="'5,5' is not an amount")


NAMES = ("--model", "Abonents", *chain('objects.get {"id": {id}}', 'set {"name": "{name}"}', "save"))


async def test_a_text_that_no_field_holds_is_refused_with_its_place(place: Place) -> None:
    place.rows("id;name", f"2003;{'я' * 10_001}")
    says = "line 2, column name (2003): the text has 10 001 characters, at most 10 000 are taken"
    await place.cli.refused(*RUN, *NAMES, "rows.csv", "--yes", says=says)
    assert place.traffic.arrived == 0


BAD_FOR_THE_BILLING: Sequence[tuple[Sequence[str], Sequence[str]]] = [
    ((*CREATE, "--sql", "select id from abonents"), ["has no column sum; it has: id", "--map sum=COLUMN"]),
    (
        ("--model", "Users", "--chain", 'x {"a": "{№ договора}"}', "--sql", "select id from abonents"),
        ["has no column № договора; it has: id"],
    ),
    ((*CREATE, "--chain", "save"), ["enters its operation by itself: leave out what stands behind it, save"]),
    ((*CREATE[:3], 'objects.create {"abonent_id": {id}}'), ["has to say op_type_id, op_summa"]),
    ((*CREATE, "--look-up", "select 1 from abonents"), ["--look-up: nothing would look at it"]),
    ((*CREATE, "--repeatable"), ["--repeatable: nothing would look at it"]),
]


async def test_bad_calls_are_refused_before_anything_is_sent(place: Place) -> None:
    for arguments, told in BAD_FOR_THE_BILLING:
        await place.cli.refused(*RUN, *arguments, "--yes", says=told)
    assert place.traffic.arrived == 0


# ---- secrets: none in journal, log, recording, export or job file, none on the screen ---------------------------

WORDS = ("SecretTiger9", "SecretTiger10")
SETS = ("--model", "Users", "--chain", 'objects.get {"id": {id}}')
PASSWORD = (*SETS, "--chain", 'set_password {"psw": "{word}", "dontshow": false}')
JOB = ("run", "password", "--set", "user_id=4084", "--set", "dontshow=no", "--ask", "psw")
"""What `translate` prints for the vendor's one-liner."""


def kept(folder: Path, words: Sequence[str] = WORDS) -> set[str]:
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    return {name for name, data in files.items() if any(word.encode() in data for word in words)}


def password(place: Place) -> str:
    ((psw,),) = place.query("select psw from users where id = 4084")
    return str(psw)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_secret_in_a_chain_or_on_a_command_line_is_refused(command: str, typed: Typed, tmp_path: Path) -> None:
    for link, name in (
        ('set_password {"psw": "SecretTiger9", "dontshow": false}', "psw"),
        ('set {"password": "SecretTiger9"}', "password"),
        ('x.y {"in": {"SUID": ["SecretTiger9"]}}', "SUID"),
        ('set_password {"psw": "Secret{id}"}', "psw"),
    ):
        arguments = (command, "call", *SETS, "--chain", link, "--set", "id=5")
        ended = typed.refused(*arguments, says=[f"chain: {name} is a secret", f"--ask {name}"])
        assert "SecretTiger9" not in ended.err + ended.out
        if command == "run":
            assert typed(*arguments, "--save", "job.toml").exit == 2
    for job, name in ((("password", "--set", "user_id=4084"), "psw"), (("call", *PASSWORD, "--set", "id=5"), "word")):
        ended = typed.refused(
            *(command, *job, "--set", f"{name}={WORDS[0]}"),
            says=[
                f"--set {name}: {name} is a secret, and everybody on this machine can see a command line",
                f"--ask {name} asks for it at the terminal; or let a column of the rows say it",
            ],
        )
        assert WORDS[0] not in ended.err + ended.out
    typed.refused(command, *JOB[1:-1], "user_id", says="--ask user_id: it is given already")
    assert (kept(tmp_path), (tmp_path / "job.toml").exists()) == (set(), False)


async def test_where_a_secret_cannot_be_had_or_given_it_is_said(place: Place) -> None:
    for command in ("run", "plan"):
        says = ["no terminal to ask for psw on", "let a column of the rows say it"]
        await place.cli.refused(command, *JOB[1:], says=says)
    place.rows("id;word", "5;x")
    look_up = ("--look-up", "select id from users where psw = :word")
    says = ["look_up: :word is a secret, which no select is given"]
    await place.cli.refused(*RUN, *PASSWORD, "rows.csv", *look_up, says=says)
    links = """chain = ['objects.get {"id": 5}', 'set_password {"psw": "SecretTiger9"}']"""
    place.write(f'[[step]]\njob = "call"\nmodel = "Users"\n{links}\n', "job.toml")
    await place.cli.refused("run", "job.toml", says="line 4, column 1: step 1: chain: psw is a secret")


@pytest.mark.parametrize(("psw", "rows"), [("{word}", f"id;word\n4084;{WORDS[0]}\n"), ("", "id\n4084\n")])
async def test_what_was_there_under_the_name_of_a_secret_is_not_kept_either(
    psw: str, rows: str, place: Place
) -> None:
    """Fields are read before they are set, to be set back: a password is not. Nor is a session that a call begins."""
    old = password(place)
    place.write(rows, "rows.csv")
    closing = await place.run("call", *SETS, *chain(f'set {{"psw": "{psw}"}}', "save"), "rows.csv")
    assert closing["states"] == {"accepted": 1}
    assert password(place) != old
    assert (await place.cli.closing("verify", closing["run"], ends=4))["unreadable"] == 1
    session = ("call", *SETS, *chain("get_or_create_dynamic_session"), "--set", "id=4084", "--record", "calls.gz")
    await place.run(*session)
    ((suid,),) = place.query("select suid from cabinet_sessions where user_id = 4084")
    assert kept(place.cli.folder, [old, suid, *WORDS]) <= {"rows.csv"}


@pytest.mark.parametrize("command", [JOB, (*RUN, *PASSWORD, "--set", "id=4084", "--ask", "word")])
async def test_a_secret_is_asked_for_and_not_shown(command: Sequence[str], place: Place) -> None:
    name = command[-1]
    says = [(f"{name}: ", WORDS[0]), (f"{name} once more: ", WORDS[0]), ("[y/N]", "y")]
    assert WORDS[0] not in await answered(place, *command, says=says)
    assert password(place) == WORDS[0]
    assert kept(place.cli.folder) == set()


async def test_a_secret_that_is_mistyped_is_refused(place: Place) -> None:
    before = password(place)
    for typed, told in ((WORDS, "psw was typed in two ways: nothing was sent"), (("",), "nothing was typed for psw")):
        says = [*zip(("psw: ", "psw once more: "), typed, strict=False)]
        assert told in await answered(place, *JOB, says=says, ends=2)
    assert (password(place), place.cli.journal.exists()) == (before, False)
