"""What a job is told, and its rows, whatever their cells hold: bound as they are, or refused with their place."""

import csv
import json
import re
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
from billing.api.calls import encode
from billing.api.client import BillingClient
from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.money import LARGEST
from checkpoints.journal import NAME_LETTERS
from checkpoints.records import Item, Refusal
from cli.terminal.texts import RUSSIAN, language
from engine.errors import InputRefused, LookUpFailed
from engine.evidence import Accepted, Busy, Lost, NotSent, RowRefused, SystemRefused
from engine.job import Row, RowPage, Source
from engine.sources.detect import open_input
from engine.sources.sample import Layout
from jobs.access.gateway import Gateway
from jobs.access.payload import decode_payload
from jobs.access.vault import Vault
from jobs.catalogue.catalogue import BUILT_IN, JOBS
from jobs.catalogue.typed_call import call_kind
from jobs.rows.binding import Binding, Bound, Header, guard_rows, without_words
from jobs.rows.input import Input, SelectSource, select_source
from jobs.spec import entries
from jobs.spec.chain import chain_text, parse, typed
from jobs.spec.columns import KNOWN, locate, normalise_header
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import Parameter, an_id, at_most, roubles, row_key
from jobs.spec.spec import JobSpec, describe_secret_arguments, names_secret, parameters_of, secret_placeholders
from lab.mock import chain, server
from lab.mock.server import MockBilling
from tests.conftest import SHARED_FIXTURES
from tests.jobs.conftest import FOLDER, Execute
from tests.jobs.making import job_of, planned, prepared, readings, rows_of, sent
from texts.said import said, text_of

MANY: Final = "9" * 5000
ODD: Final = (
    MANY, f"-{MANY}", f"0.{MANY}", "1e300000000", "-1E+999999999999999999999", "922337203.69", "-922337203.69",
    "9223372036854775808", "2147483648", "NaN", "Infinity", "1_000", "٣", "²", "0x10", "99999-01-01", "0001-01-01",
    "31.02.2026", "2026-02-30 25:61:61", "\x1b[2J", "=1+1", "256.256.256.256", "::1", "½", "'", "%s", "{x}",
)  # fmt: skip
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
async def test_any_unicode_reaches_the_server_as_it_was(
    texts: list[str], client: BillingClient, tmp_path: Path
) -> None:
    written: tuple[Callable[[Path, Sequence[str]], Path], ...] = (as_csv, as_json_lines)
    for write in written:
        assert await arrived(client, write(tmp_path, texts)) == texts


@pytest.mark.parametrize(
    ("text", "arrives"),
    [
        *((text, text) for text in (" a ", "\u00a0x\u00a0", "\tx\r\n", "\x1cx\x1f", "\u2003 1 a", "x  ")),
        # Around numbers and dates it is none.
        *(
            (f"\u00a0 {text}\t", text)
            for text in ("5", "-7.5", "1 234,50", "01.02.2026", "2026-02-01 10:00:00", "+7 (912) 345-67-89")
        ),
    ],
)
async def test_white_space_around_free_text_is_a_part_of_it(
    text: str, arrives: str, client: BillingClient, tmp_path: Path
) -> None:
    assert await arrived(client, as_csv(tmp_path, [text])) == [arrives]


async def test_ids_and_numbers_have_none_and_comments_keep_theirs(gateway: Gateway, database: Database) -> None:
    rows = rows_of("Договор ;Сумма; descr\n \u00a000123 ; 5,00\u00a0;\u00a0 за март\n A15;6;   \n")
    job = job_of(gateway, "balances", rows)
    first, second = await sent(job, await planned(job))
    assert (first.label, first.amount, second.label) == ("00123", Decimal("5.00"), "A15")
    comments = [descr for (descr,) in database.query("select descr from finance_operations where op_type = 8")]
    assert comments == ["\u00a0 за март [cm k7m2q/1]", "Миграция балансов [cm k7m2q/2]"]


