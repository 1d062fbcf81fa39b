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

from billing.api.client import BillingClient, ClientSettings, Patience
from billing.contract_numbers import Suggestion
from billing.database.database import KEYS_A_STATEMENT, Database
from billing.database.dsn import Dsn
from billing.database.sql_blocks import SqlStatement, Values, blocks
from billing.directory import subscribers as abonents
from billing.directory import subscribers as operations
from billing.directory.models import MODELS, RECEIPT, same_value, same_values
from billing.directory.names import NamedObject, in_database, of_answer
from billing.directory.objects import commented
from billing.directory.subscribers import Abonent, Operation, accounts_taken, numbers_taken, pool_ranges
from billing.directory.system import Stacks, check_scale, depth, waiting_for
from billing.errors import OtherScale, UnreadableAnswer
from jobs.access.gateway import Gateway
from jobs.imports.names_there import NamesThere, read_names
from lab.mock.people import FOLDERS, POOLS
from lab.mock.server import MockBilling
from tests.billing.selects.selecting import change

LIVE = "select id from abonents where is_folder = 0 and deleted = 0"


def _ids(database: Database, where: str = "") -> list[int]:
    return [key for (key,) in database.query(f"{LIVE} {where} order by id")]


def test_by_ids_gives_folders_and_deleted_ones_too(either_database: Database) -> None:
    ((deleted,),) = either_database.query("select first 1 id from abonents where deleted = 1 order by id")
    found = {a.id: a for a in abonents.by_ids(either_database, [89, deleted, 2001, 2001, 999_999_999])}
    assert found.keys() == {89, 2001, deleted}
    assert found[89] == Abonent(89, None, FOLDERS[89], None, True, False, None)
    assert found[deleted].deleted
    assert not found[2001].is_folder
    assert found[2001].account_id is not None


def test_more_ids_than_one_statement_takes(either_database: Database) -> None:
    wanted = _ids(either_database)
    assert len(wanted) == 1_000
    assert sorted(a.id for a in abonents.by_ids(either_database, wanted)) == wanted


def test_by_contract_numbers(either_database: Database) -> None:
    numbers = {
        number: key
        for key, number in either_database.query("select id, contract_number from abonents where is_folder = 0")
        if number
    }
    shapes = {
        "zero": next(n for n in numbers if n.startswith("0")),
        "cyrillic": next(n for n in numbers if n.startswith("АБ-")),
        "latin": next(n for n in numbers if "J" in n),
    }
    found = {a.contract_number for a in abonents.by_contract_numbers(either_database, shapes.values())}
    assert found == set(shapes.values())
    assert len({a.contract_number for a in abonents.by_contract_numbers(either_database, numbers)}) == len(numbers)


def test_a_number_that_cannot_be_there_is_simply_not_found(either_database: Database) -> None:
    for number in ["x" * 65, "я" * 300, "", "' or '1'='1", "00001;", "%", "日本\U0001f600"]:
        ((real,),) = either_database.query("select contract_number from abonents where id = 2001")
        assert [a.id for a in abonents.by_contract_numbers(either_database, [number, real])] == [2001]


def test_a_number_can_be_there_twice(billing_file: object) -> None:
    dsn = Dsn(str(billing_file))
    change(
        dsn,
        "update abonents set contract_number = 'TWICE', deleted = 1 where id = 2001",
        "update abonents set contract_number = 'TWICE', deleted = 0 where id = 2002",
    )
    with Database(dsn) as database:
        found = list(abonents.by_contract_numbers(database, ["TWICE"]))
    assert [(a.id, a.deleted) for a in found] == [(2001, True), (2002, False)]


def test_balances_in_roubles(either_database: Database) -> None:
    ids = _ids(either_database)[:600]
    scaled: dict[int, int] = dict(
        either_database.query(
            "select a.id, aa.ostatok + aa.debit - aa.credit"
            " from abonents a join admin_accounts aa on aa.id = a.account_id"
        )
    )
    balances = dict(abonents.balances(either_database, ids))
    assert balances == {key: Decimal(scaled[key]) / 10**10 for key in ids}


