"""The steps of an import: what is created in which order, what is skipped, named, changed or refused."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest

from billing.database.database import Database
from billing.money import SCALE
from billing.profile import Fact, Profile, TypeEight
from checkpoints.states import State
from engine.errors import InputRefused
from engine.evidence import Accepted
from engine.job import Absent, Entries, Found, Marked, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.payload import decode_payload, payload_of
from jobs.effects.subscriber_steps import SubscriberSteps
from jobs.imports.subscriber import Step, Subscriber
from lab.mock.server import MockBilling
from tests.jobs.conftest import FOLDER, Execute
from tests.jobs.importing import filled, planned, step_by_step, subscriber, whole
from tests.jobs.making import RUN, readings, sightings
from tests.jobs.whole_database import changes, new_rows
from tests.jobs.whole_database import whole as whole_database

TWO = [whole(), whole("00778", 2, "popov")]
SUM = "op_summa"
STEPS = ["subscriber/", "account/{}", "tariff/", "service/126", "attribute/7", "threshold/", "limit/", "balance/"]


async def reasons(effect: SubscriberSteps, *subscribers: Subscriber) -> dict[str, str | None]:
    """Why each step is skipped."""
    done = await effect.plan_subscribers(subscribers)
    assert done.refusals == ()
    return {decode_payload(one.payload).step: one.skip_reason for one in done.items}


async def why_refused(effect: SubscriberSteps, *subscribers: Subscriber) -> list[tuple[str | None, str]]:
    """The column and the reason of each refused row."""
    done = await effect.plan_subscribers(subscribers)
    assert done.items == ()
    return [(one.column, one.reason) for one in done.refusals]


# ---- a new subscriber -------------------------------------------------------------------------------------------


async def test_a_subscriber_is_made_step_by_step_and_then_found_as_wanted(
    gateway: Gateway, database: Database
) -> None:
    effect = SubscriberSteps(gateway)
    await effect.try_out()
    items = await planned(effect, TWO)
    assert [item.key for item in items] == [
        "folder/Дома",
        "folder/Дома/Новые",
        *(f"00777/{step}".format("novikov") for step in STEPS),
        *(f"00778/{step}".format("popov") for step in STEPS),
    ]
    assert {item.lane for item in items} == {"folders", "contract:00777", "contract:00778"}
    assert await sightings(effect, items) == [Absent()] * len(items)
    before = whole_database(database)

    done = await step_by_step(effect, items)

    found = changes(before, whole_database(database))
    folders, subscribers = new_rows(found, "ABONENTS")[:2], new_rows(found, "ABONENTS")[2:]
    assert [(one["NAME"], one.get("PARENT_ID"), one["IS_FOLDER"]) for one in folders] == [
        ("Дома", None, 1),
        ("Новые", folders[0]["ID"], 1),
    ]
    assert [(one["CONTRACT_NUMBER"], one["PARENT_ID"], one["TARIF_ID"], one["SMS"]) for one in subscribers] == [
        (number, folders[1]["ID"], 2, "+79001234567") for number in ("00777", "00778")
    ]
    for table in ("USERS", "USERS_USLUGA", "ATTRIBUTE_VALUES", "FINANCE_OPERATIONS"):
        assert [one["ABONENT_ID"] for one in new_rows(found, table)] == [one["ID"] for one in subscribers], table
    money = [(one["BALANCE"], one["LIMIT_WARNING"], one["limit"]) for one in new_rows(found, "ADMIN_ACCOUNTS")]
    assert money == [(1250 * SCALE // 100, -50 * SCALE, -100 * SCALE)] * 2

    assert all(isinstance(one, Found) for one in await sightings(effect, done))
    assert await effect.visible(RUN, done) == {one.item_id for one in done}
    assert all(one.difference is None for one in await readings(effect, done))
    # The id of somebody else, as a person may have typed it: nothing goes to it.
    (person, *_) = [item for item in done if item.key == "00777/subscriber/"]
    assert await effect.visible(RUN, [msgspec.structs.replace(person, answer="9001")]) == set()
    # The same table again, by a journal that knows nothing of it.
    again = await planned(SubscriberSteps(gateway), TWO)
    assert {item.state for item in again} == {State.SKIPPED}


async def test_what_is_filled_in_later_is_no_sooner_looked_for_nor_shown_as_known(gateway: Gateway) -> None:
    effect = SubscriberSteps(gateway)
    items = await planned(effect, TWO[:1])
    by_key = {item.key: item for item in items}
    account, balance = by_key["00777/account/novikov"], by_key["00777/balance/"]
    assert effect.describe(RUN.name, account).startswith('Users: objects.create(abonent_id="<00777/subscriber/>"')
    assert effect.needs(balance) == ("00777/limit/", "00777/subscriber/")
    assert await sightings(effect, [balance]) == [Absent()]
    assert await effect.visible(RUN, [account]) == set()
    # An id that is none is never sent.
    person = by_key["00777/subscriber/"]
    for answer in (None, "", "x", "0", str(2**31)):
        with pytest.raises(InputRefused, match="the id of 00777 is not known"):
            filled(effect, account, {person.key: msgspec.structs.replace(person, answer=answer)})


async def test_a_new_folder_is_asked_for_once_whatever_the_pages(gateway: Gateway) -> None:
    effect = SubscriberSteps(gateway)
    first, second = [await planned(effect, [one]) for one in TWO]
    assert [item.key for item in first + second if item.lane == "folders"] == ["folder/Дома", "folder/Дома/Новые"]
    assert payload_of(second[0]).needs == ("folder/Дома/Новые",)
    # A page that is planned anew has them again.
    assert [item.key for item in await planned(effect, TWO) if item.lane == "folders"] == [
        "folder/Дома",
        "folder/Дома/Новые",
    ]


async def test_a_folder_that_is_there(gateway: Gateway) -> None:
    for folder, parent in [
        ({"path": ""}, None),
        ({"id": str(FOLDER)}, FOLDER),
        ({"path": " Странные / "}, FOLDER),
        ({}, None),
    ]:
        effect = SubscriberSteps(gateway)
        (item,) = await planned(effect, [subscriber("00777", 1, (Step.FOLDER, folder), name="Новиков")])
        assert payload_of(item).steps[0][1].get("parent_id") == parent
        assert payload_of(item).fills == {}


async def test_a_lost_subscriber_is_not_absent_while_anything_new_waits_to_be_carried_out(
    gateway: Gateway, mock_billing: MockBilling
) -> None:
    effect = SubscriberSteps(gateway)
    (item,) = await planned(effect, [subscriber("00777", name="Новиков")])
    mock_billing.stack_rate = 0.001
    assert isinstance(await effect.send(RUN, item), Accepted)
    assert await sightings(effect, [item]) == [Absent()]
    assert await effect.visible(RUN, [item]) == set()
    waits = "EVENTS_STACK_COMPACT holds 1 entry" if gateway.database else None
    assert await effect.unfinished_work([item]) == waits
    mock_billing.stack_rate = 0
    await mock_billing.wait_for_stacks()
    assert await effect.unfinished_work([item]) is None
    assert await effect.visible(RUN, [item]) == {item.item_id}


# ---- what is there ----------------------------------------------------------------------------------------------


@pytest.fixture
def having(execute: Execute) -> None:
    """What the subscriber 9001 has: an account, a service, an attribute; 9010 has a balance."""
    execute.put("users", id=90001, abonent_id=9001, login="ivanov", pull=5)
    execute.put("users_usluga", id=90001, abonent_id=9001, usluga_id=126, manager_id=34)
    execute.put("attribute_values", id=90001, abonent_id=9001, attribute_id=7, attribute_value="a")
    execute("update admin_accounts set ostatok = ? where id = 9010", 100 * SCALE)


DIFFERING = subscriber(
    "00123",
    1,
    (Step.FOLDER, {"path": "Дома/Новые"}),
    (Step.ACCOUNT, {"login": "ivanov", "pull": "6", "psw": "•••0123456789abcdef.0123456789abcdef"}),
    (Step.TARIFF, {"tarif_id": "3"}),
    (Step.SERVICE, {"usluga_id": "126", "manager_id": "33"}),
    (Step.ATTRIBUTE, {"attribute_id": "7", "attribute_value": "b"}),
    (Step.THRESHOLD, {"limit_warning": "-50.00"}),
    (Step.LIMIT, {"limit": "-100"}),
    name="ИВАНОВ",
)
AGAIN = "; --change changes it"


@pytest.mark.usefixtures("having")
async def test_what_differs_is_named_and_left_and_what_is_empty_is_set(gateway: Gateway, database: Database) -> None:
    effect = SubscriberSteps(gateway)
    different = "there already, and different: "
    assert await reasons(effect, DIFFERING) == {
        "subscriber": f"{different}name: Иванов → ИВАНОВ, parent_id: 9100 → Дома/Новые{AGAIN}",
        "account": f"{different}pull: 5 → 6{AGAIN}",
        "tariff": f"{different}tarif_id: 2 → 3{AGAIN}",
        "service": f"{different}manager_id: 34 → 33{AGAIN}",
        "attribute": f"{different}attribute_value: a → b{AGAIN}",
        "threshold": f"{different}limit_warning: -120 → -50{AGAIN}",
        # There was none.
        "limit": None,
    }
    before = whole_database(database)
    await step_by_step(effect, await planned(effect, [DIFFERING]))
    assert changes(before, whole_database(database)) == {"ADMIN_ACCOUNTS": {9001: {"limit": (None, -100 * SCALE)}}}


@pytest.mark.usefixtures("having")
async def test_nothing_is_given_to_who_has_the_number_and_another_name(gateway: Gateway) -> None:
    belongings = (
        (Step.ACCOUNT, {"login": "petrov"}),
        (Step.LIMIT, {"limit": "-100"}),
        (Step.SERVICE, {"usluga_id": "127", "manager_id": "33"}),
    )
    petrov = subscriber("00123", 1, *belongings, name="Петров")
    found = await reasons(SubscriberSteps(gateway), petrov)
    assert all((reason or "").startswith("there already, and different: ") for reason in found.values()), found
    assert found["subscriber"] == f"there already, and different: name: Иванов → Петров{AGAIN}"
    assert "may be somebody else" in (found["account"] or "")
    assert (await reasons(SubscriberSteps(gateway, change=True), petrov))["account"] is None


@pytest.mark.usefixtures("having")
async def test_what_differs_is_changed_where_that_was_said(gateway: Gateway, database: Database) -> None:
    effect = SubscriberSteps(gateway, change=True)
    before = whole_database(database)
    done = await step_by_step(effect, await planned(effect, [DIFFERING]))
    found = changes(before, whole_database(database))
    folders = [row["ID"] for row in new_rows(found, "ABONENTS")]
    assert found.pop("ABONENTS")[9001] == {
        "NAME": ("Иванов", "ИВАНОВ"),
        "PARENT_ID": (FOLDER, folders[1]),
        "TARIF_ID": (2, 3),
    }
    assert found.pop("USERS")[90001]["PULL"] == (5, 6)
    assert found == {
        "USERS_USLUGA": {90001: {"MANAGER_ID": (34, 33)}},
        "ATTRIBUTE_VALUES": {90001: {"ATTRIBUTE_VALUE": ("a", "b")}},
        "ADMIN_ACCOUNTS": {9001: {"LIMIT_WARNING": (-120 * SCALE, -50 * SCALE), "limit": (None, -100 * SCALE)}},
    }
    assert await readings(effect, done) == [ReadBack(None)] * len(done)
    assert await effect.visible(RUN, done) == {one.item_id for one in done}


BALANCES: Sequence[tuple[str, str, bool, str | None]] = [
    ("00777", "0", False, "a balance of 0 needs no operation"),
    ("123", "0.00", False, "a balance of 0 needs no operation"),
    ("123", "50", False, None),
    ("77/2", "100", False, "already as wanted: the balance is 100.00"),
    (
        "77/2",
        "50",
        False,
        "there already, and different: the balance is 100.00, the row says 50.00; --change enters it",
    ),
    ("77/2", "0", True, None),
]


@pytest.mark.usefixtures("having")
async def test_a_balance_is_entered_where_none_is_there(gateway: Gateway) -> None:
    found = [
        (await reasons(SubscriberSteps(gateway, change=change), subscriber(number, 1, (Step.BALANCE, {SUM: amount}))))
        for number, amount, change, _ in BALANCES
    ]
    assert [one["balance"] for one in found] == [reason for *_, reason in BALANCES]


@pytest.mark.usefixtures("having")
async def test_where_type_8_adds_a_balance_that_is_there_is_left(gateway: Gateway) -> None:
    adds = Profile(type_8=Fact(TypeEight.ADDS))
    effect = SubscriberSteps(replace(gateway, profile=adds), change=True)
    found = await reasons(effect, subscriber("77/2", 1, (Step.BALANCE, {SUM: "50"})))
    assert (found["balance"] or "").startswith("there already, and different: the balance is 100.00")


@pytest.mark.usefixtures("having")
async def test_entries_of_another_journal_are_found_of_subscribers_that_are_there(
    gateway: Gateway, execute: Execute
) -> None:
    execute.put(
        "finance_operations",
        op_id=90001,
        abonent_id=9002,
        op_type=8,
        op_summa=7 * SCALE,
        op_date="2026-01-02",
        descr="[cm aaaaa/1]",
    )
    effect = SubscriberSteps(gateway)
    rows = [subscriber(number, 1, (Step.BALANCE, {SUM: "50"})) for number in ("00777", "123")]
    items = (await effect.plan_subscribers(rows)).items
    found = await effect.find_entries(items)
    assert found.keys() == {"123/balance/"}
    (marked,) = found["123/balance/"].marked
    assert (marked.run, marked.number) == ("aaaaa", 1)
    assert isinstance(marked, Marked)
    assert found["123/balance/"] == Entries((marked,))


# ---- refusals ---------------------------------------------------------------------------------------------------

SHARED = (
    "its account of money is also that of abonent 9008, whose balance this would replace: leave the balance out "
    "here, and enter it with the job balances"
)
REFUSED: Sequence[tuple[Subscriber, str | None, str]] = [
    (
        subscriber("00777", 1, (Step.ACCOUNT, {"login": "ivanov"})),
        "login",
        "the login 'ivanov' is that of abonent 9001 already",
    ),
    (
        subscriber("123", 1, (Step.ACCOUNT, {"login": "ivanov"})),
        "login",
        "the login 'ivanov' is that of abonent 9001 already",
    ),
    (
        subscriber("00777", 1, *[(Step.SERVICE, {"usluga_id": "126"})] * 2),
        None,
        "usluga_id 126 twice for one subscriber",
    ),
    (subscriber("00777", 1, (Step.ACCOUNT, {"login": ""})), None, "login is empty: which object is meant?"),
    (subscriber("ДУБЛЬ", 1), None, "several subscribers have the contract number 'ДУБЛЬ': 9004, 9005"),
    (subscriber("00777", 1, (Step.FOLDER, {"id": "9001"})), "id", "there is no folder 9001, or it is deleted"),
    (subscriber("00123", 1, (Step.BALANCE, {SUM: "5"})), None, SHARED),
    (subscriber("БЕЗСЧЁТА", 1, (Step.LIMIT, {"limit": "5"})), None, "abonent 9007 has no account"),
    (
        subscriber("00777", 1, (Step.BALANCE, {SUM: "5,0"})),
        SUM,
        "'5,0' is not an amount: money is written as -1234.50 here",
    ),
    (subscriber("", 1), "contract_number", "'' is not a contract number"),
]


@pytest.mark.usefixtures("having")
async def test_a_row_is_refused_as_a_whole(gateway: Gateway) -> None:
    effect = SubscriberSteps(gateway)
    assert [await why_refused(effect, row) for row, _, _ in REFUSED] == [
        [(column, reason)] for _, column, reason in REFUSED
    ]


async def test_a_number_whose_bearer_is_deleted_is_free(gateway: Gateway) -> None:
    assert await reasons(SubscriberSteps(gateway), subscriber("ГОСТЬ-1", name="Гость")) == {"subscriber": None}
