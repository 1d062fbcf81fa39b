"""Which column is taken for what is shown, by `run` and by `plan`, before anything is sent."""

import pytest

from checkpoints.records import Stage
from cli.show.preview import columns_line
from cli.terminal.streams import plain
from jobs.spec.columns import Assigned, Column
from tests.cli.commands.test_plan import planned
from tests.cli.conftest import Place
from tests.cli.terminal.terminals import at_a_terminal


@pytest.mark.parametrize(
    ("taken", "unused", "line"),
    [
        ({}, (), ""),
        ({"id": "id"}, (), "id"),
        ({"amount": "[red]Сумма\x1b[2J"}, ("carbon_row", "ФИО"), r"amount = [red]Сумма\x1b[2J; not used: ФИО"),
        ({}, ("ФИО",), "not used: ФИО"),
        ({"amount": "С" * 99}, (), f"amount = {'С' * 39}…"),
        ({}, tuple(f"c{number}" for number in range(1_000)), None),
    ],
)
def test_columns_in_one_line(taken: dict[str, str], unused: tuple[str, ...], line: str | None) -> None:
    columns = {name: Column(title, place) for place, (name, title) in enumerate(taken.items())}
    found = plain(columns_line(Assigned(columns, unused)).plain)
    if line is None:
        assert found.endswith("c10, c11 and 988 more")
    else:
        assert found == line


async def test_a_run_shows_which_column_it_takes_for_what(place: Place) -> None:
    header = "Лицевой счёт;Комментарий;К зачислению;id;code"
    place.write(f"{header}\n00001;x;5;2001;y\n", encoding="cp1251")
    mapping = ("--map", "amount=К зачислению")
    taken = "contract_number = Лицевой счёт, amount = К зачислению, abonent_id = id"
    line = f"columns {taken}; not used: Комментарий, code"
    asked = await place.cli("run", "balances", "balances.csv", *mapping, may_end_with=(2,))
    assert line in asked.words
    planning = await place.cli("plan", "balances", "balances.csv", *mapping, "--json")
    assert line in planning.words
    assert "note: read as CP1251, for its bytes are not UTF-8" in planning.words
    plan = planned(planning)
    assert plan["columns"] == {"contract_number": "Лицевой счёт", "amount": "К зачислению", "abonent_id": "id"}
    assert plan["columns_not_used"] == ["Комментарий", "code"]


async def test_a_run_that_is_frozen_shows_its_columns_without_its_file(place: Place) -> None:
    file = place.write("Договор;Сумма\n00001;5\n")
    with at_a_terminal(place, "run", "balances", str(file)) as terminal:
        await terminal.shows("Send this 1 row")
        terminal.dies()
        await terminal.ends()
    file.unlink()
    resumed = await place.cli("resume", may_end_with=(2,))
    assert "columns contract_number = Договор, amount = Сумма" in resumed.words
    # Nobody could answer, and the question waits for somebody who can.
    assert "The run stays as it is" in resumed.words
    (run,) = await place.runs()
    assert run.stage is Stage.FROZEN


async def test_the_columns_of_a_select_are_shown_too(place: Place) -> None:
    sql = "select id as abonent_id, name from abonents where id = 2001"
    ended = await place.cli("plan", "operator", "--sql", sql, "--set", "operator=1444")
    assert "columns abonent_id; not used: name" in " ".join(ended.out.split())
