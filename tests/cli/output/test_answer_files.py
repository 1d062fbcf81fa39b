"""What reading jobs were answered, as a file or on the screen."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest

from checkpoints.journal import Journal, open_journal
from checkpoints.records import Change, NewItem, NewRun, Page, Run
from checkpoints.states import State
from cli.output import tables as answers
from cli.output.item_files import OutputFile
from cli.output.tables import KINDS
from cli.session.run_session import finish_run
from cli.terminal.exits import CommandRefused
from engine.sources.detect import open_input
from engine.sources.raw.sample import Layout
from jobs.catalogue.built_in import READINGS
from jobs.catalogue.catalogue import BUILT_IN
from jobs.catalogue.typed_call import call_kind
from jobs.effects.answer_cells import Flat, encode_answer
from tests.cli.conftest import Place, Typed
from tests.cli.flows import Flow, all_of, flow
from tests.engine.sources.reading import cells_of

Rows: TypeAlias = Sequence[tuple[tuple[str, ...], list[Flat]]]
"""Rows of an input, each with its answers."""


async def run_of(journal: Journal, header: tuple[str, ...], rows: Rows) -> Run:
    """A run of at-ip with these rows and their answers; one more row was rejected."""
    new = NewRun("at-ip", {"ip": ""}, "billing", "file", header=header)
    run = await journal.create_run(new)
    items = [NewItem(str(n), str(n), str(n), "{}", row=cells) for n, (cells, _) in enumerate([*rows, ((), [])], 1)]
    await journal.freeze(run, Page(tuple(items), (), "1"), lambda item, _: item)
    await journal.end_intake(run)
    await journal.approve(run)
    frozen = await journal.items(run, {State.PENDING})
    await journal.claim(run, [item.item_id for item in frozen])
    *accepted, last = frozen
    changes = [
        Change(item.item_id, State.ACCEPTED, encode_answer(found))
        for item, (_, found) in zip(accepted, rows, strict=True)
    ]
    await journal.record(run, [*changes, Change(last.item_id, State.REJECTED, message="no")])
    return run


async def written(path: Path, header: tuple[str, ...], rows: Rows) -> tuple[int, str]:
    """How many rows, and of which run."""
    async with open_journal(path.with_name("journal")) as journal:
        run = await run_of(journal, header, rows)
        return await answers.write_answers(run, journal, OutputFile(path)), run.name


def lines(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.reader(stream, delimiter=";"))


async def test_columns_are_the_input_s_and_all_fields_of_the_answers(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    rows: Rows = [
        (("10.0.0.1", "=x"), [{"login": "a"}, {"login": "b", "abonent__name": "Иванов"}]),
        (("10.0.0.2",), []),
        (("10.0.0.3", "z"), [{"IP": "10.0.0.3", "answer_ip": 1}]),
    ]
    number, run = await written(path, ("ip", "note"), rows)
    assert number == 4
    assert lines(path) == [
        ["ip", "note", "login", "abonent__name", "answer_IP", "answer_answer_ip", "carbon_run"],
        ["10.0.0.1", "'=x", "a", "", "", "", run],
        ["10.0.0.1", "'=x", "b", "Иванов", "", "", run],
        ["10.0.0.2", "", "", "", "", "", run],
        ["10.0.0.3", "z", "", "", "10.0.0.3", "1", run],
    ]


@pytest.mark.parametrize("suffix", KINDS)
async def test_answers_come_back_as_they_were(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    rows: Rows = [(("1", "=x"), [{"login": "-тире", "name": "'=1"}]), (("2", "'=y"), [{"login": "@a", "name": "'a"}])]
    await written(path, ("id", "carbon", "note"), [((key, "", note), found) for (key, note), found in rows])
    source = open_input(path, Layout())
    assert source.header[:5] == ("id", "carbon", "note", "login", "name")
    assert [cells[2:5] for cells in cells_of(source)] == [("=x", "-тире", "'=1"), ("'=y", "@a", "'a")]


CONTROLS = "a\x1b[31mb\x00c\x07\x7f\x9bd\x85"


@pytest.mark.parametrize("suffix", KINDS)
async def test_controls_in_an_answer_reach_no_terminal(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    await written(path, ("id", "note"), [(("1", CONTROLS), [{"login": CONTROLS, CONTROLS: "x"}])])
    if suffix == ".xlsx":
        assert cells_of(open_input(path, Layout()))[0][0] == "1"
        return
    data = path.read_bytes()
    assert not {0, 7, 27} & set(data)
    if suffix == ".csv":
        assert lines(path)[1][1:3] == ["a␛[31mb␀c␇␡\ufffdd\ufffd"] * 2
        assert set(data.decode()) & {"\x7f", "\x9b", "\x85"} == set()


async def test_answers_of_endless_fields_are_no_file(tmp_path: Path) -> None:
    rows: Rows = [((str(row),), [{f"field{row * 1000 + place}": "" for place in range(1000)}]) for row in range(11)]
    with pytest.raises(CommandRefused, match="more than 10000 different fields"):
        await written(tmp_path / "out.csv", ("id",), rows)


async def test_a_column_of_the_input_that_is_called_as_ours_stays_its_own(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    _, run = await written(path, ("id", "Carbon_Run"), [(("1", "x"), [{"login": "a"}])])
    assert lines(path) == [["id", "Carbon_Run", "login", "carbon_run_2"], ["1", "x", "a", run]]


async def test_more_rows_than_a_page(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    rows: Rows = [((str(n),), [{"n": n}, {f"f{n % 3}": n}]) for n in range(450)]
    assert (await written(path, ("row",), rows))[0] == 900
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert found[0] == {"row": "0", "n": 0, "f0": None, "f1": None, "f2": None}
    assert [one["n"] for one in found[::2]] == list(range(450))


def test_a_call_of_any_chain_has_answers_where_it_only_reads() -> None:
    def chain(method: str) -> dict[str, str]:
        return {"model": "Users", "chain": json.dumps([method]), "input_answers": "x"}

    assert answers.reads(call_kind(chain("objects.filter")))
    assert not answers.reads(call_kind(chain("objects.create")))
    assert not answers.reads(BUILT_IN.get("undo"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("at-ip --set ip=10.0.0.1 -o out.doc", "says what it is to be"),
        ("operator -o out.csv", "-o out.csv: operator writes"),
        ("administrators -o -", "carbon-migrate export RUN --state answers -o -"),
        ("administrators -o out.csv.gz", "says what it is to be"),
        ("administrators -o .csv", "says what it is to be"),
        ("administrators -o nowhere/out.csv", "there is no folder"),
        ("administrators -o there.csv", "is there already"),
    ],
)
def test_a_wrong_name_is_refused_before_anything_is_begun(
    words: str, told: str, typed: Typed, tmp_path: Path
) -> None:
    (tmp_path / "there.csv").touch()
    ended = typed("run", *words.split(), "--yes", "--api-url", "http://127.0.0.1:9")
    assert (ended.exit, told in ended.words) == (2, True), ended.err
    assert not (tmp_path / "carbon-migrate.journal").exists()


async def test_a_run_at_its_end_leaves_its_file_alone_and_makes_it_where_it_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    async with open_journal(tmp_path / "journal") as journal:
        run = await run_of(journal, ("ip",), [(("10.0.0.1",), [{"login": "a"}])])
        run = replace(run, parameters={"input_answers": str(path)})
        assert (await finish_run(run, journal, BUILT_IN, await journal.totals(run), anew=False)).trouble is None
        assert lines(path) == [["ip", "login", "carbon_run"], ["10.0.0.1", "a", run.name]]
        # Somebody works with it.
        path.write_text("mine", encoding="utf-8")
        assert "answers are in" in str(
            (await finish_run(run, journal, BUILT_IN, await journal.totals(run), anew=False)).shown
        )
        assert path.read_text("utf-8") == "mine"
        # Corrected rows have come into the run, and been sent.
        await finish_run(run, journal, BUILT_IN, await journal.totals(run), anew=True)
        assert len(lines(path)) == 2
        gone = replace(run, parameters={"input_answers": str(tmp_path / "gone" / "out.csv")})
        trouble = (await finish_run(gone, journal, BUILT_IN, await journal.totals(gone), anew=True)).trouble or ""
    assert "gone/out.csv cannot be written" in trouble
    assert f"carbon-migrate export {run.name} --state answers -o FILE" in trouble


async def test_answers_go_into_the_file_at_the_end_and_are_exported_later(place: Place) -> None:
    place.write("ip;note\n127.1.2.3;=x\n10.99.0.1;y\n", "addresses.csv")
    ended = await place.cli("run", "at-ip", "addresses.csv", "-o", "out.csv", "--yes")
    assert f"2 rows of answers: {place.cli.folder / 'out.csv'}" in " ".join(ended.out.split())
    (run,) = await place.runs()
    assert lines(place.cli.folder / "out.csv") == [
        ["ip", "note", "id", "login", "abonent__name", "abonent__contract_number", "carbon_run"],
        ["127.1.2.3", "'=x", "4084", "user4084", "Иванов Александр Александрович", "Д94/2018", run.name],
        ["10.99.0.1", "y", "", "", "", "", run.name],
    ]
    on_stdout = await place.cli("export", run.name, "--state", "answers")
    assert on_stdout.out.splitlines()[1].startswith("127.1.2.3;'=x;4084;")
    # Without a file the first rows are shown, and the command is named.
    shown = (await place.cli("run", "blocked", "--yes")).out
    name = (await place.runs())[-1].name
    command = f"carbon-migrate export {name} --state answers -o {name}.csv --journal {place.cli.journal}"
    assert f"as a file:\n  {command}\n" in shown
    assert len([line for line in shown.splitlines() if " 10.0." in line]) == 20


async def test_a_file_that_cannot_be_written_in_the_end_is_told_with_3(place: Place) -> None:
    folder = place.cli.folder / "sub"
    folder.mkdir()
    place.billing.latency = 0.5
    async with place.cli.started("run", "at-ip", "--set", "ip=127.1.2.3", "-o", "sub/out.csv", "--yes") as run:
        await run.said("approved")
        folder.rmdir()
        ended = await run.ended()
    assert ended.exit == 3
    assert "sub/out.csv cannot be written" in " ".join((ended.out + ended.err).split())


# ---- killed and resumed -----------------------------------------------------------------------------------------

ROWS = 40
SESSION = "insert into cabinet_sessions (id, suid, user_id, created) values (?, ?, ?, '2026-05-01')"
SESSIONS = [(SESSION, (number, f"9{number:017d}", number)) for number in range(1, ROWS + 1)]
WITH_ONE_USER = (
    "a.deleted = 0 and a.is_folder = 0 and "
    "(select count(*) from users u where u.abonent_id = a.id and u.deleted = 0) = 1"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a job that reads is given: the header of its file, the select of its lines, and when it is killed."""

    header: str = ""
    lines: str = ""
    kill_at: int = 15


