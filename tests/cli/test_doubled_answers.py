"""A proxy answers one row twice and swallows the next: no row is accepted that is not in the billing."""

from collections import Counter

import pytest

from checkpoints.states import State
from tests.cli.conftest import MODEL, Place
from tests.cli.doubling_proxy import Fault, doubling

IDS = (2003, 2004, 2005, 2006, 2009, 2010)
PAY = ("--model", "Abonents", "--chain", 'objects.get {"id": {id}}', "--chain", 'add_payment {"SUM_IN": "{sum}"}')
ONE = ("--yes", "--json", "--in-flight", "1", "--no-canary", "--settle", "0.1")
BALANCES = ("balances",)
PAYMENT = ("payment", "--set", "way=add_payment")
CALL = ("call", *PAY)
AMOUNTS = {key: f"{100 + place}.25" for place, key in enumerate(IDS)}


def entered(place: Place) -> Counter[tuple[int, int]]:
    """How often each subscriber has which new operation, by its sum in kopecks."""
    wanted = {int(amount.replace(".", "")) for amount in AMOUNTS.values()}
    rows = place.billing.database.query("select abonent_id, op_summa from finance_operations where op_type <> 1")
    found = Counter((abonent, int(amount) // 10**8) for abonent, amount in rows)
    return Counter({key: times for key, times in found.items() if key[0] in AMOUNTS and key[1] in wanted})


async def test_no_row_is_credited_with_the_answer_to_another(
    place: Place, job: tuple[str, ...], model: str, at: int, fault: Fault
) -> None:
    first = "id" if "call" in job else "abonent_id"
    second = "sum" if "call" in job else "amount"
    lines = [f"{first};{second}", *(f"{key};{amount}" for key, amount in AMOUNTS.items())]
    file = place.write("\n".join(lines) + "\n")
    async with doubling(place.billing.url, model, at, fault) as proxy:
        place.cli.environment["CARBON_MIGRATE_API_URL"] = proxy.url
        stops = fault is Fault.FORBIDDEN
        closing = (await place.cli("run", *job, file, *ONE, may_end_with=(3,) if stops else (0, 4))).closing
        if stops:
            assert closing["states"]["unknown"] == 1
            closing = (await place.cli("resume", "--json", "--settle", "0.1", may_end_with=(0, 4))).closing
    assert proxy.happened
    run = (await place.runs())[0]
    async with place.journal() as journal:
        items = await journal.items(run, set(State))
    there = entered(place)
    wanted = Counter({(key, int(amount.replace(".", ""))): 1 for key, amount in AMOUNTS.items()})
    assert not there - wanted, "entered twice"
    accepted = {int(item.row[0]) for item in items if item.state is State.ACCEPTED}
    assert accepted <= {abonent for abonent, _ in there}, "accepted, and not in the billing"
    assert {item.state for item in items} <= {State.ACCEPTED, State.MANUAL}, closing
    # A row whose answer was doubled may be left to a person where it has no mark; no other one is.
    assert sum(item.state is State.MANUAL for item in items) <= (0 if job is BALANCES else 1)


async def test_fields_are_not_said_to_be_set_by_the_answer_to_another_row(
    place: Place, fault_of_fields: Fault
) -> None:
    """The swallowed call is lost, and made again: it does no harm twice."""
    lines = ["abonent_id;amount", *(f"{key};-{amount}" for key, amount in AMOUNTS.items())]
    file = place.write("\n".join(lines) + "\n")
    async with doubling(place.billing.url, "AdminAccounts", 3, fault_of_fields) as proxy:
        place.cli.environment["CARBON_MIGRATE_API_URL"] = proxy.url
        closing = (await place.cli("run", "warning-threshold", file, *ONE)).closing
    assert proxy.happened
    assert closing["states"] == {"accepted": len(IDS)}
    rows = place.billing.database.query(
        "select a.id, aa.limit_warning from abonents a join admin_accounts aa on aa.id = a.account_id"
    )
    there = {key: int(scaled) for key, scaled in rows if key in AMOUNTS}
    assert there == {key: -int(amount.replace(".", "")) * 10**8 for key, amount in AMOUNTS.items()}


async def test_rows_whose_answers_name_them_share_a_connection(place: Place) -> None:
    """What makes a run safe costs the jobs that enter many rows nothing: two connections for twenty rows."""
    balances = place.balances(20)
    async with doubling(place.billing.url, "FinanceOperations", 0, Fault.HELD) as proxy:
        place.cli.environment["CARBON_MIGRATE_API_URL"] = proxy.url
        closing = (await place.cli("run", "balances", balances.path, *ONE)).closing
    assert closing["states"] == {"accepted": 20}
    assert proxy.connections[MODEL] == 2


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each job, with the fault at an answer to a call whose connection is shared, where the job's calls share any."""
    faulty = ((BALANCES, "FinanceOperations", 3), (PAYMENT, "add_payment", 2), (CALL, "add_payment", 2))
    cases = [(job, text, at, fault) for job, text, at in faulty for fault in Fault]
    if "fault_of_fields" in metafunc.fixturenames:
        # What may be repeated is refused as a page says, and stops where it says so.
        refused = {Fault.BAD_REQUEST, Fault.FORBIDDEN, Fault.UNKNOWN_ERROR}
        metafunc.parametrize("fault_of_fields", [fault for fault in Fault if fault not in refused])
    names = [f"{job[0]}-{fault}" for job, _, _, fault in cases]
    if "fault" in metafunc.fixturenames and "job" in metafunc.fixturenames:
        metafunc.parametrize(("job", "model", "at", "fault"), cases, ids=names)
