from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.job import Job
from jobs.catalogue import JOBS, kind
from jobs.errors import ParameterRefused
from jobs.kinds import JobKind, Parameter, an_id, at_most, parameters_of, roubles
from jobs.services import Services


def build(services: Services, parameters: Mapping[str, str], file: Path | None) -> Job:
    raise NotImplementedError


KIND = JobKind(
    name="demo",
    summary="for the tests",
    build=build,
    call="",
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
        "demo has no parameter 'foldr'; did you mean 'folder'?; it has: folder, from, amount",
        "folder: is required: id of the folder; give --set folder=…",
        "from: 'tarif' is none of amount, tariff; did you mean 'tariff'?",
        "amount: character 3 is the Latin letter 'O', which looks like a zero",
    ]


@pytest.mark.parametrize("text", ["", "0", "-1", "1.0", "x", "١"])
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match="is no id"):
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


def test_the_catalogue_names_the_nearest() -> None:
    assert kind("balances") is JOBS["balances"]
    with pytest.raises(
        ParameterRefused, match=r"no job 'balance'; did you mean 'balances'\?; there are: balances, w"
    ):
        kind("balance")


@pytest.mark.parametrize("one", JOBS.values(), ids=list(JOBS))
def test_every_job_says_what_it_is(one: JobKind) -> None:
    assert one.summary
    assert "\n" not in one.summary
    assert one.name in one.example
    assert one.call
    given = {p.name: "1" for p in one.parameters if p.default is None}
    assert set(parameters_of(one, given)) == {p.name for p in one.parameters}