async def test_blanks_that_the_database_drops_make_no_difference(gateway: Gateway, mock_billing: MockBilling) -> None:
    rows = rows_of("contract_number;attribute_id;value\n00123;1012; телеграм  \n")
    job = job_of(gateway, "attribute", rows)
    with patch.object(server, "parse", wraps=chain.parse) as parsed:
        items: Sequence[Item] = await sent(job, await planned(job))
    (form,) = [call.args[1] for call in parsed.call_args_list if "objects.create" in call.args[1].values()]
    assert json.loads(form["arg1"])["attribute_value"] == " телеграм  "
    (reading,) = await readings(job, items)
    assert reading.difference is None
    assert mock_billing.ledger.effects("AttributeValues")


KINDS = ("rows.xlsx", "rows.jsonl")


def written(folder: Path, name: str, header: list[str], *rows: list[object]) -> Input:
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
    done = await prepared(job_of(gateway, "balances", rows))
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
    assert [step.arguments for (step,) in steps] == [
        {"a": 1, "b": "0", "sum": "TRUE" if name == "rows.xlsx" else "true"},
        {"a": "true", "b": "x", "sum": "7"},
    ]
    # As a file it comes back as the same call.
    assert done.items[0].row[:2] == ("1", "0")


def _plain(refusal: Refusal) -> tuple[str, ...]:
    return tuple(cell.upper() for cell in refusal.row)


def test_secrets_of_a_chain() -> None:
    for link, placeholders, told, named in (
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
    ):
        template = parse("Users", ('objects.get {"id": {id}}', link))
        assert secret_placeholders(template) == placeholders
        assert describe_secret_arguments(template) == told
        assert names_secret(template) is named


def test_what_is_said_of_a_call_whose_answer_holds_a_secret() -> None:
    for seen, told in (
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
    ):
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


async def test_a_column_called_as_a_secret_is_hidden_though_another_is_read(
    plain_services: Gateway, tmp_path: Path
) -> None:
    source = source_of(tmp_path, f"number;Neu;password\n5;{WORD};alt\n")
    binding = binding_of(plain_services, source, psw="Neu")
    ((one,), _) = await binding.bind(rows_read(source))
    assert one.row.cells == ("5", "•••", "•••")
    assert binding.secret_places == {1, 2}


async def test_what_is_given_for_all_is_sealed_once(plain_services: Gateway, tmp_path: Path, vault: Vault) -> None:
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
    with structlog.testing.capture_logs() as logs:
        source: Source = select_source(database, f"set list on;\n{IN_FOLDER};", {"folder": str(FOLDER)})
    assert [entry["event"] for entry in logs] == [
        "'set list on' is a setting of isql, which is not needed here: it was left out"
    ]
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


def test_what_a_select_is_refused_for(database: Database, tmp_path: Path) -> None:
    away = Database(Dsn(str(tmp_path / "none.fdb")))
    no_values = "\n".join(f"the select asks for :{one}, which has no value: give --set {one}=…" for one in "ab")
    for where, text, error, why in (
        (away, "delete from abonents", InputRefused, "line 1, column 1: 'delete' does not begin a select"),
        (away, "select 1 from a; select 2 from a", InputRefused, "the select, line 1, column 18: a second statement"),
        (away, "select id from tarif", LookUpFailed, "none.fdb"),
        (database, IN_FOLDER, InputRefused, 'conversion error from string "10x"'),
        (database, "select nothing from tarif", InputRefused, "line 1, column 8: Column unknown: NOTHING"),
        (database, "select id from tarif where id = :a and id = :b", ParameterRefused, no_values),
    ):
        asks: tuple[Callable[[SelectSource], object], ...] = (
            lambda source: source.header,
            lambda source: source.is_read_whole,
            pages_of,
        )
        # What is to be cast is seen when it is carried out.
        for ask in asks[-1:] if text == IN_FOLDER else asks:
            with pytest.raises(error, match=re.escape(why)):
                ask(select_source(where, text, {"folder": "10x"}))


def test_a_long_select_has_a_short_name(database: Database) -> None:
    columns = ",\n  ".join(f"id as x{number}" for number in range(50))
    source = select_source(database, f"select {columns} from tarif", {})  # noqa: S608 - what is tested is SQL
    assert source.name.startswith("select id as x0, id as x1, ")
    assert len(source.name) == 200
    assert source.name.endswith("…")
    assert select_source(database, "select '\x1b[2J' as a\r\nfrom tarif", {}).name == "select ' [2J' as a from tarif"


