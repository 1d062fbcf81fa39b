"""The billing that the pages are read with."""

from pathlib import Path

import pytest

from lab.mock.population import create


@pytest.fixture(scope="session")
def tutorial_billing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `mock init --abonents 100` makes; to be copied."""
    path = tmp_path_factory.mktemp("tutorial") / "billing.fdb"
    create(path, subscribers=100, seed=1)
    return path
