"""A last line without its end, where all others have one: it may have been cut, and is never sent in silence."""

import json
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from checkpoints.records import Stage
from tests.cli.conftest import Place
from tests.cli.terminal.terminals import answered, at_a_terminal, opened

FORMS = ("csv", "utf-16", "isql list", "isql bare", "json lines")


def cut(place: Place, form: str) -> Path:
    """A file of two balances in a form, cut within the last amount: 1000.00 became 100."""
    first, last = place.balances(2).numbers
    text = f"contract_number;amount\n{first};5.00\n{last};100"
    match form:
        case "csv":
            return place.write(text, "cut.csv")
        case "utf-16":
            return place.write(text, "cut.csv", encoding="utf-16")
        case "isql list":
            rows = [
                f"\n{'CONTRACT_NUMBER':31} {one}\n{'AMOUNT':31} {amount}"
                for one, amount in ((first, "5.00"), (last, "100"))
            ]
            return place.write("\n".join(rows), "cut.txt")
        case "isql bare":
            return place.write(f"\n{first} 5.00 \n{last} 100", "cut.txt")
        case _:
            rows = [json.dumps({"contract_number": one, "amount": "5"}) for one in (first, last)]
            return place.write("\n".join(rows), "cut.jsonl")


def arguments(file: Path, form: str) -> tuple[str, ...]:
    columns = ("--columns", "contract_number,amount") if form == "isql bare" else ()
    return "run", "balances", str(file), *columns


@pytest.mark.parametrize("form", FORMS)
async def test_it_is_refused_where_nobody_is_asked_and_told_how_to_end_it(place: Place, form: str) -> None:
    file = cut(place, form)
    for more in (("--yes",), ("--yes", "--skip-bad"), ()):
        says = [
            f"the last line of {file} has no end, as all others have:",
            "100" if form != "json lines" else '"amount"',
            f"sed -i -e '$a\\' {file}",
        ]
        await place.cli.refused(*arguments(file, form), *more, says=says)
    assert (await place.found()).rows == 0
    assert {run.stage for run in await place.runs()} == {Stage.DISCARDED}
    # As it was told.
    if form != "utf-16":
        with opened(["sed", "-i", "-e", "$a\\", str(file)], place.cli.folder, {"PATH": "/usr/bin:/bin"}) as shell:
            assert await shell.ends() == 0
        ended = await place.cli.closing(*arguments(file, form), "--yes")
        assert ended["states"] == {"accepted": 2}


async def test_one_answer_for_the_file_before_the_list_is_shown(place: Place) -> None:
    file = cut(place, "csv")
    whole, send = "Is it whole?", "Send these 2 rows"
    await answered(place, "run", "balances", file, says=[(whole, "n")], ends=2)
    assert (await place.found()).rows == 0
    await answered(place, "run", "balances", file, says=[(whole, "y"), (send, "y")])
    found = await place.found()
    assert (found.rows, found.sum) == (2, Decimal(105))
    (run, *_) = reversed(await place.runs())
    assert "last-line: it is whole" in await place.cli.told("status", run.name)


async def test_a_run_that_was_killed_at_the_question_asks_again_when_it_is_resumed(place: Place) -> None:
    file = cut(place, "csv")
    with at_a_terminal(place, "run", "balances", str(file)) as terminal:
        await terminal.shows("Is it whole?")
        terminal.dies()
        await terminal.ends()
    await place.cli.refused("resume", "--yes", says="has no end")
    assert (await place.found()).rows == 0


@pytest.mark.parametrize("more", [("--yes",), ()])
async def test_what_is_piped_in_is_refused(place: Place, more: tuple[str, ...]) -> None:
    file = cut(place, "csv")
    words = " ".join(["exec", sys.executable, "-m", "cli", "run", "balances", "-", *more, "<", str(file)])
    environment = {**place.cli.environment, "TERM": "xterm"}
    with opened(["/bin/sh", "-c", words], place.cli.folder, environment) as shell:
        assert await shell.ends() == 2
    assert "the last line of standard input has no end" in " ".join(shell.seen.split())
    assert (await place.found()).rows == 0


async def test_a_corrected_file_and_lists_of_keys_are_no_exception(place: Place) -> None:
    first, last = place.balances(2).numbers
    place.write(f"contract_number;amount\n{first};5\n{last};1O\n", "bad.csv")
    run = (await place.run("balances", "bad.csv", "--skip-bad", ends=1))["run"]
    await place.cli("export", run, "--state", "refused", "-o", "mended.csv")
    mended = place.cli.folder / "mended.csv"
    mended.write_text(mended.read_text(encoding="utf-8-sig").replace("1O", "10").rstrip(), encoding="utf-8")
    await place.cli.refused("run", "balances", "mended.csv", "--continue", run, "--yes", says="has no end")
    place.write(f"contract_number;amount\n{first};5\n{last};10\n", "good.csv")
    place.write(f"{first}\n{last}", "keys.txt")
    listed = await place.cli("run", "balances", "good.csv", "--only", "keys.txt", "--yes", may_end_with=(2,))
    assert "the last line of" in listed.words
    assert "keys.txt has no end" in listed.words


async def test_a_plan_says_so_and_a_password_is_not_shown(place: Place) -> None:
    planned = await place.cli("plan", "balances", str(cut(place, "csv")))
    assert "has no end" in planned.words
    place.write("login;новый пароль\nuser90001;Sekret-1\nuser90002;Sekret-2", "words.csv")
    refused = await place.cli("run", "password", "words.csv", "--yes", may_end_with=(2,))
    assert "has no end" in refused.words
    assert "Sekret" not in refused.words + refused.out


async def test_a_last_line_with_an_end_of_any_kind_is_not_asked_about(place: Place) -> None:
    numbers = place.balances(6).numbers
    file = place.cli.folder / "whole.csv"
    for number, text in enumerate(
        (
            "contract_number;amount\n{0};5\r\n{1};7\r\n",
            "contract_number;amount\r{0};5\r{1};7\r",
            "contract_number;amount\n{0};5\n{1};7\n  ",
        )
    ):
        file.write_bytes(text.format(*numbers[2 * number :]).encode())
        assert (await place.run("balances", file))["states"] == {"accepted": 2}
