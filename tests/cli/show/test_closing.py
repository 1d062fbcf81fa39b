"""The last sentence of a command: what became of the run, with the number of what is missing."""

from collections.abc import Iterator
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from checkpoints.records import Holder, Totals
from checkpoints.states import State
from cli.show.closing import Closing, StepOutcome, headline, steps_of_file
from cli.terminal.exits import Exit
from cli.terminal.language import ENGLISH, RUSSIAN, set_reader
from cli.terminal.names import name_of_command, name_of_holder, name_of_sender
from cli.terminal.streams import lasting, plain
from cli.terminal.texts import printable
from texts.said import said


@pytest.fixture
def in_russian() -> Iterator[None]:
    set_reader(RUSSIAN)
    yield
    set_reader(ENGLISH)


@pytest.mark.usefixtures("in_russian")
@pytest.mark.parametrize(
    ("language", "rejected", "refused", "says"),
    [
        (ENGLISH, 0, 0, "✓ run k7m2q is done"),
        (ENGLISH, 19, 1, "! run k7m2q is done; 20 rows were not entered"),
        (ENGLISH, 1, 0, "! run k7m2q is done; 1 row was not entered"),
        (ENGLISH, 0, 1, "! run k7m2q is done; 1 row was not entered"),
        (RUSSIAN, 1, 0, "! загрузка k7m2q завершена; не внесена 1 строка"),
        (RUSSIAN, 3, 0, "! загрузка k7m2q завершена; не внесены 3 строки"),
        (RUSSIAN, 12_345, 0, "! загрузка k7m2q завершена; не внесено 12 345 строк"),
    ],
)
def test_rows_that_were_rejected_or_refused_are_counted_in_the_headline(
    language: str, rejected: int, refused: int, says: str
) -> None:
    set_reader(language)
    totals = Totals({State.ACCEPTED: 5, State.REJECTED: rejected}, refused=refused)
    code = Exit.REJECTED if rejected or refused else Exit.DONE
    assert plain(headline(Closing(code, "k7m2q", totals=totals)).plain) == says


@pytest.mark.usefixtures("in_russian")
def test_the_steps_of_a_job_file_in_russian() -> None:
    done = Closing(Exit.REJECTED, "k7m2q", "balances", Totals({State.ACCEPTED: 12_339, State.REJECTED: 3}))
    stopped = said("no connection to {server}: {why}", server="example.org", why="refused")
    steps = (
        StepOutcome(1, "warning-threshold", replace(done, exit=Exit.DONE), done_before=True),
        StepOutcome(2, "balances", done),
        StepOutcome(3, "tariff-threshold", replace(done, exit=Exit.STOPPED, stopped=stopped), "answers.csv"),
        StepOutcome(4, "passwords"),
    )
    file = StringIO()
    Console(file=lasting(file), width=160).print(steps_of_file(steps))
    assert [" ".join(line.split()) for line in file.getvalue().splitlines()] == [
        "шаг задание загрузка строки итог",
        "1 warning-threshold k7m2q 12 342 выполнена ранее",
        "2 balances k7m2q 12 342 завершена; не внесены 3 строки",
        "3 tariff-threshold k7m2q 12 342 остановлена: нет соединения с example.org: refused; answers.csv",
        "4 passwords – – не начата",
    ]


@pytest.mark.usefixtures("in_russian")
def test_what_the_journal_notes_in_english_words_is_told_in_russian() -> None:
    told = [
        name_of_holder("hours"),
        name_of_sender("root@vm, process 12427"),
        name_of_command("taken up with --rate 20"),
    ]
    assert [printable(one) for one in told] == ["окно времени", "root@vm, процесс 12427", "продолжена с --rate 20"]
    assert [name_of_sender("root@vm"), name_of_command("pause")] == ["root@vm", "pause"]
    assert ".11.2026 " in printable(Holder("vm", 7, "2026-11-26 14:32:57 UTC").sentence), "as all other moments"
    assert "since just now" in str(Holder("vm", 7, "just now"))
