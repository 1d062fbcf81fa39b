"""`run call`: secrets in what people write; `transcripts/billing/call.txt` has what it sends and refuses."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import Place
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
