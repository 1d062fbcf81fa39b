"""What the billing's room says, as a Russian administrator reads it."""

import pytest

from billing.directory.system import Stacks
from billing.money import AmountError, parse_amount
from cli.terminal.language import RUSSIAN, language
from texts.said import text_of

TWO_WAYS = (
    "1.234 можно прочитать двояко: 1234 руб. или 1 руб. с долями. Для первого напишите 1234.00, для второго 1.23, "
    "с двумя знаками"
)
TOO_MUCH = "1\u00a0000\u00a0000\u00a0000,00\u00a0₽ больше, чем помещается в базу биллинга: не больше 922 337 203,68 ₽"


def in_russian(text: str) -> str:
    return language(RUSSIAN).render(text)


@pytest.mark.parametrize(
    ("amount", "told"),
    [
        ("1,5E+03", "запись с показателем степени не допускается"),
        ("1О0", "символ 2 — русская буква 'О', похожая на ноль"),
        ("7 USD", "символ 3 — латинская буква 'U'"),
        ("12 34", "цифры '34' с символа 4 — не группа тысяч: после разделителя тысяч идут три цифры"),
        ("0012", "сумма начинается с нуля: с нуля может начинаться номер договора, но не сумма"),
        ("1.234", TWO_WAYS),
        ("1000000000", TOO_MUCH),
    ],
)
def test_amounts(amount: str, told: str) -> None:
    with pytest.raises(AmountError) as refusal:
        parse_amount(amount)
    assert in_russian(text_of(refusal.value)) == told


@pytest.mark.parametrize(
    ("entries", "told"),
    [(1, "в ACCOUNT_STACK 1 запись"), (2, "в ACCOUNT_STACK 2 записи"), (25, "в ACCOUNT_STACK 25 записей")],
)
def test_what_the_stacks_hold(entries: int, told: str) -> None:
    assert in_russian(Stacks(entries, 0).described) == told
    assert in_russian(Stacks(entries, 1).described) == f"{told}, в EVENTS_STACK_COMPACT 1 запись"
