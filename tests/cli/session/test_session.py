"""A session through the commands that open one: what is opened first, and who may work on a run."""

from pathlib import Path

import pytest

from tests.cli.conftest import Place, Typed

NOBODY = "http://127.0.0.1:9"
"""An address at which nothing listens."""


@pytest.mark.parametrize("arguments", [("run", "--yes"), ("plan",)])
def test_without_an_answer_of_the_billing_no_journal_is_made(
    arguments: tuple[str, ...], typed: Typed, tmp_path: Path
) -> None:
    command, *flags = arguments
    (tmp_path / "rows.csv").write_text("contract_number;amount\n1;2,00\n")
    typed.refused(command, "balances", "rows.csv", *flags, "--api-url", NOBODY, says="127.0.0.1:9")
    assert {path.name for path in tmp_path.glob("*.journal*")} <= {"carbon-migrate.journal.log"}


async def test_a_run_that_another_process_holds_is_worked_on_by_no_second_command(place: Place) -> None:
    balances = place.balances(2)
    await place.cli("run", "balances", balances.path, "--yes")
    async with place.journal() as journal:
        (run,) = await journal.runs()
        async with journal.taken_up(run):
            for arguments in (
                ("verify", run.name),
                ("reconcile", run.name),
                ("decide", run.name, f"{run.name}/1", "accepted", "--why", "seen"),
            ):
                await place.cli.refused(*arguments, says=[f"run {run.name}: ", "0 rows in flight"])
    await place.cli("verify", run.name)
