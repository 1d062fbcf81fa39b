"""Each job is tried by a trial of its declaration, without a word about it; what the lab cannot try it says."""

from random import Random

import pytest

from jobs.spec.parameters import ACCOUNT, SUBSCRIBER, Parameter, a_date, an_id, roubles
from jobs.spec.spec import JobSpec
from lab.crash.drawing import draw
from lab.crash.errors import NoTrial
from lab.crash.trials import By, trial_of

FEE = Parameter("fee", "in roubles", parse=roubles, columns=())
WHAT = Parameter("what", "a service", parse=an_id, columns=())
START = Parameter("start", "the first day", parse=a_date, columns=())
TARIFF = Parameter("tariff", "id of the tariff", "5", parse=an_id, columns=())


def own(model: str, *chain: str, parameters: tuple[Parameter, ...] = SUBSCRIBER) -> JobSpec:
    return JobSpec("ours", "for the tests", model, chain, "", parameters=parameters)


def entering(kind: str, *more: Parameter) -> JobSpec:
    call = f'objects.create {{"abonent_id": {{abonent_id}}, "op_summa": "{{fee}}", "op_type_id": {kind}}}'
    return own("FinanceOperations", call, parameters=(*SUBSCRIBER, FEE, *more))


GET = 'objects.get {"id": {abonent_id}}'
SETTING = own(
    "Abonents",
    GET,
    'set {"tarif_next_id": {tariff}, "own_disabled_start": "{start}"}',
    "save",
    parameters=(*SUBSCRIBER, TARIFF, START),
)


@pytest.mark.parametrize("kind", ["2", "{type}"])
def test_operations_are_known_by_their_marks_and_keyed_by_subscriber_and_type(kind: str) -> None:
    trial = trial_of(entering(kind, Parameter("type", "the type", "2", parse=an_id)))
    assert (trial.header, trial.by, trial.once) == (("abonent_id", "fee"), By.MARK, True)
    assert (trial.key(2001), trial.wanted(["2001", "-50"])) == ("2001/2", "-50")
    assert draw(7, own=trial).job == "ours"


def test_fields_services_and_deletions_are_known_by_what_the_billing_has() -> None:
    fields = trial_of(SETTING)
    (day,) = (cell(Random(1)) for cell in fields.drawn)
    assert (fields.header, fields.by, fields.once) == (("abonent_id", "start"), By.OBJECT, False)
    assert (a_date(day), fields.wanted(["2001", day])) == (day, f"5 {day}"), "the default holds for all rows"
    call = 'objects.create {"abonent_id": {abonent_id}, "usluga_id": {what}, "comment": "x"}'
    services = trial_of(own("UsersUsluga", call, parameters=(*SUBSCRIBER, WHAT)))
    assert (services.header, services.wanted(["2001", "105"])) == (("abonent_id", "what"), "105")
    deleting = trial_of(own("Users", 'objects.get {"id": {user_id}}', "delete", parameters=ACCOUNT))
    assert (deleting.job, deleting.header, deleting.constant) == ("ours", ("user_id",), "1")


def never(text: str) -> str:
    raise ValueError(text)


CALL = 'objects.create {"abonent_id": {abonent_id}, "op_summa": 5, "op_type_id": 2}'
ODD = Parameter("fee", "a code", parse=never, columns=())


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (own("Users", 'objects.get {"id": {user_id}}', "reset", parameters=ACCOUNT), "not know what objects.get"),
        (own("Abonents", GET), "it reads"),
        (own("Abonents", GET, 'set {"nothing": 1}', "save"), "has no nothing in Abonents"),
        (entering("{type}", Parameter("type", "the type", parse=an_id, columns=())), "no one value for op_type_id"),
        (own("FinanceOperations", CALL), "no placeholder for op_summa"),
        (
            own("FinanceOperations", CALL.replace("5", '"{fee}"'), parameters=(*SUBSCRIBER, ODD)),
            "finds no values that fee takes",
        ),
    ],
)
def test_what_cannot_be_tried_is_said(job: JobSpec, why: str) -> None:
    with pytest.raises(NoTrial, match=why):
        trial_of(job)
