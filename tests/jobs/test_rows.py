"""Rows of files and selects, whatever their cells hold: bound as they are, or refused with their place."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final
from unittest.mock import patch

import pytest
import structlog.testing
import xlsxwriter  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.api.answers import UNREADABLE
from billing.api.client import BillingClient
from billing.database.columns import ColumnType
from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.money import LARGEST, AmountError, parse_amount, scaled
from billing.selects.select import select_of
from checkpoints.records import Item, Refusal
from engine.errors import InputRefused, LookUpFailed
from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused
from engine.rows import Row, RowPage, Source
from engine.sources.detect import open_input
from engine.sources.raw.sample import Layout
from jobs.access.gateway import Gateway
from jobs.access.payload import decode_payload
from jobs.access.vault import Vault
from jobs.catalogue.built_in import ATTRIBUTE, BALANCES
from jobs.catalogue.catalogue import JOBS
from jobs.catalogue.typed_call import call_kind
from jobs.rows.binding import Binding, Bound, Header
from jobs.rows.input import Input, SelectSource, select_source
from jobs.rows.secret_cells import guard_rows, without_words
from jobs.spec.chain import chain_text, parse
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import Parameter, an_id, at_most
from jobs.spec.spec import JobSpec, describe_secret_arguments, names_secret, secret_placeholders
from lab.mock import chain, server
from lab.mock.server import MockBilling
from tests.conftest import SHARED_FIXTURES
from tests.jobs.conftest import FOLDER, Execute
from tests.jobs.making import job_of, planned, prepared, readings, rows_of, sent
from texts.said import said

MANY: Final = "9" * 5000
ODD: Final = (
    MANY, f"-{MANY}", f"0.{MANY}", "1e300000000", "-1E+999999999999999999999", "922337203.69", "-922337203.69",
    "9223372036854775808", "2147483648", "NaN", "Infinity", "1_000", "٣", "²", "0x10", "99999-01-01", "0001-01-01",
    "31.02.2026", "2026-02-30 25:61:61", "\x1b[2J", "=1+1", "256.256.256.256", "::1", "½", "'", "%s", "{x}",
)  # fmt: skip
CELLS: Final = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=300),
    st.text("0123456789-+.,eE _:/", max_size=40),
    st.integers().map(str),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.datetimes().map(str),
)
CHAIN: Final = {
    "model": "AdminAccounts",
    "chain": chain_text(['objects.get {"id": {id}}', 'set {"limit_warning": "{sum}"}', "save"]),
}
CREATE: Final = {
    "model": "FinanceOperations",
    "chain": chain_text(['objects.create {"abonent_id": {id}, "op_type_id": 8, "op_summa": "{sum}"}']),
}
GOOD: Final[Mapping[str, str]] = {
    **dict.fromkeys(("abonent_id", "id", "user_id", "op_id"), "9001"),
    **dict.fromkeys(("operator", "usluga_id", "usluga", "manager", "attribute", "tariff", "pool"), "1"),
    **dict.fromkeys(("amount", "sum"), "1.50"),
    **dict.fromkeys(("date", "start", "end", "next_date", "since"), "2030-01-01"),
    **dict.fromkeys(("time_changed", "time_del"), "2020-01-01 10:00:00"),
    "contract_number": "00123",
    "login": "ivanov",
    "op_type": "8",
    "ip": "10.0.0.1",
    "sms": "+79123456789",
}
CASES: Final = (
    *((name, kind, {}) for name, kind in JOBS.items() if name not in {"call", "password", "random-password"}),
    ("call: set", call_kind(CHAIN), CHAIN),
    ("call: create", call_kind(CREATE), CREATE),
)
"""The jobs by their names, with what is given for all rows."""
RECOVERY: Final = {"base_url": "http://127.0.0.1/"}


def columns_of(kind: JobSpec) -> list[str]:
    return [one.name for one in kind.parameters if one.columns is not None and not one.secret]


def by_others(names: Sequence[str]) -> list[str]:
    """The columns by which people know the same: a contract's number, a login."""
    others = {"abonent_id": "contract_number", "user_id": "login"}
    return [others.get(name, name) for name in names]


