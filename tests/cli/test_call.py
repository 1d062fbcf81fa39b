"""`run call`: secrets in what people write; `transcripts/billing/call.txt` has what it sends and refuses."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import Place, Typed
from tests.cli.terminal.terminals import answered

RUN = ("run", "call")


def chain(*links: str) -> tuple[str, ...]:
    return tuple(word for link in links for word in ("--chain", link))


NAMES = ("--model", "Abonents", *chain('objects.get {"id": {id}}', 'set {"name": "{name}"}', "save"))


async def test_a_text_that_no_field_holds_is_refused_with_its_place(place: Place) -> None:
    place.rows("id;name", f"2003;{'я' * 10_001}")
    says = "line 2, column name (2003): the text has 10 001 characters, at most 10 000 are taken"
    await place.cli.refused(*RUN, *NAMES, "rows.csv", "--yes", says=says)
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
