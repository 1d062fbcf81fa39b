"""Secrets in the calls that people write: none in journal, log, recording, export or job file, none on the screen."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import Place, Typed
from tests.cli.flows import flow
from tests.cli.terminal.terminals import at_a_terminal

WORDS = ("SecretTiger9", "SecretTiger10")
SETS = ("--model", "Users", "--chain", 'objects.get {"id": {id}}')
PASSWORD = (*SETS, "--chain", 'set_password {"psw": "{word}", "dontshow": false}')


def kept(folder: Path, words: Sequence[str] = WORDS) -> set[str]:
    """The files in which one of the words stands."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    return {name for name, data in files.items() if any(word.encode() in data for word in words)}


def passwords(place: Place, *users: int) -> list[str]:
    query = "select psw from users where id in (:users) order by id"
    return [psw for (psw,) in place.billing.database.query(query, {"users": users})]


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("chain", "name"),
    [
        ('set_password {"psw": "SecretTiger9", "dontshow": false}', "psw"),
        ('set {"password": "SecretTiger9"}', "password"),
        ('x.y {"in": {"SUID": ["SecretTiger9"]}}', "SUID"),
        ('set_password {"psw": "Secret{id}"}', "psw"),
    ],
)
async def test_a_secret_in_a_chain_is_refused(command: str, chain: str, name: str, place: Place) -> None:
    arguments = (command, "call", *SETS, "--chain", chain, "--set", "id=5")
    ended = await place.cli(*arguments, may_end_with=(2,))
    assert f"chain: {name} is a secret" in ended.words
    assert f"--ask {name}" in ended.words
    assert "SecretTiger9" not in ended.err + ended.out
    assert kept(place.cli.folder) == set()
    if command == "run":
        await place.cli(*arguments, "--save", "job.toml", may_end_with=(2,))
        assert not (place.cli.folder / "job.toml").exists()


async def test_a_secret_in_the_chain_of_a_job_file_is_refused_at_its_place(place: Place) -> None:
    chain = """chain = ['objects.get {"id": 5}', 'set_password {"psw": "SecretTiger9"}']"""
    place.write(f'[[step]]\njob = "call"\nmodel = "Users"\n{chain}\n', "job.toml")
    await place.cli.refused("run", "job.toml", says="line 4, column 1: step 1: chain: psw is a secret")


def word(user: int) -> str:
    return f"SecretTiger-{user:05d}"


async def test_a_column_fills_the_place_of_a_secret_and_nothing_keeps_it(
    billing_template: Path, tmp_path: Path
) -> None:
    """Planned, run, killed, resumed, verified, shown and exported: the words stand in the input alone."""
    async with flow(billing_template, tmp_path) as one:
        users = [user for (user,) in one.query("select first 40 id from users where deleted = 0 order by id")]
        words = [word(user) for user in users]
        rows = one.write("\n".join(["id;word", *(f"{user};{word(user)}" for user in users)]) + "\n")

        def killed() -> None:
            assert one.files_with(words) == {"rows.csv", "carbon-migrate.journal-secrets"}

        arguments = ("call", *PASSWORD, rows, "--repeatable")
        closing = await one.go(*arguments, kill_at=15, killed=killed, verify_ends_with=4)
        assert closing["states"] == {"accepted": len(users)}
        told = await one.cli("status", closing["run"])
        await one.cli("export", closing["run"])
        assert one.files_with(words) == {"rows.csv"}
        assert not any(psw in told.out + told.err for psw in words)
        query = "select id, psw from users where deleted = 0 order by id"
        assert dict(one.query(query)[: len(users)]) == dict(zip(users, words, strict=True))
        exported = (one.folder / f"{closing['run']}-accepted.csv").read_text("utf-8-sig").splitlines()
        assert exported[1].startswith(f"{users[0]};•••;")


