"""Any cell gives a bound value, and an item, or a refusal with its place; never an exception."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.api.client import BillingClient
from billing.database.database import Database
from billing.money import LARGEST, AmountError, parse_amount, scaled
from jobs.access.gateway import Gateway
from jobs.catalogue.catalogue import JOBS
from jobs.catalogue.typed_call import call_kind
from jobs.rows.input import Input
from jobs.spec.chain import chain_text
from jobs.spec.spec import JobSpec
from tests.conftest import SHARED_FIXTURES
from tests.jobs.making import job_of, prepared

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
@pytest.mark.parametrize(("kind", "given"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_odd_cells_are_bound_or_refused_in_every_column_of_every_job(
    words: Callable[[list[str]], list[str]], kind: JobSpec, given: Mapping[str, str], gateway: Gateway, tmp_path: Path
) -> None:
    names = words(columns_of(kind))
    for column in names:
        others = {name: GOOD.get(name, "") for name in names}
        await holds(gateway, kind, given, tmp_path, [others | {column: odd} for odd in ODD])


@pytest.mark.parametrize(
    ("kind", "given"),
    [(JOBS[name], {}) for name in ("balances", "payment", "tariff-next", "attribute")] + [(call_kind(CHAIN), CHAIN)],
    ids=["balances", "payment", "tariff-next", "attribute", "call"],
)
@settings(max_examples=25, suppress_health_check=SHARED_FIXTURES)
@given(drawn=st.data())
async def test_any_cell_is_bound_or_refused(
    drawn: st.DataObject,
    kind: JobSpec,
    given: Mapping[str, str],
    client: BillingClient,
    database: Database,
    tmp_path: Path,
) -> None:
    names = drawn.draw(st.sampled_from((columns_of(kind), by_others(columns_of(kind)))))
    row = st.fixed_dictionaries({name: st.one_of(CELLS, st.just(GOOD.get(name, ""))) for name in names})
    rows = drawn.draw(
        st.lists(row, min_size=1, max_size=8).filter(
            lambda rows: any(any(map(str.strip, one.values())) for one in rows)
        )
    )
    await holds(Gateway(client, database), kind, given, tmp_path, rows)


@given(CELLS)
def test_any_text_is_an_amount_that_the_billing_holds_or_none(text: str) -> None:
    try:
        amount = parse_amount(text)
    except AmountError as error:
        assert 1 <= error.position <= len(text) + 1  # noqa: PT017 - either is right
    else:
        assert scaled(abs(amount)) < 2**63
