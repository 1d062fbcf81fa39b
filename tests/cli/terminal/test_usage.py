"""Help and usage errors: those of typer, in the language of the reader."""

import os
from pathlib import Path

import pytest

from cli.main import COMMANDS
from tests.cli.conftest import Typed

HELP = Path(__file__).parent / "help"


@pytest.mark.parametrize(("screen", "command"), [("program", ""), ("run", "run")])
def test_the_help_in_russian_at_80_columns(
    screen: str, command: str, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SCREENS=write` writes the file anew, as for the other screens."""
    monkeypatch.setenv("COLUMNS", "80")
    shown = "\n".join(line.rstrip() for line in typed(*command.split(), "--help", "--lang", "ru").out.splitlines())
    file = HELP / f"{screen}.txt"
    if os.environ.get("SCREENS") == "write":
        file.write_text(f"{shown}\n", encoding="utf-8")
    assert f"{shown}\n" == file.read_text(encoding="utf-8")


def test_the_next_help_is_in_english_again(typed: Typed) -> None:
    russian, english = typed("run", "--help", "--lang", "ru").out, typed("run", "--help").out
    assert ("Аргументы" in russian, "Arguments" in russian) == (True, False)
    assert ("Аргументы" in english, "Arguments" in english) == (False, True)
    assert "Язык" not in english


def test_a_paragraph_of_the_help_is_broken_by_the_terminal_alone(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    (line,) = (line for line in typed("selftest", "--help").out.splitlines() if "Each round" in line)
    assert line.strip().endswith("of the settings are not used.")


@pytest.mark.parametrize(
    ("line", "english", "russian"),
    [
        ("nosuch", "No such command 'nosuch'.", "Нет команды «nosuch»."),
        ("statu", "Did you mean 'status'?", "Возможно, имелась в виду 'status'?"),
        ("status --wach", "No such option: --wach (Possible options: --watch)", "Нет параметра --wach (похожие"),
        ("status -z", "No such option: -z", "Нет параметра -z"),
        ("decide", "Missing argument 'RUN'.", "Не указан аргумент 'RUN'."),
        ("mock init x", "Missing option '--abonents'.", "Не указан параметр '--abonents'."),
        ("status a b", "Got unexpected extra argument(s) (b)", "Лишние аргументы: b"),
        ("run --set", "Option '--set' requires an argument.", "Параметру --set нужно значение."),
        ("run --yes=1", "Option '--yes' does not take a value.", "Параметр --yes указывается без значения."),
        ("mock init x --abonents 0", "'--abonents': it is below 1", "'--abonents': оно меньше 1"),
        ("mock serve x --port 65536", "'--port': it is above 65535", "'--port': оно больше 65535"),
        ("mock init x --abonents a", "'--abonents': a whole number is expected", "нужно целое число"),
        ("mock serve x --latency-ms a", "'--latency-ms': a number is expected", "нужно число"),
        (
            "run --shared-accounts z",
            "'z' is not one of 'sum', 'last', 'refuse'.",
            "«z» — недопустимое значение; допустимы: 'sum'",
        ),
    ],
)
def test_what_is_wrong_with_a_command_line_is_said_in_both(
    line: str, english: str, russian: str, typed: Typed
) -> None:
    told, said = typed(*line.split()), typed("--lang", "ru", *line.split())
    assert (told.exit, told.out) == (said.exit, said.out) == (2, "")
    assert english in told.words
    assert russian in said.words
    assert "Ошибка" in said.words
    assert english not in said.words


def test_a_language_alone_shows_the_help(typed: Typed) -> None:
    alone, asked = typed("--lang", "ru"), typed("--lang", "ru", "--help")
    assert (alone.exit, alone.out.rstrip()) == (2, asked.out.rstrip())
    assert "Не указана команда." in typed("mock", "--lang", "ru").words


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_no_command_has_a_word_of_english_prose(name: str, typed: Typed) -> None:
    words = typed(name, "--help", "--lang", "ru").out.split()
    assert [
        word for word in ("the", "The", "and", "with", "Arguments", "Options", "[default:") if word in words
    ] == []