PARSED: Final[Sequence[tuple[Callable[[str], str], Mapping[str, str]]]] = (
    (an_id, dict.fromkeys(("", "0", "-1", "1.0", "x", "١"), "✗ is not an id")),
    (roubles, {"-120,00": "-120", "-120": "-120", "1200": "1200", "0,50": "0.5", "-0": "0"}),
    (at_most(5), {"Ввод ": "Ввод ", "Вводим": "✗ at most 5", "a\nb": "✗ line ends"}),
)


def test_the_same_value_has_one_spelling_and_what_is_none_is_refused() -> None:
    for parse_, texts in PARSED:
        for text, told in texts.items():
            if not told.startswith("✗"):
                assert parse_(text) == told
                continue
            with pytest.raises(ValueError, match=told[2:]):
                parse_(text)


def test_the_catalogue_names_the_nearest() -> None:
    assert BUILT_IN.kind("balances", {}) is BUILT_IN.named("balances") is JOBS["balances"]
    with pytest.raises(
        ParameterRefused, match=r"no job 'balance' \(did you mean 'balances'\?\); there are: balances, p"
    ):
        BUILT_IN.kind("balance", {})


@pytest.mark.parametrize("one", JOBS.values(), ids=list(JOBS))
def test_every_job_says_what_it_is(one: JobSpec) -> None:
    assert one.summary
    assert "\n" not in one.summary
    assert f"carbon-migrate run {one.name}" in one.example
    assert one.call
    assert one.undo
    assert len({p.name for p in one.parameters}) == len(one.parameters)
    numbers = [number for each in JOBS.values() for number in each.recipes]
    assert sorted(numbers) == list(range(1, 31))


LETTERS = st.text(st.characters(exclude_categories=["Cs"]))


def steps(model: str, *chain: str, **values: str) -> list[tuple[str, dict[str, object]]]:
    return [(step.method, dict(step.arguments)) for step in parse(model, chain).fill(values)]


TYPED: Final[Mapping[str, object]] = {
    "5": 5,
    "-7": -7,
    "0": 0,
    "": None,
    **{text: text for text in ("00123", "1E5", "-0", "+79991234567", "12.50", "1234567890123456789", "١٢")},
}
TEXT_FIELDS = ("contract_number", "abonent__contract_number", "sms", "login", "psw", "attribute_value")
FILLED: Final[Sequence[tuple[str, Mapping[str, str], Mapping[str, object]]]] = (
    # A placeholder that stands alone is typed; within a string it is a part of the text.
    *(('{"x": {a}}', {"a": text}, {"x": value}) for text, value in TYPED.items()),
    (
        '{"a": "№ {n}/{m}", "b": ["{n}", {n}], "c": {"d": "{{{n}}} {{n}}"}}',
        {"n": "007", "m": "x"},
        {"a": "№ 007/x", "b": ["007", "007"], "c": {"d": "{007} {n}"}},
    ),
    # Braces that are meant are written twice.
    ('{"{{a}}": "{{}}", "b": {}}', {}, {"{a}": "{}", "b": {}}),
    # Any name of a column can stand in it.
    *(
        (f'{{"a": {{{name}}}, "b": "<{{ {name} }}>"}}', {name: "7"}, {"a": 7, "b": "<7>"})
        for name in (
            *("№ п/п", "ФИО", "2", "a-b", "name|x", "Сумма, руб.", "К зачислению (всего)", "a/b", "x'y", "id%"),
        )
    ),
    # What is a text stays one though it has digits alone, and is none where it is empty.
    *(
        (f'{{"{field}": {{{name}}}}}', {name: text}, {field: text or None})
        for field, name in (
            *((field, "x") for field in TEXT_FIELDS),
            *(("x", name) for name in ("contract_number", "№ договора", "Телефон")),
        )
        for text in ("123", "")
    ),
)


