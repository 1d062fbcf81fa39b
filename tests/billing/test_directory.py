"""Subscribers, operations, names, stacks and scale as the databases of Firebird 5 and 3 have them."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.api.client import BillingClient
from billing.database.database import KEYS_A_STATEMENT, Database
from billing.database.dsn import Dsn
from billing.database.sql_blocks import SqlStatement, Values, blocks
from billing.directory import subscribers as abonents
from billing.directory.models import MODELS, same_value
from billing.directory.names import NamedObject, in_database, of_answer
from billing.directory.objects import commented, from_database
from billing.directory.subscribers import Suggestion, accounts_taken, numbers_taken, pool_ranges
from billing.directory.system import Stacks, check_scale, depth, waiting_for
from billing.errors import OtherScale
from jobs.access.gateway import Gateway
from jobs.imports.names_there import read_names
from lab.mock.population import POOLS
from lab.mock.server import MockBilling
from tests.billing.selects.selecting import change

LIVE = "select id from abonents where is_folder = 0 and deleted = 0"


def _ids(database: Database, where: str = "") -> list[int]:
    return [key for (key,) in database.query(f"{LIVE} {where} order by id")]


def test_more_ids_than_one_statement_takes(either_database: Database) -> None:
    wanted = _ids(either_database)
    assert len(wanted) == 1_000
    found = from_database(either_database, "Abonents", [{"id": str(key)} for key in wanted], ("id",))
    assert [one.values["id"] for (one,) in found] == list(map(str, wanted))


def test_suggestions_go_once_over_all_numbers(either_database: Database) -> None:
    cyrillic = next(
        n
        for _, n in either_database.query("select id, contract_number from abonents where contract_number like 'АБ%'")
    )
    typed = cyrillic.replace("А", "A", 1)
    found = abonents.suggestions(either_database, [typed, "ЖЖЖЖЖ"])
    assert found[typed][0] == Suggestion(cyrillic, "the same in Cyrillic letters")
    assert found["ЖЖЖЖЖ"] == []


def test_what_this_billing_has_no_table_for_has_no_names(billing_file: Path) -> None:
    change(billing_file, "alter table operators drop name", "update tarif set deleted = 1 where id = 2")
    with Database(Dsn(str(billing_file))) as database:
        assert in_database(database, "Operator") is None
        assert [one.id for one in in_database(database, "Tarif") or () if one.deleted] == [2]
        assert NamedObject(1030, ("Домашняя сеть, NAT",)) in (in_database(database, "SnatPool") or ())
        assert NamedObject(7, ("Льгота",)) in (in_database(database, "Attribute") or ())


async def test_without_a_database_the_api_tells_the_names_of_its_models(
    client: BillingClient, mock_billing: MockBilling
) -> None:
    there = await read_names(Gateway(client))
    both = await read_names(Gateway(client, mock_billing.database))
    assert {kind for kind in both.objects if there.knows(kind)} == {"Tarif", "Usluga", "Folder", "Manager"}
    for kind in ("Tarif", "Usluga", "Folder", "Manager"):
        assert there.objects[kind] == both.objects[kind]
    assert [one.id for one in both.named("Manager", "migration")] == [33]
    assert both.knows("Operator")


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ([{"id": 5, "name": " А  б "}], [NamedObject(5, ("А б",))]),
        ([{"pk": "5", "fields": {"name": "А", "deleted": True}}], [NamedObject(5, ("А",), deleted=True)]),
        ([{"id": "x", "name": "А"}, {"id": 7, "name": None}, {"id": 8}, {"id": 99999999999, "name": "Б"}], []),
        ([], []),
    ],
)
def test_what_the_api_answers_is_read_with_care(answer: object, names: list[NamedObject]) -> None:
    assert of_answer("Tarif", answer) == names


def test_services_deleted_ones_too(either_database: Database) -> None:
    fields = ("id", "usluga_id", "comment")
    found = commented(either_database, "UsersUsluga", [(key, 0) for key in range(2001, 2101)], "Обещанный", fields)
    assert [int(thing.values["id"] or 0) for thing in found] == [key for (key,) in either_database.query(SERVICES)]
    assert found
    assert {thing.values["usluga_id"] for thing in found} == {"240"}
    assert all("обещанный" in str(thing.values["comment"]) and thing.account_id for thing in found)


SERVICES = (
    "select id from users_usluga where abonent_id between 2001 and 2100 and comment like '%обещанный%' order by id"
)


def test_what_waits_is_counted_whole_and_by_whom_it_concerns(billing_file: Path) -> None:
    dsn = Dsn(str(billing_file))
    with Database(dsn) as database:
        assert depth(database) == Stacks(0, 0)
        change(
            dsn,
            "insert into account_stack (id, account_id) values (1, 17)",
            "insert into account_stack (id, account_id) values (2, 18)",
            "insert into events_stack_compact (id, abonent_id) values (1, 5)",
        )
        # The connection was open before: each query sees what was committed until then.
        assert depth(database) == Stacks(2, 1)
        assert waiting_for(database, accounts=[17, 99], abonents=[6]) == Stacks(1, 0)


SCALE = "update vpn_const set const_value = "


@pytest.mark.parametrize("value", ["1000000", "100", "1e9", "much", ""])
def test_another_scale_is_refused_by_its_number(billing_file: Path, value: str) -> None:
    change(billing_file, f"{SCALE}'{value}'")
    with Database(Dsn(str(billing_file))) as database, pytest.raises(OtherScale) as caught:
        check_scale(database)
    assert f"a rouble is {value!r}" in str(caught.value)
    assert "10000000000" in str(caught.value)


@pytest.mark.parametrize("statement", [f"{SCALE}null", "delete from vpn_const", "drop table vpn_const"])
def test_where_it_is_not_said_that_is_told(billing_file: Path, statement: str) -> None:
    change(billing_file, statement)
    with Database(Dsn(str(billing_file))) as database:
        assert not check_scale(database)


def test_numbers_accounts_and_pools_are_read_with_those_of_deleted_ones(either_database: Database) -> None:
    numbers = [one for page in numbers_taken(either_database) for one in page]
    sql = "select a.id, a.contract_number, a.deleted from abonents a where a.is_folder = 0 order by a.id"
    rows = [(number, bool(deleted), str(key)) for key, number, deleted in either_database.query(sql) if number]
    assert [(one.number, one.deleted, one.abonent) for one in numbers] == rows
    assert {one.deleted for one in numbers} == {True, False}
    found = [one for page in accounts_taken(either_database) for one in page]
    sql = (
        "select u.login, u.ip, u.deleted, a.id, a.contract_number from users u "
        "join abonents a on a.id = u.abonent_id order by u.id"
    )
    wanted = [
        (login, str(IPv4Address(ip)) if ip else "", bool(deleted), str(key), number or "")
        for login, ip, deleted, key, number in either_database.query(sql)
    ]
    assert [(one.login, one.ip, one.deleted, one.abonent, one.number) for one in found] == wanted
    assert pool_ranges(either_database) == {str(key): (first, last) for key, (_, first, last) in POOLS.items()}


AMOUNTS = st.decimals("-99999999.99", "99999999.99", places=2)


@given(amount=AMOUNTS, zeros=st.integers(0, 8), other=AMOUNTS)
def test_money_is_the_same_however_many_zeros_it_ends_in(amount: Decimal, zeros: int, other: Decimal) -> None:
    text = f"{amount:f}{'0' * zeros}"
    assert same_value("balance", text, f"{amount.normalize():f}")
    assert same_value("op_summa", text, f"{other:f}") == (amount == other)


@pytest.mark.parametrize(
    ("field", "one", "other", "is_same"),
    [
        ("need_recalc", "2026-03-01", "2026-03-01 00:00:00", True),
        ("time_del", "2026-03-01T00:00:00", "2026-03-01", True),
        ("time_del", "2026-03-01 00:00:01", "2026-03-01", False),
        ("limit", "-459.90", "-459.9", True),
        ("limit", "-459.90", "-459.91", False),
        ("limit", "0", "-0.00", True),
        ("limit", "0", None, False),
        ("limit", None, None, True),
        ("limit", "n/a", "5", False),
        ("limit", "n/a", "n/a", True),
        ("need_recalc", "soon", "2026-03-01", False),
        # A contract number is a text, and no number.
        ("contract_number", "00123", "123", False),
        ("attribute_value", "50.50", "50.5", False),
    ],
)
def test_the_kind_of_a_field_decides(field: str, one: str | None, other: str | None, *, is_same: bool) -> None:
    assert same_value(field, one, other) is is_same
    assert same_value(field, other, one) is is_same


WITHOUT_AN_INDEX: Final[Mapping[str, str]] = {
    "Abonents, where a.name in (:keys)": "only the few names of folders are looked up; no index on it is documented",
    "attributes_in_use": "each id is looked up once a run; no index on it is documented",
    "in_folders": "all subscribers are walked through once, a page a statement",
    "pools_in_use": "each id is looked up once a run; no index on it is documented",
    "snat_pools_in_use": "each id is looked up once a run; no index on it is documented",
    "waits_for_accounts": "a stack holds only what is not applied yet; no index on it is documented",
    "waits_for_abonents": "a stack holds only what is not applied yet; no index on it is documented",
}
"""The look-ups that read a whole table, each with the reason why it may."""

# A plan depends on the number of keys, not on the keys; each list of them has a name of its own.
_VALUES: Final[Values] = defaultdict(
    lambda: range(KEYS_A_STATEMENT), {"type": 8, "text": "[cm", "size": 1, "after": 0}
)


def _look_ups(database: Database) -> Iterator[tuple[str, SqlStatement]]:
    """Each statement with a list of keys, by a name."""
    for file in ("subscribers", "references", "system"):
        for block in blocks(file, "billing.directory").values():
            if " in (:" in block.text:
                yield block.name, block
    for name, model in MODELS.items():
        there = model.there(database.schema)
        for end in {*model.keys.values(), *filter(None, [model.commented])}:
            yield f"{name}, {end}", model.selecting(there, end)


def test_each_look_up_finds_its_keys_by_an_index(either_database: Database) -> None:
    plans = {name: either_database.describe(one, _VALUES).plan for name, one in _look_ups(either_database)}
    walking = {name: plan for name, plan in plans.items() if re.search(r"\b(NATURAL|ORDER)\b", plan)}
    assert {name: plan for name, plan in walking.items() if name not in WITHOUT_AN_INDEX} == {}
    assert walking.keys() == WITHOUT_AN_INDEX.keys()
