"""What a job is told: its chain, its columns, its parameters, its marks and the keys of its rows."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.api.calls import encode
from checkpoints.journal import NAME_LETTERS
from cli.terminal.language import RUSSIAN, language
from engine.errors import InputRefused
from jobs.catalogue.catalogue import BUILT_IN, JOBS
from jobs.catalogue.typed_call import CALL, call_kind
from jobs.spec.chain import chain_text, parse, typed
from jobs.spec.columns import KNOWN, locate, normalise_header
from jobs.spec.entries import (
    LONGEST_COMMENT,
    LONGEST_TEXT,
    MARK_ROOM,
    find_mark,
    mark_prefix,
    with_mark,
    without_marks,
)
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import Parameter, an_id, at_most, roubles, row_key
from jobs.spec.spec import JobSpec, parameters_of
from texts.said import text_of

KIND = JobSpec(
    name="demo",
    recipes=(),
    summary="for the tests",
    model="AdminAccounts",
    chain=('objects.get {"id": {id}}', 'set {"limit": "{amount}"}', "save"),
    example="",
    parameters=(
        Parameter("folder", "id of the folder", parse=an_id),
        Parameter("from", "where from", "amount", ("amount", "tariff")),
        Parameter("amount", "roubles", "", parse=roubles),
    ),
)


def test_defaults_stand_in_and_values_get_their_plain_spelling() -> None:
    assert parameters_of(KIND, {"folder": " 01316 "}) == {"folder": "1316", "from": "amount", "amount": ""}
    assert parameters_of(KIND, {"folder": "7", "from": "tariff", "amount": "-1 200,50"}) == {
        "folder": "7",
        "from": "tariff",
        "amount": "-1200.5",
    }


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ParameterRefused) as caught:
        parameters_of(KIND, {"foldr": "1", "from": "tarif", "amount": "12O"})
    assert str(caught.value).splitlines() == [
        "demo has no parameter 'foldr' (did you mean 'folder'?); it has: folder, from, amount",
        "folder: is required: id of the folder; give --set folder=…",
        "from: 'tarif' is none of amount, tariff (did you mean 'tariff'?)",
        "amount: character 3 is the Latin letter 'O', which looks like a zero",
    ]


@pytest.mark.parametrize("text", ["", "0", "-1", "1.0", "x", "١"])
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match="is not an id"):
        an_id(text)


@pytest.mark.parametrize(
    ("text", "plain"), [("-120,00", "-120"), ("-120", "-120"), ("1200", "1200"), ("0,50", "0.5"), ("-0", "0")]
)
def test_the_same_amount_has_one_spelling(text: str, plain: str) -> None:
    assert roubles(text) == plain


def test_a_text_has_one_line_and_an_end() -> None:
    assert at_most(5)("Ввод ") == "Ввод "
    with pytest.raises(ValueError, match="at most 5"):
        at_most(5)("Вводим")
    with pytest.raises(ValueError, match="line ends"):
        at_most(5)("a\nb")


def test_what_the_rows_may_say_need_not_be_given() -> None:
    of_rows = Parameter("id", "of the row", parse=an_id, columns=())
    one = JobSpec("demo", "", KIND.model, KIND.chain, "", parameters=(of_rows,))
    # A run that remembers nothing for it is taken up with nothing.
    assert parameters_of(one, {}) == parameters_of(one, {"id": ""}) == {"id": ""}
    assert parameters_of(one, {"id": "07"}) == {"id": "7"}


def test_the_catalogue_names_the_nearest() -> None:
    assert BUILT_IN.kind("balances", {}) is BUILT_IN.named("balances") is JOBS["balances"]
    with pytest.raises(
        ParameterRefused, match=r"no job 'balance' \(did you mean 'balances'\?\); there are: balances, p"
    ):
        BUILT_IN.kind("balance", {})


def test_a_call_is_the_kind_that_its_chain_makes() -> None:
    said = {"model": "Users", "chain": chain_text(['objects.get {"id": {user}}', 'set {"pull": {pool}}', "save"])}
    made = BUILT_IN.kind(CALL, said)
    assert [one.name for one in made.parameters][-2:] == ["user", "pool"]
    assert made.call == call_kind(said).call != JOBS[CALL].call
    with pytest.raises(ParameterRefused):
        BUILT_IN.kind(CALL, {})


@pytest.mark.parametrize("one", JOBS.values(), ids=list(JOBS))
def test_every_job_says_what_it_is(one: JobSpec) -> None:
    assert one.summary
    assert "\n" not in one.summary
    assert f"carbon-migrate run {one.name}" in one.example
    assert one.call
    assert one.undo
    assert len({p.name for p in one.parameters}) == len(one.parameters)


def test_the_recipes_are_all_there() -> None:
    numbers = [number for one in JOBS.values() for number in one.recipes]
    assert sorted(numbers) == list(range(1, 31))


LETTERS = st.text(st.characters(exclude_categories=["Cs"]))


def steps(model: str, *chain: str, **values: str) -> list[tuple[str, dict[str, object]]]:
    return [(step.method, dict(step.arguments)) for step in parse(model, chain).fill(values)]


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


BALANCES: dict[str, tuple[str, ...]] = {"abonent_id": ("id",), "contract_number": (), "amount": ("op_summa",)}


def found(header: list[str], wanted: dict[str, tuple[str, ...]], **mapping: str) -> dict[str, str]:
    columns = locate("a.csv", header, wanted, mapping)
    assert list(columns) == list(wanted)
    assert all(column is None or header[column.place].strip() == column.name for column in columns.values())
    return {name: column.name for name, column in columns.items() if column is not None}


def refused(header: list[str], wanted: dict[str, tuple[str, ...]], **mapping: str) -> str:
    with pytest.raises(InputRefused) as caught:
        locate("a.csv", header, wanted, mapping)
    return str(caught.value)


TITLES: Final[Mapping[str, Sequence[str]]] = {
    "abonent_id": ("abonent_id", "Abonent ID", "ID абонента", "id", "Код абонента"),
    "contract_number": (
        *("contract_number", "Договор", "№ договора", "Договор №", "НОМЕР  ДОГОВОРА:"),
        *("Лицевой счёт", "лицевой счет", "Л/С", "№ л/с"),
    ),
    "amount": (
        *("amount", "Сумма", "Сумма, руб.", "Остаток", "Баланс (руб)", "сальдо", "op_summa", "Balance"),
        "Начальный\u00a0остаток, в рублях",
    ),
}
OTHER_TITLES: Final[Mapping[str, str]] = {
    "Учётная запись": "user_id",
    "Логин": "login",
    "IP-адрес": "ip",
    "Телефон": "sms",
    "Номер СМС": "sms",
    "Дата": "date",
    "Примечание": "comment",
    "Услуга": "usluga_id",
    "Тарифный план": "tarif_id",
    "Оператор": "operator_id",
    "Порог предупреждения": "limit_warning",
}


def test_what_columns_are_called() -> None:
    for name, titles in TITLES.items():
        for title in titles:
            assert found(["ФИО", f" {title} ", "адрес"], BALANCES) == {name: title}
    for title, name in OTHER_TITLES.items():
        assert found(["ФИО", title], {name: ()}) == {name: title}
        assert found(["ФИО", title], {"other": (), "mine": (name,)}) == {"mine": title}


def test_a_balance_is_no_threshold() -> None:
    header = ["договор", "баланс", "порог"]
    assert found(header, {"amount": ("limit_warning",)}) == {"amount": "порог"}


def test_two_columns_for_one_thing_are_asked_about() -> None:
    told = refused(["Договор", "Л/с", "сумма"], BALANCES)
    assert told == (
        "a.csv has several columns that can be contract_number: 'Договор', 'Л/с'. Say which is meant with "
        "--map contract_number=COLUMN"
    )
    assert found(["Договор", "Л/с", "сумма"], BALANCES, contract_number="л/с") == {
        "contract_number": "Л/с",
        "amount": "сумма",
    }
    assert "can be amount: 'Сумма', 'Остаток'" in refused(["id", "Сумма", "Остаток"], BALANCES)


def test_what_is_mapped_to_one_thing_is_no_candidate_for_another() -> None:
    wanted: dict[str, tuple[str, ...]] = {"sms": (), "comment": ("телефон",)}
    assert found(["телефон"], wanted, comment="ТЕЛЕФОН") == {"comment": "телефон"}
    assert found(["Сумма", "Остаток"], {"amount": ("op_summa",), "next": ()}, next="Остаток") == {
        "amount": "Сумма",
        "next": "Остаток",
    }


def test_one_column_may_be_mapped_to_two_things() -> None:
    wanted: dict[str, tuple[str, ...]] = {"login": (), "contract_number": ()}
    assert found(["№"], wanted, login="№", contract_number="№") == {"login": "№", "contract_number": "№"}


def test_a_bare_id_gives_way_to_one_that_says_whose_it_is() -> None:
    assert found(["id", "abonent_id"], BALANCES) == {"abonent_id": "abonent_id"}
    assert found(["id", "usluga"], {"id": ("users_usluga_id",)}) == {"id": "id"}
    assert found(["id"], {"abonent_id": (), "user_id": ("id",)}) == {"user_id": "id"}
    assert found(["id"], {"abonent_id": (), "id": ()}) == {"id": "id"}


def test_one_column_that_can_be_two_things_is_asked_about() -> None:
    told = refused(["id"], {"abonent_id": ("id",), "user_id": ("id",)})
    assert (
        told
        == "a.csv: the column 'id' can be any of abonent_id, user_id. Say which is meant with --map abonent_id=COLUMN"
    )


def test_a_mapping_to_nothing_names_the_nearest() -> None:
    told = refused(["Договор", "Сумма"], BALANCES, amount="Сума")
    assert told == "--map amount=Сума: a.csv has no such column (did you mean 'Сумма'?); it has: Договор, Сумма"
    assert "no such column; it has: Договор" in refused(["Договор"], BALANCES, amount="")


def test_a_mapping_takes_the_exact_name_before_one_that_is_alike() -> None:
    header = ["Сумма", "сумма"]
    assert found(header, {"amount": ()}, amount="сумма") == {"amount": "сумма"}
    assert "write the name exactly as it is there" in refused(header, {"amount": ()}, amount="СУММА")


def test_a_mapping_of_what_nobody_asks_for_is_refused() -> None:
    told = refused(["id", "сумма"], BALANCES, ammount="сумма")
    assert told == (
        "--map ammount=сумма: the rows are not asked for ammount (did you mean 'amount'?); they are asked for: "
        "abonent_id, contract_number, amount"
    )


@given(
    name=st.sampled_from(sorted(KNOWN)),
    data=st.data(),
    around=st.text(" \t.,:;-_/()«»№", max_size=3).filter(lambda text: "№" not in text),
    upper=st.booleans(),
)
def test_case_spaces_and_punctuation_make_no_difference(
    name: str, data: st.DataObject, around: str, upper: bool
) -> None:
    alias = data.draw(st.sampled_from([name, *KNOWN[name]]))
    title = (alias.upper() if upper else alias).replace(" ", data.draw(st.sampled_from(["  ", "_", "\u00a0", ""])))
    title = title.replace("ё", "е").replace("номер", data.draw(st.sampled_from(["номер", "№"])))
    assert found(["ФИО", f"{around}{title}{around}"], {name: ()}) == {name: f"{around}{title}{around}".strip()}


@given(st.text(max_size=30))
def test_a_name_is_compared_with_itself_as_the_same(text: str) -> None:
    assert normalise_header(normalise_header(text)) == normalise_header(text) == normalise_header(f" {text}! ")


NAMES = st.text(NAME_LETTERS, min_size=5, max_size=5)
NUMBERS = st.integers(1, 10**9)


def test_a_mark_is_short_and_readable() -> None:
    assert with_mark("", "k7m2q", 1042) == "[cm k7m2q/1042]"
    assert with_mark("Миграция балансов", "k7m2q", 1042) == "Миграция балансов [cm k7m2q/1042]"
    assert with_mark("", "k7m2q", 1) == "[cm k7m2q/1]"


@given(text=st.text(max_size=400), name=NAMES, number=NUMBERS, longest=st.integers(24, 300))
def test_the_mark_is_found_again_in_any_comment_of_any_length(
    text: str, name: str, number: int, longest: int
) -> None:
    comment = with_mark(text, name, number, longest=longest)
    assert find_mark(comment) == (name, number)
    assert len(comment) <= longest


def test_a_text_that_fits_exactly_is_left_alone() -> None:
    room = LONGEST_COMMENT - len(" [cm k7m2q/7]")
    assert with_mark("x" * room, "k7m2q", 7) == "x" * room + " [cm k7m2q/7]"
    assert "…" in with_mark("x" * (room + 1), "k7m2q", 7)


def test_a_mark_that_the_text_already_bears_does_not_mislead() -> None:
    assert find_mark(with_mark("again [cm aaaaa/3]", "k7m2q", 7)) == ("k7m2q", 7)


@given(name=NAMES, number=NUMBERS, after=st.text(st.characters(exclude_characters="["), max_size=20))
def test_what_the_billing_adds_behind_it_does_no_harm(name: str, number: int, after: str) -> None:
    assert find_mark(with_mark("text", name, number) + after) == (name, number)


@pytest.mark.parametrize(
    "comment", ["", "Миграция", "[cm k7m2q/]", "[cm k7m2q/01]", "[cm /1]", "[cm k7m2q 1]", "[cm k"]
)
def test_other_comments_have_none(comment: str) -> None:
    assert find_mark(comment) is None


@given(text=st.text(st.characters(exclude_characters="["), max_size=LONGEST_TEXT), name=NAMES, number=NUMBERS)
def test_a_text_of_the_length_that_jobs_take_comes_back_whole(text: str, name: str, number: int) -> None:
    comment = with_mark(text, name, number)
    assert without_marks(comment) == text.rstrip()
    assert mark_prefix(name) in comment
    assert len(comment) <= len(text) + MARK_ROOM


def test_marks_of_all_runs_are_taken_off() -> None:
    assert without_marks("Ввод [cm aaaaa/3] [cm k7m2q/7]") == "Ввод"
    assert without_marks("[cm k7m2q/7]") == ""
    assert without_marks("Ввод [cm k7m2q]") == "Ввод [cm k7m2q]"


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ((), ""),
        (("9001",), "9001"),
        (("94", "127"), "94/127"),
        (("1/2", "3"), r"1\/2/3"),
        (("1", "2/3"), "1/2/3"),
        (("a\\", "b"), r"a\\/b"),
        (("77/2",), "77/2"),
        (("ivanov", "http://lk.example.org/"), "ivanov/http://lk.example.org/"),
    ],
)
def test_a_key_as_people_read_it(values: tuple[str, ...], key: str) -> None:
    assert row_key(values) == key


def parted(key: str, number: int) -> list[str]:
    """The values of a key that has so many: what two rows of values can only have in common if they are the same."""
    values: list[str] = []
    while len(values) < number - 1:
        found = re.match(r"((?:[^/\\]|\\.)*)/", key)
        assert found, key
        values.append(re.sub(r"\\(.)", r"\1", found[1]))
        key = key[found.end() :]
    return [*values, key]


@given(st.lists(st.text(alphabet="/\\a1", max_size=5), min_size=1, max_size=4))
def test_a_key_tells_its_values(values: list[str]) -> None:
    assert parted(row_key(values), len(values)) == values


def test_all_faults_of_parameters_are_told_in_the_language_of_the_reader() -> None:
    with pytest.raises(ParameterRefused) as refused:
        parameters_of(JOBS["payment"], {"amount": "-5", "zzz": "7", "way": "maybe"})
    assert language(RUSSIAN).render(text_of(refused.value)).splitlines() == [
        "payment: параметра 'zzz' нет; есть: abonent_id, contract_number, amount, document, date, descr, way, key",
        "amount: -5 — не платёж: нужна сумма больше нуля",
        "way: 'maybe' — недопустимое значение, возможны: operation, add_payment",
    ]
    assert str(refused.value).splitlines()[1] == "amount: -5 is not a payment: an amount above zero is expected"
