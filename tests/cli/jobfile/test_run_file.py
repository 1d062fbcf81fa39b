"""Job files run, killed, started again and refused, in real processes against a mock billing."""

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio

from checkpoints.states import State
from tests.cli.conftest import Place

ROWS = 40
THRESHOLDS = '[[step]]\njob = "warning-threshold"\nfile = "people.csv"\nset = {amount = "-77"}\n'
BALANCES = '[[step]]\njob = "balances"\nfile = "balances.csv"\n'
QUICK = ("--yes", "--no-canary", "--settle", "0.1")


def people(place: Place, number: int = 3) -> list[str]:
    """A file of subscribers; each has an account of its own."""
    ids = [str(key) for key in place.subscribers(number)]
    place.rows("abonent_id", *ids, name="people.csv")
    return ids


async def jobs(place: Place) -> list[str]:
    return [run.job for run in await place.runs()]


async def test_a_file_that_was_killed_in_its_second_step_goes_on_there(place: Place) -> None:
    people(place)
    balances = place.balances(ROWS)
    place.write(THRESHOLDS + BALANCES, "night.toml")
    await place.kill_at(10, "run", "night.toml", "--in-flight", "2", *QUICK)
    says = ["Going on with round 1, which is not at its end", "done before in this round: run", "taking up run"]
    (await place.cli("run", f"../{place.cli.folder.name}/night.toml", *QUICK)).saying(says)
    assert await jobs(place) == ["warning-threshold", "balances"]
    await place.each_landed_once(balances)


async def test_a_file_that_is_done_is_a_new_round_the_next_time_and_nothing_is_entered_twice(place: Place) -> None:
    people(place)
    balances = place.balances(3)
    place.write(THRESHOLDS + BALANCES, "night.toml")
    first = await place.cli("run", "night.toml", *QUICK)
    threshold, entered = await place.runs()
    table = [line.split() for line in first.out.splitlines()[-2:]]
    assert table == [
        ["1", "warning-threshold", threshold.name, "3", "done"],
        ["2", "balances", entered.name, "3", "done"],
    ]
    assert "Step 1 of 2" in first.words
    assert "Step 2 of 2" in first.words
    assert "Round" not in first.words
    # A row more is entered, those that are there are not.
    more = place.balances(4)
    says = ["Round 1 is at its end, with run", "this is round 2, from step 1"]
    (await place.cli("run", "night.toml", *QUICK)).saying(says)
    assert await jobs(place) == ["warning-threshold", "balances"] * 2
    await place.each_landed_once(more)
    assert more.sum != balances.sum
    async with place.journal() as journal:
        totals = [await journal.totals(run) for run in await journal.runs()]
    assert totals[3].count(State.SKIPPED) == 3
    assert totals[3].count(State.ACCEPTED) == 1


BROKEN: Sequence[tuple[str, str]] = (
    ('[[step]]\njob = "balances"\nfile = "none.csv"\n', "step 2 (balances): there is no file"),
    ('[[step]]\njob = "balances"\nfile = "people.csv"\n', "has no column amount"),
    (f'{BALANCES}map = {{amount = "Долг"}}\n', "step 2 (balances): --map amount=Долг"),
    ('[[step]]\njob = "operator"\nsql = "select nothing from abonents"\nset = {operator = 5}\n', "step 2 (operator)"),
    (
        '[[step]]\njob = "operator"\nset = {operator = 1444}\n',
        "step 2 (operator): there is nothing to read rows from",
    ),
    ('[[step]]\njob = "services-on-offer"\noutput = "no/x.csv"\n', "there is no folder"),
    ('[[step]]\njob = "administrators"\noutput = "people.csv"\n', "this file is there already"),
    (
        '[[step]]\njob = "administrators"\noutput = "x.csv"\n[[step]]\njob = "administrators"\noutput = "./x.csv"\n',
        "step 3 (administrators) and step 2 (administrators) both make",
    ),
)


async def test_what_is_wrong_with_a_later_step_is_told_before_the_first_sends(place: Place) -> None:
    people(place)
    place.balances(3)
    for second, told in BROKEN:
        place.write(THRESHOLDS + second, "night.toml")
        ended = await place.cli.refused("run", "night.toml", "--yes", says=told)
        assert ended.words.endswith("Nothing was sent.")
        assert await place.runs() == []


async def test_what_can_be_seen_only_after_a_step_was_sent_stops_the_file_there(place: Place) -> None:
    ids = people(place)
    place.write("Договор;Сумма\n00003;1O\n", "balances.csv")
    place.write(THRESHOLDS + BALANCES, "night.toml")
    ended = await place.cli("run", "night.toml", "--yes", "--json", may_end_with=(3,))
    one, given_up = await place.runs()
    assert "1 row of the input cannot be taken" in ended.closing["error"]
    assert [(step["run"], step["exit"]) for step in ended.closing["steps"]] == [(one.name, 0), (None, 3)]
    assert "step 2 (balances): 1 row of the input cannot be taken" in ended.words
    assert f"done before that: step 1 (run {one.name})" in ended.words
    assert f"then go on with: carbon-migrate run {place.cli.folder}/night.toml" in ended.words
    assert "Nothing was sent" not in ended.words
    assert given_up.discarded_at
    # Nothing is sent by the second start: it is refused, and that is what its code says.
    await place.cli.refused("run", "night.toml", "--yes", says=f"done before in this round: run {one.name}")
    # A step that was taken back meanwhile is done again.
    await place.cli("undo", one.name, *QUICK)
    place.write("Договор;Сумма\n00003;10\n", "balances.csv")
    (await place.cli("run", "night.toml", "--yes")).saying(f"run {one.name} was taken back: the step is begun anew")
    async with place.journal() as journal:
        *_, last = [run for run in await journal.runs() if run.job == "warning-threshold"]
        assert (await journal.totals(last)).count(State.ACCEPTED) == len(ids)
    assert (await jobs(place)).count("warning-threshold") == 2
    assert (await place.found()).rows == 1


