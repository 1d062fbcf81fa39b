"""Job files: checked with line and column, run step by step, taken up where they stood, and written."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from checkpoints.states import State
from tests.cli.conftest import Place, Typed

STEPS = """\
# Kept in git.
format = 1

[run]
rate = 200

[[step]]
job = "warning-threshold"
[step.set]
folder = 89
amount = "-77"

[[step]]
job = "balances"
file = "data/balances.csv"
map = {amount = "К зачислению"}
"""


def job_file(place: Place, text: str = STEPS, name: str = "night.toml") -> Path:
    return place.write(text, name)


def data(place: Place, text: str = "Договор;К зачислению\n00003;1,50\n00004;2,50\n") -> None:
    (place.cli.folder / "data").mkdir(exist_ok=True)
    place.write(text, "data/balances.csv")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[step]]\njob = "operator\n', ["is not TOML", "line 2"]),
        (
            'format = 2\n[[step]]\njob = "balances"\n',
            ["line 1, column 1", "made by a newer carbon-migrate", "knows 1"],
        ),
        ('format = "1"\n', ["line 1, column 1", "format: '1' is none"]),
        ("format = 1\n", ["there is no step"]),
        ('[[step]]\nfile = "x.csv"\n', ["line 1, column 3", "step 1 names no job"]),
        ('[[step]]\n  jobb = "balances"\n', ["line 2, column 3", "no key 'jobb'", "did you mean 'job'?"]),
        ('[[step]]\njob = "balancs"\n', ["line 2, column 1", "step 1", "did you mean 'balances'?"]),
        ('[[step]]\njob = "balances"\nfile = 5\n', ["line 3, column 1", "file: a text is expected, not 5"]),
        (
            '[[step]]\njob = "operator"\n[[step]]\njob = "balances"\nfile = "x.csv"\nset = {amonut = "5"}\n',
            ["line 6, column 8", "step 2", "no parameter 'amonut'; did you mean 'amount'?"],
        ),
        (
            '[[step]]\njob = "warning-threshold"\n[step.set]\nfolder = "89"\namount = "12O"\n',
            ["line 5, column 1", "the Latin letter 'O'"],
        ),
        ('[[step]]\njob = "operator"\nset = {operator = 1.5}\n', ["line 3, column 1", "a table of texts"]),
        ('[run]\nrate = "fast"\n[[step]]\njob = "operator"\n', ["line 2, column 1", "rate: a number is expected"]),
        ("[run]\nrates = 5\n", ["line 2, column 1", "no key 'rates'", "did you mean 'rate'?"]),
        (
            '[[step]]\njob = "call"\nmodel = "Users"\nchain = ["set {a: 1}"]\n',
            ["line 4, column 1", "link 1", "this is not JSON"],
        ),
        (
            '[[step]]\njob = "operator"\nsql = """\nupdate a\n  job = "no key"\n"""\nset = {operator = 5}\n',
            ["line 3, column 1", "begins no select"],
        ),
    ],
)
def test_every_fault_is_told_with_line_and_column(
    text: str, told: Sequence[str], typed: Typed, tmp_path: Path
) -> None:
    (tmp_path / "bad.toml").write_text(text, encoding="utf-8")
    ended = typed("run", "bad.toml", "--api-url", "http://127.0.0.1:9")
    assert ended.exit == 2
    assert "bad.toml" in ended.words
    for words in told:
        assert words in ended.words, ended.err


async def test_the_steps_run_in_order_and_the_same_command_goes_on(place: Place) -> None:
    data(place)
    job_file(place)
    first = await place.cli("run", "night.toml", "--yes")
    assert "Step 1 of 2" in first.words
    assert "Step 2 of 2" in first.words
    assert (await place.found()).rows == 2
    jobs = [run.job for run in await place.runs()]
    assert jobs == ["warning-threshold", "balances"]
    second = await place.cli("run", "night.toml", "--yes")
    assert second.words.count("done before: run") == 2
    assert [run.job for run in await place.runs()] == jobs
    assert (await place.found()).rows == 2


async def test_a_bad_step_is_refused_before_the_first_is_begun(place: Place) -> None:
    job_file(place, STEPS.replace('job = "balances"', 'job = "balancs"'))
    ended = await place.cli("run", "night.toml", "--yes", may_end_with=(2,))
    assert "line 14, column 1" in ended.words
    assert not place.cli.journal.exists()


async def test_a_step_that_does_not_end_well_ends_the_file(place: Place) -> None:
    data(place, "Договор;К зачислению\n00003;1,50\nнет такого;2,50\n")
    text = STEPS.replace('job = "balances"', 'job = "balances"\nskip_bad = true')
    first, second = text.partition("[[step]]")[0], text.rpartition("[[step]]")[2]
    job_file(place, f"{first}[[step]]{second}\n[[step]]{text.split('[[step]]')[1]}")
    ended = await place.cli("run", "night.toml", "--yes", may_end_with=(1,))
    assert "Step 1 ended with exit code 1: the 1 after it was not begun" in ended.words
    assert [run.job for run in await place.runs()] == ["balances"]
    job_file(
        place,
        (place.cli.folder / "night.toml").read_text().replace("skip_bad = true", "skip_bad = true\ngo_on = true"),
    )
    await place.cli("run", "night.toml", "--yes")
    assert [run.job for run in await place.runs()] == ["balances", "warning-threshold"]
    assert (await place.found()).rows == 1


async def test_a_plan_of_the_file_sends_nothing(place: Place) -> None:
    data(place)
    job_file(place)
    told = await place.cli("plan", "night.toml")
    assert "Step 2 of 2" in told.out
    assert "2 rows, 4.00 in total" in told.out
    assert (await place.found()).rows == 0
    assert not place.cli.journal.exists()


OF_THE_FOLDER = "select id from abonents where parent_id = :folder"
CALLS = (
    *("--model", "AdminAccounts", "--chain", 'objects.get {"account_id_abonents": {id}}'),
    *("--chain", 'set {"limit_warning": "{sum}"}', "--chain", "save", "--set", "sum=-5", "--set", "folder=89"),
    *("--sql", f"{OF_THE_FOLDER} and is_folder = 0 and deleted = 0 and account_id is not null"),
)


async def test_what_was_typed_is_saved_and_does_the_same(place: Place) -> None:
    saved = await place.cli("run", "call", *CALLS, "--save", "call.toml")
    assert "nothing was sent" in saved.out
    assert not place.cli.journal.exists()
    again = await place.cli("run", "call", *CALLS, "--save", "call.toml", may_end_with=(2,))
    assert "is there already" in again.words
    await place.cli("run", "call.toml", "--yes")
    async with place.journal() as journal:
        (run,) = await journal.runs()
        by_file = {item.key: item.payload for item in await journal.items(run, {State.ACCEPTED})}
    assert by_file
    typed = (await place.cli("run", "call", *CALLS, "--yes", "--json")).closing
    assert typed["states"] == {"skipped": len(by_file)}


async def test_a_saved_file_names_its_rows_from_its_own_folder(place: Place) -> None:
    data(place)
    arguments = ("run", "balances", "data/balances.csv", "--map", "amount=К зачислению", "--set", "descr=Перенос")
    await place.cli(*arguments, "--save", "saved.toml")
    content = tomllib.loads((place.cli.folder / "saved.toml").read_text())
    assert content == {
        "format": 1,
        "step": [
            {
                "job": "balances",
                "file": "data/balances.csv",
                "map": {"amount": "К зачислению"},
                "set": {"descr": "Перенос"},
            }
        ],
    }


def test_no_job_file_keeps_a_secret(typed: Typed, tmp_path: Path) -> None:
    ended = typed("run", "password", "--set", "user_id=1", "--set", "psw=Tiger7", "--save", "x.toml")
    assert ended.exit == 2
    assert "psw is a secret" in ended.words
    assert not (tmp_path / "x.toml").exists()
