"""Every one-liner that the vendor has published becomes one command, and each of its faults is named."""

import re
import subprocess

import pytest

from cli.session.order import given_values, parse_order
from cli.settings.order_flags import CallFlags
from cli.translate.translation import quoted, translate_all
from jobs.catalogue.catalogue import BUILT_IN
from jobs.rows.input import Input
from jobs.spec.chain import parse
from tests.cli.oneliners import PUBLISHED, Published, generic, translated, values_of

ALL = pytest.mark.parametrize("one", PUBLISHED.values(), ids=PUBLISHED)
# Prints each argument with a NUL behind it, in the place of the program.
FAKE = "carbon-migrate() { printf '%s\\0' carbon-migrate \"$@\"; }\n"


def pasted(text: str) -> list[str]:
    """The arguments that a program gets when a text is pasted into bash."""
    done = subprocess.run(["bash", "-c", FAKE + text], check=True, capture_output=True)  # noqa: S603, S607 - a function alone is called
    return done.stdout.decode().split("\0")[:-1]


@ALL
def test_its_command_and_its_faults(one: Published) -> None:
    found = translated(one.line)
    assert list(found.command) == one.first
    assert list(generic(found)) == one.command
    assert (found.call is None) == (one.as_job == [])
    assert [f"{fault.kind} at {fault.place}" for fault in found.faults] == one.faults


@ALL
def test_the_catalogue_has_a_job_for_it(one: Published) -> None:
    notes = [note for note in translated(one.line).notes if "catalogue" in note]
    if one.as_job:
        assert (one.as_job[2], notes) == (one.job, [])
        return
    (note,) = notes
    assert note.endswith(f"carbon-migrate run {one.job}; carbon-migrate jobs {one.job} says how")


@ALL
def test_what_is_printed_can_be_pasted(one: Published) -> None:
    found = translated(one.line)
    assert pasted(found.pretty(found.command)) == one.first
    shown = found.pretty(one.command)
    assert pasted(shown) == one.command
    first, *options = shown.split("\n")
    assert first == " ".join([*one.command[:3], "\\"])
    assert all(re.match(r"  --[a-z]+ ", line) for line in options)


@pytest.mark.parametrize(
    "word", ["", "it's", "it's $x", 'it\'s "x"', "it's `x`", "it's \\", "wait!", "it's!", "a\nb", "-"]
)
def test_any_word_can_be_pasted(word: str) -> None:
    assert pasted(f"carbon-migrate {quoted(word)}") == ["carbon-migrate", word]


def test_single_quotes_stay_readable() -> None:
    assert quoted("comment like 'x%'") == "\"comment like 'x%'\""


COMMANDS = [words for one in PUBLISHED.values() for words in (one.command, one.as_job) if words]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: "-".join(words[2:5])[:40])
def test_a_run_takes_it(command: list[str]) -> None:
    """As a command line, checked to the point where rows would be read."""
    _, _, job, *_ = command
    flags = {name: values_of(command, name) for name in ("--model", "--chain", "--fields", "--set", "--ask", "--sql")}
    said = given_values(
        [*flags["--set"], *(f"{name}=x" for name in flags["--ask"])],
        CallFlags(
            model=next(iter(flags["--model"]), None),
            chain=flags["--chain"],
            fields=next(iter(flags["--fields"]), None),
        ),
    )
    order = parse_order(job, Input(sql="".join(flags["--sql"])), said, BUILT_IN)
    assert len(order.secrets) == len(flags["--ask"])
    if job == "call":
        names = set(parse(flags["--model"][0], flags["--chain"]).names)
        assert bool(names - set(flags["--ask"])) == bool(flags["--sql"])


@ALL
def test_what_is_wrong_with_all_of_them_is_said_once(one: Published) -> None:
    notes = translated(one.line).notes
    assert len([note for note in notes if "nobody reads an error" in note]) == 1
    assert len([note for note in notes if "encodes nothing" in note]) == 1
    assert any("--api-url http://169.254.80.82:8082" in note for note in notes)
    assert len(set(notes)) == len(notes)


def test_two_lines_of_the_page_pasted_together() -> None:
    # They stand so on the page: the quote too many of the first would take in the start of the second.
    lines = [PUBLISHED["delete-account"], PUBLISHED["service-operator"]]
    found = translate_all("".join(one.line for one in lines), {}, BUILT_IN)
    assert [one.place.line for one in found] == [1, 2]
    assert [list(one.translation.command) for one in found if one.translation] == [one.as_job for one in lines]