async def holds(
    gateway: Gateway, kind: JobSpec, given: Mapping[str, str], folder: Path, rows: Sequence[Mapping[str, str]]
) -> None:
    path = folder / "rows.csv"
    names = list(rows[0])
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=";").writerows([names, *([row[name] for name in names] for row in rows)])
    if kind.name == "password-recovery":
        given = RECOVERY
    done = await prepared(job_of(gateway, kind, Input(file=str(path)), **given))
    assert all(one.line is not None and one.reason for one in done.refusals)
    assert not any("Exceeds the limit" in one.reason for one in done.refusals)
    assert all(one.amount is None or abs(one.amount) <= LARGEST for one in done.items)


@pytest.mark.parametrize("words", [list, by_others], ids=["by id", "by number"])
@pytest.mark.loops(300)
async def test_odd_cells_are_bound_or_refused_in_every_column_of_every_job(
    words: Callable[[list[str]], list[str]], gateway: Gateway, tmp_path: Path
) -> None:
    for _, kind, common in CASES:
        names = words(columns_of(kind))
        for column in names:
            others = {name: GOOD.get(name, "") for name in names}
            await holds(gateway, kind, common, tmp_path, [others | {column: odd} for odd in ODD])


@pytest.mark.parametrize(
    ("kind", "given"),
    [(JOBS[name], {}) for name in ("balances", "payment", "tariff-next", "attribute")] + [(call_kind(CHAIN), CHAIN)],
    ids=["balances", "payment", "tariff-next", "attribute", "call"],
)
@settings(max_examples=25, suppress_health_check=SHARED_FIXTURES)
@given(drawn=st.data())
async def test_any_cell_is_bound_or_refused(
    both: Gateway, drawn: st.DataObject, kind: JobSpec, given: Mapping[str, str], tmp_path: Path
) -> None:
    names = drawn.draw(st.sampled_from((columns_of(kind), by_others(columns_of(kind)))))
    row = st.fixed_dictionaries({name: st.one_of(CELLS, st.just(GOOD.get(name, ""))) for name in names})
    rows = drawn.draw(
        st.lists(row, min_size=1, max_size=8).filter(
            lambda rows: any(any(map(str.strip, one.values())) for one in rows)
        )
    )
    await holds(both, kind, given, tmp_path, rows)


@given(CELLS)
def test_any_text_is_an_amount_that_the_billing_holds_or_none(text: str) -> None:
    try:
        amount = parse_amount(text)
    except AmountError as error:
        assert 1 <= error.position <= len(text) + 1  # noqa: PT017 - either is right
    else:
        assert scaled(abs(amount)) < 2**63


CREATE_TARIFF = 'objects.create {"name": "{text}"}'
TARIFF_CHAIN = {"model": "Tarif", "chain": chain_text([CREATE_TARIFF]), "fields": "name"}
OF_NUMBERS = "0123456789 .,:/()+-"


def says_something(text: str) -> bool:
    """Whether it is more than white space or a number, around which white space says nothing."""
    return any(letter not in OF_NUMBERS and not letter.isspace() for letter in text)


TEXTS = st.lists(
    # A text file has no NUL, and half of a character cannot be written.
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=80).filter(says_something),
    min_size=1,
    max_size=30,
)


def as_csv(folder: Path, texts: Sequence[str]) -> Path:
    path = folder / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";").writerows([("n", "text"), *enumerate(texts)])
    return path


def as_json_lines(folder: Path, texts: Sequence[str]) -> Path:
    path = folder / "rows.jsonl"
    with path.open("w", encoding="utf-8", newline="") as file:
        for number, text in enumerate(texts):
            json.dump({"n": number, "text": text}, file, ensure_ascii=bool(number % 2))
            file.write("\n")
    return path


async def arrived(client: BillingClient, file: Path) -> list[str]:
    """The texts as the server has them, once it has taken their forms apart."""
    gateway = Gateway(client, None)
    job = job_of(gateway, call_kind(TARIFF_CHAIN), Input(file=str(file), encoding="utf-8"), **TARIFF_CHAIN)
    items = await planned(job)
    with patch.object(server, "parse", wraps=chain.parse) as parsed:
        await sent(job, items)
    forms = [call.args[1] for call in parsed.call_args_list]
    return [json.loads(form["arg1"])["name"] for form in forms]


