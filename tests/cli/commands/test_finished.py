"""A finished run in words that a person means: done, and accepted whether or not it was read back since."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest

from checkpoints.journal import Journal
from checkpoints.records import Change
from checkpoints.states import State
from tests.checkpoints.samples import frozen_run, ids, new_item, within
from tests.cli.conftest import Typed

OUTCOMES = {"1": State.APPLIED, "2": State.ACCEPTED, "3": State.REJECTED, "4": State.APPLIED}


@pytest.fixture
def name(tmp_path: Path) -> str:
    """A run of four rows at its end: one accepted, two of them read back since, one rejected."""

    async def make(journal: Journal) -> str:
        run = await frozen_run(journal, *(new_item(key, line=int(key) + 1) for key in OUTCOMES))
        await journal.end_intake(run)
        await journal.approve(run)
        by_key = await ids(journal, run)
        await journal.claim(run, list(by_key.values()))
        first = {key: State.ACCEPTED if state is State.APPLIED else state for key, state in OUTCOMES.items()}
        await journal.record(run, [Change(by_key[key], state) for key, state in first.items()])
        applied = [Change(by_key[key], state) for key, state in OUTCOMES.items() if state is State.APPLIED]
        await journal.record(run, applied)
        return run.name

    return within(tmp_path / "carbon-migrate.journal", make)


def rows_of(text: str) -> list[tuple[str, str]]:
    """The key and the state of each row of an export."""
    header, *rows = csv.reader(text.removeprefix("\ufeff").splitlines(), delimiter=";")
    return [(row[0], row[header.index("carbon_state")]) for row in rows]


def test_a_run_at_its_end_is_done_on_the_screen_and_for_scripts(typed: Typed, name: str) -> None:
    assert f"{name}, done" in typed("status", name).out
    assert typed("status", name, "--json").closing["stage"] == "done"
    (run,) = typed("status", "--json").closing["runs"]
    assert run["stage"] == "done"
    for command in (("status", "xxxxx"), ("pause", "xxxxx"), ("verify", "xxxxx"), ("decide", name, "1", "no")):
        closing = typed(*command, *(["--why", "x"] if command[0] == "decide" else []), "--json").closing
        assert (closing["exit"], bool(closing["error"])) == (2, True)


def test_accepted_rows_are_those_that_were_read_back_too(typed: Typed, name: str, tmp_path: Path) -> None:
    ended = typed("export", name, "--state", "accepted", "-o", "-")
    assert rows_of(ended.out) == [("1", "applied"), ("2", "accepted"), ("4", "applied")]
    ended.saying(f"3 rows of run {name} that are accepted, 2 of them applied, written to stdout")
    assert rows_of(typed("export", name, "--state", "applied").out) == [("1", "applied"), ("4", "applied")]
    # A whole export goes to stdout in one piece.
    ended = typed("export", name, "-o", "-")
    assert rows_of(ended.out) == [("1", "applied"), ("2", "accepted"), ("3", "rejected"), ("4", "applied")]
    ended.saying(f"4 rows of run {name}, 2 of them applied, written to stdout")
    assert not (tmp_path / "-").exists()
    typed("export", name, "-o", "all.csv")
    assert (tmp_path / "all.csv").read_text(encoding="utf-8").splitlines() == ended.out.splitlines()


def test_scripts_are_told_what_an_export_has_written(typed: Typed, name: str) -> None:
    whole = typed("export", name, "--json").closing
    assert (whole["run"], whole["exit"], whole["error"]) == (name, 0, None)
    assert [(one["file"], one["states"], one["rows"]) for one in whole["files"]] == [
        (f"{name}-accepted.csv", ["accepted", "applied"], 3),
        (f"{name}-rejected.csv", ["rejected", "refused"], 1),
    ]
    beside = typed("export", name, "--state", "accepted", "-o", "-", "--json")
    assert len(rows_of(beside.out)) == 3
    file = {"file": None, "states": ["accepted", "applied"], "rows": 3}
    closing = json.loads(beside.err.splitlines()[-1])
    assert closing == {"run": name, "files": [file], "exit": 0, "error": None}
    assert typed("export", "xxxxx", "--json").closing["exit"] == 2


def test_the_next_command_has_what_was_typed_to_find_the_journal_but_no_secret(
    typed: Typed, name: str, tmp_path: Path
) -> None:
    (tmp_path / "the second").mkdir()
    (tmp_path / "carbon-migrate.journal").rename(tmp_path / "the second" / "one.journal")
    (tmp_path / "north.toml").write_text("[api]\nurl = 'http://127.0.0.1:9'\n", encoding="utf-8")
    shown = typed("status", name, "--journal", "the second/one.journal", "--config", "north.toml")
    (export,) = (line.strip() for line in shown.out.splitlines() if "carbon-migrate export" in line)
    # From any folder: what was typed from this one is named in full.
    assert export.endswith(f" --config {tmp_path}/north.toml --journal '{tmp_path}/the second/one.journal'")
    assert typed(*shlex.split(export)[1:]).exit == 0
    (written,) = tmp_path.glob(f"{name}-*.csv")
    assert rows_of(written.read_text(encoding="utf-8"))
    secret = typed(
        "status", name, "--journal", "the second/one.journal", "--api-url", "http://olga:geheim@127.0.0.1:9"
    )
    assert "carbon-migrate export" in secret.out
    # The address that is named is the run's own; the one that was typed has a password.
    assert set(re.findall(r"--api-url (\S+)", secret.out + secret.err)) == {"http://billing/api"}
    assert "geheim" not in secret.out + secret.err
    of_variable = typed("status", name, "--journal", "the second/one.journal")
    assert "--config" not in of_variable.out
