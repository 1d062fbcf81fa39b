"""The issue's "Bad input": each is named with its place before anything is sent, and ends with 2."""

import resource
import sys
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from checkpoints.records import Stage
from tests.cli.conftest import Ended, Place, Typed
from tests.cli.terminal.terminals import answered, killed_at, opened
from tools.house import ROOT

MANY = "9" * 5000
"""More digits than Python makes a number of."""
CALL = ["run", "call", "x.csv", "--model", "Tarif", "--chain"]


BAD_ROWS = {
    "contract_number;amount": ((f"00003;{MANY}", "5000 characters long"), (f"{MANY};5", "5 000 characters")),
    "abonent_id;amount": ((f"{MANY};5", "is not an id: the largest possible one is"),),
    f'{{"abonent_id": {MANY}, "amount": 5}}': (
        ('{"abonent_id": 9, "amount": 5}', "is not an id: the largest possible one is"),
    ),
}


async def test_a_cell_without_end_is_refused_with_its_line(place: Place) -> None:
    """`transcripts/billing/bad-input.txt` has what else a row or a file can be."""
    for head, rows in BAD_ROWS.items():
        place.rows(head, *(row for row, _ in rows), name="balances.csv")
        says = [f"{said}" for _, said in rows]
        await place.cli.refused("run", "balances", "balances.csv", "--yes", says=says)
    assert place.traffic.arrived == 0


BALANCES = ("run", "balances", "x.csv")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((*BALANCES, "--in-flight", MANY), ["--in-flight", "not a whole number from 1 to 1 000"]),
        ((*BALANCES, "--max-stack", f"000000000001{MANY}"), ["--max-stack", "not a whole number"]),
        ((*BALANCES, "--settle", MANY), ["--settle"]),
        ((*BALANCES, "--limit-money", MANY), ["--limit-money"]),
        ((*BALANCES, "--stop-after-errors", MANY), ["--stop-after-errors"]),
        ((*BALANCES, "--set", f"op_type={MANY}"), ["op_type: '9999", "the largest"]),
        ((*CALL, f'objects.get {{"id": {MANY}}}'), ["link 1", "more than any number of the billing"]),
        ((*CALL, f'objects.get {{"id": {"[" * 5000}{"]" * 5000}}}'), ["link 1", "brackets in brackets without end"]),
        (("status", MANY), ["there is no journal"]),
        (("decide", "k7m2q", MANY, "accepted", "--why", "x"), ["there is no journal"]),
    ],
    ids=range(10),
)
def test_a_word_without_end_is_refused(arguments: tuple[str, ...], told: list[str], typed: Typed) -> None:
    """All other commands that make no sense stand in `transcripts/refused-commands.txt`."""
    typed.refused(*arguments, says=told)


def test_a_command_that_finds_too_few_files_says_so(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (16, 16))
    says = "the system lets this process open 16. Raise the limit: ulimit -n"
    ended = typed.refused("run", "balances", "balances.csv", "--json", says=says)
    assert ended.closing["exit"] == 2


async def typed_with_files(place: Place, files: int, *arguments: str) -> Ended:
    """A command in a shell that limits the open files, as `ulimit -n` does."""
    ended = await anyio.run_process(
        ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", sys.executable, "-m", "cli", *arguments],
        check=False,
        cwd=place.cli.folder,
        env=place.cli.environment | {"PYTHONPATH": str(ROOT)},
    )
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


async def test_a_run_that_is_wider_than_its_files_sends_nothing(place: Place) -> None:
    place.balances(60)
    run = ("run", "balances", "balances.csv", "--yes", "--no-canary")
    ended = await typed_with_files(place, 100, *run)
    assert ended.exit == 2
    assert "64 parallel calls need 192 open files, and the system lets this process open 100" in ended.words
    assert "with it, 18 are possible" in ended.words
    assert "--in-flight" in ended.words
    assert (await place.found()).rows == 0
    ended = await typed_with_files(place, 100, *run, "--in-flight", "18", "--record", "a.rec")
    assert ended.exit == 0, ended.err
    assert (await place.found()).rows == 60


async def test_what_the_select_of_a_throttle_reaches_is_looked_at_as_well(place: Place) -> None:
    """A procedure that moves a generator: no read-only transaction stops it, so no call is made."""
    await place.execute("create generator g")
    await place.execute("create procedure counts returns (x bigint) as begin x = gen_id(g, 1); suspend; end")
    throttle = ("--throttle-sql", "select x from counts", "--throttle-above", "5")
    ended = await place.cli("run", "balances", place.balances(2).path, "--yes", *throttle, may_end_with=(2,))
    assert "COUNTS may change the generator G, which no read-only transaction stops" in ended.words
    assert place.traffic.arrived == 0
    assert list(place.query("select gen_id(g, 0) from rdb$database")) == [(0,)]


# ---- a last line without its end: it may have been cut, and is never sent in silence -------------------------------

CSV = "contract_number;amount\n{};5.00\n{};100"
ONE_BELOW = f"\n{'CONTRACT_NUMBER':31} {{}}\n{'AMOUNT':31} "
FORMS = {
    "csv": ("cut.csv", CSV),
    "utf-16": ("cut.csv", CSV),
    "isql list": ("cut.txt", f"{ONE_BELOW}5.00\n{ONE_BELOW}100"),
    "isql bare": ("cut.txt", "\n{} 5.00 \n{} 100"),
    "json lines": ("cut.jsonl", "\n".join(['{{"contract_number": "{}", "amount": "5"}}'] * 2)),
}


