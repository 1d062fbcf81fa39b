"""Columns are found by the names that people give them, and asked about where two can be meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputRefused
from jobs.spec.columns import KNOWN, locate, normalise_header

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


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("abonent_id", "abonent_id"),
        ("Abonent ID", "abonent_id"),
        ("ID абонента", "abonent_id"),
        ("id", "abonent_id"),
        ("Код абонента", "abonent_id"),
        ("contract_number", "contract_number"),
        ("Договор", "contract_number"),
        ("№ договора", "contract_number"),
        ("Договор №", "contract_number"),
        ("НОМЕР  ДОГОВОРА:", "contract_number"),
        ("Лицевой счёт", "contract_number"),
        ("лицевой счет", "contract_number"),
        ("Л/С", "contract_number"),
        ("№ л/с", "contract_number"),
        ("amount", "amount"),
        ("Сумма", "amount"),
        ("Сумма, руб.", "amount"),
        ("Остаток", "amount"),
        ("Баланс (руб)", "amount"),
        ("сальдо", "amount"),
        ("Начальный\u00a0остаток, в рублях", "amount"),
        ("op_summa", "amount"),
        ("Balance", "amount"),
    ],
)
def test_what_the_columns_of_balances_are_called(title: str, name: str) -> None:
    assert found(["ФИО", f" {title} ", "адрес"], BALANCES) == {name: title}


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Учётная запись", "user_id"),
        ("Логин", "login"),
        ("IP-адрес", "ip"),
        ("Телефон", "sms"),
        ("Номер СМС", "sms"),
        ("Дата", "date"),
        ("Примечание", "comment"),
        ("Услуга", "usluga_id"),
        ("Тарифный план", "tarif_id"),
        ("Оператор", "operator_id"),
        ("Порог предупреждения", "limit_warning"),
    ],
)
def test_what_the_other_columns_are_called(title: str, name: str) -> None:
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
