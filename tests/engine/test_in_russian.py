"""What the engine says, as a reader of Russian gets it."""

from dataclasses import replace
from decimal import Decimal

import pytest

from cli.terminal.language import RUSSIAN, language
from engine.pacing.gauges import hours_of
from engine.pacing.limits import Percent
from engine.pacing.policy import Policy, describe_policy, policy_with
from tests.engine.paced import REFUSED, STEADY, Setting, items
from texts.said import text_of


def russian(text: str) -> str:
    """As a screen shows it, with plain spaces."""
    return language(RUSSIAN).render(text).replace("\u00a0", " ")


def test_settings_in_words() -> None:
    policy = Policy(
        rate=2.5,
        hours=hours_of("22:00-05:30"),
        max_stack=5000,
        stop_after_errors=Percent(Decimal(1)),
        limit_money=Decimal("12542889.19"),
    )
    assert russian(describe_policy(policy)) == (
        "одновременных вызовов: автоматически, не больше 64; вызовов в секунду не больше 2.5; с 22:00 до 05:30; "
        "загрузка ждёт, если в очереди больше 5 000 записей; останавливается, если с ошибкой больше 1% строк; "
        "не больше 12 542 889,19 ₽ за эту загрузку"
    )
    with pytest.raises(ValueError, match="rate") as refused:
        policy_with(Policy(), {"rate": "fast"})
    assert russian(text_of(refused.value)) == (
        "rate: 'fast' — не скорость: нужно число вызовов в секунду, больше 0 и не больше 100 000, или none"
    )


@pytest.mark.virtual_clock
@pytest.mark.parametrize(
    ("wrong", "told"), [(1, "1 строка с ошибкой"), (2, "2 строки с ошибкой"), (5, "5 строк с ошибкой")]
)
async def test_a_run_that_stops_for_errors(wrong: int, told: str) -> None:
    policy = replace(STEADY, in_flight=1, stop_after_errors=wrong)
    setting = await Setting(items(30), policy, {str(number): [REFUSED] for number in range(1, 31)}).go()
    assert russian(setting.stop.reason) == (
        f"{told} (--stop-after-errors {wrong}). Посмотреть их: `carbon-migrate export k7m2q --state rejected`; "
        "`carbon-migrate resume` продолжит"
    )