def cut(place: Place, form: str) -> Path:
    """A file of two balances in a form, cut within the last amount: 1000.00 became 100."""
    name, text = FORMS[form]
    encoding = "utf-16" if form == "utf-16" else "utf-8"
    return place.write(text.format(*place.balances(2).numbers), name, encoding=encoding)


def arguments(file: Path, form: str) -> tuple[str, ...]:
    columns = ("--columns", "contract_number,amount") if form == "isql bare" else ()
    return "run", "balances", str(file), *columns


@pytest.mark.parametrize("form", FORMS)
async def test_it_is_refused_where_nobody_is_asked_and_told_how_to_end_it(place: Place, form: str) -> None:
    file = cut(place, form)
    for more in (("--yes",), ("--yes", "--skip-bad"), ()) if form == "csv" else (("--yes",),):
        says = [
            f"the last line of {file} has no end, as all others have:",
            "100" if form != "json lines" else '"amount"',
            f"sed -i -e '$a\\' {file}",
        ]
        await place.cli.refused(*arguments(file, form), *more, says=says)
    assert (await place.found()).rows == 0
    assert {run.stage for run in await place.runs()} == {Stage.DISCARDED}
    # As it was told.
    if form != "utf-16":
        with opened(["sed", "-i", "-e", "$a\\", str(file)], place.cli.folder, {"PATH": "/usr/bin:/bin"}) as shell:
            assert await shell.ends() == 0
        ended = await place.cli.closing(*arguments(file, form), "--yes")
        assert ended["states"] == {"accepted": 2}


async def test_one_answer_for_the_file_before_the_list_is_shown(place: Place) -> None:
    """A run that was killed at the question asks again when it is resumed."""
    file = cut(place, "csv")
    whole, send = "Is it whole?", "Send these 2 rows"
    await killed_at(whole, place, "run", "balances", file)
    await place.cli.refused("resume", "--yes", says="has no end")
    await answered(place, "run", "balances", file, says=[(whole, "n")], ends=2)
    assert (await place.found()).rows == 0
    await answered(place, "run", "balances", file, says=[(whole, "y"), (send, "y")])
    found = await place.found()
    assert (found.rows, found.sum) == (2, Decimal(105))
    (run, *_) = reversed(await place.runs())
    assert "last line of the input: it is whole" in await place.cli.told("status", run.name)


async def test_what_is_piped_in_is_refused(place: Place) -> None:
    """At a terminal as well: the answer cannot be typed."""
    file = cut(place, "csv")
    words = " ".join(["exec", sys.executable, "-m", "cli", "run", "balances", "-", "<", str(file)])
    environment = {**place.cli.environment, "TERM": "xterm"}
    with opened(["/bin/sh", "-c", words], place.cli.folder, environment) as shell:
        assert await shell.ends() == 2
    assert "the last line of standard input has no end" in " ".join(shell.seen.split())
    assert (await place.found()).rows == 0


async def test_a_corrected_file_and_lists_of_keys_are_no_exception(place: Place) -> None:
    first, last = place.balances(2).numbers
    place.write(f"contract_number;amount\n{first};5\n{last};1O\n", "bad.csv")
    run = (await place.run("balances", "bad.csv", "--skip-bad", ends=1))["run"]
    await place.cli("export", run, "--state", "refused", "-o", "mended.csv")
    mended = place.cli.folder / "mended.csv"
    mended.write_text(mended.read_text(encoding="utf-8-sig").replace("1O", "10").rstrip(), encoding="utf-8")
    await place.cli.refused("run", "balances", "mended.csv", "--continue", run, "--yes", says="has no end")
    place.write(f"contract_number;amount\n{first};5\n{last};10\n", "good.csv")
    place.write(f"{first}\n{last}", "keys.txt")
    says = ["the last line of", "keys.txt has no end"]
    await place.cli.refused("run", "balances", "good.csv", "--only", "keys.txt", "--yes", says=says)


async def test_a_plan_says_so_and_a_password_is_not_shown(place: Place) -> None:
    (await place.cli("plan", "balances", str(cut(place, "csv")))).saying("has no end")
    place.write("login;новый пароль\nuser90001;Sekret-1\nuser90002;Sekret-2", "words.csv")
    refused = await place.cli.refused("run", "password", "words.csv", "--yes", says="has no end")
    assert "Sekret" not in refused.words + refused.out


async def test_a_last_line_with_an_end_of_any_kind_is_not_asked_about(place: Place) -> None:
    numbers = place.balances(6).numbers
    file = place.cli.folder / "whole.csv"
    for number, text in enumerate(
        (
            "contract_number;amount\n{0};5\r\n{1};7\r\n",
            "contract_number;amount\r{0};5\r{1};7\r",
            "contract_number;amount\n{0};5\n{1};7\n  ",
        )
    ):
        file.write_bytes(text.format(*numbers[2 * number :]).encode())
        assert (await place.run("balances", file))["states"] == {"accepted": 2}
