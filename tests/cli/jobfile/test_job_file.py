"""Job files: checked with line and column, planned, written, and what may be typed beside one."""

import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from checkpoints.states import State
from cli.jobfile.job_file import PACING, read, save
from cli.session.order import parse_order
from cli.settings.pacing_flags import Pacing, with_file
from cli.terminal.exits import CommandRefused
from engine.pacing.gauges import hours_of
from engine.pacing.limits import Percent
from engine.pacing.policy import ALL, Policy, policy_with
from jobs.catalogue.catalogue import BUILT_IN
from jobs.rows.input import Input
from tests.cli.conftest import Place, Typed

TWICE_PIPED = '[[step]]\njob = "balances"\nfile = "-"\n[[step]]\njob = "payments"\nfile = "-"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[step]]\njob = "operator\n', ["is not TOML", "line 2"]),
        ('format = 2\n[[step]]\njob = "balances"\n', ["line 1, column 1", "made by a newer carbon-migrate"]),
        ('format = "1"\n', ["line 1, column 1", "format: '1' is none"]),
        ("format = 1\n", ["there is no step"]),
        (f"[run]\nin_flight = {'9' * 5000}\n", ["a number has too many digits (at line 2)"]),
        (f"format = 0x{'f' * 9000}\n", ["format: the number has too many digits"]),
        (f"[run]\nrate = {'[' * 3000}\n", ["brackets in brackets without end"]),
        ('[[step]]\njob = "balances"\nfile = "a\\u0000b"\n', ["step.file: it holds a NUL"]),
        ('[[step]]\nfile = "x.csv"\n', ["line 1, column 3", "step 1 names no job"]),
        ('[[step]]\n  jobb = "balances"\n', ["line 2, column 3", "no key 'jobb'", "did you mean 'job'?"]),
        ('[[step]]\njob = "balancs"\n', ["line 2, column 1", "step 1", "did you mean 'balances'?"]),
        ('[[step]]\njob = "balances"\nfile = 5\n', ["line 3, column 1", "file: a text is expected, not 5"]),
        (
            '[[step]]\njob = "operator"\n[[step]]\njob = "balances"\nfile = "x.csv"\nset = {amonut = "5"}\n',
            ["line 6, column 8", "step 2", "no parameter 'amonut' (did you mean 'amount'?)"],
        ),
        (
            '[[step]]\njob = "warning-threshold"\n[step.set]\nfolder = "89"\namount = "12O"\n',
            ["line 5, column 1", "the Latin letter 'O'"],
        ),
        (
            '[[step]]\njob = "administrators"\noutput = "a-{dat}.csv"\n',
            ["line 3, column 1", "no {dat} (did you mean 'date'?); there are: {date}, {time}"],
        ),
        (
            '[[step]]\njob = "random-password"\nset = {to = "a-{day}.csv", user_id = "1"}\n',
            ["line 3, column 8", "no {day}"],
        ),
        ('[[step]]\njob = "operator"\nset = {operator = 1.5}\n', ["line 3, column 1", "a table of texts"]),
        ('[run]\nrate = "fast"\n', ["line 2, column 1", "rate: 'fast' is not a valid rate"]),
        ("[run]\nrate = -1\n", ["line 2, column 1", "rate: '-1' is not a valid rate: calls a second, above 0"]),
        ('[run]\nhours = "night"\n', ["line 2, column 1", "'night' is not a time range"]),
        ("[run]\nin_flight = 0\n", ["line 2, column 1", "in-flight: '0' is not a whole number from 1 to 1 000"]),
        ("[run]\nsettle = -1\n", ["line 2, column 1", "settle: '-1' is not a valid settle delay: seconds from 0"]),
        (TWICE_PIPED, ["line 6, column 1", "step 1 reads standard input, and it can be read but once"]),
        ("[run]\nrates = 5\n", ["line 2, column 1", "no key 'rates'", "did you mean 'rate'?"]),
        (
            '[[step]]\njob = "call"\nmodel = "Users"\nchain = ["set {a: 1}"]\n',
            ["line 4, column 1", "link 1", "this is not JSON"],
        ),
        (
            '[[step]]\njob = "operator"\nsql = """\nupdate a\n  job = "no key"\n"""\nset = {operator = 5}\n',
            ["line 3, column 1", "does not begin a select"],
        ),
        ('[[step]]\njob = "balancs"\n', ["строка 2, позиция 1: шаг 1: задания 'balancs' нет"]),
        ('[[step]]\njob = "balances"\nset = { amonut = "5" }\n', ["строка 3, позиция 9: шаг 1: "]),
        ('[[step]]\njob = "balances"\ncolour = 1\n', ["строка 3, позиция 1: ключа 'colour' здесь нет"]),
        ('[[step]]\njob = "balances"\nlimit = 0\n', ["строка 3, позиция 1: limit: ожидается целое число больше"]),
    ],
)
def test_every_fault_is_told_with_line_and_column(
    text: str, told: Sequence[str], typed: Typed, tmp_path: Path
) -> None:
    (tmp_path / "bad.toml").write_text(text, encoding="utf-8")
    language = "ru" if told[0].startswith("строка") else "en"
    ended = typed.refused("run", "bad.toml", "--api-url", "http://127.0.0.1:9", "--lang", language, says="bad.toml")
    for words in told:
        assert words in ended.words, ended.err


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
    await place.cli.refused("run", "call", *CALLS, "--save", "call.toml", says="is there already")
    await place.cli("run", "call.toml", "--yes")
    async with place.journal() as journal:
        (run,) = await journal.runs()
        by_file = {item.key: item.payload for item in await journal.items(run, {State.ACCEPTED})}
    assert by_file
    typed = (await place.cli("run", "call", *CALLS, "--yes", "--json")).closing
    assert typed["states"] == {"skipped": len(by_file)}


