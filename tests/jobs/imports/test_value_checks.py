"""Values of an input: read, held against each other and against the billing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from ipaddress import IPv4Address
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.api.client import BillingClient
from billing.contract_numbers import undressed
from jobs.access.gateway import Gateway
from jobs.imports.fields import usual_fields
from jobs.imports.input_checks import BillingChecks, Duplicates
from jobs.imports.seen_values import SeenValues
from jobs.imports.subscriber import FOLDER_ID, NUMBER, PATH, Place, Step, Subscriber, ValueFault
from jobs.imports.value_checks import TextLimits, ValueChecks
from tests.jobs.conftest import Execute
from tests.jobs.imports.conftest import account, subscriber
from texts.said import said

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


@pytest.fixture
def seen() -> SeenValues:
    return SeenValues()


def faults(
    seen: SeenValues, subscribers: Sequence[Subscriber], *, alike: bool = False
) -> dict[int | None, list[str]]:
    """The reasons by line of all subscribers, of which the last are added as a page of their own."""
    seen.add(subscribers[:-1])
    seen.add(subscribers[-1:])
    duplicates = Duplicates(seen, alike=alike)
    return {one.row.line: [fault.reason for fault in duplicates(one).faults] for one in subscribers}


def warnings(seen: SeenValues, subscribers: Sequence[Subscriber]) -> list[list[str]]:
    assert not any(faults(seen, subscribers).values())
    return [[one.reason for one in Duplicates(seen)(row).warnings] for row in subscribers]


def test_a_contract_number_that_stands_twice_is_a_fault_of_both_rows(seen: SeenValues) -> None:
    rows = [subscriber(2, "00123"), subscriber(3, "15"), subscriber(4, "00123")]
    assert faults(seen, rows) == {2: ["'00123' is also in line 4"], 3: [], 4: ["'00123' is also in line 2"]}


def test_of_many_rows_the_first_are_named_and_the_others_counted(seen: SeenValues) -> None:
    found = faults(seen, [subscriber(line, "15") for line in range(2, 12)])
    assert found[2] == ["'15' is also in line 3, line 4, line 5 and 6 more"]
    assert found[11] == ["'15' is also in line 2, line 3, line 4 and 6 more"]


def test_logins_addresses_and_devices_are_of_one_account_each(seen: SeenValues) -> None:
    one = account(2, "1", "accounts.csv", login="ivan", ip="10.0.0.5", mac="00:1a:2b:3c:4d:5e")
    other = account(9, "2", "accounts.csv", login="ivan", ip="10.0.0.5", mac="00:1a:2b:3c:4d:5e")
    found = faults(seen, [one, other])
    assert found[2] == [
        "'ivan' is also in line 9 of accounts.csv",
        "'10.0.0.5' is also in line 9 of accounts.csv",
        "'00:1a:2b:3c:4d:5e' is also in line 9 of accounts.csv",
    ]
    assert found[9] == [reason.replace("line 9", "line 2") for reason in found[2]]


def test_a_login_in_another_letter_case_is_a_fault(seen: SeenValues) -> None:
    found = faults(seen, [account(2, "1", login="Ivan"), account(3, "2", login="ivan")])
    assert found[2] == ["'Ivan' is also in line 3, in another letter case: 'ivan'"]


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("А15", "A15", "the same in Latin letters"),
        ("00123", "123", "the same without leading zeros"),
        ("15 д", "15д", "the same without spaces"),
        ("15д", "15Д", "the same in another letter case"),
    ],
)
def test_numbers_that_look_alike_are_a_fault_until_the_operator_says_otherwise(
    seen: SeenValues, one: str, other: str, why: str
) -> None:
    rows = [subscriber(2, one), subscriber(3, other)]
    (reason,) = faults(seen, rows)[2]
    assert reason == (
        f"{one!r} looks like {other!r} in line 3, {why}: correct one of them, or give --alike if both are right"
    )
    assert faults(SeenValues(), rows, alike=True) == {2: [], 3: []}


def test_a_phone_of_several_rows_is_a_warning(seen: SeenValues) -> None:
    rows = [subscriber(line, f"{line}", {Step.SUBSCRIBER: {"sms": "+79161234567"}}) for line in (2, 3)]
    assert warnings(seen, rows) == [["'+79161234567' is also in line 3"], ["'+79161234567' is also in line 2"]]


def test_a_number_that_may_have_lost_its_zero_is_a_warning(seen: SeenValues) -> None:
    rows = [subscriber(2, "00123"), subscriber(3, "04567"), subscriber(4, "456"), subscriber(5, "12345")]
    lost = (
        "'456' has 3 digits, and 2 numbers that begin with a zero have 5: a spreadsheet may have removed a zero "
        "before it"
    )
    assert warnings(seen, rows) == [[], [], [lost], []]


def test_a_number_of_two_scripts_is_a_warning(seen: SeenValues) -> None:
    (mixed,) = warnings(seen, [subscriber(2, "AБ15")])
    assert mixed == ["character 1 is the Latin letter 'A' among Cyrillic ones; is it so in the contract?"]


@given(
    st.lists(st.text(st.sampled_from("01AАoО "), min_size=1, max_size=3).filter(str.strip), min_size=2, max_size=12)
)
def test_a_number_is_a_fault_exactly_where_another_one_is_equal_or_looks_alike(numbers: list[str]) -> None:
    rows = [subscriber(line, number) for line, number in enumerate(numbers, 2)]
    found = faults(SeenValues(), rows)
    for row in rows:
        alike = [other for other in rows if other is not row and undressed(other.number) == undressed(row.number)]
        equal = [other for other in alike if other.number == row.number]
        told = " ".join(found[row.row.line])
        assert bool(told) is bool(alike)
        assert all(f"line {other.row.line}" in told for other in equal[:3])
        assert ("looks like" in told) is bool(alike and not equal)


WITH_A_DATABASE = pytest.mark.parametrize("gateway", ["with a database"], indirect=True)


async def found(
    gateway: Gateway, subscribers: Sequence[Subscriber], *, alike: bool = False
) -> tuple[dict[str, str], dict[str, str], Sequence[str]]:
    """The reasons of faults and of warnings, by line and column, and what was not checked."""
    seen = SeenValues()
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


IVAN: Final = {"id": 8001, "abonent_id": 9002, "login": "ivan", "ip": int(IPv4Address("10.11.222.49"))}


@dataclass(frozen=True, slots=True)
class Checked:
    """Rows of an input, and the beginnings of what is said of them, by line and column."""

    rows: Sequence[Subscriber]
    faults: Mapping[str, str] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict)
    deleted: bool = False
    """Whether the account ivan of the billing is deleted."""


IDS: Final = {
    Step.FOLDER: {FOLDER_ID: "9100"},
    Step.TARIFF: {"tarif_id": "2"},
    Step.SERVICE: {"usluga_id": "127", "manager_id": "33"},
}
NO_IDS: Final = {
    Step.FOLDER: {FOLDER_ID: "94"},
    Step.TARIFF: {"tarif_id": "777"},
    Step.SERVICE: {"usluga_id": "99999999999", "manager_id": "3333"},
}
CHECKED: Final[Mapping[str, Checked]] = {
    "what is there already": Checked([account(2, "123", login="ivan", ip="10.11.222.49"), subscriber(3, "нов-1")]),
    "a login of another subscriber": Checked(
        [account(2, "нов-1", login="ivan"), account(3, "A15", login="user-new")], {"2 login": "the login is that of "}
    ),
    "an address of another account": Checked(
        [account(2, "123", login="petr", ip="10.11.222.49")],
        {"2 ip": "10.11.222.49 is the address of the account ivan in the billing, of "},
    ),
    "what a deleted object has": Checked(
        [account(2, "ГОСТЬ-1", login="ivan")],
        warnings={
            f"2 {NUMBER}": (
                "a deleted subscriber of the billing, abonent 9006, has the contract number: the billing may refuse"
            ),
            "2 login": "the login is that of a deleted account of ",
        },
        deleted=True,
    ),
    # 77/2 is that of a deleted subscriber and of a live one.
    "a number that was given to another": Checked([subscriber(2, "77/2")]),
    "ids that the billing does not have": Checked(
        [subscriber(2, "нов-1", IDS), subscriber(3, "нов-2", NO_IDS)],
        {
            "3 id": "the billing has no folder 94, or it is deleted",
            "3 tarif_id": "the billing has no tariff 777, or it is deleted",
            "3 usluga_id": "the billing has no service 99999999999, or it is deleted",
            "3 manager_id": "the billing has no administrator 3333, or it is deleted",
        },
    ),
    # Its faults are told by others; the billing refuses a call about it.
    "what no object can have": Checked(
        [account(2, "н" * 100, login="л" * 100, ip="10.0.0.300"), account(3, "", login="", ip="")]
    ),
}


@pytest.mark.parametrize("case", CHECKED.values(), ids=list(CHECKED))
async def test_what_is_taken_in_the_billing_and_what_is_not_there(
    gateway: Gateway, execute: Execute, case: Checked
) -> None:
    execute.put("users", **IVAN, deleted=int(case.deleted))
    faults, warnings, _ = await found(gateway, case.rows)
    for said_of, wanted in ((faults, case.faults), (warnings, case.warnings)):
        assert said_of.keys() == wanted.keys()
        assert all(said_of[place].startswith(text) for place, text in wanted.items())


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
    execute.put("users", id=8001, abonent_id=9002, login="ivan", ip=int(IPv4Address("10.0.3.7")))
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
