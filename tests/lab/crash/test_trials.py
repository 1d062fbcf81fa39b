"""Each job is tried by a trial of its declaration, without a word about it; what the lab cannot try it says."""

import pytest

from jobs.spec.parameters import ACCOUNT, SUBSCRIBER, Parameter, a_date, an_id, roubles
from jobs.spec.spec import JobSpec
from lab.crash.errors import NoTrial
from lab.crash.trials import trial_of

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
