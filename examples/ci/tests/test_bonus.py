"""The job of this project against a mock billing, a new one for each test."""

import subprocess
import sys

from carbon_migrate_testing import CarbonBilling
from jobs.bonus import give

OPERATIONS = "FinanceOperations"


def test_each_subscriber_gets_the_bonus_once(carbon_billing: CarbonBilling) -> None:
    for _ in range(2):
        give(carbon_billing.url, "2026-11", [2001, 2003])
    assert carbon_billing.effects(OPERATIONS) == {2001: 1, 2003: 1}


def test_an_answer_that_is_lost_is_no_second_bonus(carbon_billing: CarbonBilling) -> None:
    carbon_billing.fail("reset-after-effect", model=OPERATIONS, method="objects.create", times=1)
    give(carbon_billing.url, "2026-11", [2001])
    assert carbon_billing.injected() == {"reset-after-effect": 1}
    assert carbon_billing.effects(OPERATIONS) == {2001: 1}


def test_the_command(carbon_billing: CarbonBilling) -> None:
    command = [sys.executable, "-m", "cli", carbon_billing.url, "2026-11", "2001", "2004"]
    subprocess.run(command, check=True)  # noqa: S603 - this project
    assert carbon_billing.effects(OPERATIONS) == {2001: 1, 2004: 1}
