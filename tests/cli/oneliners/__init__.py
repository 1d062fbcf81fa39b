"""One-liners to translate: the vendor's own, each with what is expected of it, and shorter ones made to measure."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from cli.translate.translation import Translation, translate_all
from jobs.catalogue.catalogue import BUILT_IN

FOLDER = Path(__file__).parent
URL = "http://h:8082/rest_api/v2"


@dataclass(frozen=True, slots=True)
class Published:
    """A one-liner of the vendor's page, letter by letter, and its translation: an argument an entry.

    `command` makes the call as the line does, `as_job` is the job of the catalogue that does the same, where it can.
    """

    name: str
    line: str
    command: list[str]
    faults: list[str]
    job: str
    as_job: list[str] = field(default_factory=list)

    @property
    def first(self) -> list[str]:
        """The command that is shown first."""
        return self.as_job or self.command


def _published(path: Path) -> Published:
    expected: dict[str, Any] = tomllib.loads(path.with_suffix(".toml").read_text(encoding="utf-8"))
    return Published(path.stem, path.read_text(encoding="utf-8"), **expected)


PUBLISHED = {path.stem: _published(path) for path in sorted(FOLDER.glob("*.sh"))}


def post(data: str) -> str:
    """A curl with this data, quotes and all."""
    return f"curl -XPOST -d {data} {URL}/Users/ -D -"


def generic(found: Translation) -> tuple[str, ...]:
    """The command that makes the call as the line has it: `run call`, where there is one."""
    return found.call or found.command


def chains(found: Translation) -> list[str]:
    """The links of the chain."""
    return option(found, "--chain")


def option(found: Translation, name: str) -> list[str]:
    """The values of an option of the generic command, as often as it is given."""
    return values_of(generic(found), name)


def values_of(command: Sequence[str], name: str) -> list[str]:
    """The values of an option, as often as it is given."""
    return [value for word, value in pairwise(command) if word == name]


def translated(text: str, /, **given: str) -> Translation:
    """The one one-liner of a text, with the values of its variables."""
    (found,) = translate_all(text, given, BUILT_IN, alone=True)
    assert found.translation
    return found.translation