@settings(max_examples=60, suppress_health_check=SHARED_FIXTURES)
@given(texts=TEXTS)
async def test_any_row_of_any_unicode_reaches_the_server_as_it_was(
    texts: list[str], client: BillingClient, tmp_path: Path
) -> None:
    written: tuple[Callable[[Path, Sequence[str]], Path], ...] = (as_csv, as_json_lines)
    for write in written:
        assert await arrived(client, write(tmp_path, texts)) == texts


@pytest.mark.parametrize("text", [" a ", "\u00a0x\u00a0", "\tx\r\n", "\x1cx\x1f", "\u2003 1 a", "x  "])
async def test_white_space_around_free_text_is_a_part_of_it(text: str, client: BillingClient, tmp_path: Path) -> None:
    assert await arrived(client, as_csv(tmp_path, [text])) == [text]


@pytest.mark.parametrize("text", ["5", "-7.5", "1 234,50", "01.02.2026", "2026-02-01 10:00:00", "+7 (912) 345-67-89"])
async def test_white_space_around_a_number_or_a_date_says_nothing(
    text: str, client: BillingClient, tmp_path: Path
) -> None:
    assert await arrived(client, as_csv(tmp_path, [f"\u00a0 {text}\t"])) == [text]


async def test_ids_and_contract_numbers_have_none_and_comments_keep_theirs(
    gateway: Gateway, database: Database
) -> None:
    rows = rows_of("Договор ;Сумма; descr\n \u00a000123 ; 5,00\u00a0;\u00a0 за март\n A15;6;   \n")
    job = job_of(gateway, BALANCES, rows)
    first, second = await sent(job, await planned(job))
    assert (first.label, first.amount, second.label) == ("00123", Decimal("5.00"), "A15")
    comments = [descr for (descr,) in database.query("select descr from finance_operations where op_type = 8")]
    assert comments == ["\u00a0 за март [cm k7m2q/1]", "Миграция балансов [cm k7m2q/2]"]


async def test_blanks_that_the_database_does_not_keep_make_no_difference(
    gateway: Gateway, mock_billing: MockBilling
) -> None:
    rows = rows_of("contract_number;attribute_id;value\n00123;1012; телеграм  \n")
    job = job_of(gateway, ATTRIBUTE, rows)
    with patch.object(server, "parse", wraps=chain.parse) as parsed:
        items: Sequence[Item] = await sent(job, await planned(job))
    (form,) = [call.args[1] for call in parsed.call_args_list if "objects.create" in call.args[1].values()]
    assert json.loads(form["arg1"])["attribute_value"] == " телеграм  "
    (reading,) = await readings(job, items)
    assert reading.difference is None
    assert mock_billing.ledger.effects("AttributeValues")


KINDS = ("rows.xlsx", "rows.jsonl")


def written(folder: Path, name: str, header: list[str], *rows: list[object]) -> Input:
    """A workbook, or JSON lines, by the name."""
    path = folder / name
    if path.suffix == ".xlsx":
        with xlsxwriter.Workbook(path) as book:
            sheet = book.add_worksheet()
            for place, row in enumerate([header, *rows]):
                sheet.write_row(place, 0, row)
    else:
        lines = [json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in rows]
        path.write_text("".join(lines), encoding="utf-8")
    return Input(file=str(path))


@pytest.mark.parametrize("name", KINDS)
async def test_true_is_no_amount_and_no_id(gateway: Gateway, tmp_path: Path, name: str) -> None:
    rows = written(tmp_path, name, ["abonent_id", "amount"], ["9001", True], [True, "5"], ["9002", "6"])
    done = await prepared(job_of(gateway, BALANCES, rows))
    assert [item.label for item in done.items] == ["123"]
    assert [refusal.column for refusal in done.refusals] == ["amount", "abonent_id"]
    amount, key = done.refusals
    assert "is not an amount" in amount.reason
    # What an export has of it can be read as no amount either.
    assert [_plain(refusal) for refusal in (amount, key)] == [("9001", "TRUE"), ("TRUE", "5")]


