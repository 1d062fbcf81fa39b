"""What nobody documents of the real billing, answered the other way: each quirk changes one thing."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from billing.database.dsn import Dsn
from billing.errors import SettingsError
from lab.mock.chain import Chains, parse
from lab.mock.connection import MockConnection
from lab.mock.quirks import CHOICES, Quirks, describe_quirks, read_quirks
from lab.mock.refusals import MockRefusal
from lab.mock.server import running

ABONENT = 2001
LONG = "Миграция балансов [cm k7m2q/1]"
FIELDS = ["op_id", "descr"]


@pytest.fixture
def session(billing_file: Path) -> Iterator[MockConnection]:
    opened = MockConnection(Dsn(str(billing_file)))
    yield opened
    opened.close()


def call(session: MockConnection, quirks: Quirks, *steps: object, fields: list[str] | None = None) -> Any:
    form = {"fields": json.dumps(fields)} if fields is not None else {}
    for number, (method, arguments) in enumerate(zip(steps[::2], steps[1::2], strict=True), 1):
        form |= {f"method{number}": str(method), f"arg{number}": json.dumps(arguments, ensure_ascii=False)}
    return Chains(session, quirks).carry_out(parse("FinanceOperations", form), 1)


def create(session: MockConnection, quirks: Quirks, summa: str = "50.5", kind: int = 8) -> Any:
    values = {"abonent_id": ABONENT, "op_summa": summa, "op_type_id": kind, "descr": LONG}
    return call(session, quirks, "objects.create", values, fields=FIELDS)


def found(session: MockConnection, quirks: Quirks, **criteria: object) -> list[str]:
    things = call(session, quirks, "objects.filter", {"abonent_id": ABONENT, **criteria}, fields=["descr"])
    return [thing["fields"]["descr"] for thing in things]


def balance(session: MockConnection) -> Decimal:
    ((scaled,),) = session.execute(
        "select cast(aa.ostatok + aa.debit - aa.credit as bigint) from abonents a"
        " join admin_accounts aa on aa.id = a.account_id where a.id = ?",
        (ABONENT,),
    )
    return Decimal(scaled) / 10**10


def test_a_comment_is_cut_off(session: MockConnection) -> None:
    quirks = Quirks(descr_length=8)
    create(session, quirks)
    assert found(session, quirks, op_type_id=8) == ["Миграция"]


def test_a_creation_does_not_tell_its_comment(session: MockConnection) -> None:
    quirks = Quirks(descr_returned=False)
    answer = create(session, quirks)
    assert answer["fields"] == {"op_id": answer["pk"]}
    assert found(session, quirks, op_type_id=8) == [LONG]


def test_a_creation_answers_in_each_shape(session: MockConnection) -> None:
    whole = create(session, Quirks())
    assert whole == {
        "pk": whole["pk"],
        "model": "FinanceOperations",
        "fields": {"op_id": whole["pk"], "descr": LONG},
    }
    (listed,) = create(session, Quirks(create_answers="list"))
    assert listed["fields"] == {"op_id": listed["pk"], "descr": LONG}
    fields = create(session, Quirks(create_answers="fields"))
    assert fields == {"op_id": listed["pk"] + 1, "descr": LONG}
    assert create(session, Quirks(create_answers="id")) == listed["pk"] + 2


@pytest.mark.parametrize(
    ("filters", "works"),
    [
        ("none", set()),
        ("exact", {"descr"}),
        ("all", {"descr", "descr__contains", "descr__icontains", "descr__startswith"}),
    ],
)
def test_comments_are_filtered_by(session: MockConnection, filters: Any, works: set[str]) -> None:
    quirks = Quirks(descr_filters=filters)
    create(session, quirks)
    asked = {
        "descr": LONG,
        "descr__contains": "[cm k7m2q/",
        "descr__icontains": "[CM K7M2Q/",
        "descr__startswith": "Миграция",
    }
    for name, text in asked.items():
        if name in works:
            assert found(session, quirks, **{name: text}) == [LONG]
            assert found(session, quirks, **{name: "another text"}) == []
        else:
            with pytest.raises(MockRefusal, match=f"Не найден атрибут {name}"):
                found(session, quirks, **{name: text})


@pytest.mark.parametrize(
    ("called", "asked", "refused"),
    [
        ("storno", "storno", False),
        ("reverse", "reverse", False),
        ("reverse", "storno", True),
        ("", "storno", True),
    ],
)
def test_the_storno_has_another_name_or_none(
    session: MockConnection, called: str, asked: str, *, refused: bool
) -> None:
    quirks = Quirks(storno_call=called)
    key = create(session, quirks)["pk"]
    if refused:
        with pytest.raises(MockRefusal, match=f"Метод {asked} нельзя вызвать"):
            call(session, quirks, "objects.get", {"op_id": key}, asked, {})
        return
    call(session, quirks, "objects.get", {"op_id": key}, asked, {})
    assert call(session, quirks, "objects.get", {"op_id": key}, fields=["storno"])["fields"] == {"storno": True}


def test_a_storno_leaves_the_balance_of_an_opening_balance_alone(session: MockConnection) -> None:
    quirks = Quirks(storno_type_8="keeps")
    before = balance(session)
    opening, receipt = create(session, quirks)["pk"], create(session, quirks, "7", kind=2)["pk"]
    for key in (opening, receipt):
        call(session, quirks, "objects.get", {"op_id": key}, "storno", {})
    assert before != Decimal("50.5")
    assert balance(session) == Decimal("50.5")


async def test_errors_have_another_status_and_the_scale_is_another(billing_file: Path) -> None:
    quirks = Quirks(error_status=422, money_scale=100)
    async with running(billing_file, quirks=quirks) as server, aiohttp.ClientSession() as http:
        data = {"method1": "objects.get", "arg1": '{"op_id": 0}'}
        async with http.post(f"{server.url}/rest_api/v2/FinanceOperations/", data=data) as answer:
            assert answer.status == 422
            assert "error" in await answer.json()
        said = server.database.query("select const_value from vpn_const where const_id = 1")
        assert [row[0].strip() for row in said] == ["100"]
        assert server.state()["quirks"] == ["error_status=422", "money_scale=100"]


@pytest.mark.parametrize(
    ("types", "pk", "summa", "storno"),
    [("usual", int, "50.50", 0), ("numbers", int, 50.5, 0), ("texts", str, "50.50", 0)],
)
def test_ids_and_money_are_of_either_type(
    session: MockConnection, types: Any, pk: type, summa: object, storno: object
) -> None:
    quirks = Quirks(value_types=types)
    answer = create(session, quirks)
    fields = ["op_summa", "storno", "abonent_id", "code1c"]
    (found,) = call(session, quirks, "objects.filter", {"op_id": answer["pk"]}, fields=fields)
    assert found["fields"] == {"op_summa": summa, "storno": storno, "abonent_id": pk(ABONENT), "code1c": None}
    assert isinstance(answer["pk"], pk)


@pytest.mark.parametrize(
    ("errors", "method", "listed"),
    [
        ("list", "objects.filter", True),
        ("list", "objects.all", True),
        ("list", "objects.get", False),
        ("text", "objects.filter", False),
    ],
)
async def test_the_error_of_a_list_is_a_list(billing_file: Path, errors: Any, method: str, *, listed: bool) -> None:
    quirks = Quirks(list_errors=errors)
    async with running(billing_file, quirks=quirks) as server, aiohttp.ClientSession() as http:
        data = {"method1": method, "arg1": '{"nothing": 0}'}
        async with http.post(f"{server.url}/rest_api/v2/FinanceOperations/", data=data) as answer:
            error = (await answer.json())["error"]
    assert (error[-1] if listed else error) == "Не найден атрибут nothing"


def test_quirks_are_read_and_told_in_the_same_words() -> None:
    said = ["type_8=adds", "descr_length=60", "descr_returned=no", "storno_call=", "create_answers=id"]
    assert describe_quirks(read_quirks(said)) == sorted(said, key=_place)
    assert read_quirks([]) == Quirks()


def _place(word: str) -> int:
    return list(asdict(Quirks())).index(word.partition("=")[0])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("type_9=adds", "there is no such quirk; there are: type_8,"),
        ("type_8", "write it as --quirk type_8=VALUE"),
        ("type_8=both", "one of sets, adds"),
        ("descr_returned=maybe", "it is yes or no"),
        ("descr_length=-1", "a whole number from 0 on"),
        ("error_status=0", "a whole number from 200 on"),
    ],
)
def test_what_is_no_quirk_is_refused(said: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        read_quirks([said])


def test_a_quirk_is_said_once() -> None:
    with pytest.raises(SettingsError, match="given twice"):
        read_quirks(["type_8=adds", "type_8=sets"])


def test_what_is_drawn_by_chance_is_what_can_be_said() -> None:
    usual = asdict(Quirks())
    for name, choices in CHOICES.items():
        assert choices[0] == usual[name]
        for value in choices:
            text = ("yes" if value else "no") if isinstance(value, bool) else value
            assert asdict(read_quirks([f"{name}={text}"]))[name] == value