async def test_rows_may_be_what_an_earlier_step_writes(place: Place) -> None:
    ids = people(place)
    reading = (
        '[[step]]\njob = "call"\nfile = "people.csv"\noutput = "read-{date}.csv"\nmodel = "Abonents"\n'
        'chain = [\'objects.filter {"id": {abonent_id}}\']\nfields = ["contract_number"]\n'
    )
    place.write(reading + THRESHOLDS.replace("people", "read-{date}"), "night.toml")
    told = (await place.cli("plan", "night.toml", "--json")).closing
    assert [(step["step"], step["job"], step["exit"]) for step in told["steps"]] == [
        (1, "call", 0),
        (2, "warning-threshold", None),
    ]
    planned = await place.cli("plan", "night.toml")
    written = re.compile(
        rf"Its rows are what an earlier step will write: {place.cli.folder}/read-\d{{4}}-\d\d-\d\d\.csv"
    )
    assert written.search(" ".join(planned.out.split()))
    await place.cli("run", "night.toml", "--yes")
    async with place.journal() as journal:
        second = (await journal.runs())[1]
        assert (await journal.totals(second)).count(State.ACCEPTED) == len(ids)


async def test_the_example_of_the_page_is_planned(place: Place) -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "job-files.md").read_text(encoding="utf-8")
    place.write(page.partition("```toml\n")[2].partition("```")[0], "night.toml")
    (place.cli.folder / "data").mkdir()
    place.write("Договор;К зачислению\n00003;1,50\n00004;2,50\n", "data/balances.csv")
    told = await place.cli("plan", "night.toml")
    assert "Step 4 of 4" in told.out
    assert "2 rows, 4.00 in total" in told.out
    assert (await place.found()).rows == 0
    assert not place.cli.journal.exists()


async def test_answers_that_a_kill_kept_from_being_written_are_there_for_the_next_step(place: Place) -> None:
    place.write("Договор;Сумма\n00003;1O\n", "balances.csv")
    place.write('[[step]]\njob = "administrators"\noutput = "all.csv"\n' + BALANCES, "night.toml")
    await place.cli("run", "night.toml", "--yes", may_end_with=(3,))
    (place.cli.folder / "all.csv").rename(place.cli.folder / "first.csv")
    place.write("Договор;Сумма\n00003;10\n", "balances.csv")
    await place.cli("run", "night.toml", "--yes")
    assert (place.cli.folder / "all.csv").read_bytes() == (place.cli.folder / "first.csv").read_bytes()


async def test_rejected_rows_that_were_let_pass_are_told_by_the_exit_code(place: Place) -> None:
    people(place)
    place.write("Договор;Сумма\n00003;1,50\nнет такого;2,50\n", "balances.csv")
    place.write(f"{BALANCES}skip_bad = true\n{THRESHOLDS}", "night.toml")
    ended = await place.cli("run", "night.toml", "--yes", "--json", may_end_with=(1,))
    assert "Step 1 ended with exit code 1: the 1 after it was not begun" in ended.words
    assert await jobs(place) == ["balances"]
    one, two = ended.closing["steps"]
    assert (one["step"], one["job"], one["states"], one["refused"], one["exit"]) == (
        1,
        "balances",
        {"accepted": 1},
        1,
        1,
    )
    assert (two["step"], two["job"], two["run"], two["exit"]) == (2, "warning-threshold", None, None)
    # The file's own closing is that of the step it ended with.
    assert {name: one[name] for name in ("run", "states", "exit")} == {
        name: ended.closing[name] for name in ("run", "states", "exit")
    }
    place.write(f"{BALANCES}skip_bad = true\ngo_on = true\n{THRESHOLDS}", "night.toml")
    await place.cli("run", "night.toml", "--yes", may_end_with=(1,))
    assert await jobs(place) == ["balances", "warning-threshold"]
    assert (await place.found()).rows == 1


async def test_a_step_may_read_what_is_piped_in_and_enters_on_top_when_it_says_so(place: Place) -> None:
    place.balances(3)
    place.write(BALANCES.replace("balances.csv", "-"), "night.toml")
    await anyio.run_process(
        [sys.executable, "-m", "cli", "run", "night.toml", "--yes"],
        cwd=place.cli.folder,
        env=place.cli.environment,
        input=(place.cli.folder / "balances.csv").read_bytes(),
    )
    for again, rows in (("", 3), ("again = true\n", 6)):
        place.write(BALANCES + again, "night.toml")
        await place.cli("run", "night.toml", "--yes")
        assert (await place.found()).rows == rows


async def test_where_the_billing_is_away_the_advised_command_names_the_file_as_a_shell_takes_it(place: Place) -> None:
    place.write(BALANCES, "the last night.toml")
    place.balances(1)
    away = ("--api-url", "http://127.0.0.1:9")
    ended = await place.cli("run", "the last night.toml", *QUICK, *away, may_end_with=[3])
    (typed,) = re.findall(r"^ *carbon-migrate (run .+)$", ended.err, re.MULTILINE)
    command, file, *_ = shlex.split(typed)
    assert (command, file) == ("run", str(place.cli.folder.resolve() / "the last night.toml"))
