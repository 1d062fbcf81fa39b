"""Texts of a table become values of calls, or faults that say what to do."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.imports.fields import usual_fields
from jobs.imports.subscriber import NUMBER, PATH, Place, Step
from jobs.imports.value_checks import TextLimits, ValueChecks
from tests.jobs.imports.subscribers import subscriber

TODAY = date(2026, 11, 26)


def checks(limits: TextLimits | None = None) -> ValueChecks:
    return ValueChecks(usual_fields(), limits, today=lambda: TODAY)


def read(step: Step, name: str, text: str, limits: TextLimits | None = None) -> str:
    """The value of a text; a fault as the sentence behind ✗."""
    made = subscriber(7, "15", {step: {name: text}})
    checked, faults = checks(limits)(made)
    if not faults:
        part = checked.part(step)
        assert part is not None
        return part.text(name)
    (fault,) = faults
    assert fault.place == Place(7, name)
    return f"✗ {fault.reason}"


@pytest.mark.parametrize(
    ("step", "name", "text", "value"),
    [
        (Step.SUBSCRIBER, NUMBER, " 00123 ", "00123"),
        (Step.SUBSCRIBER, NUMBER, "15J34", "15J34"),
        (Step.SUBSCRIBER, NUMBER, "1E5", "1E5"),
        (Step.SUBSCRIBER, NUMBER, "Итого:", "✗ 'Итого:' is no contract number but the sum of the table"),
        (Step.SUBSCRIBER, NUMBER, "Total17", "Total17"),
        (Step.SUBSCRIBER, NUMBER, "1,23E+05", "✗ '1,23E+05' was shortened by a spreadsheet"),
        (Step.SUBSCRIBER, NUMBER, "123.0", "✗ '123.0' was made an amount by a spreadsheet"),
        (Step.SUBSCRIBER, NUMBER, "123,00", "✗ '123,00' was made an amount by a spreadsheet"),
        (Step.SUBSCRIBER, NUMBER, "12\u200b3", "✗ character 3 is the invisible character U+200B (ZERO WIDTH SPACE)"),
        (Step.SUBSCRIBER, NUMBER, "12\n3", "✗ character 3 is a line end: write the text in one line"),
        (Step.SUBSCRIBER, "name", "Иванов\u00a0Иван ", "Иванов Иван"),
        (Step.SUBSCRIBER, "name", "Иванов\tИван", "✗ character 7 is a tab: write a space in its place"),
        (Step.SUBSCRIBER, "name", "я" * 255, "я" * 255),
        (Step.SUBSCRIBER, "name", "я" * 256, "✗ the text has 256 characters, and the billing's column holds 255"),
        (Step.SUBSCRIBER, "sms", "+79161234567", "+79161234567"),
        (Step.SUBSCRIBER, "sms", "8 (916) 123-45-67", "+79161234567"),
        (Step.SUBSCRIBER, "sms", "8.916.123.45.67", "+79161234567"),
        (Step.SUBSCRIBER, "sms", "+7 916 123–45–67", "+79161234567"),
        (Step.SUBSCRIBER, "sms", "916 123 45 67", "+79161234567"),
        (Step.SUBSCRIBER, "sms", "8 (495) 123-45-67", "✗ '8 (495) 123-45-67' is not a Russian mobile number"),
        (Step.SUBSCRIBER, "sms", "+380671234567", "✗ '+380671234567' is not a Russian mobile number"),
        (Step.SUBSCRIBER, "sms", "٨٩١٦١٢٣٤٥٦٧", "✗ '٨٩١٦١٢٣٤٥٦٧' is not a Russian mobile number"),
        (Step.SUBSCRIBER, "sms", "7,91612E+10", "✗ '7,91612E+10' was shortened by a spreadsheet"),
        (Step.SUBSCRIBER, "sms", "89161234567, 89161234568", "✗ '89161234567, 89161234568' is more than one phone"),
        (Step.SUBSCRIBER, "email", "ivan@mail.ru", "ivan@mail.ru"),
        (Step.SUBSCRIBER, "email", "иван@почта.рф", "✗ 'иван@почта.рф' is not an e-mail address"),
        (Step.SUBSCRIBER, "email", "ivan@почта.рф", "ivan@почта.рф"),
        (Step.SUBSCRIBER, "email", "ivan@mail", "✗ 'ivan@mail' is not an e-mail address"),
        (Step.SUBSCRIBER, "email", "ivan.mail.ru", "✗ 'ivan.mail.ru' is not an e-mail address"),
        (Step.SUBSCRIBER, "email", "i@a.ru, i@b.ru", "✗ 'i@a.ru, i@b.ru' is more than one e-mail address"),
        (Step.SUBSCRIBER, "email", "iv\u0430n@mail.ru", "✗ character 3 is the Cyrillic letter 'а' among Latin ones"),
        (Step.SUBSCRIBER, "operator_id", "3", "3"),
        (Step.SUBSCRIBER, "operator_id", "007", "✗ '007' is not an id, for it starts with a zero"),
        (Step.SUBSCRIBER, "operator_id", "Ростелеком", "✗ 'Ростелеком' is not an id"),
        (Step.ACCOUNT, "login", "user94", "user94"),
        (Step.ACCOUNT, "login", "user 94", "✗ character 5 of 'user 94' is a space, and a login has none"),
        (Step.ACCOUNT, "login", "us\u0435r94", "✗ character 3 is the Cyrillic letter 'е' among Latin ones"),
        (Step.ACCOUNT, "ip", "10.0.0.5", "10.0.0.5"),
        (Step.ACCOUNT, "ip", "167772165", "10.0.0.5"),
        (Step.ACCOUNT, "ip", "10.0.0.256", "✗ '10.0.0.256' is not an IPv4 address: four numbers from 0 to 255"),
        (Step.ACCOUNT, "ip", "010.0.0.5", "✗ '010.0.0.5' is not an IPv4 address: four numbers from 0 to 255"),
        (Step.ACCOUNT, "ip", "10.0.0.5/24", "✗ '10.0.0.5/24' has a mask: write the one address of the account"),
        (Step.ACCOUNT, "ip", "fe80::1", "✗ 'fe80::1' is not an IPv4 address, which is what an account has"),
        (Step.ACCOUNT, "ip", "224.0.0.1", "✗ 224.0.0.1 is an address that no subscriber can have"),
        (Step.ACCOUNT, "mac", "00:1A:2b:3c:4d:5e", "00:1a:2b:3c:4d:5e"),
        (Step.ACCOUNT, "mac", "00-1A-2B-3C-4D-5E", "00:1a:2b:3c:4d:5e"),
        (Step.ACCOUNT, "mac", "001a.2b3c.4d5e", "00:1a:2b:3c:4d:5e"),
        (Step.ACCOUNT, "mac", "001A2B3C4D5E", "00:1a:2b:3c:4d:5e"),
        (Step.ACCOUNT, "mac", "00:1a:2b:3c:4d", "✗ '00:1a:2b:3c:4d' is not a MAC address"),
        (
            Step.ACCOUNT,
            "mac",
            "00:1\u0410:2b:3c:4d:5e",
            "✗ character 5 of '00:1А:2b:3c:4d:5e' is the Cyrillic letter",
        ),
        (Step.ACCOUNT, "mac", "ff:ff:ff:ff:ff:ff", "✗ 'ff:ff:ff:ff:ff:ff' is a MAC address that no device has"),
        (Step.ACCOUNT, "enabled", "Да", "1"),
        (Step.ACCOUNT, "enabled", "отключён", "0"),
        (Step.ACCOUNT, "enabled", "может", "✗ 'может' is neither yes nor no"),
        (Step.SERVICE, "next_date", "01.06.2026", "2026-06-01"),
        (Step.SERVICE, "next_date", "2026-06-01", "2026-06-01"),
        (Step.SERVICE, "next_date", "2026-06-01 00:00:00", "2026-06-01"),
        (Step.SERVICE, "next_date", "01.06.2026 12:30", "2026-06-01 12:30:00"),
        (Step.SERVICE, "next_date", "31.02.2026", "✗ '31.02.2026' is a day that no calendar has"),
        (Step.SERVICE, "next_date", "01.06.26", "✗ '01.06.26' is not a date"),
        (Step.SERVICE, "next_date", "31.12.2999", "✗ '31.12.2999' is too far off to be meant"),
        (Step.SERVICE, "next_date", "01.01.1601", "✗ '01.01.1601' is too far off to be meant"),
        (Step.BALANCE, "op_summa", "1 234,50", "1234.50"),
        (Step.BALANCE, "op_summa", "1,234", "✗ '1,234': 1,234 can be read in two ways"),
        (Step.BALANCE, "op_summa", "1,5E+03", "✗ '1,5E+03': an exponent is not allowed"),
        (Step.BALANCE, "op_summa", "l50", "✗ 'l50': character 1 is the Latin letter 'l', which looks like a one"),
        (Step.FOLDER, PATH, "Центр / Ленина", "Центр/Ленина"),
        (Step.FOLDER, PATH, "Центр//Ленина/", "Центр/Ленина"),
        (Step.FOLDER, PATH, r"Центр/ Мира 5\/1", r"Центр/Мира 5\/1"),
    ],
)
def test_a_text_becomes_a_value_or_says_what_to_do(step: Step, name: str, text: str, value: str) -> None:
    found = read(step, name, text)
    assert (found[: len(value)] if value.startswith("✗") else found) == value


def test_all_faults_of_a_subscriber_are_told_at_once_each_with_its_place() -> None:
    bad = subscriber(
        5, "1,2E+05", {Step.SUBSCRIBER: {"sms": "12"}, Step.ACCOUNT: {"login": "a b", "ip": "1.2.3", "mac": "x"}}
    )
    checked, faults = checks()(bad)
    assert [(fault.place.line, fault.place.column) for fault in faults] == [
        (5, NUMBER),
        (5, "sms"),
        (5, "login"),
        (5, "ip"),
        (5, "mac"),
    ]
    # What cannot be read stays as it is.
    assert checked == bad


def test_the_database_tells_how_long_a_text_may_be_and_which_letters_it_has() -> None:
    limits = TextLimits({(Step.SUBSCRIBER, "name"): 10}, lambda text: "😀" not in text)
    too_long = "✗ the text has 11 characters, and the billing's column holds 10: shorten it"
    assert read(Step.SUBSCRIBER, "name", "я" * 11, limits) == too_long
    unwritable = "✗ character 3, '😀', is none that the billing's database can hold: leave it out"
    assert read(Step.SUBSCRIBER, "name", "Ян😀", limits) == unwritable
    # A column that the database does not tell of has the length of the fields' own table.
    assert read(Step.ACCOUNT, "login", "u" * 65, limits).startswith("✗ the text has 65 characters")


def test_a_number_without_its_spaces_is_the_number_of_the_subscriber() -> None:
    checked, _ = checks()(subscriber(2, " 00123\u00a0"))
    assert checked.number == "00123"


@given(st.integers(0, 10**9 - 1), st.sampled_from(["+7{}", "8{}", "7{}", "{}", "8 ({0:.3}) {0}"]))
def test_any_mobile_number_becomes_the_one_form(number: int, form: str) -> None:
    digits = f"9{number:09}"
    text = f"8 ({digits[:3]}) {digits[3:6]}-{digits[6:]}" if "(" in form else form.format(digits)
    assert read(Step.SUBSCRIBER, "sms", text) == f"+7{digits}"


@given(st.binary(min_size=6, max_size=6).filter(lambda raw: any(raw) and not raw[0] & 1), st.sampled_from(":- "))
def test_any_mac_address_becomes_the_one_form(raw: bytes, between: str) -> None:
    wanted = raw.hex(":")
    for text in (raw.hex(between).upper(), raw.hex(), raw.hex(".", 2)):
        assert read(Step.ACCOUNT, "mac", text) == wanted


@given(st.dates(date(1900, 1, 1), TODAY + timedelta(days=365 * 20)))
def test_a_date_is_read_in_both_spellings(day: date) -> None:
    assert read(Step.SERVICE, "next_date", f"{day:%d.%m.}{day.year:04}") == day.isoformat()
    assert read(Step.SERVICE, "next_date", day.isoformat()) == day.isoformat()


@given(st.text(max_size=40))
def test_what_is_read_is_read_the_same_again(text: str) -> None:
    for step, name in (
        (Step.SUBSCRIBER, NUMBER),
        (Step.SUBSCRIBER, "name"),
        (Step.SUBSCRIBER, "sms"),
        (Step.SUBSCRIBER, "email"),
        (Step.ACCOUNT, "login"),
        (Step.ACCOUNT, "ip"),
        (Step.ACCOUNT, "mac"),
        (Step.SERVICE, "next_date"),
        (Step.BALANCE, "op_summa"),
    ):
        value = read(step, name, text)
        assert value.startswith("✗") or read(step, name, value) == value
