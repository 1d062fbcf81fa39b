"""The issue's "Bad input": each is named with its place before anything is sent, and ends with 2."""

from collections.abc import Sequence

import pytest

from tests.cli.conftest import Place, Typed

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


BAD_ROWS: Sequence[tuple[str, Sequence[str]]] = [
    (f"{HEAD}{GOOD}АБ-00002;12,5O\n", ["line 3, column amount", "the Latin letter 'O'"]),
    (f"{HEAD}{GOOD}АБ-00002;\n", ["line 3, column amount", "the cell is empty"]),
    (f"{HEAD}{GOOD}АБ-00002;1,0055\n", ["line 3, column amount", "4 decimals"]),
    (
        f"{HEAD}{GOOD}АБ-00002;10,005\n",
        ["line 3, column amount", "can be read in two ways", "write 10005.00 for the first, 10.00"],
    ),
    (f"{HEAD}{GOOD}00003;2,50\n", ["line 3", "contradicts line 2", "1.50 there and 2.50 here"]),
    (
        f"{HEAD}{GOOD}АБ-0002;5\n",
        ["line 3, column contract_number", "there is no contract number 'АБ-0002'", "АБ-00002"],
    ),
    (
        f"{HEAD}{GOOD}AБ-00002;5\n",
        ["line 3, column contract_number", "'АБ-00002' (the same in Cyrillic letters)"],
    ),
    (f"{HEAD}{GOOD};5\n", ["line 3, column contract_number", "is empty"]),
    (f"{HEAD}{GOOD}АБ-00002;5;6\n", ["line 3", "the header has 2 cells, this row 3"]),
    ("abonent_id;amount\n89;5\n", ["line 2, column abonent_id", "is a folder"]),
    ("abonent_id;amount\n999999;5\n", ["line 2, column abonent_id", "there is no abonent 999999"]),
    ("abonent_id;amount\n12x;5\n", ["line 2, column abonent_id", "is not an id"]),
    ("contract_number;price\n00003;5\n", ["no column amount", "it has: contract_number, price", "--map amount="]),
    (
        "number;amount\n00003;5\n",
        ["no column abonent_id or contract_number", "it has: number, amount", "--map abonent_id="],
    ),
    (f"{HEAD}00003;{MANY}\n", ["line 2, column amount", "5000 characters long"]),
    (f"{HEAD}00003;922337203.69\n", ["line 2, column amount", "can hold"]),
    (f"{HEAD}00003;-922 337 203,69\n", ["line 2, column amount", "922,337,203.68 at most"]),
    (f"{HEAD}00003;1e300000000\n", ["line 2, column amount", "an exponent is not allowed"]),
    (f"{HEAD}{GOOD}{MANY};5\n", ["line 3, column contract_number", "5 000 characters"]),
    (f"abonent_id;amount\n{MANY};5\n", ["line 2, column abonent_id", "there is no abonent"]),
    (f'{{"abonent_id": {MANY}, "amount": 5}}\n', ["line 1, column abonent_id", "there is no abonent"]),
    ('{"abonent_id": 9, "amount": 1e300000000}\n', ["line 1", "no number that can be written out"]),
    ("", ["is empty"]),
    (HEAD, ["has a header and no rows"]),
]


async def test_bad_rows_and_files_are_refused_with_their_place(place: Place) -> None:
    for text, told in BAD_ROWS:
        place.write(text)
        await refused(place, "run", "balances", "balances.csv", "--yes", told=told)
    ((deleted,),) = place.query("select first 1 id from abonents where deleted = 1 and is_folder = 0")
    place.write(f"abonent_id;amount\n{deleted};5\n")
    told = ["line 2", f"abonent {deleted} is deleted"]
    await refused(place, "run", "balances", "balances.csv", "--yes", told=told)
    place.write(f"{HEAD}{GOOD}АБ-00002;5\n", encoding="cp1251")
    told = ["line 3, column 1", "may be CP1251, KOI8-R or ISO 8859-5", "--encoding cp1251"]
    await refused(place, "run", "balances", "balances.csv", "--encoding", "utf-8", "--yes", told=told)


async def test_an_encoding_that_cannot_be_told_is_asked_for(place: Place) -> None:
    place.write(f"{HEAD}{GOOD}АБ-00002;5\n", encoding="cp1251")
    told = ["line 3, column 1", "this is 'АБ' in CP1251, 'юа' in KOI8-R", "--encoding cp1251, --encoding koi8-r"]
    await refused(place, "run", "balances", "balances.csv", "--yes", told=told)
    ended = await place.run("balances", "balances.csv", "--encoding", "cp1251")
    assert ended["states"] == {"accepted": 2}


@pytest.mark.parametrize(("encoding", "name"), [("cp1251", "CP1251"), ("koi8-r", "KOI8-R"), ("cp866", "CP866")])
async def test_an_old_encoding_that_is_surely_one_is_read_as_that_and_said_so(
    place: Place, encoding: str, name: str
) -> None:
    place.write("номер договора;сумма\n00003;1,50\nАБ-00002;5\n", encoding=encoding)
    ended = await place.cli("run", "balances", "balances.csv", "--yes", "--json")
    assert f"read as {name}, for its bytes are not UTF-8" in ended.words
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
        (
            ["run", "balances", "x.csv", "--set", f"op_type={MANY}"],
            ["op_type: '9999", "the largest"],
        ),
        (["run", "operator", "--set", "operator=2147483648"], ["operator: '2147483648' is not an id"]),
        (
            ["run", "warning-threshold", "--set", "amount=922337203.69"],
            ["amount: ", "can hold"],
        ),
        ([*CALL, f'objects.get {{"id": {MANY}}}'], ["link 1", "more than any number of the billing"]),
        ([*CALL, f'objects.get {{"id": {"[" * 5000}{"]" * 5000}}}'], ["link 1", "brackets in brackets without end"]),
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


async def test_the_good_rows_go_ahead_on_request(place: Place) -> None:
    place.write(f"{HEAD}{GOOD}АБ-00002;12,5O\nнет такого;5\n")
    ended = await place.cli("run", "balances", "balances.csv", "--yes", "--skip-bad", "--json", may_end_with=(1,))
    assert ended.closing["states"] == {"accepted": 1}
    assert ended.closing["refused"] == 2
    assert "line 3, column amount" in ended.words
    assert "line 4, column contract_number" in ended.words
    assert (await place.found()).rows == 1


async def test_many_refused_rows_are_counted_and_kept_for_an_export(place: Place) -> None:
    place.write(HEAD + "".join(f"нет-{number};5\n" for number in range(30)))
    ended = await place.cli("run", "balances", "balances.csv", "--yes", may_end_with=(2,))
    (run,) = await place.runs()
    assert "line 21," in ended.words
    assert "line 22," not in ended.words
    assert f"… and 10 more; all of them with: carbon-migrate export {run.name} --state refused" in ended.words


async def test_json_closes_a_refusal_as_well(place: Place) -> None:
    ended = await place.cli.closing("run", "balances", "nowhere.csv", ends=2)
    assert (ended["states"], "there is no file" in ended["error"]) == ({}, True)
    # Nobody there to ask is a no.
    told = ["no terminal to confirm on", "Send these 5 rows", "--yes"]
    await refused(place, "run", "balances", str(place.balances(5).path), told=told)