def test_suggestions_go_once_over_all_numbers(either_database: Database) -> None:
    cyrillic = next(
        n
        for _, n in either_database.query("select id, contract_number from abonents where contract_number like 'АБ%'")
    )
    typed = cyrillic.replace("А", "A", 1)
    found = abonents.suggestions(either_database, [typed, "ЖЖЖЖЖ"])
    assert found[typed][0] == Suggestion(cyrillic, "the same in Cyrillic letters")
    assert found["ЖЖЖЖЖ"] == []


def test_operations_of_one_type_on_many_subscribers(either_database: Database) -> None:
    rows = list(
        either_database.query(
            "select op_id, abonent_id, op_summa, descr, op_date from finance_operations where op_type = 2"
        )
    )
    found = list(operations.of_abonents(either_database, range(2001, 3_500), RECEIPT))
    assert {o.op_id: o for o in found} == {
        op: Operation(op, abonent, RECEIPT, Decimal(summa) / 10**10, descr, False, f"{happened:%Y-%m-%d}")
        for op, abonent, summa, descr, happened in rows
    }
    assert list(operations.of_abonents(either_database, range(2001, 3_500))) == [], "no opening balance yet"


def test_reversed_ones_and_empty_comments(billing_file: Path) -> None:
    dsn = Dsn(str(billing_file))
    change(
        dsn,
        "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date, storno)"
        " values (900001, 2001, 8, -505000000000, '2026-02-03 23:59:59', 1)",
    )
    with Database(dsn) as database:
        assert list(operations.of_abonents(database, [2001])) == [
            Operation(900001, 2001, 8, Decimal("-50.50"), "", True, "2026-02-03")
        ]
        assert dict(operations.newest(database, [2001])) == {2001: 900001}


def test_the_last_operation_of_each(either_database: Database) -> None:
    rows = either_database.query("select abonent_id, op_id from finance_operations order by op_id")
    assert dict(operations.newest(either_database, range(2001, 3_500))) == dict(rows)


def test_a_folder_is_named_with_those_above_it(billing_file: Path) -> None:
    change(billing_file, "update abonents set name = 'Мира 5/1' where id = 1400")
    with Database(Dsn(str(billing_file))) as database:
        found = in_database(database, "Folder") or []
    assert {one.id: (*one.above, *one.names) for one in found} == {
        89: ("Частный сектор",),
        1000: ("Многоквартирные дома",),
        1316: ("Перенесённые",),
        1400: ("Многоквартирные дома", "Мира 5/1"),
    }
    there = NamesThere.of({"Folder": found})
    assert [one.id for one in there.named("Folder", "Многоквартирные дома/Мира 5\\/1")] == [1400]
    assert [one.id for one in there.named("Folder", "Мира 5/1")] == [1400]


def test_folders_that_lie_in_each_other_have_a_path_all_the_same(billing_file: Path) -> None:
    change(billing_file, "update abonents set parent_id = 1400 where id = 1000")
    with Database(Dsn(str(billing_file))) as database:
        found = {one.id: one.above for one in in_database(database, "Folder") or ()}
    assert found[1000] == ("Новостройки",)
    assert found[1400] == ("Многоквартирные дома",)


def test_what_this_billing_has_no_table_for_has_no_names(billing_file: Path) -> None:
    change(billing_file, "alter table operators drop name", "update tarif set deleted = 1 where id = 2")
    with Database(Dsn(str(billing_file))) as database:
        assert in_database(database, "Operator") is None
        assert [one.id for one in in_database(database, "Tarif") or () if one.deleted] == [2]
        assert NamedObject(1030, ("Домашняя сеть, NAT",)) in (in_database(database, "SnatPool") or ())
        assert NamedObject(7, ("Льгота",)) in (in_database(database, "Attribute") or ())


async def test_without_a_database_the_api_tells_the_names_of_its_models(mock_billing: MockBilling) -> None:
    async with BillingClient(ClientSettings(mock_billing.url), patience=Patience(attempts=1)) as client:
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


def test_an_answer_of_another_shape_is_refused() -> None:
    with pytest.raises(UnreadableAnswer):
        of_answer("Tarif", ["Домашний"])


SERVICES = (
    "select id from users_usluga where abonent_id between 2001 and 2100 and comment like '%обещанный%' order by id"
)
OPERATIONS_OF = [(key, -1) for key in range(2001, 2601)]
RECEIPTS = (
    "select op_id from finance_operations where abonent_id between 2001 and 2600 and op_type = 2 order by op_id"
)


