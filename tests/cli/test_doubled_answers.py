"""A proxy answers one row twice and swallows the next: no row is accepted that is not in the billing."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice

import pytest

from checkpoints.states import State
from tests.cli.conftest import MODEL, Place
from tests.cli.doubling_proxy import Fault, doubling

ROWS = 6
PAY = ("--model", "Abonents", "--chain", 'objects.get {"id": {id}}', "--chain", 'add_payment {"SUM_IN": "{sum}"}')
ONE = ("--yes", "--json", "--in-flight", "1", "--no-canary", "--settle", "0.1")
BALANCES = ("balances",)
PAYMENT = ("payment", "--set", "way=add_payment")
CALL = ("call", *PAY)
FAULTY = ((BALANCES, "FinanceOperations", 3), (PAYMENT, "add_payment", 2), (CALL, "add_payment", 2))
"""Each job, with the fault at an answer to a call whose connection is shared, where the job's calls share any."""
REFUSED = {Fault.BAD_REQUEST, Fault.FORBIDDEN, Fault.UNKNOWN_ERROR}
"""What may be repeated is refused as a page says, and stops where it says so."""


def amounts_of(place: Place) -> Iterator[dict[int, str]]:
    """An amount in roubles for each of a few subscribers, as often as one likes, never for one again."""
    keys = iter(place.subscribers(ROWS * len(Fault)))
    while chosen := [*islice(keys, ROWS)]:
        yield {key: f"{100 + number}.25" for number, key in enumerate(chosen)}


def entered(place: Place, amounts: Mapping[int, str]) -> Counter[tuple[int, int]]:
    """How often each subscriber has which new operation, by its sum in kopecks."""
    wanted = {int(amount.replace(".", "")) for amount in amounts.values()}
    rows = place.query("select abonent_id, op_summa from finance_operations where op_type <> 1")
    found = Counter((abonent, int(amount) // 10**8) for abonent, amount in rows)
    return Counter({key: times for key, times in found.items() if key[0] in amounts and key[1] in wanted})


@pytest.mark.parametrize(("job", "text", "at"), FAULTY, ids=[job[0] for job, _, _ in FAULTY])
async def test_no_row_is_credited_with_the_answer_to_another(
    place: Place, job: tuple[str, ...], text: str, at: int
) -> None:
    header = "id;sum" if job is CALL else "abonent_id;amount"
    for fault, amounts in zip(Fault, amounts_of(place), strict=True):
        file = place.rows(header, *(f"{key};{amount}" for key, amount in amounts.items()))
        async with doubling(place.billing.url, text, at, fault) as proxy:
            way = ("--api-url", proxy.url)
            stops = fault is Fault.FORBIDDEN
            ends = (3,) if stops else (0, 4)
            closing = (await place.cli("run", *job, file, *ONE, *way, may_end_with=ends)).closing
            if stops:
                assert closing["states"]["unknown"] == 1
                resume = ("resume", closing["run"], "--json", "--settle", "0.1", *way)
                closing = (await place.cli(*resume, may_end_with=(0, 4))).closing
        assert proxy.happened, fault
        async with place.journal() as journal:
            items = await journal.items(await journal.run(closing["run"]), set(State))
        there = entered(place, amounts)
        wanted = Counter({(key, int(amount.replace(".", ""))): 1 for key, amount in amounts.items()})
        assert not there - wanted, f"{fault}: entered twice"
        accepted = {int(item.row[0]) for item in items if item.state is State.ACCEPTED}
        assert accepted <= {abonent for abonent, _ in there}, f"{fault}: accepted, and not in the billing"
        assert {item.state for item in items} <= {State.ACCEPTED, State.MANUAL}, closing
        # A row whose answer was doubled may be left to a person where it has no mark; no other one is.
        assert sum(item.state is State.MANUAL for item in items) <= (0 if job is BALANCES else 1), fault


async def test_fields_are_not_said_to_be_set_by_the_answer_to_another_row(place: Place) -> None:
    """The swallowed call is lost, and made again: it does no harm twice."""
    for fault, amounts in zip(set(Fault) - REFUSED, amounts_of(place), strict=False):
        file = place.rows("abonent_id;amount", *(f"{key};-{amount}" for key, amount in amounts.items()))
        async with doubling(place.billing.url, "AdminAccounts", 3, fault) as proxy:
            closing = await place.run("warning-threshold", file, *ONE[2:], "--api-url", proxy.url)
        assert proxy.happened, fault
        assert closing["states"] == {"accepted": ROWS}
        rows = place.query(
            "select a.id, aa.limit_warning from abonents a join admin_accounts aa on aa.id = a.account_id"
        )
        there = {key: int(scaled) for key, scaled in rows if key in amounts}
        assert there == {key: -int(amount.replace(".", "")) * 10**8 for key, amount in amounts.items()}, fault


async def test_rows_whose_answers_name_them_share_a_connection(place: Place) -> None:
    """What makes a run safe costs the jobs that enter many rows nothing: two connections for twenty rows."""
    balances = place.balances(20)
    async with doubling(place.billing.url, "FinanceOperations", 0, Fault.HELD) as proxy:
        place.cli.environment["CARBON_MIGRATE_API_URL"] = proxy.url
        closing = (await place.cli("run", "balances", balances.path, *ONE)).closing
    assert closing["states"] == {"accepted": 20}
    assert proxy.connections[MODEL] == 2
