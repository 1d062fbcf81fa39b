"""A DAG of Airflow 3 that works through one job file a billing each night, for the folder of DAGs.

What the system has stopped (exit code 3) is tried again, and goes on where it stood. What a person has to look at
fails at once: rejected rows (1), settings or rows that are refused (2), rows to decide on (4), a fault of the
program (70), and what somebody has stopped (130).
"""

from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

FOLDER = Path("/etc/carbon-migrate")
"""The folder with carbon-migrate.toml, and with NAME.toml for each profile NAME."""
PROFILES = ("north", "south", "west")
NOT_AGAIN = (1, 2, 4, 70, 130)


class Load(BashOperator):
    """A command of carbon-migrate: every other failure than these exit codes is tried again."""

    def __init__(self, **given: object) -> None:
        super().__init__(skip_on_exit_code=NOT_AGAIN, **given)

    def execute(self, context: object) -> object:
        """Fail, where a BashOperator would leave the task out: for Airflow that is the end of its tries."""
        try:
            return super().execute(context)
        except AirflowSkipException as left_out:
            message = f"a person has to look at it: {left_out}"
            raise AirflowFailException(message) from left_out


@dag(
    schedule="0 1 * * *",
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001 - Airflow takes it in its own time zone
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 20,
        "retry_delay": timedelta(minutes=2),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=30),
    },
)
def carbon_migrate() -> None:
    """One task a billing; they do not wait for each other."""
    for name in PROFILES:
        Load(
            task_id=f"load_{name}",
            bash_command=f"exec carbon-migrate run {name}.toml --profile {name} --yes --quiet",
            cwd=str(FOLDER),
            append_env=True,
        )


carbon_migrate()
