"""Names of tariffs, services, folders and others, by both ways in."""

from pathlib import Path

import pytest

from billing.api.client import BillingClient, ClientSettings, Patience
from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.directory.names import NamedObject, in_database, of_answer
from billing.errors import UnreadableAnswer
from jobs.access.gateway import Gateway
from jobs.imports.names_there import NamesThere, read_names
from lab.mock.server import MockBilling


def execute(file: Path, *statements: str) -> None:
    connection = attach(Dsn(str(file)))
    for statement in statements:
        connection.execute_immediate(statement)
        connection.commit()
    connection.close()


def test_a_folder_is_named_with_those_above_it(billing_file: Path) -> None:
    execute(billing_file, "update abonents set name = 'Мира 5/1' where id = 1400")
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
    execute(billing_file, "update abonents set parent_id = 1400 where id = 1000")
    with Database(Dsn(str(billing_file))) as database:
        found = {one.id: one.above for one in in_database(database, "Folder") or ()}
    assert found[1000] == ("Новостройки",)
    assert found[1400] == ("Многоквартирные дома",)


def test_what_this_billing_has_no_table_for_has_no_names(billing_file: Path) -> None:
    execute(billing_file, "alter table operators drop name", "update tarif set deleted = 1 where id = 2")
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
