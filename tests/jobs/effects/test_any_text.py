"""What a row says reaches the server as it was: through the source, the binding, the call, a socket and the form."""

import csv
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.api.client import BillingClient
from billing.database.database import Database
from billing.directory.values import plain_value
from checkpoints.records import Item
from jobs.access.gateway import Gateway
from jobs.catalogue.money import BALANCES
from jobs.catalogue.services import ATTRIBUTE
from jobs.catalogue.typed_call import call_kind
from jobs.rows.input import Input
from jobs.spec.chain import chain_text
from lab.mock import chain, server
from lab.mock.server import MockBilling
from tests.conftest import SHARED_FIXTURES
from tests.jobs.making import job_of, planned, readings, refused, rows_of, sent

CREATE = 'objects.create {"name": "{text}"}'
CHAIN = {"model": "Tarif", "chain": chain_text([CREATE]), "fields": "name"}
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
    job = job_of(gateway, call_kind(CHAIN), Input(file=str(file), encoding="utf-8"), **CHAIN)
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
    gateway: Gateway, tmp_path: Path, database: Database
) -> None:
    rows = rows_of(tmp_path, "Договор ;Сумма; descr\n \u00a000123 ; 5,00\u00a0;\u00a0 за март\n A15;6;   \n")
    job = job_of(gateway, BALANCES, rows)
    first, second = await sent(job, await planned(job))
    assert (first.label, first.amount, second.label) == ("00123", Decimal("5.00"), "A15")
    comments = [descr for (descr,) in database.query("select descr from finance_operations where op_type = 8")]
    assert comments == ["\u00a0 за март [cm k7m2q/1]", "Миграция балансов [cm k7m2q/2]"]


async def test_blanks_that_the_database_does_not_keep_make_no_difference(
    gateway: Gateway, mock_billing: MockBilling, tmp_path: Path
) -> None:
    rows = rows_of(tmp_path, "contract_number;attribute_id;value\n00123;1012; телеграм  \n")
    job = job_of(gateway, ATTRIBUTE, rows)
    with patch.object(server, "parse", wraps=chain.parse) as parsed:
        items: Sequence[Item] = await sent(job, await planned(job))
    (form,) = [call.args[1] for call in parsed.call_args_list if "objects.create" in call.args[1].values()]
    assert json.loads(form["arg1"])["attribute_value"] == " телеграм  "
    (reading,) = await readings(job, items)
    assert reading.difference is None
    assert mock_billing.ledger.effects("AttributeValues")


async def test_line_ends_in_a_comment_are_told_and_not_cut_off(gateway: Gateway, tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 'contract_number;amount;descr\n00123;5;"за март\n"\n')
    (told,) = await refused(job_of(gateway, BALANCES, rows))
    assert told == "2 descr: the text has line ends or other invisible characters"


@pytest.mark.parametrize(
    ("text", "is_"), [("a ", "a"), ("a\u00a0", "a\u00a0"), (" a", " a"), ("   ", None), (True, "1")]
)
def test_values_are_compared_as_firebird_compares_them(text: object, is_: str | None) -> None:
    assert plain_value("descr", text) == is_
