"""What the tests of imports share."""

from pathlib import Path

import pytest

from tests.jobs.imports.reading import Tables


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path)
