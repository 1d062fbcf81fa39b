"""The issue's "Bad input": each is named with its place before anything is sent, and ends with 2."""

import resource
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from checkpoints.records import Stage
from tests.cli.conftest import Ended, Place, Typed
from tests.cli.terminal.terminals import answered, killed_at, opened
from tools.house import ROOT

GOOD = "00003;1,50\n"
HEAD = "contract_number;amount\n"
MANY = "9" * 5000
"""More digits than Python makes a number of."""
CALL = ["run", "call", "x.csv", "--model", "Tarif", "--chain"]


async def refused(place: Place, *arguments: str, told: Sequence[str]) -> None:
    """The command ends with 2, says what is wrong and where, and nothing was sent."""
    await place.cli.refused(*arguments, says=told)
    assert (await place.found()).rows == 0
    assert place.traffic.arrived == 0


BAD_ROWS: Mapping[str, Sequence[tuple[str, Sequence[str]]]] = {
    HEAD: [
        ("00003;1,50", ["contradicts another row of the same key"]),
        (
            "АБ-00002;10,005",
            [
                ", column amount",
                "can be read in two ways",
                "write 10005.00 for the first; the second has more than two",
            ],
        ),
        ("00003;2,50", ["contradicts line 2", "1.50 there and 2.50 here"]),
        ("АБ-0002;5", [", column contract_number", "there is no contract number 'АБ-0002'", "АБ-00002"]),
        ("AБ-00002;5", [", column contract_number", "'АБ-00002' (the same in Cyrillic letters)"]),
        ("АБ-00002;5;6", ["the header has 2 cells, this row 3"]),
        (f"00003;{MANY}", [", column amount", "5000 characters long"]),
        ("00003;922337203.69", [", column amount", "can hold"]),
        ("00003;-922 337 203,69", [", column amount", "922,337,203.68 at most"]),
        ("00003;1e300000000", [", column amount", "an exponent is not allowed"]),
        (f"{MANY};5", [", column contract_number", "5 000 characters"]),
    ],
    "abonent_id;amount\n": [
        ("12x;5", [", column abonent_id", "is not an id"]),
        (f"{MANY};5", [", column abonent_id", "there is no abonent"]),
    ],
    "": [
        (f'{{"abonent_id": {MANY}, "amount": 5}}', [", column abonent_id", "there is no abonent"]),
        ('{"abonent_id": 9, "amount": 1e300000000}', ["no number that can be written out"]),
    ],
}
BAD_FILES: Sequence[tuple[str, str, Sequence[str]]] = [
    ("utf-8", "contract_number;price\n00003;5\n", ["no column amount", "it has: contract_number, price"]),
    (
        "utf-8",
        "number;amount\n00003;5\n",
        ["no column abonent_id or contract_number", "it has: number, amount", "--map abonent_id="],
    ),
    ("utf-8", "", ["is empty"]),
    ("utf-8", HEAD, ["has a header and no rows"]),
    (
        "cp1251",
        f"{HEAD}00003;1,50\nАБ-00002;5\n",
        ["line 3, column 1", "this is 'АБ' in CP1251, 'юа' in KOI8-R", "--encoding cp1251, --encoding koi8-r"],
    ),
]


async def test_bad_rows_and_files_are_refused_with_their_place(place: Place) -> None:
    run = ("run", "balances", "balances.csv", "--yes")
    for head, rows in BAD_ROWS.items():
        place.write(head + "".join(f"{row}\n" for row, _ in rows))
        ended = await place.cli(*run, may_end_with=(2,))
        for line, (fault, (_, told)) in enumerate(zip(ended.faults, rows, strict=False), 1 + bool(head)):
            assert fault.startswith(f"line {line}")
            assert [one for one in told if one not in fault] == [], fault
        assert ended.faults[len(rows)].startswith(f"{len(rows)} rows of the input are refused.")
    for encoding, text, told in BAD_FILES:
        place.write(text, encoding=encoding)
        await refused(place, *run, told=told)
    # Of those that it may be, one is said.
    told = ["line 3, column 1", "may be CP1251, KOI8-R or ISO 8859-5", "--encoding cp1251"]
    await refused(place, *run, "--encoding", "utf-8", told=told)
    assert (await place.run(*run[1:3], "--encoding", "cp1251"))["states"] == {"accepted": 2}
    # A longer text is surely one of them.
    place.write("номер договора;сумма\n00003;1,50\nАБ-00002;5\n", encoding="koi8-r")
    ended = await place.cli(*run, "--json", "--again")
    ended.saying("read as KOI8-R, for its bytes are not UTF-8")
    assert ended.closing["states"] == {"accepted": 2}