@pytest.mark.parametrize("name", KINDS)
async def test_a_placeholder_takes_it_as_a_flag(client: BillingClient, tmp_path: Path, name: str) -> None:
    chain = chain_text(['set_flags {"a": {a}, "b": "{b}", "sum": "{sum}"}'])
    parameters = {"model": "Users", "chain": chain}
    rows = written(tmp_path, name, ["a", "b", "sum", "other"], [True, False, True, True], ["true", "x", "7", "y"])
    done = await prepared(job_of(Gateway(client, None), call_kind(parameters), rows, **parameters))
    steps = [decode_payload(item.payload).steps for item in done.items]
    assert [arguments for ((_, arguments),) in steps] == [
        {"a": 1, "b": "0", "sum": "TRUE" if name == "rows.xlsx" else "true"},
        {"a": "true", "b": "x", "sum": "7"},
    ]
    # As a file it comes back as the same call.
    assert done.items[0].row[:2] == ("1", "0")


def _plain(refusal: Refusal) -> tuple[str, ...]:
    return tuple(cell.upper() for cell in refusal.row)


@pytest.mark.parametrize(
    ("link", "placeholders", "told", "named"),
    [
        ('set_password {"psw": "{word}", "dontshow": {show}}', {"word"}, "", True),
        ('set_password {"psw": {word}}', {"word"}, "", True),
        ('set_password {"psw": "a{word}"}', {"word"}, "psw", True),
        ('set_password {"psw": "1234", "dontshow": true}', set(), "psw", True),
        ('set_password {"PSW": 1234}', set(), "PSW", True),
        ('set {"psw": "", "password": null, "login": "{login}"}', set(), "", True),
        ('x {"in": [{"suid": ["{one}", {two}]}], "id": {id}}', {"one", "two"}, "", True),
        ('x {"hash_key": {"of": "word"}}', set(), "hash_key", True),
        ('set {"login": "psw", "dontshow": true}', set(), "", False),
        ("save", set(), "", False),
    ],
)
def test_secrets_of_a_chain(link: str, placeholders: set[str], told: str, named: bool) -> None:
    template = parse("Users", ('objects.get {"id": {id}}', link))
    assert secret_placeholders(template) == placeholders
    assert describe_secret_arguments(template) == told
    assert names_secret(template) is named


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (Accepted("5"), Accepted("5")),
        (Busy('{"psw": "x1"}', 5.0), Busy('{"psw":"•••"}', 5.0)),
        (NotSent("no name"), NotSent("no name")),
        (RowRefused("psw=x1 no", recognised=False), RowRefused("psw=••• no", recognised=False)),
        (SystemRefused("suid: x1"), SystemRefused("suid: •••")),
        (Lost("HTTP 500: password='x1'"), Lost("HTTP 500: password=•••'")),
        (
            Lost(said(UNREADABLE, status="200", fault="bad", answer="x1")),
            Lost("HTTP 200, but not the billing's JSON; what it says is not shown, for a secret may be in it"),
        ),
    ],
)
def test_what_is_said_of_a_call_whose_answer_holds_a_secret(seen: Evidence, told: Evidence) -> None:
    assert without_words(seen) == told


WORD = "Sekret-7"
PARAMETERS = (
    Parameter("number", "", parse=an_id, columns=()),
    Parameter("psw", "", parse=at_most(20), columns=("пароль",), secret=True),
)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "secrets", "a" * 16)


@pytest.fixture
def plain_services(gateway: Gateway, vault: Vault) -> Gateway:
    return Gateway(gateway.client, None, vault=vault)


def source_of(tmp_path: Path, text: str) -> Source:
    path = tmp_path / "rows.csv"
    path.write_text(text, encoding="utf-8")
    return open_input(path, Layout())


def binding_of(gateway: Gateway, source: Source, given: str = "", **mapping: str) -> Binding:
    header = Header(source.name, source.header)
    return Binding(gateway, header, ("psw", "number"), PARAMETERS, {"psw": given, "number": ""}, mapping)


def rows_read(source: Source) -> Sequence[Row]:
    return [row for page in source.pages(None) for row in page.rows]


