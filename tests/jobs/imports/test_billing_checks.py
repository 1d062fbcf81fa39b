"""An input against the billing: what is taken there, and what is not there, with a database and without one."""

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address

import pytest

from billing.api.client import BillingClient
from jobs.access.gateway import Gateway
from jobs.imports.billing_checks import BillingChecks
from jobs.imports.fields import usual_fields
from jobs.imports.seen_values import SeenValues
from jobs.imports.subscriber import FOLDER_ID, NUMBER, Step, Subscriber, ValueFault
from tests.jobs.imports.subscribers import account, subscriber
from texts.said import said

Execute = Callable[..., None]
WITH_A_DATABASE = pytest.mark.parametrize("gateway", ["with a database"], indirect=True)


async def found(
    gateway: Gateway, subscribers: Sequence[Subscriber], *, alike: bool = False
) -> tuple[dict[str, str], dict[str, str], Sequence[str]]:
    """The reasons of faults and of warnings, by line and column, and what was not checked."""
    with SeenValues() as seen:
        seen.add(subscribers)
        checks = BillingChecks(gateway, usual_fields(), seen, alike=alike)
        await checks.survey()
        findings = await checks.judge(subscribers)
        return (
            _by_place([fault for one in findings for fault in one.faults]),
            _by_place([warning for one in findings for warning in one.warnings]),
            checks.notes,
        )


def _by_place(faults: Sequence[ValueFault]) -> dict[str, str]:
    return {f"{one.place.line} {one.place.column}": one.reason for one in faults}


async def test_what_is_there_already_is_no_fault(gateway: Gateway, execute: Execute) -> None:
    execute(
        "insert into users (id, abonent_id, login, ip) values (8001, 9002, 'ivan', ?)",
        int(IPv4Address("10.11.222.49")),
    )
    there = account(2, "123", login="ivan", ip="10.11.222.49")
    faults, warnings, _ = await found(gateway, [there, subscriber(3, "нов-1")])
    assert (faults, warnings) == ({}, {})


async def test_a_login_of_another_subscriber_is_a_fault(gateway: Gateway, execute: Execute) -> None:
    execute("insert into users (id, abonent_id, login) values (8001, 9002, 'ivan')")
    faults, _, _ = await found(gateway, [account(2, "нов-1", login="ivan"), account(3, "A15", login="user-new")])
    assert list(faults) == ["2 login"]
    assert faults["2 login"].startswith("the login is that of ")


async def test_an_address_of_another_account_is_a_fault(gateway: Gateway, execute: Execute) -> None:
    execute(
        "insert into users (id, abonent_id, login, ip) values (8001, 9002, 'ivan', ?)",
        int(IPv4Address("10.11.222.49")),
    )
    faults, _, _ = await found(gateway, [account(2, "123", login="petr", ip="10.11.222.49")])
    (reason,) = faults.values()
    assert reason.startswith("10.11.222.49 is the address of the account ivan in the billing, of ")


async def test_what_a_deleted_object_has_is_a_warning(gateway: Gateway, execute: Execute) -> None:
    execute("insert into users (id, abonent_id, login, deleted) values (8001, 9002, 'ivan', 1)")
    faults, warnings, _ = await found(gateway, [account(2, "ГОСТЬ-1", login="ivan")])
    assert faults == {}
    assert warnings[f"2 {NUMBER}"] == (
        "a deleted subscriber of the billing, abonent 9006, has the contract number: the billing may refuse it"
    )
    assert warnings["2 login"].startswith("the login is that of a deleted account of ")


async def test_a_number_that_was_given_to_another_is_there(gateway: Gateway) -> None:
    # 77/2 is that of a deleted subscriber and of a live one.
    assert (await found(gateway, [subscriber(2, "77/2")]))[:2] == ({}, {})