async def test_what_is_not_there_or_something_else_is_refused(place: Place) -> None:
    place.write(f"{HEAD}{GOOD}")
    run = ("run", "balances", "balances.csv", "--yes")
    one = "select contract_number, 5.00 as amount from abonents where id = 2001"
    threshold = ("run", "warning-threshold")
    for words, told in (
        (("run", "balances", "nowhere.csv", "--yes"), ["there is no file", "nowhere.csv"]),
        ((*run, "--api-url", "http://127.0.0.1:9"), ["Nobody answers at http://127.0.0.1:9"]),
        ((*run, "--api-url", f"{place.billing.url}/elsewhere"), ["not the billing's REST API"]),
        ((*run, "--database", "nowhere.fdb"), ["nowhere.fdb", "No such file"]),
        (
            (*threshold, "--set", "folder=89", "--set", "amount=-5", "--database", ""),
            ["--database HOST:PATH", "CARBON_MIGRATE_DATABASE"],
        ),
        (
            ("run", "balances"),
            ["there is nothing to read rows from: name a file, - for standard input, or give --sql"],
        ),
        (
            ("run", "balances", "--sql", f"{one} union all {one}", "--yes"),
            ["= row 2 (", "a duplicate in the input: the same key and amount as"],
        ),
    ):
        await refused(place, *words, told=told)
    place.write(f"{HEAD}{GOOD}{GOOD}")
    told = ["line 3 (00003): a duplicate in the input: the same key and amount as line 2", "--skip-bad"]
    await refused(place, *run, told=told)
    place.write("abonent_id;amount\n2001;-5\n2001;-6\n2003;-5\n")
    told = ["--set folder=…", "the rows come from elsewhere"]
    await refused(place, *threshold, "balances.csv", "--set", "folder=89", told=told)
    told = ["line 3", "contradicts line 2: the same key with limit_warning -5 there and limit_warning -6 here"]
    await refused(place, *threshold, "balances.csv", "--yes", told=told)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "balnces", "x.csv"], ["there is no job 'balnces'", "did you mean 'balances'?"]),
        (["run", "balances", "x.csv", "--set", "descr"], ["--set name=value"]),
        (["run", "balances", "x.csv", "--set", "descr=a", "--set", "descr=b"], ["given twice"]),
        (["run", "balances", "x.csv", "--set", "dscr=a"], ["no parameter 'dscr'", "did you mean 'descr'?"]),
        (["run", "balances", "x.csv", "--in-flight", "0"], ["--in-flight"]),
        (["run", "balances", "x.csv", "--in-flight", MANY], ["--in-flight", "not a whole number from 1 to 1 000"]),
        (["run", "balances", "x.csv", "--max-stack", f"000000000001{MANY}"], ["--max-stack", "not a whole number"]),
        (["run", "balances", "x.csv", "--rate", "1e300000000"], ["--rate"]),
        (["run", "balances", "x.csv", "--settle", MANY], ["--settle"]),
        (["run", "balances", "x.csv", "--limit-money", MANY], ["--limit-money"]),
        (["run", "balances", "x.csv", "--stop-after-errors", MANY], ["--stop-after-errors"]),
        (["run", "balances", "x.csv", "--set", f"op_type={MANY}"], ["op_type: '9999", "the largest"]),
        (["run", "operator", "--set", "operator=2147483648"], ["operator: '2147483648' is not an id"]),
        (["run", "warning-threshold", "--set", "amount=922337203.69"], ["amount: ", "can hold"]),
        ([*CALL, f'objects.get {{"id": {MANY}}}'], ["link 1", "more than any number of the billing"]),
        ([*CALL, f'objects.get {{"id": {"[" * 5000}{"]" * 5000}}}'], ["link 1", "brackets in brackets without end"]),
        ([*CALL, 'objects.get {"a": {fields}}'], ["fields is said of the call as a whole"]),
        (["selftest", "--job", "balance", "--rounds", "1"], ["the lab knows balances, payment, warning-threshold"]),
        (["selftest", "--fleet", "--job", "payment"], ["--fleet has rows and faults of its own: leave --job out"]),
        (["selftest", "--quick"], ["--quick makes a fleet smaller: give --fleet as well"]),
        (["selftest", "--config", "nowhere.toml"], ["there is no file nowhere.toml"]),
        (["status", MANY], ["there is no journal"]),
        (["decide", "k7m2q", MANY, "accepted", "--why", "x"], ["there is no journal"]),
        (["run", "balances", "x.csv", "--rate", "0"], ["--rate: '0'"]),
        (
            ["run", "balances", "x.csv", "--api-url", ""],
            ["--api-url http://HOST:8082", "CARBON_MIGRATE_API_URL", "[api]"],
        ),
        (["run", "balances", "x.csv", "--journal", "/dev/null/x"], ["/dev/null/x"]),
        (["status"], ["there is no journal"]),
        (["verify", "xxxxx"], ["there is no journal"]),
        (["resume", "xxxxx"], ["there is no journal"]),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(arguments: list[str], told: list[str], typed: Typed) -> None:
    typed.refused(*arguments, says=told)


