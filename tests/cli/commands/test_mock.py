"""The help of `mock` names what the lab's billing can do, without importing it."""

from dataclasses import asdict

from cli.commands.mock import QUIRKS
from lab.mock.quirks import Quirks


def test_the_help_names_each_quirk_of_the_lab() -> None:
    assert tuple(asdict(Quirks())) == QUIRKS