@pytest.mark.parametrize(("psw", "rows"), [("{word}", f"id;word\n4084;{WORDS[0]}\n"), ("", "id\n4084\n")])
async def test_what_was_there_under_the_name_of_a_secret_is_not_kept_either(
    psw: str, rows: str, place: Place
) -> None:
    """Fields are read before they are set, to be set back: a password is not."""
    (old,) = passwords(place, 4084)
    chains = (*SETS, "--chain", f'set {{"psw": "{psw}"}}', "--chain", "save")
    place.write(rows, "rows.csv")
    closing = (await place.cli("run", "call", *chains, "rows.csv", "--yes", "--json")).closing
    assert closing["states"] == {"accepted": 1}
    assert passwords(place, 4084) != [old]
    assert (await place.cli("verify", closing["run"], "--json", may_end_with=(4,))).closing["unreadable"] == 1
    assert kept(place.cli.folder, [old, *WORDS]) <= {"rows.csv"}


async def test_the_session_that_a_call_begins_is_not_kept(place: Place) -> None:
    chains = (*SETS, "--chain", "get_or_create_dynamic_session")
    await place.cli("run", "call", *chains, "--set", "id=4084", "--yes", "--record", "calls.gz")
    (suid,) = next(iter(place.billing.database.query("select suid from cabinet_sessions where user_id = 4084")))
    assert kept(place.cli.folder, [suid]) == set()


async def test_no_look_up_is_given_a_secret(place: Place) -> None:
    look_up = "select id from users where psw = :word"
    place.write("id;word\n5;x\n", "rows.csv")
    ended = await place.cli("run", "call", *PASSWORD, "rows.csv", "--look-up", look_up, may_end_with=(2,))
    assert "look_up: :word is a secret, which no select is given" in ended.words


# ---- asked for --------------------------------------------------------------------------------------------------

JOB = ("run", "password", "--set", "user_id=4084", "--set", "dontshow=no", "--ask", "psw")
"""What `translate` prints for the vendor's one-liner."""


@pytest.mark.parametrize("command", [JOB, ("run", "call", *PASSWORD, "--set", "id=4084", "--ask", "word")])
async def test_a_secret_is_asked_for_and_not_shown(command: Sequence[str], place: Place) -> None:
    with at_a_terminal(place, *command) as terminal:
        for question in (f"{command[-1]}: ", f"{command[-1]} once more: "):
            await terminal.shows(question)
            terminal.types(f"{WORDS[0]}\n")
        await terminal.shows("[y/N]")
        terminal.types("y\n")
        assert await terminal.ends() == 0
    assert WORDS[0] not in terminal.seen
    assert passwords(place, 4084) == [WORDS[0]]
    assert kept(place.cli.folder) == set()


@pytest.mark.parametrize(
    ("typed", "told"), [(WORDS, "psw was typed in two ways: nothing was sent"), (("",), "nothing was typed for psw")]
)
async def test_a_secret_that_is_mistyped_is_refused(typed: Sequence[str], told: str, place: Place) -> None:
    before = passwords(place, 4084)
    with at_a_terminal(place, *JOB) as terminal:
        for question, one in zip(("psw: ", "psw once more: "), typed, strict=False):
            await terminal.shows(question)
            terminal.types(f"{one}\n")
        assert await terminal.ends() == 2
    assert told in terminal.seen
    assert passwords(place, 4084) == before
    assert not place.cli.journal.exists()


@pytest.mark.parametrize("command", ["run", "plan"])
async def test_where_nobody_can_be_asked_a_column_is_named(command: str, place: Place) -> None:
    ended = await place.cli(command, *JOB[1:], may_end_with=(2,))
    assert "no terminal to ask for psw on" in ended.words
    assert "let a column of the rows say it" in ended.words


def test_what_is_given_is_not_asked_for_as_well(typed: Typed) -> None:
    typed.refused(*JOB[:-1], "user_id", says="--ask user_id: it is given already")


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("job", "name"), [(("password", "--set", "user_id=4084"), "psw"), (("call", *PASSWORD, "--set", "id=5"), "word")]
)
def test_a_secret_on_a_command_line_is_refused(
    command: str, job: Sequence[str], name: str, typed: Typed, tmp_path: Path
) -> None:
    ended = typed(command, *job, "--set", f"{name}={WORDS[0]}")
    assert ended.exit == 2
    assert f"--set {name}: {name} is a secret, and everybody on this machine can see a command line" in ended.words
    assert f"--ask {name} asks for it at the terminal; or let a column of the rows say it" in ended.words
    assert WORDS[0] not in ended.err + ended.out
    assert kept(tmp_path) == set()
