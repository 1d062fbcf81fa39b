import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.api.calls import encode
from jobs.spec.chain import parse, typed
from jobs.spec.errors import ParameterRefused

LETTERS = st.text(st.characters(exclude_categories=["Cs"]))


def steps(model: str, *chain: str, **values: str) -> list[tuple[str, dict[str, object]]]:
    return [(step.method, dict(step.arguments)) for step in parse(model, chain).fill(values)]


def test_the_vendors_own_chain() -> None:
    template = parse("AdminAccounts", ('objects.get {"account_id_abonents": {id}}', 'set {"limit": "{sum}"}', "save"))
    assert template.names == ("id", "sum")
    assert template.methods == ("objects.get", "set", "save")
    assert [(step.method, dict(step.arguments)) for step in template.fill({"id": "5", "sum": "12,5"})] == [
        ("objects.get", {"account_id_abonents": 5}),
        ("set", {"limit": "12,5"}),
        ("save", {}),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-7", -7),
        ("0", 0),
        ("", None),
        ("00123", "00123"),
        ("1E5", "1E5"),
        ("-0", "-0"),
        ("+79991234567", "+79991234567"),
        ("12.50", "12.50"),
        ("1234567890123456789", "1234567890123456789"),
        ("١٢", "١٢"),
    ],
)
def test_a_placeholder_that_stands_alone_is_typed(text: str, value: object) -> None:
    assert typed(text) == value
    assert steps("Users", 'set {"x": {a}}', a=text) == [("set", {"x": value})]


def test_within_a_string_it_is_a_part_of_the_text() -> None:
    chain = 'set {"a": "№ {n}/{m}", "b": ["{n}", {n}], "c": {"d": "{{{n}}} {{n}}"}}'
    assert steps("Users", chain, n="007", m="x") == [
        ("set", {"a": "№ 007/x", "b": ["007", "007"], "c": {"d": "{007} {n}"}})
    ]


CHAIN = ('objects.get {"id": {id}, "x": "{a} {b}"}', 'set {"limit": 5, "on": true}', "save")


@pytest.mark.parametrize(
    ("chain", "same"),
    [
        (('objects.get  {"id":"{who}","x":"{c} {d}"}', 'set {"on": true, "limit": 5}', "save {}"), True),
        (('objects.get {"id": {id}, "x": "{a} {id}"}', *CHAIN[1:]), False),
        (('objects.get {"id": {id}, "x": "{a}-{b}"}', *CHAIN[1:]), False),
        ((CHAIN[0], 'set {"limit": 6, "on": true}', "save"), False),
        ((CHAIN[0], 'set {"limit": 5, "on": 1}', "save"), False),
        (CHAIN[:2], False),
    ],
)
def test_the_digest_tells_what_the_call_does(chain: Sequence[str], *, same: bool) -> None:
    assert (parse("Users", chain).digest == parse("Users", CHAIN).digest) == same
    assert parse("Abonents", chain).digest != parse("Users", chain).digest


@pytest.mark.parametrize(
    "name", ["№ п/п", "ФИО", "2", "a-b", "name|x", "Сумма, руб.", "К зачислению (всего)", "a/b", "x'y", "id%"]
)
def test_any_name_of_a_column_can_stand_in_a_placeholder(name: str) -> None:
    template = parse("Users", (f'set {{"a": {{{name}}}, "b": "<{{ {name} }}>"}}',))
    assert template.names == (name,)
    assert dict(template.fill({name: "7"})[0].arguments) == {"a": 7, "b": "<7>"}


