"""Rows that hold secrets: values become tokens, cells become dots, in items as in what is refused."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.rows import Row, RowPage, Source
from engine.sources.detect import open_input
from engine.sources.raw.sample import Layout
from jobs.access.gateway import Gateway
from jobs.access.vault import Vault, is_token
from jobs.rows.binding import Binding, Bound, Header
from jobs.rows.secret_cells import Guarded, guard_rows
from jobs.spec.parameters import Parameter, an_id, at_most

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


def rows_of(source: Source) -> Sequence[Row]:
    return [row for page in source.pages(None) for row in page.rows]


async def bound(gateway: Gateway, source: Source, given: str = "") -> tuple[list[Bound], list[Refusal]]:
    return await binding_of(gateway, source, given).bind(rows_of(source))


async def test_a_secret_is_in_the_vault_and_not_in_the_row(
    plain_services: Gateway, tmp_path: Path, vault: Vault
) -> None:
    (one, two), refused = await bound(plain_services, source_of(tmp_path, f"Пароль;number\n{WORD};5\nzwei;6\n"))
    assert refused == []
    assert [one.row.cells, two.row.cells] == [("•••", "5"), ("•••", "6")]
    assert one.label == "5"
    tokens = [one.values["psw"], two.values["psw"]]
    assert all(map(is_token, tokens))
    assert vault.open(tokens) == dict(zip(tokens, [WORD, "zwei"], strict=True))


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
    ((one,), _) = await binding.bind(rows_of(source))
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


@dataclass(frozen=True, slots=True)
class Telling(Source):
    """A source that repeats a cell in the reason why it cannot be read."""

    name: str = "telling"
    digest: str = ""
    header: tuple[str, ...] = ("number", "psw")
    is_read_whole: bool = True

    def pages(self, after: str | None) -> Iterator[RowPage]:
        yield RowPage((), (Refusal(2, "psw", WORD, f"{WORD!r} is no number", ("5", WORD)),), "2")


def test_a_reason_that_repeats_a_cell_is_not_told() -> None:
    (page,) = Guarded(Telling()).pages(None)
    assert WORD not in repr(page)
    assert page.refusals[0].line == 2