CASES = {
    "administrators": Asked(kill_at=1),
    "at-ip": Asked("ip", "'10.0.0.' || id from users"),
    "by-sms": Asked("телефон", "'8' || substring(sms from 3) from abonents where sms is not null"),
    "blocked": Asked(),
    "session-account": Asked("number;suid", "id || ';' || suid from cabinet_sessions"),
    # Two calls a row.
    "services-on-offer": Asked("abonent_id", f"a.id from abonents a where {WITH_ONE_USER}", 25),
}


def test_every_job_that_reads_is_killed_below() -> None:
    assert CASES.keys() == {kind.name for kind in READINGS}


async def answered(flow: Flow, job: str, asked: Asked) -> None:
    """Each line of the input is in the file, asked before the kill or after; other tests look at what it says."""
    select = f"select first {ROWS} {asked.lines} order by id"
    given = [str(line) for (line,) in flow.query(select)] if asked.lines else []
    has_secrets = "suid" in asked.header

    def files_with_secrets() -> set[str]:
        return flow.files_with([suid for (suid,) in flow.query("select suid from cabinet_sessions")])

    def killed() -> None:
        assert not has_secrets or files_with_secrets() == {"rows.csv", "carbon-migrate.journal-secrets"}

    file = [flow.rows(asked.header, *given)] if given else []
    closing = await flow.go(job, *file, kill_at=asked.kill_at, killed=killed, run_only=("-o", "out.csv"))
    found = list(dict.fromkeys(row[0] for row in lines(flow.folder / "out.csv")[1:]))
    if given:
        assert found == [line.partition(";")[0] for line in given]
        assert 0 < closing["calls"] < len(given)
    assert closing["states"] == {"accepted": 1 if job == "administrators" else len(found)}
    assert len(found) > 1
    assert files_with_secrets() == ({"rows.csv"} if has_secrets else set())


@pytest.mark.loops(240)
async def test_every_job_that_reads_is_planned_killed_resumed_and_verified(
    billing_template: Path, tmp_path: Path
) -> None:
    async def taken(name: str) -> None:
        statements = SESSIONS if name == "session-account" else []
        async with flow(billing_template, tmp_path / name, statements) as one:
            await answered(one, name, CASES[name])

    await all_of([partial(taken, name) for name in CASES])