@pytest.mark.parametrize(("arguments", "values", "filled"), FILLED)
def test_what_becomes_of_a_placeholder(
    arguments: str, values: Mapping[str, str], filled: Mapping[str, object]
) -> None:
    assert parse("Users", (f"set {arguments}",)).names == tuple(values)
    assert steps("Users", f"set {arguments}", **values) == [("set", filled)]


LINKS = ('objects.get {"id": {id}, "x": "{a} {b}"}', 'set {"limit": 5, "on": true}', "save")


def test_the_digest_tells_what_the_call_does() -> None:
    for links, same in (
        (('objects.get  {"id":"{who}","x":"{c} {d}"}', 'set {"on": true, "limit": 5}', "save {}"), True),
        (('objects.get {"id": {id}, "x": "{a} {id}"}', *LINKS[1:]), False),
        (('objects.get {"id": {id}, "x": "{a}-{b}"}', *LINKS[1:]), False),
        ((LINKS[0], 'set {"limit": 6, "on": true}', "save"), False),
        ((LINKS[0], 'set {"limit": 5, "on": 1}', "save"), False),
        (LINKS[:2], False),
    ):
        assert (parse("Users", links).digest == parse("Users", LINKS).digest) == same
        assert parse("Abonents", links).digest != parse("Users", links).digest


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


NO_CHAIN: Final = """
set {"a": {x} "b"} → link 1 ('set {"a": {x} "b"}'), column 15: this is not JSON
set {a: 1} → column 6: this is not JSON
set {"a": 1.5} → 1.5 is a number with a point: write money as a text, "1.5"
set {"a": 1, "a": 2} → 'a' is given twice
set [1] → the arguments are an object in braces
{"a": 1} → a method is expected first
set {"{a}": 1} → a placeholder cannot be the name of an argument
set {{a}: 1} → a placeholder cannot be the name of an argument
set {"a": {"{b}": 1}} → a placeholder cannot be the name of an argument
set {"a": "x {} y"} → column 14: {} is not a placeholder: one is written with the name of its column, {name}
set {"a": "{ }"} → column 12: { } is not a placeholder
set {"a": "{-}"} → column 12: {-} is not a placeholder
set {"a": "{b: 1}"} → column 12: {b: 1} is not a placeholder
set {"a": {b}, "c": "{d"} → column 22: {d"} is not a placeholder
set {"a": "d}"} → column 13: } is not a placeholder
set {"a": "}}}"} → column 14: } is not a placeholder
"""


def test_what_is_no_chain_is_refused_with_its_place() -> None:
    for link, told in (line.split(" → ") for line in NO_CHAIN.strip().splitlines()):
        with pytest.raises(ParameterRefused, match=re.escape(told)):
            parse("Users", (link,))
    for model, links, why in (("../Users", ("save",), "is not the name of a model"), ("Users", (), "needs a method")):
        with pytest.raises(ParameterRefused, match=why):
            parse(model, links)


@given(LETTERS, LETTERS)
def test_no_value_breaks_out_of_its_place(bare: str, within: str) -> None:
    """Whatever stands in a row arrives as it was, and nothing else changes."""
    template = parse("Users", ('set {"a": {bare}, "b": "<{within}>", "c": "kept"}', "save"))
    filled = template.call({"bare": bare, "within": within})
    arguments = json.loads(json.dumps(dict(filled.steps[0].arguments)))
    assert arguments == {"a": typed(bare), "b": f"<{within}>", "c": "kept"}
    assert [step.method for step in filled.steps] == ["set", "save"]
    assert encode(filled)


WANTED: dict[str, tuple[str, ...]] = {"abonent_id": ("id",), "contract_number": (), "amount": ("op_summa",)}


def found(header: list[str], wanted: Mapping[str, tuple[str, ...]], **mapping: str) -> dict[str, str]:
    columns = locate("a.csv", header, wanted, mapping)
    assert list(columns) == list(wanted)
    assert all(column is None or header[column.place].strip() == column.name for column in columns.values())
    return {name: column.name for name, column in columns.items() if column is not None}


