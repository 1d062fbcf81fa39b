"""Another journal, or a person, enters rows of a run between its list and its calls: no row is entered twice."""

from collections.abc import Sequence
from decimal import Decimal

import anyio
import pytest

from billing.api.calls import create
from billing.api.client import BillingClient, ClientSettings
from engine.evidence import Accepted
from engine.pipeline.witness import FRESH
from tests.cli.conftest import MODEL, Ended, Place

ROWS = 24
MARK = " [cm zzzzz/7]"
"""Of a run that no journal of this machine has."""
BALANCES = ("balances",)
RECEIPTS = ("balances", "--set", "op_type=2")


@pytest.fixture(params=["with a database", "without a database"])
def asked(request: pytest.FixtureRequest, place: Place) -> Place:
    if request.param == "without a database":
        del place.cli.environment["CARBON_MIGRATE_DATABASE"]
    return place


@pytest.fixture(params=["of an unknown run", "of another row of a known run"])
async def mark(request: pytest.FixtureRequest, asked: Place) -> str:
    """A mark of others. Two copies of a journal may have given one number to two rows."""
    if request.param == "of an unknown run":
        return MARK
    (*_, last) = subscribers(asked, ROWS + 1)
    file = asked.write(f"abonent_id;amount\n{last};3\n", "earlier.csv")
    run = (await asked.cli("run", "balances", file, "--yes", "--json")).closing["run"]
    return f" [cm {run}/1]"


def subscribers(place: Place, rows: int) -> list[int]:
    """Subscribers with an account of their own each."""
    found = place.billing.database.query(
        "select first :rows min(id) from abonents where is_folder = 0 and deleted = 0 and account_id is not null "
        "group by account_id having count(*) = 1 order by 1",
        {"rows": rows},
    )
    return [key for (key,) in found]


def amount_of(key: int) -> Decimal:
    return Decimal(100_00 + key) / 100


async def enter(place: Place, op_type: int, entries: Sequence[tuple[int, str]]) -> None:
    """What others enter through the same API: operations of the rows' sums."""
    async with BillingClient(ClientSettings(place.billing.url)) as client:
        for key, text in entries:
            values = {"abonent_id": key, "op_summa": amount_of(key), "op_type_id": op_type, "descr": text}
            assert isinstance(await client.send(create(MODEL, **values)), Accepted)


async def run_while(
    place: Place, job: tuple[str, ...], keys: Sequence[int], others: Sequence[tuple[int, str]]
) -> Ended:
    """A fresh run, during whose first call others enter; what could be looked for ahead was looked for."""
    file = place.write("\n".join(["abonent_id;amount", *(f"{key};{amount_of(key)}" for key in keys)]) + "\n")
    began: list[str] = []

    async def meanwhile(body: str) -> None:
        if "objects.create" in body and not began:
            began.append(body)
            await enter(place, 2 if job is RECEIPTS else 8, others)
            # Longer than a look ahead counts, as a call of a busy billing takes.
            await anyio.sleep(2 * FRESH)

    place.traffic.meanwhile = meanwhile
    flags = ("--yes", "--json", "--in-flight", "1", "--no-canary", "--stop-after-errors", "never")
    return await place.cli("run", *job, file, *flags, may_end_with=(4,))


@pytest.mark.parametrize("job", [BALANCES, RECEIPTS], ids=["balances", "receipts"])
async def test_what_comes_between_list_and_call_is_seen_before_each_call(
    asked: Place, job: tuple[str, ...], mark: str
) -> None:
    keys = subscribers(asked, ROWS)
    by_journal, by_hand = keys[1::3], keys[2::3]
    others = [*((key, "Остаток" + mark) for key in by_journal), *((key, "Остаток") for key in by_hand)]
    ended = await run_while(asked, job, keys, others)
    assert ended.closing["states"] == {
        "accepted": ROWS - len(others),
        "rejected": len(by_journal),
        "manual": len(by_hand),
    }
    assert ("entered from another journal: run zzzzz" in ended.words) == (mark == MARK)
    assert ("which is another row in this journal" in ended.words) == (mark != MARK)
    there = asked.billing.ledger.effects(MODEL)
    assert {key: there.get(key, 0) for key in keys} == dict.fromkeys(keys, 1)


async def test_verify_says_what_another_journal_has_entered_as_well(asked: Place, mark: str) -> None:
    """Two machines at the same second: neither has seen the other."""
    keys = subscribers(asked, 6)
    file = asked.write("\n".join(["abonent_id;amount", *(f"{key};{amount_of(key)}" for key in keys)]) + "\n")
    run = (await asked.cli("run", "balances", file, "--yes", "--json")).closing["run"]
    await enter(asked, 8, [(key, "Остаток" + mark) for key in keys[:2]])
    # What was entered by hand, or of another sum, is another entry.
    await enter(asked, 8, [(keys[2], "Остаток")])
    ended = await asked.cli("verify", run, "--json", may_end_with=(1,))
    sums = [sum(map(amount_of, some), Decimal(0)) for some in (keys, keys[:2])]
    told = ended.closing
    assert (told["different"], told["entered_twice"]) == (2, 2)
    assert (Decimal(told["expected"]), Decimal(told["found"])) == (sums[0], sums[0] + sums[1])
    other, number = mark.removeprefix(" [cm ").removesuffix("]").split("/")
    twice = f"entered twice: as row 1 of run {run}, and with the marks of others: row {number} of run {other}"
    assert twice in ended.words
    assert "2 of them entered twice" in ended.words


async def test_what_a_person_has_seen_is_not_asked_again(place: Place) -> None:
    keys = subscribers(place, 3)
    ended = await run_while(place, BALANCES, keys, [(key, "Остаток") for key in keys[1:]])
    run = ended.closing["run"]
    assert ended.closing["states"] == {"accepted": 1, "manual": 2}
    for number in ("2", "3"):
        await place.cli("decide", f"{run}/{number}", "pending", "--why", "both are meant")
    # Only one more entry, which nobody has seen, asks once more.
    await enter(place, 8, [(keys[2], "Остаток")])
    ended = await place.cli("resume", run, "--yes", "--json", "--settle", "0", may_end_with=(4,))
    assert ended.closing["states"] == {"accepted": 2, "manual": 1}
    there = place.billing.ledger.effects(MODEL)
    assert [there[key] for key in keys] == [1, 2, 2]
