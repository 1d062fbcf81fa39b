"""`run call`: any chain, its placeholders filled from the rows."""

import re
from collections.abc import Sequence

import pytest

from checkpoints.states import State
from tests.cli.conftest import Place

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


def thresholds(place: Place, folder: int) -> set[int]:
    query = (
        "select aa.limit_warning from abonents a join admin_accounts aa on aa.id = a.account_id "
        "where a.parent_id = :folder and a.is_folder = 0 and a.deleted = 0"
    )
    return {value for (value,) in place.billing.database.query(query, {"folder": folder})}


async def test_the_vendors_third_recipe_runs_verifies_and_is_taken_back(place: Place) -> None:
    before = thresholds(place, 89)
    arguments = ("run", "call", *THRESHOLD, "--sql", SELECT, "--set", "folder=89", "--set", "sum=-120", "--yes")
    closing = (await place.cli(*arguments, "--json")).closing
    assert closing["states"].keys() == {"accepted"}
    assert thresholds(place, 89) == {-120 * 10**10}
    await place.cli("verify", closing["run"])
    # A second time there is nothing to do.
    again = (await place.cli(*arguments, "--json")).closing
    assert again["calls"] == 0
    assert again["states"].keys() == {"skipped"}
    await place.cli("undo", closing["run"], "--yes")
    assert thresholds(place, 89) == before


async def test_a_row_of_a_file_fills_the_placeholders(place: Place) -> None:
    place.write("id;sum\n2003;-7,5\n2004;-8\n", "rows.csv")
    await place.cli.refused("run", "call", *THRESHOLD, "rows.csv", "--yes", says=["line 2", "'-7,5' is not a number"])
    place.write("id;sum\n2003;-7.5\n2004;-8\n", "rows.csv")
    closing = (await place.cli("run", "call", *THRESHOLD, "rows.csv", "--yes", "--json")).closing
    assert closing["states"] == {"accepted": 2}


SMS = ("--model", "Abonents", "--chain", 'objects.get {"id": {id}}', "--chain", 'set {"sms": "+79990000001"}')
AND_SAVE = ("--chain", "set", "--chain", "save", "--set", "id=2003", "--yes", "--json")


async def test_another_chain_for_the_same_row_is_another_call(place: Place) -> None:
    """Methods that nobody knows are not to be repeated: what an earlier run has called is told by the whole call."""
    mail = (*SMS[:4], "--chain", 'set {"email": "a@example.org"}')
    assert (await place.cli("run", "call", *SMS, *AND_SAVE)).closing["states"] == {"accepted": 1}
    assert (await place.cli("run", "call", *mail, *AND_SAVE)).closing["states"] == {"accepted": 1}
    # The same call is known again, whatever its placeholder is called.
    again = [word.replace("{id}", "{who}").replace("id=", "who=") for word in (*SMS, *AND_SAVE)]
    ended = await place.cli("run", "call", *again)
    assert ended.closing["states"] == {"skipped": 1}
    assert "entered by an earlier run" in ended.words
    query = "select sms, email from abonents where id = 2003"
    assert list(place.billing.database.query(query)) == [("+79990000001", "a@example.org")]


async def test_calls_without_placeholders_are_told_apart(place: Place) -> None:
    for sms in ("+79990000001", "+79990000002"):
        chain = ('objects.get {"id": 2003}', f'set {{"sms": "{sms}"}}', "set", "save")
        links = [word for link in chain for word in ("--chain", link)]
        ended = await place.cli("run", "call", "--model", "Abonents", *links, "--yes", "--json")
        assert ended.closing["states"] == {"accepted": 1}
    async with place.journal() as journal:
        (last, _) = await journal.runs()
        (item,) = [item async for page in journal.each_page(last, frozenset(State)) for item in page]
    assert re.fullmatch(r"Abonents-[0-9a-f]{10}/1", item.key)
    assert item.label == "one call"


