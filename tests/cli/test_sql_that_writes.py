"""SQL that may change something is refused by one judge, wherever an operator gives it, before anything is read."""

from pathlib import Path

import pytest

from tests.cli.conftest import Place, Typed

ROWS = "contract_number;amount\n1;5\n"
CALL_IN_A_FILE = """\
[[step]]
job = "call"
model = "Users"
chain = ['objects.get {"id": {id}}', "x.y"]
file = "rows.csv"
look_up = '''%s'''
"""
CALL = ("call", "--model", "Users", "--chain", 'objects.get {"id": {id}}', "--chain", "x.y")
JOB_FILE = '[run]\nthrottle_sql = "{throttle}"\nthrottle_above = 1\n\n[[step]]\njob = "balances"\n{rows}\n'

WRITES = [
    ("select gen_id(g, 1) as n from rdb$database", "gen_id changes its generator unless its step is 0"),
    ("select next value for g as n from rdb$database", "gen_id(g, 0) reads it"),
    ("create user somebody password 'x'", "'create' does not begin a select, and only a select is taken"),
    ("execute block as begin end", "'execute' does not begin a select"),
    ("select 1 as n from rdb$database; delete from abonents", "a second statement begins here, 'delete'"),
    ("select id from abonents with lock", "'with lock' locks the rows for others"),
]


@pytest.mark.parametrize(("sql", "why"), WRITES)
def test_sql_on_the_command_line(sql: str, why: str, typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8")
    throttle = ("--throttle-sql", sql, "--throttle-above", "1")
    for flag, arguments in (
        ("--throttle-sql: line 1", ("run", "balances", "rows.csv", *throttle)),
        ("line 1", ("run", "balances", "--sql", sql)),
        ("line 1", ("plan", "balances", "--sql", sql)),
        ("look_up: line 1", ("run", *CALL, "--look-up", sql, "rows.csv")),
    ):
        typed.refused(*arguments, says=[flag, why])
    assert not (tmp_path / "carbon-migrate.journal").exists()


@pytest.mark.parametrize(("sql", "why"), WRITES)
def test_sql_of_a_job_file_is_refused_with_line_and_column(sql: str, why: str, typed: Typed, tmp_path: Path) -> None:
    for place, text in (
        ("line 2, column 1: throttle_sql: line 1", JOB_FILE.format(throttle=sql, rows='file = "rows.csv"')),
        ("line 7, column 1: step 1: line 1", JOB_FILE.format(throttle="select 1 from tarif", rows=f'sql = "{sql}"')),
        ("line 6, column 1: step 1: look_up: line 1", CALL_IN_A_FILE % sql),
    ):
        (tmp_path / "job.toml").write_text(text, encoding="utf-8")
        typed.refused("run", "job.toml", says=[place, why])


@pytest.mark.parametrize(("sql", "why"), WRITES)
def test_sql_of_a_one_liner(sql: str, why: str, typed: Typed) -> None:
    quoted = sql.replace("'", '"')
    ended = typed("translate", f"""sqlexec '{quoted}' | while read id; do curl -d 'method1=x.y' http://h/; done""")
    assert ended.exit == 2
    assert why in ended.words
    assert ended.out == ""


async def test_what_the_select_of_a_throttle_reaches_is_looked_at_as_well(place: Place) -> None:
    """A procedure that moves a generator: no read-only transaction stops it, so no call is made."""
    await place.execute("create generator g")
    await place.execute("create procedure counts returns (x bigint) as begin x = gen_id(g, 1); suspend; end")
    throttle = ("--throttle-sql", "select x from counts", "--throttle-above", "5")
    ended = await place.cli("run", "balances", place.balances(2).path, "--yes", *throttle, may_end_with=(2,))
    assert "COUNTS may change the generator G, which no read-only transaction stops" in ended.words
    assert place.traffic.arrived == 0
    assert list(place.query("select gen_id(g, 0) from rdb$database")) == [(0,)]