async def bound(gateway: Gateway, source: Source, given: str = "") -> tuple[list[Bound], list[Refusal]]:
    return await binding_of(gateway, source, given).bind(rows_read(source))


async def test_refused_rows_show_dots_as_well(plain_services: Gateway, tmp_path: Path) -> None:
    text = f"number;psw\nx;{WORD}\n5;\n6;{WORD * 3}\n7;•••\n"
    _, refused = await bound(plain_services, source_of(tmp_path, text))
    assert [(one.line, one.column, one.row) for one in refused] == [
        (2, "number", ("x", "•••")),
        (3, "psw", ("5", "")),
        (4, "psw", ("6", "•••")),
        (5, "psw", ("7", "•••")),
    ]
    assert WORD not in repr(refused)
    assert "write it anew" in refused[-1].reason


async def test_a_column_that_is_called_as_a_secret_is_hidden_though_another_is_read(
    plain_services: Gateway, tmp_path: Path
) -> None:
    source = source_of(tmp_path, f"number;Neu;password\n5;{WORD};alt\n")
    binding = binding_of(plain_services, source, psw="Neu")
    ((one,), _) = await binding.bind(rows_read(source))
    assert one.row.cells == ("5", "•••", "•••")
    assert binding.secret_places == {1, 2}


async def test_what_was_given_for_all_rows_stays_sealed_once(
    plain_services: Gateway, tmp_path: Path, vault: Vault
) -> None:
    (token,) = vault.seal([WORD])
    source = source_of(tmp_path, "number;psw\n5;\n6;eigen\n")
    (one, two), _ = await bound(plain_services, source, token)
    assert one.values["psw"] == token
    assert two.values["psw"] != token
    vault.forget([])
    with pytest.raises(InputRefused, match="kept no longer"):
        await bound(plain_services, source, token)


async def test_a_plan_keeps_nothing_and_needs_nothing(gateway: Gateway, tmp_path: Path) -> None:
    (token,) = Vault().seal([WORD])
    planning = Gateway(gateway.client, None)
    (one,), _ = await bound(planning, source_of(tmp_path, "number;psw\n5;\n"), token)
    assert one.values["psw"] == token


def test_rows_that_cannot_be_read_lose_all_their_words(tmp_path: Path) -> None:
    source = source_of(tmp_path, f"number;psw\n{WORD};5;6\n5;{WORD}\n{WORD}\n")
    (page,) = guard_rows(source, {1}).pages(None)
    assert [(one.line, one.label, one.row) for one in page.refusals] == [
        (2, "", ("•••", "•••", "•••")),
        (4, "", ("•••",)),
    ]
    assert "the header has 2 cells" in page.refusals[0].reason
    assert guard_rows(source, ()) is source


IN_FOLDER = "select id, contract_number from abonents where parent_id = :folder"
BY_NUMBER = f"{IN_FOLDER} order by contract_number, id"


def pages_of(source: Source, after: str | None = None) -> list[RowPage]:
    return list(source.pages(after))


def test_a_select_along_its_key(database: Database) -> None:
    source: Source = select_source(database, f"set list on;\n{IN_FOLDER};", {"folder": str(FOLDER)})
    assert source.name == IN_FOLDER
    assert source.digest == ""
    assert source.header == ("id", "contract_number")
    assert not source.is_read_whole
    (page,) = pages_of(source)
    assert page.rows[:3] == (Row(None, ("9001", "00123")), Row(None, ("9002", "123")), Row(None, ("9003", "A15")))
    assert (len(page.rows), page.refusals, page.cursor) == (10, (), "9010")
    assert [row.cells[0] for row in pages_of(source, "9007")[0].rows] == ["9008", "9009", "9010"]
    assert pages_of(source, "9010") == []


