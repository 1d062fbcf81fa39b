"""The examples of the pages can be typed: each is a command with its own options, and a job with values it takes."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cli.main import load
from cli.session.order import given_values, parse_order
from cli.settings.order_flags import CallFlags
from jobs.catalogue.catalogue import BUILT_IN, JOBS
from jobs.rows.input import Input
from jobs.spec.parameters import today

ROOT = Path(__file__).parents[2]
_EXAMPLE = re.compile(r"^    (?:\S.* \| )?carbon-migrate (.+)$", re.MULTILINE)
_REMARK = re.compile(r" {2,}\S.*$| # .*$")


def examples() -> Iterator[tuple[str, str]]:
    """Each command of the pages, without the remark behind it; what has a gap (…) or a job to be named is none."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = re.sub(r" \\\n +", " ", page.read_text(encoding="utf-8"))
        for line in _EXAMPLE.findall(text):
            command = _REMARK.sub("", line).partition(" > ")[0].strip()
            if "…" not in command and " JOB " not in command:
                yield page.name, command


def without_redirection(words: Sequence[str]) -> list[str]:
    """The words that the program is given; a file at its standard input is for a command that says it reads it."""
    if "<" not in words:
        return list(words)
    *given, sign, file = words
    assert (sign, file[:1].isalnum(), "-" in given) == ("<", True, True), words
    return given


@pytest.mark.parametrize(("page", "command"), list(examples()))
def test_an_example_is_taken_as_it_stands(page: str, command: str) -> None:
    # What the shell makes of it.
    words = shlex.split(command.replace("$(date +%Y-%m-01)", f"{today():%Y-%m-01}"))
    name, *arguments = without_redirection(words)
    found = load(name)
    if commands := getattr(found, "commands", None):
        found = commands[arguments.pop(0)]
    given = found.make_context(name, arguments).params
    if name in {"run", "plan"} and given["job"] in JOBS:
        calling = CallFlags(
            given["model"], given["chain"] or None, given["fields"], given["repeatable"], given["look_up"]
        )
        rows = Input(file=given["file"] or "", sql=given["sql"] or "")
        order = parse_order(given["job"], rows, given_values(given["set_"], calling), BUILT_IN)
        assert order.kind.name == given["job"], page