async def test_what_must_not_be_repeated_warns_of_what_that_means(place: Place) -> None:
    arguments = ("plan", "call", *PAY, "--set", "id=2003", "--set", "sum=5")
    assert "nobody can find out whether a lost call had its effect" in (await place.cli(*arguments)).out
    for flag in (("--repeatable",), ("--look-up", "select op_id from finance_operations where abonent_id = :id")):
        assert "nobody can find out" not in (await place.cli(*arguments, *flag)).out


async def test_money_that_is_created_is_entered_once_and_summed(place: Place) -> None:
    place.write("id;sum\n2003;50.5\n2004;7\n", "rows.csv")
    run = ("run", "call", *CREATE, "rows.csv", "--yes", "--json")
    closing = (await place.cli(*run)).closing
    assert (closing["states"], closing["amounts"]) == ({"accepted": 2}, {"accepted": "57.5"})
    await place.cli("verify", closing["run"])
    marked = "select abonent_id, descr from finance_operations where descr like '[cm %' order by 1"
    assert list(place.billing.database.query(marked)) == [
        (2003, f"[cm {closing['run']}/1]"),
        (2004, f"[cm {closing['run']}/2]"),
    ]
    # However its call is written, the same operation is known, and another sum is refused.
    written = 'objects.create {"descr": "x", "op_summa": "{n}", "abonent_id": 2003, "op_type_id": "1"}'
    again = ("run", "call", "--model", "FinanceOperations", "--chain", written, "--yes")
    await place.cli.refused(*again, "--set", "n=50.50", says=f"looks as if entered already: by run {closing['run']}")
    await place.cli.refused(*again, "--set", "n=50.51", says=f"run {closing['run']} has entered 50.50 for this key")
    await place.cli("undo", closing["run"], "--set", "way=opposite", "--yes")
    ((left,),) = place.billing.database.query(
        "select cast(sum(op_summa) as numeric(18, 0)) from finance_operations where descr like '%[cm %'"
    )
    assert left == 0


async def test_money_that_is_paid_is_no_part_of_the_key(place: Place) -> None:
    place.write("id;sum\n2003;50.5\n2004;7\n", "rows.csv")
    run = ("run", "call", *PAY, "rows.csv", "--yes", "--json")
    closing = (await place.cli(*run)).closing
    assert (closing["states"], closing["amounts"]) == ({"accepted": 2}, {"accepted": "57.5"})
    await place.cli.refused(*run, says=f"looks as if entered already: by run {closing['run']}")
    place.write("id;sum\n2003;50.6\n", "rows.csv")
    await place.cli.refused(*run, says=f"run {closing['run']} has entered 50.50 for this key")
    place.write("id;sum\n2003;5,5\n", "rows.csv")
    assert "'5,5' is not an amount" in (await place.cli(*run, may_end_with=(2,))).words


async def test_money_that_is_created_counts_towards_its_limit(place: Place) -> None:
    place.write("id;sum\n2003;50\n2004;70\n", "rows.csv")
    ended = await place.cli("run", "call", *CREATE, "rows.csv", "--limit-money", "60", "--yes", may_end_with=(3,))
    assert "60" in ended.words
    assert (await place.found()).rows == 1


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("89;5", "abonent 89 is a folder"),
        ("999999;5", "there is no abonent 999999"),
        ("2003;5,5", "'5,5' is not an amount: money is written as -1234.50 here"),
        ("2003;1e3", "'1e3' is not an amount"),
        ("02003;5", "starts with a zero; is it a contract number?"),
    ],
)
async def test_rows_that_nothing_can_be_created_for_are_refused(row: str, told: str, place: Place) -> None:
    place.write(f"id;sum\n{row}\n", "rows.csv")
    await place.cli.refused("run", "call", *CREATE, "rows.csv", "--yes", says=["line 2", told])
    assert place.traffic.arrived == 0