def test_a_select_that_is_read_at_once_and_checked_whole(database: Database, execute: Execute) -> None:
    source = select_source(database, BY_NUMBER, {"folder": FOLDER, "of another": "parameter"})
    assert source.is_read_whole
    (page,) = pages_of(source)
    assert [row.cells[1] for row in page.rows][:4] == ["00123", "123", "77/2", "77/2"]
    execute.put("abonents", id=9011, parent_id=FOLDER, contract_number="ЯЯЯ")
    assert pages_of(source, page.cursor)[0].rows == (Row(None, ("9011", "ЯЯЯ")),)
    execute("update abonents set contract_number = '00124' where id = 9001")
    with pytest.raises(InputRefused, match=r"the first 10 rows are no longer those .* begin a new run"):
        pages_of(source, page.cursor)


def test_kinds_and_given_names(database: Database) -> None:
    text = "select id, 1.5, create_date from abonents"
    source = select_source(database, text, {}, ("key", "Сумма", "since"))
    assert source.header == ("key", "Сумма", "since")
    assert source.kinds == (ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.TIMESTAMP)
    with pytest.raises(InputRefused, match=r"the select is refused: column 2 has no name, .* --columns a,b,c"):
        _ = select_source(database, text, {}).header


def test_a_value_without_an_exact_text_is_a_refused_row(database: Database) -> None:
    text = "select id, id / cast(3 as double precision) as part from tarif where id > 1 and id < 5"
    (page,) = pages_of(select_source(database, text, {}))
    assert [row.cells for row in page.rows] == [("3", "1")]
    assert [refusal.row[0] for refusal in page.refusals] == ["2", "4"]
    first = page.refusals[0]
    assert first == Refusal(None, "part", "2", first.reason, ("2", repr(2 / 3)))
    assert "is a floating-point number" in first.reason
    assert page.cursor == "4"


def test_settings_of_isql_are_noted(database: Database) -> None:
    with structlog.testing.capture_logs() as logs:
        select_source(database, "set heading off; select id from tarif", {})
    assert [entry["event"] for entry in logs] == [
        "'set heading off' is a setting of isql, which is not needed here: it was left out"
    ]


def test_a_long_select_has_a_short_name(database: Database) -> None:
    columns = ",\n  ".join(f"id as x{number}" for number in range(50))
    source = select_source(database, f"select {columns} from tarif", {})  # noqa: S608 - what is tested is SQL
    assert source.name.startswith("select id as x0, id as x1, ")
    assert len(source.name) == 200
    assert source.name.endswith("…")
    assert select_source(database, "select '\x1b[2J' as a\r\nfrom tarif", {}).name == "select ' [2J' as a from tarif"


def test_a_missing_parameter_is_told_with_the_way_to_give_it(database: Database) -> None:
    with pytest.raises(ParameterRefused) as refused:
        select_source(database, f"{IN_FOLDER} and tarif_id = :tarif", {"fodler": "1"})
    assert str(refused.value) == (
        "the select asks for :folder, which has no value: give --set folder=…\n"
        "the select asks for :tarif, which has no value: give --set tarif=…"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("delete from abonents", "the select, line 1, column 1: 'delete' does not begin a select"),
        ("select id from tarif; select id from tarif", "the select, line 1, column 23: a second statement"),
    ],
)
def test_what_is_no_select_is_refused_before_the_database_is_asked(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=why):
        select_source(Database(Dsn(str(tmp_path / "none.fdb"))), text, {})


def test_what_the_statement_is_to_blame_for(database: Database) -> None:
    unknown = select_source(database, "select nothing from tarif", {})
    for ask in (
        lambda: unknown.header,
        lambda: unknown.kinds,
        lambda: unknown.is_read_whole,
        lambda: pages_of(unknown),
    ):
        with pytest.raises(InputRefused) as refused:
            ask()
        assert str(refused.value) == "the select is refused: line 1, column 8: Column unknown: NOTHING"
    no_number = select_source(database, IN_FOLDER, {"folder": "10x"})
    assert no_number.header == ("id", "contract_number")
    with pytest.raises(InputRefused, match='conversion error from string "10x"'):
        pages_of(no_number)


def test_a_database_that_is_away_is_no_fault_of_the_statement(tmp_path: Path) -> None:
    source = SelectSource(Database(Dsn(str(tmp_path / "none.fdb"))), select_of("select id from tarif"), {})
    for ask in (lambda: source.header, lambda: pages_of(source, "5")):
        with pytest.raises(LookUpFailed, match=r"none\.fdb"):
            ask()
