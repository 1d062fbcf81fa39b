"""What comes from outside is shown and does nothing; numbers read easily."""

from decimal import Decimal

import pytest
from rich.console import Console

from cli.terminal.texts import count, duration, markup_safe, money, printable, rows


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Иванов Пётр", "Иванов Пётр"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("two\nlines\tand\xa0more", "two lines and more"),
        ("right\u202eleft", "right\\u202eleft"),
        ("\x00", "\\x00"),
    ],
)
def test_foreign_text_cannot_steer_the_terminal(text: str, seen: str) -> None:
    assert printable(text) == seen


def test_foreign_text_is_cut() -> None:
    assert printable("x" * 1000, 10) == "xxxxxxxxx…"


@pytest.mark.parametrize("text", ["[red]no[/red]", "[/]", "a \\[b]", "[link=file:///etc/passwd]x[/link]"])
def test_foreign_text_is_no_markup(text: str) -> None:
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(markup_safe(text))
    assert capture.get().rstrip("\n") == text


def test_numbers_for_people() -> None:
    assert count(1234567) == "1\u202f234\u202f567"
    assert money(Decimal("-1234567.5")) == "−1\u202f234\u202f567.50"
    assert money(Decimal("0.125")) == "0.125"
    assert rows(1) == "1 row"
    assert (duration(7.4), duration(750), duration(11_100)) == ("0:07", "12:30", "3:05:00")