async def test_of_equal_duplicates_one_goes_ahead_on_request(place: Place) -> None:
    place.write(f"{HEAD}{GOOD}{GOOD}")
    ended = await place.cli("run", "balances", "balances.csv", "--yes", "--skip-bad", "--json")
    assert "1 × a duplicate in the input" in ended.words
    assert ended.closing["states"] == {"skipped": 1, "accepted": 1}
    assert (await place.found()).rows == 1


NOBODY = "http://127.0.0.1:9"
"""An address at which nothing listens."""


@pytest.mark.parametrize("arguments", [("run", "--yes"), ("plan",)])
def test_without_an_answer_of_the_billing_no_journal_is_made(
    arguments: tuple[str, ...], typed: Typed, tmp_path: Path
) -> None:
    command, *flags = arguments
    (tmp_path / "rows.csv").write_text("contract_number;amount\n1;2,00\n")
    typed.refused(command, "balances", "rows.csv", *flags, "--api-url", NOBODY, says="127.0.0.1:9")
    assert {path.name for path in tmp_path.glob("*.journal*")} <= {"carbon-migrate.journal.log"}


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


# ---- SQL that may change something is refused by one judge, wherever an operator gives it --------------------------

ROWS = "contract_number;amount\n1;5\n"
CALL_IN_A_FILE = """\
[[step]]
job = "call"
model = "Users"
chain = ['objects.get {"id": {id}}', "x.y"]
file = "rows.csv"
look_up = '''%s'''
"""
TYPED_CALL = ("call", "--model", "Users", "--chain", 'objects.get {"id": {id}}', "--chain", "x.y")
JOB_FILE = '[run]\nthrottle_sql = "{throttle}"\nthrottle_above = 1\n\n[[step]]\njob = "balances"\n{rows}\n'

WRITES = "select 1 as n from rdb$database; delete from abonents"
WHY = "a second statement begins here, 'delete'"
DOORS = (
    ("--throttle-sql: line 1", "run", "balances", "rows.csv", "--throttle-sql", WRITES, "--throttle-above", "1"),
    ("line 1", "run", "balances", "--sql", WRITES),
    ("line 1", "plan", "balances", "--sql", WRITES),
    ("look_up: line 1", "run", *TYPED_CALL, "--look-up", WRITES, "rows.csv"),
    ("✗ ", "translate", f"sqlexec '{WRITES}' | while read id; do curl -d 'method1=x.y' http://h/; done"),
)
OF_JOB_FILES = (
    ("line 2, column 1: throttle_sql: line 1", JOB_FILE.format(throttle=WRITES, rows='file = "rows.csv"')),
    ("line 7, column 1: step 1: line 1", JOB_FILE.format(throttle="select 1 from tarif", rows=f'sql = "{WRITES}"')),
    ("line 6, column 1: step 1: look_up: line 1", CALL_IN_A_FILE % WRITES),
)


def test_sql_that_changes_something_is_refused_at_every_door(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8")
    for where, *words in DOORS:
        assert typed.refused(*words, says=[where, WHY]).out == ""
    for where, text in OF_JOB_FILES:
        (tmp_path / "job.toml").write_text(text, encoding="utf-8")
        typed.refused("run", "job.toml", says=[where, WHY])
    assert not (tmp_path / "carbon-migrate.journal").exists()


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