def test_services_deleted_ones_too(either_database: Database) -> None:
    found = commented(either_database, "UsersUsluga", [(key, 0) for key in range(2001, 2101)], "Обещанный")
    assert [int(thing.values["id"] or 0) for thing in found] == [key for (key,) in either_database.query(SERVICES)]
    assert found
    assert {thing.values["usluga_id"] for thing in found} == {"240"}
    assert all("обещанный" in str(thing.values["comment"]) and thing.account_id for thing in found)


def test_operations_of_more_subscribers_than_go_into_one_statement(either_database: Database) -> None:
    found = commented(either_database, "FinanceOperations", OPERATIONS_OF, "наличными")
    wanted = [key for (key,) in either_database.query(RECEIPTS)]
    assert sorted(int(thing.values["op_id"] or 0) for thing in found) == wanted
    assert all(thing.abonent_id is not None and 2001 <= thing.abonent_id <= 2600 for thing in found)
    assert commented(either_database, "FinanceOperations", OPERATIONS_OF, "[cm k7m2q/") == []


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


def test_it_is_told_in_words() -> None:
    assert Stacks(1, 2).described == "ACCOUNT_STACK holds 1 entry, EVENTS_STACK_COMPACT holds 2 entries"
    assert not Stacks(0, 0).described


def test_the_usual_scale(either_database: Database) -> None:
    assert check_scale(either_database)


SCALE = "update vpn_const set const_value = "


def test_the_same_number_written_otherwise(billing_file: Path) -> None:
    change(billing_file, f"{SCALE}' 10000000000.00 '")
    with Database(Dsn(str(billing_file))) as database:
        assert check_scale(database)


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


def test_all_contract_numbers_are_read_with_those_of_deleted_subscribers(either_database: Database) -> None:
    found = [one for page in numbers_taken(either_database) for one in page]
    sql = "select a.id, a.contract_number, a.deleted from abonents a where a.is_folder = 0 order by a.id"
    wanted = [(number, bool(deleted), str(key)) for key, number, deleted in either_database.query(sql) if number]
    assert [(one.number, one.deleted, one.abonent) for one in found] == wanted
    assert {one.deleted for one in found} == {True, False}


def test_all_accounts_are_read_with_their_subscribers(either_database: Database) -> None:
    found = [one for page in accounts_taken(either_database) for one in page]
    sql = (
        "select u.login, u.ip, u.deleted, a.id, a.contract_number from users u "
        "join abonents a on a.id = u.abonent_id order by u.id"
    )
    wanted = [
        (login, str(IPv4Address(ip)) if ip else "", bool(deleted), str(key), number or "")
        for login, ip, deleted, key, number in either_database.query(sql)
    ]
    assert [(one.login, one.address, one.deleted, one.abonent, one.number) for one in found] == wanted


def test_pools_have_their_ranges(either_database: Database) -> None:
    assert pool_ranges(either_database) == {str(key): (pool.first, pool.last) for key, pool in POOLS.items()}


AMOUNTS = st.decimals("-99999999.99", "99999999.99", places=2)


@given(amount=AMOUNTS, zeros=st.integers(0, 8), other=AMOUNTS)
def test_money_is_the_same_however_many_zeros_it_ends_in(amount: Decimal, zeros: int, other: Decimal) -> None:
    text = f"{amount:f}{'0' * zeros}"
    assert same_value("balance", text, f"{amount.normalize():f}")
    assert same_value("op_summa", text, f"{other:f}") == (amount == other)


@given(moment=st.datetimes())
def test_a_moment_is_the_same_however_it_is_written(moment: object) -> None:
    written = str(moment)
    assert same_value("next_date", written, written.replace(" ", "T"))


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


def test_objects_are_the_same_where_all_their_fields_are() -> None:
    assert same_values({"limit": "5", "pull": "6"}, {"pull": "6", "limit": "5.00"})
    assert not same_values({"limit": "5"}, {"limit": "5", "pull": None})


WITHOUT_AN_INDEX: Final[Mapping[str, str]] = {
    "Abonents, abonents_by_name": "only the few names of folders are looked up; no index on it is documented",
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