async def test_ids_that_the_billing_does_not_have_are_faults(gateway: Gateway) -> None:
    rows = [
        subscriber(
            2,
            "нов-1",
            {
                Step.FOLDER: {FOLDER_ID: "9100"},
                Step.TARIFF: {"tarif_id": "2"},
                Step.SERVICE: {"usluga_id": "127", "manager_id": "33"},
            },
        ),
        subscriber(
            3,
            "нов-2",
            {
                Step.FOLDER: {FOLDER_ID: "94"},
                Step.TARIFF: {"tarif_id": "777"},
                Step.SERVICE: {"usluga_id": "99999999999", "manager_id": "3333"},
            },
        ),
    ]
    faults, _, _ = await found(gateway, rows)
    assert faults == {
        "3 id": "the billing has no folder 94, or it is deleted",
        "3 tarif_id": "the billing has no tariff 777, or it is deleted",
        "3 usluga_id": "the billing has no service 99999999999, or it is deleted",
        "3 manager_id": "the billing has no administrator 3333, or it is deleted",
    }


async def test_what_no_object_can_have_is_not_asked_for(gateway: Gateway) -> None:
    # Its faults are told by others; the billing refuses a call about it.
    rows = [account(2, "н" * 100, login="л" * 100, ip="10.0.0.300"), account(3, "", login="", ip="")]
    faults, _, _ = await found(gateway, rows)
    assert faults == {}


@WITH_A_DATABASE
async def test_a_number_that_looks_like_one_of_the_billing_is_a_fault_until_said_otherwise(gateway: Gateway) -> None:
    # The billing has 00123 and 123, and A15 in Latin letters.
    rows = [subscriber(2, "0123"), subscriber(3, "А15"), subscriber(4, "123"), subscriber(5, "гость-1")]
    faults, _, _ = await found(gateway, rows)
    assert faults[f"3 {NUMBER}"] == (
        "the billing has the contract number 'A15', the same in Latin letters: write it in the same way if it is the "
        "same subscriber, or give --alike if both are right"
    )
    assert sorted(faults) == [f"2 {NUMBER}", f"3 {NUMBER}"]
    assert (await found(gateway, rows, alike=True))[0] == {}


@WITH_A_DATABASE
async def test_an_address_is_held_against_the_pools(gateway: Gateway) -> None:
    rows = [
        account(2, "нов-1", login="a", ip="172.20.1.1", pull="1040"),
        account(3, "нов-2", login="b", ip="172.20.1.2", pull="1050"),
        account(4, "нов-3", login="c", ip="203.0.113.7"),
        account(5, "нов-4", login="d", ip="198.51.100.9"),
    ]
    faults, warnings, _ = await found(gateway, rows)
    assert faults == {"3 ip": "172.20.1.2 is not in the pool 1050, which goes from 198.51.100.1 to 198.51.100.254"}
    assert warnings == {"4 ip": "203.0.113.7 is in none of the billing's pools"}


@WITH_A_DATABASE
async def test_without_a_table_of_pools_the_networks_in_use_are_known(gateway: Gateway, execute: Execute) -> None:
    execute("drop table ip_pulls")
    assert gateway.database is not None
    # Its next use reads the schema anew.
    gateway.database.close()
    rows = [account(2, "нов-1", login="a", ip="10.0.3.250"), account(3, "нов-2", login="b", ip="172.20.1.2")]
    execute(
        "insert into users (id, abonent_id, login, ip) values (8001, 9002, 'ivan', ?)", int(IPv4Address("10.0.3.7"))
    )
    faults, warnings, notes = await found(gateway, rows)
    assert faults == {}
    assert warnings == {"3 ip": "172.20.1.2 is in none of the networks in which the billing has accounts"}
    assert list(notes) == [
        said(
            "addresses were compared with the networks in which the billing has accounts, for its table of pools is "
            "not known"
        )
    ]


async def test_the_api_alone_says_what_it_could_not_check(client: BillingClient) -> None:
    _, _, notes = await found(Gateway(client), [subscriber(2, "0123")])
    assert list(notes) == [
        said(
            "contract numbers of the billing that only look like one of the input, and addresses out of its pools, "
            "were not looked for: that takes the billing's database"
        )
    ]
