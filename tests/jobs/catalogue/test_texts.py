"""What the catalogue says of its jobs, in each language."""

import pytest

from cli.terminal.language import RUSSIAN, language
from jobs.catalogue.catalogue import JOBS
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import JobSpec, parameters_of
from texts.said import Said, text_of


@pytest.mark.parametrize("kind", JOBS.values(), ids=list(JOBS))
def test_all_that_is_said_of_a_job_is_said_in_russian(kind: JobSpec) -> None:
    texts = [kind.summary, kind.undo, *(one.help for one in (*kind.parameters, *kind.undo_parameters))]
    for text in texts:
        assert isinstance(text, Said)
        assert language(RUSSIAN).render(text) != text


def test_all_faults_of_parameters_are_told_in_the_language_of_the_reader() -> None:
    with pytest.raises(ParameterRefused) as refused:
        parameters_of(JOBS["payment"], {"amount": "-5", "zzz": "7", "way": "maybe"})
    assert language(RUSSIAN).render(text_of(refused.value)).splitlines() == [
        "payment: параметра 'zzz' нет; есть: abonent_id, contract_number, amount, document, date, descr, way, key",
        "amount: -5 — не платёж: нужна сумма больше нуля",
        "way: 'maybe' — недопустимое значение, возможны: operation, add_payment",
    ]
    assert str(refused.value).splitlines()[1] == "amount: -5 is not a payment: an amount above zero is expected"
