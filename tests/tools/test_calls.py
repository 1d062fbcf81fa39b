"""What a row costs in calls and statements stays within its budget."""

import pytest

from tests.postgres_server import open_the_way
from tools.calls import BUDGETS, a_workbench, exceeded, measured


@pytest.mark.loops(400)
def test_no_command_costs_more_calls_or_statements_than_its_budget() -> None:
    open_the_way()
    with a_workbench() as bench:
        found = dict(measured(bench))
    assert list(found) == list(BUDGETS)
    assert [over for name, cost in found.items() if (over := exceeded(name, cost))] == []
