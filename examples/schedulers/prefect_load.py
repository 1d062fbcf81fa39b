"""A flow of Prefect 3 that works through one job file a billing: `python prefect_load.py` serves it each night.

What the system has stopped (exit code 3) is tried again, and goes on where it stood. What a person has to look at
fails at once: rejected rows (1), settings or rows that are refused (2), rows to decide on (4), a fault of the
program (70), and what somebody has stopped (130).
"""

import subprocess
from pathlib import Path

from prefect import State, flow, task
from prefect.futures import wait

FOLDER = Path("/etc/carbon-migrate")
"""The folder with carbon-migrate.toml, and with NAME.toml for each profile NAME."""
PROFILES = ("north", "south", "west")
NOT_AGAIN = (1, 2, 4, 70, 130)
DELAYS = [120, 240, 480, 960, *[1800] * 16]
"""Seconds before each further try."""


class NotLoadedError(Exception):
    """Raised when a load did not come to its end."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


def goes_on(_task: object, _run: object, state: State) -> bool:
    """Whether a failed load is tried again: all but what a person has to look at, also a process that was killed."""
    failed = state.result(raise_on_failure=False)
    return not (isinstance(failed, NotLoadedError) and failed.code in NOT_AGAIN)


@task(task_run_name="load {name}", retries=len(DELAYS), retry_delay_seconds=DELAYS, retry_condition_fn=goes_on)
def load(name: str) -> None:
    """Work through the job file of a billing. What the program says goes to the log of the worker."""
    words = ["carbon-migrate", "run", f"{name}.toml", "--profile", name, "--yes", "--quiet"]
    ended = subprocess.run(words, cwd=FOLDER, check=False)  # noqa: S603 - as it is installed here
    if ended.returncode:
        raise NotLoadedError(ended.returncode)


@flow
def carbon_migrate() -> None:
    """All billings at a time; they do not wait for each other."""
    loads = [load.submit(name) for name in PROFILES]
    wait(loads)
    for one in loads:
        one.result()


if __name__ == "__main__":
    carbon_migrate.serve(name="nightly", cron="0 1 * * *")
