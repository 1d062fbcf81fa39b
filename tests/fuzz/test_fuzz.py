"""No bytes make a reader of what comes from outside raise what it does not promise."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from tests.fuzz.fuzz import CORPUS, TARGETS, fuzz
from tests.fuzz.targets import TARGETS as FUNCTIONS

SECONDS: Final = 30
HAS_FUZZER: Final = find_spec("atheris") is not None
"""It has no build for some machines (requirements/dev.txt)."""


def test_each_target_has_inputs_that_are_kept() -> None:
    assert set(TARGETS) == FUNCTIONS.keys()


@pytest.mark.parametrize("target", TARGETS)
def test_no_kept_input_raises(target: str, tmp_path: Path) -> None:
    kept = sorted((CORPUS / target).iterdir())
    assert kept
    for path in kept:
        FUNCTIONS[target](path.read_bytes(), tmp_path)


@pytest.mark.prove
@pytest.mark.loops(60)
@pytest.mark.parametrize("target", TARGETS if HAS_FUZZER else ())
def test_no_input_raises_that_reaches_other_code(target: str, tmp_path: Path) -> None:
    ended = fuzz(target, SECONDS, tmp_path)
    assert ended.returncode == 0, ended.stdout[-3000:]
    assert int(re.findall(r"^Done (\d+) runs", ended.stdout, re.MULTILINE)[0]) > len(
        list((CORPUS / target).iterdir())
    )
