"""The reference has all that is there, and is what would be written now."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from cli.main import COMMANDS, load
from tools.house import ROOT
from tools.reference.commands import GUIDES, slug
from tools.reference.pages import REFERENCE, stale


def sections(page: str) -> dict[str, str]:
    """The parts of a page of the reference by their headings of the second level."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    parts = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def typed() -> Iterator[tuple[str, str, Any]]:
    """Each command that can be typed: its words, its group in the help, and what typer has of it."""
    for name, entry in COMMANDS.items():
        found = load(name)
        own = getattr(found, "commands", {})
        if not own or found.invoke_without_command:
            yield name, entry.group, found
        yield from ((f"{name} {one}", entry.group, command) for one, command in own.items())


ALL = [pytest.param(name, group, command, id=name) for name, group, command in typed()]
EACH = pytest.mark.parametrize(("name", "group", "command"), ALL)


def test_the_pages_are_what_would_be_written() -> None:
    assert [str(path.relative_to(ROOT)) for path in stale()] == [], "write them anew: make docs"


@EACH
def test_every_argument_and_option_of_a_command_has_its_entry(name: str, group: str, command: Any) -> None:
    section = sections(f"commands/{slug(group)}.md")[name]
    shared = (REFERENCE / "commands" / "shared.md").read_text(encoding="utf-8")
    entries = re.findall(r"^\| (`.*?) \| ", section, re.MULTILINE)
    linked = re.findall(r"^\| \[.*?\]\(shared\.md#(.*?)\) \| (.*)", section, re.MULTILINE)
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "argument":
            assert any(parameter.metavar in entry.replace("\\|", "|") for entry in entries), parameter.name
            continue
        for flag in (*parameter.opts, *parameter.secondary_opts):
            of_its_own = any(f"`{flag}`" in entry for entry in entries)
            elsewhere = any(f"`{flag}`" in names for _, names in linked) and f"`{flag}`" in shared
            assert of_its_own or elsewhere, flag


@EACH
def test_every_command_has_an_example_that_it_takes(name: str, group: str, command: Any) -> None:
    assert name in GUIDES, f"give the command its example in tools/reference/commands.py, under {group!r}"
    words = shlex.split(GUIDES[name].example)
    own = name.split()
    assert words[: len(own)] == own
    assert command.make_context(name, words[len(own) :]).params
    assert f"$ carbon-migrate {GUIDES[name].example}\n" in sections(f"commands/{slug(group)}.md")[name]


def test_no_example_is_left_of_a_command_that_is_gone() -> None:
    assert GUIDES.keys() - {name for name, *_ in typed()} == set()