PACED: Mapping[str, tuple[str, object]] = {
    "in_flight": ("3", 3),
    "max_in_flight": ("64", 64),
    "rate": ("2.5", 2.5),
    "hours": ("01:00-06:00", "01:00-06:00"),
    "max_stack": ("7", 7),
    "max_latency": ("1.5", 1.5),
    "throttle_sql": ("select 1 from rdb$database", "select 1 from rdb$database"),
    "throttle_above": ("5", 5.0),
    "min_disk": ("9", 9),
    "stop_after_errors": ("1%", "1%"),
    "limit_money": ("1000", "1000"),
    "settle": ("30", 30.0),
}


def test_all_that_was_typed_and_has_a_place_is_saved(typed: Typed, tmp_path: Path) -> None:
    assert {*PACED, "no_canary"} == PACING
    flags = [word for name, (text, _) in PACED.items() for word in (f"--{name.replace('_', '-')}", text)]
    how = ("--again", "--skip-bad", "--no-canary", "--encoding", "cp1251", "--columns", "id,ip", "--map", "ip=Адрес")
    told = ("-o", "out.csv", "--sheet", "x", "--delimiter", "tab", *how, *flags)
    typed("run", "at-ip", "sub/rows.csv", *told, "--save", "saved.toml")
    content = tomllib.loads((tmp_path / "saved.toml").read_text())
    assert content["run"] == {**{name: value for name, (_, value) in PACED.items()}, "no_canary": True}
    assert content["step"] == [
        {
            "job": "at-ip",
            "file": "sub/rows.csv",
            "columns": ["id", "ip"],
            "delimiter": "tab",
            "sheet": "x",
            "map": {"ip": "Адрес"},
            "encoding": "cp1251",
            "output": "out.csv",
            "again": True,
            "skip_bad": True,
        }
    ]
    file = read(tmp_path / "saved.toml", BUILT_IN)
    assert file.steps[0].output == tmp_path / "out.csv"
    assert policy_with(Policy(), with_file(Pacing(), file.pacing).given, ALL) == Policy(
        in_flight=3,
        rate=2.5,
        hours=hours_of("01:00-06:00"),
        max_stack=7,
        max_latency=1.5,
        throttle_sql="select 1 from rdb$database",
        throttle_above=5.0,
        min_disk=9_000_000,
        canary=False,
        stop_after_errors=Percent(Decimal(1)),
        limit_money=Decimal(1000),
    )


