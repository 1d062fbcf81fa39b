"""Why rows are refused, skipped and taken back, as a Russian reader is told; in logs and JSON it is English."""

from collections.abc import Sequence
from pathlib import Path

from cli.terminal.language import RUSSIAN, language
from jobs.access.gateway import Gateway
from jobs.catalogue.money import BALANCES
from jobs.catalogue.subscribers import TARIFF_NOW, WARNING_THRESHOLD
from tests.jobs.making import job_of, prepared, rows_of


def in_russian(texts: Sequence[str | None]) -> list[str]:
    return [language(RUSSIAN).render(text) for text in texts if text is not None]


async def test_why_a_row_is_refused(gateway: Gateway, tmp_path: Path) -> None:
    rows = rows_of(tmp_path, "abonent_id;Тариф\n9001;3\n9002;77\n9003;x\n9003;\n012;3\n31;3\n")
    done = await prepared(job_of(gateway, TARIFF_NOW, rows))
    assert in_russian([one.reason for one in done.refusals]) == [
        "тариф 77: в биллинге нет или удалено",
        "'x' — не id: нужно целое число больше нуля",
        "ячейка пуста",
        "'012' — не id: начинается с нуля; может быть, это номер договора?",
        "абонента 31 нет",
    ]
    assert str(done.refusals[-1].reason) == "there is no abonent 31"


async def test_why_an_amount_is_refused(gateway: Gateway, tmp_path: Path) -> None:
    done = await prepared(job_of(gateway, BALANCES, rows_of(tmp_path, "abonent_id;Сумма\n9001;12,3x\n")))
    (reason,) = in_russian([one.reason for one in done.refusals])
    assert reason.startswith("'12,3x' (столбец 2): символ 5")


async def test_why_there_is_nothing_to_do(gateway: Gateway, tmp_path: Path) -> None:
    rows = rows_of(tmp_path, "abonent_id\n9001\n9002\n")
    done = await prepared(job_of(gateway, WARNING_THRESHOLD, rows, amount="-120"))
    reasons = [one.skip_reason for one in done.items]
    assert in_russian(reasons) == ["уже как требуется: limit_warning -120"]
    assert reasons == ["already as wanted: limit_warning -120", None]
