import pytest

from jobs.catalogue.catalogue import BUILT_IN, JOBS
from jobs.catalogue.typed_call import CALL, call_kind
from jobs.spec.chain import chain_text
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import Parameter, an_id, at_most, roubles
from jobs.spec.spec import JobSpec, parameters_of

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


def test_names_are_of_one_job_each() -> None:
    assert all(name == one.name for name, one in JOBS.items())


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