def test_a_file_that_a_job_makes_is_sought_beside_the_job_file(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed("run", "random-password", "--set", "user_id=1", "--set", "to=out/new.csv", "--save", "saved.toml")
    assert tomllib.loads((tmp_path / "saved.toml").read_text())["step"][0]["set"]["to"] == "out/new.csv"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (step,) = read(tmp_path / "saved.toml", BUILT_IN).steps
    assert step.order.parameters["to"] == str(tmp_path / "out" / "new.csv")


def test_no_job_file_keeps_a_secret(tmp_path: Path) -> None:
    order = parse_order("password", Input(), {"user_id": "1", "psw": "Tiger7"}, BUILT_IN)
    with pytest.raises(CommandRefused, match="psw is a secret: no job file keeps one"):
        save(order, tmp_path / "x.toml", {}, output=None, skip_bad=False, force=False)
    assert not (tmp_path / "x.toml").exists()


IGNORED = (
    ("other.csv", "FILE (other.csv)"),
    ("--set amount=1", "--set"),
    ("--sql select", "--sql"),
    ("--columns a,b", "--columns"),
    ("--map amount=x", "--map"),
    ("--encoding auto", "--encoding"),
    ("--delimiter ;", "--delimiter"),
    ("--sheet x", "--sheet"),
    ("--again", "--again"),
    ("--model Users", "--model"),
    ("--chain save", "--chain"),
    ("--fields id", "--fields"),
    ("--repeatable", "--repeatable"),
    ("--look-up select", "--look-up"),
    ("other.csv --again --set x=1", "FILE (other.csv), --set, --again"),
)
"""What a job file has of its own, beside which it is not typed."""
OF_RUN = (("-o out.csv", "--output"), ("--save copy.toml", "--save"), ("--force", "--force"))
BILLING = "--api-url http://127.0.0.1:9"
SAVED = "run at-ip --set ip=127.1.2.3 --save"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        *((f"run night.toml {more} {BILLING}", f"and {named} would be ignored") for more, named in IGNORED + OF_RUN),
        *((f"plan night.toml {more} {BILLING}", f"and {named} would be ignored") for more, named in IGNORED),
        (f"{SAVED} x.toml --yes", "a job file has no place for --yes: leave"),
        (f"{SAVED} x.toml --record x.gz", "a job file has no place for --record: leave"),
        (f"{SAVED} x.toml {BILLING}", "a job file has no place for --api-url: leave"),
        (f"{SAVED} x.toml --journal j --config c.toml", "a job file has no place for --journal, --config: leave"),
        (f"{SAVED} saved", "ends in .toml"),
        (f"{SAVED} balances", "ends in .toml"),
        (f"run at-ip --set ip=127.1.2.3 --force {BILLING}", "--force overwrites the file of --save"),
        ("run balances x.csv --continue abcde --save x.toml", "--save: run abcde remembers what it was told"),
        ("run balances x.csv --continue abcde -o x.csv", "--output: run abcde remembers what it was told"),
        ("run balances x.csv --continue abcde --model A", "--model: run abcde remembers what it was told"),
    ],
)
def test_what_would_be_dropped_or_ignored_is_refused(line: str, told: str, typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "night.toml").write_text('[[step]]\njob = "services-on-offer"\n', encoding="utf-8")
    (tmp_path / "c.toml").write_text("", encoding="utf-8")
    ended = typed(*line.split())
    assert (ended.exit, told in ended.words) == (2, True), ended.err
    assert sorted(path.name for path in tmp_path.glob("*.toml")) == ["c.toml", "night.toml"]


def test_what_is_typed_of_the_pacing_goes_before_the_file_also_where_it_is_the_default() -> None:
    said = {"settle": 5, "rate": 10, "in_flight": 2}
    assert with_file(Pacing(), said) == Pacing(settle="5", rate="10", in_flight="2")
    assert with_file(Pacing(settle="30"), said) == Pacing(settle="30", rate="10", in_flight="2")
    # A bound that is typed bounds something.
    assert with_file(Pacing(max_in_flight="3"), said) == Pacing(settle="5", rate="10", max_in_flight="3")
