"""A job of one's own is tried by a trial of its declaration; what the lab cannot try it says."""

from random import Random

import pytest

from jobs.spec.parameters import ACCOUNT, SUBSCRIBER, Parameter, a_date, an_id, roubles
from jobs.spec.spec import JobSpec
from lab.crash.drawing import draw
from lab.crash.errors import NoTrial
from lab.crash.own_trials import trial_of
from lab.crash.trials import By

FEE = Parameter("fee", "in roubles", parse=roubles, columns=())


def own(model: str, *chain: str, parameters: tuple[Parameter, ...] = SUBSCRIBER) -> JobSpec:
    return JobSpec("ours", "for the tests", model, chain, "", parameters=parameters)


def entering(kind: str, *more: Parameter) -> JobSpec:
    call = f'objects.create {{"abonent_id": {{abonent_id}}, "op_summa": "{{fee}}", "op_type_id": {kind}}}'
    return own("FinanceOperations", call, parameters=(*SUBSCRIBER, FEE, *more))


def rows_of(job: JobSpec) -> tuple[tuple[str, ...], list[str]]:
    trial = trial_of(job)
    return trial.header, [cell(Random(1)) for cell in trial.drawn]


@pytest.mark.parametrize("kind", ["2", "{type}"])
def test_operations_are_known_by_their_marks_and_keyed_by_subscriber_and_type(kind: str) -> None:
    trial = trial_of(entering(kind, Parameter("type", "the type", "2", parse=an_id)))
    assert (trial.header, trial.by, trial.once) == (("abonent_id", "fee"), By.MARK, True)
    assert trial.key(2001) == "2001/2"
    assert trial.wanted(["2001", "-50"]) == "-50"
    assert draw(7, own=trial).job == "ours"


def test_fields_are_set_to_values_that_the_job_takes_and_defaults_hold_for_all_rows() -> None:
    parameters = (
        *SUBSCRIBER,
        Parameter("start", "a day", parse=a_date, columns=()),
        Parameter("tariff", "a tariff", "5", parse=an_id, columns=()),
    )
    chain = ('set {"tarif_next_id": {tariff}, "own_disabled_start": "{start}"}', "save")
    job = own("Abonents", 'objects.get {"id": {abonent_id}}', *chain, parameters=parameters)
    header, (day,) = rows_of(job)
    assert header == ("abonent_id", "start")
    assert a_date(day) == day
    assert trial_of(job).wanted(["2001", day]) == f"5 {day}"


def test_services_are_connected_and_accounts_deleted() -> None:
    call = 'objects.create {"abonent_id": {abonent_id}, "usluga_id": {what}, "comment": "x"}'
    what = Parameter("what", "a service", parse=an_id, columns=())
    trial = trial_of(own("UsersUsluga", call, parameters=(*SUBSCRIBER, what)))
    assert (trial.header, trial.wanted(["2001", "105"])) == (("abonent_id", "what"), "105")
    deleting = trial_of(own("Users", 'objects.get {"id": {user_id}}', "delete", parameters=ACCOUNT))
    assert (deleting.job, deleting.header, deleting.constant) == ("ours", ("user_id",), "1")


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (
            own("Users", 'objects.get {"id": {user_id}}', "reset", parameters=ACCOUNT),
            "does not know what objects.get",
        ),
        (own("Abonents", 'objects.get {"id": {abonent_id}}'), "it reads"),
        (
            own("Abonents", 'objects.get {"id": {abonent_id}}', 'set {"nothing": 1}', "save"),
            "has no nothing in Abonents",
        ),
        (entering("{type}", Parameter("type", "the type", parse=an_id, columns=())), "no one value for op_type_id"),
        (
            own("FinanceOperations", 'objects.create {"abonent_id": {abonent_id}, "op_summa": 5, "op_type_id": 2}'),
            "no placeholder for op_summa",
        ),
    ],
)
def test_what_cannot_be_tried_is_said(job: JobSpec, why: str) -> None:
    with pytest.raises(NoTrial, match=why):
        trial_of(job)


def test_a_parameter_that_takes_no_value_of_the_lab_is_named() -> None:
    def never(text: str) -> str:
        raise ValueError(text)

    fee = Parameter("fee", "a code", parse=never, columns=())
    call = 'objects.create {"abonent_id": {abonent_id}, "op_summa": "{fee}", "op_type_id": 2}'
    with pytest.raises(NoTrial, match="finds no values that fee takes"):
        trial_of(own("FinanceOperations", call, parameters=(*SUBSCRIBER, fee)))
