"""What comes from outside is shown and does nothing; numbers read easily."""

import os
from decimal import Decimal
from io import StringIO

import pytest
from rich.console import Console

from cli.terminal.streams import lasting, plain
from cli.terminal.texts import count, duration, markup_safe, money, printable
from texts.said import counted


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Иванов Пётр", "Иванов Пётр"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("two\nlines\tand\xa0more", "two lines and more"),
        ("right\u202eleft", "right\\u202eleft"),
        ("\x00", "\\x00"),
        # Names of files that are no text.
        (os.fsdecode("балансы.csv".encode()), "балансы.csv"),
        ("\udcd0\udcb1.csv", "б.csv"),
        ("\udcc2\udcc1\udccc.csv", "\\xc2\\xc1\\xcc.csv"),
        ("a\ud800b", "a\\ud800b"),
    ],
)
def test_foreign_text_cannot_steer_the_terminal(text: str, seen: str) -> None:
    assert printable(text) == seen
    assert printable("x" * 1000, 10) == "xxxxxxxxx…"


@pytest.mark.parametrize("text", ["[red]no[/red]", "[/]", "a \\[b]", "[link=file:///etc/passwd]x[/link]"])
def test_foreign_text_is_no_markup(text: str) -> None:
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(markup_safe(text))
    assert capture.get().rstrip("\n") == text


def test_numbers_for_people() -> None:
    assert plain(count(1234567)) == "1 234 567"
    assert plain(money(Decimal("-1234567.5"))) == "−1 234 567.50"
    assert money(Decimal("0.125")) == "0.125"
    assert (duration(7.4), duration(750), duration(11_100)) == ("0:07", "12:30", "3:05:00")


def test_a_number_and_its_word_stay_on_one_line() -> None:
    file = StringIO()
    sentence = counted("there is {n} row", "there are {n} rows", 1234567)
    Console(file=lasting(file), width=20).print(printable(sentence))
    assert file.getvalue().splitlines()[-1].strip() == "1 234 567 rows"
