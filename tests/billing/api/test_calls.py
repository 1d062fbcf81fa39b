"""Calls are written as the vendor's page writes them, form-encoded, with nothing secret in sight."""

import datetime as dt
import json
from decimal import Decimal
from types import MappingProxyType
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.api.calls import Call, ChainStep, create, describe, encode, filter_, get, secrets_of, version
from tests.billing.saving import get_set_save


def form(call: Call, **extra: str) -> dict[str, str]:
    return dict(parse_qsl(encode(call, extra).decode("ascii"), keep_blank_values=True, strict_parsing=True))


def test_an_initial_balance_as_in_the_recipe() -> None:
    call = create(
        "FinanceOperations", abonent_id=1111, op_summa=Decimal("50.50"), op_type_id=8, descr="Миграция балансов"
    )
    assert call.path == "/rest_api/v2/FinanceOperations/"
    assert form(call.asking("id")) == {
        "method1": "objects.create",
        "arg1": '{"abonent_id":1111,"op_summa":"50.50","op_type_id":8,"descr":"Миграция балансов"}',
        "fields": '["id"]',
    }


def test_an_argument_is_sent_even_when_it_is_empty() -> None:
    call = get_set_save("AdminAccounts", {"account_id_abonents": 5}, {"limit_warning": "-12000"})
    assert form(call) == {
        "method1": "objects.get",
        "arg1": '{"account_id_abonents":5}',
        "method2": "set",
        "arg2": '{"limit_warning":"-12000"}',
        "method3": "save",
        "arg3": "{}",
    }
    assert form(Call("Users", (ChainStep("delete"),)))["arg1"] == "{}"


def test_a_plus_is_encoded() -> None:
    body = encode(filter_("Abonents", {"sms": "+71234567899"}, "id", "name"))
    assert b"%2B71234567899" in body
    assert b"+" not in body


def test_saving_takes_arguments_of_its_own() -> None:
    call = get_set_save(
        "UsersUsluga",
        {"abonent_id": 94, "usluga_id": "127"},
        {"next_date": dt.datetime(2020, 9, 13)},  # noqa: DTZ001 — the billing's local time
        save={"allow_set_none_manager": True},
    )
    assert form(call)["arg2"] == '{"next_date":"2020-09-13 00:00:00"}'
    assert form(call)["arg3"] == '{"allow_set_none_manager":true}'


def test_values_are_written_in_the_billing_s_way() -> None:
    call = create(
        "Any",
        day=dt.date(2019, 6, 1),
        thousand=Decimal("1E+3"),
        span=(Decimal("0.10"), None),
        deep={"a": MappingProxyType({"b": Decimal(1)})},
    )
    assert json.loads(form(call)["arg1"]) == {
        "day": "2019-06-01",
        "thousand": "1000",
        "span": ["0.10", None],
        "deep": {"a": {"b": "1"}},
    }


@pytest.mark.parametrize("value", [50.5, [50.5], {1}, b"x", dt.datetime(2020, 1, 1, tzinfo=dt.UTC)])
def test_values_without_a_sure_spelling_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        encode(create("Any", value=value))


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        encode(create("Any", value=Decimal("NaN")))


def test_the_health_check_has_a_form_of_its_own() -> None:
    assert encode(version(), {"hash_key": "k y"}) == b"get_version=True&hash_key=k+y"
    assert describe(version()) == "Version: get_version=True"


@pytest.mark.parametrize("model", ["", "../x", "A/B", "A?b=1", "Абонент", "A B"])
def test_a_model_is_a_name(model: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        create(model, a=1)


def test_a_call_needs_a_method() -> None:
    with pytest.raises(ValueError, match="method"):
        Call("Users", ())


def test_only_cabinet_calls_are_cabinet_calls() -> None:
    assert Call("Users", (ChainStep("web_cabinet.get_usluga_list", {"suid": "1"}),)).of_cabinet
    assert not create("Users", login="web_cabinet.x").of_cabinet
    assert not version().of_cabinet


def test_a_preview_is_one_readable_line() -> None:
    call = get_set_save("Users", {"id": 324}, {"ip": "", "pull": "6", "d": Decimal("1.5")}).asking("ip", "pull")
    assert describe(call) == ('Users: objects.get(id=324) → set(ip="", pull="6", d="1.5") → save() | ip, pull')
    assert "\n" not in describe(create("A", text="a\nb\u202e\x1b"))
    assert describe(create("A", x=1.5)) == "A: objects.create(x=1.5)"


@pytest.mark.parametrize("show", [describe, repr, str])
def test_a_password_is_masked(show: object) -> None:
    call = get("Users", {"id": 4084}, ChainStep("set_password", {"psw": "тайна1", "dontshow": False}))
    assert callable(show)
    text = show(call) + repr(call.steps)
    assert "тайна1" not in text
    assert "psw=•••" in text
    assert "dontshow=false" in text
    assert secrets_of(call) == ["тайна1"]
    assert form(call)["arg2"] == '{"psw":"тайна1","dontshow":false}'


def test_secrets_are_found_at_any_depth_and_in_any_case() -> None:
    call = create("Users", PSW="a1", about={"of": [{"suid": "b2"}], "login": "c3"}, hash_key={"x": ["d4"]}, psws="e5")
    assert secrets_of(call) == ["a1", "b2", "d4"]
    assert "a1" not in describe(call)


def test_a_password_being_cleared_is_no_secret() -> None:
    assert 'psw=""' in describe(get_set_save("Users", {"id": 1}, {"psw": ""}))


@given(
    st.dictionaries(st.text(), st.text() | st.integers(min_value=-(2**63), max_value=2**63) | st.booleans()),
    st.dictionaries(st.text(alphabet="abc", min_size=1), st.text()),
)
def test_what_is_encoded_can_be_decoded(arguments: dict[str, object], extra: dict[str, str]) -> None:
    sent = form(Call("Any", (ChainStep("objects.create", arguments),)), **extra)
    assert json.loads(sent.pop("arg1")) == arguments
    assert sent == {"method1": "objects.create", **extra}