LOCATED: Final = """
# A balance is no threshold.
договор;баланс;порог, amount=limit_warning → amount=порог
Договор;Л/с;сумма → a.csv has several columns that can be contract_number: 'Договор', 'Л/с'. Say which is meant with
    --map contract_number=COLUMN
Договор;Л/с;сумма, --map contract_number=л/с → contract_number=Л/с amount=сумма
id;Сумма;Остаток → can be amount: 'Сумма', 'Остаток'
# A sum of a day gives way to one that has no day; of two days nothing says which.
Сальдо на 31.10;Баланс → amount=Баланс
Сальдо на 01.10;Сальдо на 31.10 → can be amount: 'Сальдо на 01.10', 'Сальдо на 31.10'
Договор;Сумма на 3 месяца → contract_number=Договор
# What is mapped to one thing is no candidate for another, but may be mapped to two.
телефон, sms comment=телефон, --map comment=ТЕЛЕФОН → comment=телефон
Сумма;Остаток, amount=op_summa next, --map next=Остаток → amount=Сумма next=Остаток
№, login contract_number, --map login=№ contract_number=№ → login=№ contract_number=№
# A bare id gives way to one that says whose it is.
id;abonent_id → abonent_id=abonent_id
id;usluga, id=users_usluga_id → id=id
id, abonent_id user_id=id → user_id=id
id, abonent_id id → id=id
id, abonent_id=id user_id=id → a.csv: the column 'id' can be any of abonent_id, user_id. Say which is meant with --map
    abonent_id=COLUMN
Договор;Сумма, --map amount=Сума → --map amount=Сума: a.csv has no column 'Сума' (did you mean 'Сумма'?); it
    has: Договор, Сумма
Договор, --map amount= → no column ''; it has: Договор
# The exact name goes before one that is alike.
Сумма;сумма, amount, --map amount=сумма → amount=сумма
Сумма;сумма, amount, --map amount=СУММА → write the name exactly as it is there
id;сумма, --map ammount=сумма → --map ammount=сумма: the rows are not asked for ammount (did you mean 'amount'?); they
    are asked for: abonent_id, contract_number, amount
"""
"""A header, what is asked for, what is mapped, and the columns that are found, or what is said."""


def named(text: str) -> dict[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in text.split())}


@pytest.mark.parametrize("line", re.findall(r"^[^#\n].*", LOCATED.replace("\n    ", " "), re.MULTILINE))
def test_which_column_is_which_or_what_is_asked(line: str) -> None:
    asked, told = line.split(" → ")
    title, *given = asked.split(", ")
    header, mapping = title.split(";"), {}
    if given and given[-1].startswith("--map "):
        mapping = named(given.pop().removeprefix("--map "))
    wanted = {name: (other,) if other else () for one in given for name, other in named(one).items()} or WANTED
    if re.fullmatch(r"(\w+=\S+ ?)+", told):
        assert found(header, wanted, **mapping) == named(told)
        return
    with pytest.raises(InputRefused) as caught:
        locate("a.csv", header, wanted, mapping)
    assert told in str(caught.value)


TITLES: Final[Mapping[str, str]] = {
    "abonent_id": "abonent_id|Abonent ID|ID абонента|id|Код абонента",
    "contract_number": "contract_number|Договор|№ договора|Договор №|НОМЕР  ДОГОВОРА:|Лицевой счёт|лицевой счет|Л/С|"
    "№ л/с",
    "amount": "amount|Сумма|Сумма, руб.|Остаток|Баланс (руб)|сальдо|op_summa|Balance|Начальный\u00a0остаток, в "
    "рублях|Сальдо на 31.10|Остаток на 1 ноября 2026 г.|Сальдо (руб.) на 31.10.2026|Баланс на конец месяца|"
    "Остаток на счёте по состоянию на 2026-10-31|Balance as of 31/10/2026",
}
OTHER_TITLES: Final = (
    "Учётная запись=user_id|Логин=login|IP-адрес=ip|Телефон=sms|Номер СМС=sms|Дата=date|Примечание=comment|"
    "Услуга=usluga_id|Тарифный план=tarif_id|Оператор=operator_id|Порог предупреждения=limit_warning"
)


