"""One subscriber, named on the command line by the contract number that people have."""

import pytest

from tests.cli.conftest import Place

NUMBER = "00003"


def accepted_of(place: Place) -> list[tuple[int, str]]:
    query = (
        "select o.op_summa, a.contract_number from finance_operations o join abonents a on a.id = o.abonent_id "
        "where o.op_type = 8 order by o.op_id"
    )
    return [(summa, number) for summa, number in place.billing.database.query(query)]


def id_of(place: Place, number: str) -> str:
    ((key,),) = place.billing.database.query(
        "select id from abonents where contract_number = :number and deleted = 0", {"number": number}
    )
    return str(key)


@pytest.mark.parametrize("with_database", [True, False])
async def test_the_one_row_is_named_by_contract_number(place: Place, with_database: bool) -> None:
    if not with_database:
        del place.cli.environment["CARBON_MIGRATE_DATABASE"]
    arguments = ("balances", "--set", f"contract_number={NUMBER}", "--set", "amount=5")
    planned = await place.cli("plan", *arguments, "--json")
    assert planned.closing["states"] == {"pending": 1}
    ended = await place.cli("run", *arguments, "--yes", "--json")
    assert ended.closing["states"] == {"accepted": 1}
    assert accepted_of(place) == [(5 * 10**10, NUMBER)]
    (run,) = await place.runs()
    assert run.parameters["contract_number"] == NUMBER
    again = await place.cli("run", *arguments, "--yes", "--json")
    assert again.closing["states"] == {"skipped": 1}


async def test_a_number_is_a_text_and_exact(place: Place) -> None:
    arguments = ("--set", f"contract_number={NUMBER.lstrip('0')}", "--set", "amount=5", "--yes", "--json")
    await place.cli.refused("run", "balances", *arguments, says=f"there is no contract number '{NUMBER.lstrip('0')}'")
    assert accepted_of(place) == []


async def test_a_job_with_a_select_of_its_own_and_several_parameters(place: Place) -> None:
    arguments = ("tariff-next", "--set", f"contract_number={NUMBER}", "--set", "tariff=2", "--set", "date=2030-01-01")
    ended = await place.cli("run", *arguments, "--yes", "--json")
    assert ended.closing["states"] == {"accepted": 1}
    threshold = ("warning-threshold", "--set", f"contract_number={NUMBER}", "--set", "amount=-77")
    ended = await place.cli("run", *threshold, "--yes", "--json")
    assert ended.closing["states"] == {"accepted": 1}
    ended = await place.cli("run", *threshold, "--set", "folder=89", "--yes", may_end_with=(2,))
    assert "--set folder=… chooses rows for the job's own select" in ended.words


async def test_one_subscriber_beside_rows_that_name_their_own_is_refused(place: Place) -> None:
    """The job's own select would find every subscriber, and what was typed would count for none."""
    for given in (f"contract_number={NUMBER}", f"abonent_id={id_of(place, NUMBER)}"):
        ended = await place.cli("run", "tariff-threshold", "--set", given, "--yes", may_end_with=(2,))
        name = given.partition("=")[0]
        assert f"--set {name}=… names one for all rows" in ended.words
        assert "names its own in the column abonent_id" in ended.words
    place.write("contract_number;amount\n00003;1\n")
    given = f"abonent_id={id_of(place, '00005')}"
    ended = await place.cli("run", "balances", "balances.csv", "--set", given, "--yes", may_end_with=(2,))
    assert "names its own in the column contract_number" in ended.words
    assert accepted_of(place) == []


async def test_an_id_and_a_number_that_differ_are_refused(place: Place) -> None:
    key = id_of(place, NUMBER)
    arguments = ("balances", "--set", f"abonent_id={key}", "--set", "amount=5", "--yes", "--json")
    ended = await place.cli("run", *arguments, "--set", "contract_number=00005", may_end_with=(2,))
    says = "contract_number=…, given for all rows, says '00005'"
    assert f"abonent {key} has the contract number '{NUMBER}', {says}" in ended.words
    assert accepted_of(place) == []
    ended = await place.cli("run", *arguments, "--set", f"contract_number={NUMBER}")
    assert ended.closing["states"] == {"accepted": 1}


async def test_a_chain_that_was_typed_takes_number_and_login(place: Place) -> None:
    chain = ("--model", "AdminAccounts", "--chain", 'objects.get {"account_id_abonents": {abonent_id}}')
    rest = ("--chain", 'set {"limit_warning": "-77"}', "--chain", "save")
    ended = await place.cli("run", "call", *chain, *rest, "--set", f"contract_number={NUMBER}", "--yes", "--json")
    assert ended.closing["states"] == {"accepted": 1}
    ((login,),) = place.billing.database.query("select first 1 login from users where deleted = 0 order by id")
    ended = await place.cli("run", "ip-pool", "--set", f"login={login}", "--set", "pool=6", "--yes", "--json")
    assert ended.closing["states"] == {"accepted": 1}
    ended = await place.cli("run", "ip-pool", "--set", "login=nobody", "--set", "pool=6", "--yes", may_end_with=(2,))
    assert "there is no account with the login 'nobody'" in ended.words


async def test_a_job_file_says_it_too(place: Place) -> None:
    arguments = ("balances", "--set", f"contract_number={NUMBER}", "--set", "amount=5")
    await place.cli("run", *arguments, "--save", "one.toml")
    assert f'contract_number = "{NUMBER}"' in (place.cli.folder / "one.toml").read_text(encoding="utf-8")
    ended = await place.cli("run", "one.toml", "--yes", "--json")
    assert ended.closing["states"] == {"accepted": 1}
    assert accepted_of(place) == [(5 * 10**10, NUMBER)]