def test_braces_that_are_meant_are_written_twice() -> None:
    assert steps("Users", 'set {"{{a}}": "{{}}", "b": {}}') == [("set", {"{a}": "{}", "b": {}})]


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("contract_number", "x"),
        ("abonent__contract_number", "x"),
        ("x", "contract_number"),
        ("x", "№ договора"),
        ("sms", "x"),
        ("x", "Телефон"),
        ("login", "x"),
        ("psw", "x"),
        ("attribute_value", "x"),
    ],
)
def test_what_is_a_text_stays_one_though_it_has_digits_alone(field: str, name: str) -> None:
    assert steps("Users", f'set {{"{field}": {{{name}}}}}', **{name: "123"}) == [("set", {field: "123"})]
    assert steps("Users", f'set {{"{field}": {{{name}}}}}', **{name: ""}) == [("set", {field: None})]


def test_only_what_is_set_and_is_no_money_and_no_secret_may_be_nothing() -> None:
    chain = (
        'objects.get {"id": {id}, "x": "{a}"}',
        'set {"name": "{a} {b}", "sms": {c}, "limit": {d}, "psw": "{e}", "comment": "{d}"}',
        'delete {"y": {c2}}',
    )
    assert parse("Users", chain).emptying == {"b", "c"}


@pytest.mark.parametrize("depth", [40, 900, 3000, 50_000])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"b": ', "}")], ids=["lists", "objects"])
def test_brackets_in_brackets_are_refused_by_whatever_they_are_read(opened: str, closed: str, depth: int) -> None:
    """How deep the JSON module goes depends on the version of Python."""
    with pytest.raises(ParameterRefused, match=r"link 1 .*it holds brackets in brackets without end"):
        parse("Users", (f'set {{"a": {opened * depth}1{closed * depth}}}',))


@pytest.mark.parametrize(
    ("link", "told"),
    [
        ('set {"a": {x} "b"}', 'link 1 (\'set {"a": {x} "b"}\'), column 15: this is not JSON'),
        ("set {a: 1}", "column 6: this is not JSON"),
        ('set {"a": 1.5}', '1.5 is a number with a point: write money as a text, "1.5"'),
        ('set {"a": 1, "a": 2}', "'a' is given twice"),
        ("set [1]", "the arguments are an object in braces"),
        ('{"a": 1}', "a method is expected first"),
        ('set {"{a}": 1}', "a placeholder cannot be the name of an argument"),
        ("set {{a}: 1}", "a placeholder cannot be the name of an argument"),
        ('set {"a": {"{b}": 1}}', "a placeholder cannot be the name of an argument"),
        (
            'set {"a": "x {} y"}',
            "column 14: {} is not a placeholder: one is written with the name of its column, {name}",
        ),
        ('set {"a": "{ }"}', "column 12: { } is not a placeholder"),
        ('set {"a": "{-}"}', "column 12: {-} is not a placeholder"),
        ('set {"a": "{b: 1}"}', "column 12: {b: 1} is not a placeholder"),
        ('set {"a": {b}, "c": "{d"}', 'column 22: {d"} is not a placeholder'),
        ('set {"a": "d}"}', "column 13: } is not a placeholder"),
        ('set {"a": "}}}"}', "column 14: } is not a placeholder"),
    ],
)
def test_what_is_no_chain_is_refused_with_its_place(link: str, told: str) -> None:
    with pytest.raises(ParameterRefused) as caught:
        parse("Users", (link,))
    assert told in str(caught.value)


def test_a_model_is_a_name_and_a_call_has_a_method() -> None:
    with pytest.raises(ParameterRefused, match="is not the name of a model"):
        parse("../Users", ("save",))
    with pytest.raises(ParameterRefused, match="needs a method"):
        parse("Users", ())


@given(LETTERS, LETTERS)
def test_no_value_breaks_out_of_its_place(bare: str, within: str) -> None:
    """Whatever stands in a row arrives as it was, and nothing else changes."""
    template = parse("Users", ('set {"a": {bare}, "b": "<{within}>", "c": "kept"}', "save"))
    filled = template.call({"bare": bare, "within": within})
    arguments = json.loads(json.dumps(dict(filled.steps[0].arguments)))
    assert arguments == {"a": typed(bare), "b": f"<{within}>", "c": "kept"}
    assert [step.method for step in filled.steps] == ["set", "save"]
    assert encode(filled)