async def test_an_empty_cell_empties_the_field_that_is_set(place: Place) -> None:
    links = ('objects.get {"id": {id}}', 'set {"sms": {sms}, "email": "{Почта}"}', "save")
    run = ("run", "call", "--model", "Abonents", *(word for link in links for word in ("--chain", link)))
    place.write("id;sms;почта\n2003;;\n2004;+79990000001;a@example.org\n", "rows.csv")
    closing = (await place.cli(*run, "rows.csv", "--yes", "--json")).closing
    assert closing["states"] == {"accepted": 2}
    query = "select sms, email from abonents where id in (2003, 2004) order by id"
    assert list(place.billing.database.query(query)) == [(None, ""), ("+79990000001", "a@example.org")]
    await place.cli("verify", closing["run"])
    # What finds the object is never empty, and a column has to be there.
    place.write("id;sms;почта\n;1;x\n", "rows.csv")
    await place.cli.refused(*run, "rows.csv", "--yes", says="line 2, column id: the cell is empty")
    place.write("id;sms\n2003;1\n", "rows.csv")
    assert "has no column Почта" in (await place.cli(*run, "rows.csv", "--yes", may_end_with=(2,))).words


async def test_money_is_never_emptied(place: Place) -> None:
    place.write("id;sum\n2003;\n", "rows.csv")
    ended = await place.cli("run", "call", *THRESHOLD, "rows.csv", "--yes", may_end_with=(2,))
    assert "line 2, column sum (2003): the cell is empty" in ended.words


async def test_a_cell_that_is_absurdly_long_is_refused_with_its_place(place: Place) -> None:
    chain = ("--chain", 'objects.get {"id": {id}}', "--chain", 'set {"name": "{name}"}', "--chain", "save")
    place.write(f"id;name\n2003;{'я' * 10_001}\n", "rows.csv")
    ended = await place.cli("run", "call", "--model", "Abonents", *chain, "rows.csv", "--yes", may_end_with=(2,))
    assert "line 2, column name (2003): the text has 10 001 characters, at most 10 000 are taken" in ended.words


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--model", "Users", "--chain", "set {a: 1}", "--set", "x=1"), ["link 1", "column 6: this is not JSON"]),
        ((*CREATE, "--sql", "select id from abonents"), ["has no column sum; it has: id", "--map sum=COLUMN"]),
        ((*CREATE, "--sql", "delete from abonents"), ["line 1, column 1", "does not begin a select"]),
        (("--chain", "save"), ["is not the name of a model"]),
        (("--model", "Users"), ["needs a method"]),
        (("--model", "Users", "--chain", 'set {"a": "{}"}'), ["column 12: {} is not a placeholder"]),
        (
            ("--model", "Users", "--chain", 'x {"a": "{№ договора}"}', "--sql", "select id from abonents"),
            ["has no column № договора; it has: id"],
        ),
        (
            ("--model", "Users", "--chain", 'x {"a": {fields}}', "--sql", "select id from abonents"),
            ["fields is said of the call as a whole; give the placeholder another name"],
        ),
        ((*PAY, "--set", "id=1", "--set", "sum=1", "--look-up", "update x"), ["does not begin a select"]),
        ((*CREATE, "--chain", "save"), ["enters its operation by itself: leave out what stands behind it, save"]),
        ((*CREATE[:3], 'objects.create {"abonent_id": {id}}'), ["has to say op_type_id, op_summa"]),
        ((*CREATE, "--look-up", "select 1 from abonents"), ["--look-up: nothing would look at it"]),
        ((*CREATE, "--repeatable"), ["--repeatable: nothing would look at it"]),
        ((*CREATE, "--set", "id=1", "--set", "sum=1", "--set", "sun=1"), ["no parameter 'sun'"]),
    ],
)
async def test_bad_calls_are_refused_before_anything_is_sent(
    arguments: Sequence[str], told: Sequence[str], place: Place
) -> None:
    ended = await place.cli("run", "call", *arguments, "--yes", may_end_with=(2,))
    for words in told:
        assert words in ended.words, ended.err
    assert place.traffic.arrived == 0