def test_what_columns_are_called() -> None:
    for name, titles in TITLES.items():
        for title in titles.split("|"):
            assert found(["ФИО", f" {title} ", "адрес"], WANTED) == {name: title}
    for title, name in (one.split("=") for one in OTHER_TITLES.split("|")):
        assert found(["ФИО", title], {name: ()}) == {name: title}
        assert found(["ФИО", title], {"other": (), "mine": (name,)}) == {"mine": title}


@given(
    name=st.sampled_from(sorted(KNOWN)),
    data=st.data(),
    around=st.text(" \t.,:;-_/()«»№", max_size=3).filter(lambda text: "№" not in text),
    upper=st.booleans(),
)
def test_case_spaces_and_points_make_no_difference(name: str, data: st.DataObject, around: str, upper: bool) -> None:
    alias = data.draw(st.sampled_from([name, *KNOWN[name]]))
    title = (alias.upper() if upper else alias).replace(" ", data.draw(st.sampled_from(["  ", "_", "\u00a0", ""])))
    title = title.replace("ё", "е").replace("номер", data.draw(st.sampled_from(["номер", "№"])))
    assert found(["ФИО", f"{around}{title}{around}"], {name: ()}) == {name: f"{around}{title}{around}".strip()}


@given(st.text(max_size=30))
def test_a_name_is_compared_with_itself_as_the_same(text: str) -> None:
    assert normalise_header(normalise_header(text)) == normalise_header(text) == normalise_header(f" {text}! ")


NAMES = st.text(NAME_LETTERS, min_size=5, max_size=5)
NUMBERS = st.integers(1, 10**9)
FITS: Final = "x" * (entries.LONGEST_COMMENT - len(" [cm k7m2q/7]"))


def test_a_mark_is_short_and_readable_and_found_among_others() -> None:
    assert entries.with_mark("", "k7m2q", 1042) == "[cm k7m2q/1042]"
    assert entries.with_mark("Миграция балансов", "k7m2q", 1) == "Миграция балансов [cm k7m2q/1]"
    assert entries.with_mark(FITS, "k7m2q", 7) == f"{FITS} [cm k7m2q/7]"
    assert "…" in entries.with_mark(f"{FITS}x", "k7m2q", 7)
    assert entries.find_mark(entries.with_mark("again [cm aaaaa/3]", "k7m2q", 7)) == ("k7m2q", 7)
    for other in ("", "Миграция", "[cm k7m2q/]", "[cm k7m2q/01]", "[cm /1]", "[cm k7m2q 1]", "[cm k"):
        assert entries.find_mark(other) is None, other
    # Those of all runs are taken off.
    assert entries.without_marks("Ввод [cm aaaaa/3] [cm k7m2q/7]") == "Ввод"
    assert entries.without_marks("[cm k7m2q/7]") == ""
    assert entries.without_marks("Ввод [cm k7m2q]") == "Ввод [cm k7m2q]"


@given(
    text=st.text(st.characters(exclude_characters="["), max_size=entries.LONGEST_TEXT),
    name=NAMES,
    number=NUMBERS,
    longest=st.integers(24, 300),
)
def test_a_mark_is_found_in_a_comment_of_any_length_and_one_that_jobs_take_comes_back_whole(
    text: str, name: str, number: int, longest: int
) -> None:
    assert entries.find_mark(entries.with_mark(f"{text} [", name, number, longest=longest)) == (name, number)
    assert len(entries.with_mark(text, name, number, longest=longest)) <= longest
    comment = entries.with_mark(text, name, number)
    assert entries.without_marks(comment) == text.rstrip()
    assert entries.mark_prefix(name) in comment
    assert len(comment) <= len(text) + entries.MARK_ROOM
    # What the billing adds behind it does no harm.
    assert entries.find_mark(comment + text) == (name, number)


def test_a_key_as_people_read_it() -> None:
    for values, key in (
        ((), ""),
        (("9001",), "9001"),
        (("94", "127"), "94/127"),
        (("1/2", "3"), r"1\/2/3"),
        (("1", "2/3"), "1/2/3"),
        (("a\\", "b"), r"a\\/b"),
        (("ivanov", "http://lk.example.org/"), "ivanov/http://lk.example.org/"),
    ):
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
