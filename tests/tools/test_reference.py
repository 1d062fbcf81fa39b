"""The reference has all that is there, and is what would be written now."""

import inspect
import json
import re
import shlex
import sqlite3
import textwrap
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import hdrs, web

from checkpoints.journal import Journal
from checkpoints.records import Totals
from checkpoints.sqlite_store import prepare
from cli.page.application import Admission, PageApplication, PageOrder
from cli.page.feed import Feeds
from cli.session.events import Held, NeedsPerson, RunBegan, RunEnded
from cli.session.hooks import message_of
from cli.session.job_file import KEYS, PACING, read
from cli.session.metrics import exposition, metrics_application
from cli.settings.flags import Flags
from cli.settings.settings import HookEvent
from cli.settings.settings import load as load_settings
from cli.show.closing import Closing
from cli.terminal.exits import CommandRefused, Exit, SettingsRefused
from cli.terminal.texts import language
from engine.pacing.holds import BARRIER, BILLING, IN_DOUBT, PAUSED
from engine.pipeline.control import ControlRequest
from engine.pipeline.progress import Progress, Status
from engine.sources import exported
from engine.sources.detect import FORMATS, PACKED
from engine.statistics import PaceSample
from jobs.catalogue.catalogue import BUILT_IN
from jobs.spec.entries import CREATED
from tests.checkpoints.samples import NEW_RUN
from tools.house import ROOMS, ROOT
from tools.reference import ANY, FACTS, GUIDES, REFERENCE, VARIABLES, codes_of, slug, stale, variables
from tools.syntax import typed

RUN = "k7m2q"
SCHEMA = json.loads((REFERENCE / "job-file.schema.json").read_text(encoding="utf-8"))
SETTINGS = json.loads((REFERENCE / "settings.schema.json").read_text(encoding="utf-8"))


def validator() -> Any:
    """Whose import takes three seconds, which each worker would spend to collect the tests."""
    return import_module("jsonschema").Draft202012Validator


def faults_of(schema: Mapping[str, Any], text: str) -> list[str]:
    return [fault.message for fault in validator()(schema).iter_errors(tomllib.loads(text))]


def sections(page: str, level: str = "##") -> dict[str, str]:
    """The parts of a page of the reference by their headings."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    parts = re.split(rf"^{level} (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


ALL = [pytest.param(name, group, command, id=name) for name, group, command in typed()]
EACH = pytest.mark.parametrize(("name", "group", "command"), ALL)


def test_the_pages_are_what_would_be_written() -> None:
    assert [str(path.relative_to(ROOT)) for path in stale()] == [], "write them anew: make docs"


@EACH
def test_every_command_has_an_example_that_it_takes(name: str, group: str, command: Any) -> None:
    assert name in GUIDES, f"give the command its example in tools/reference.py, under {group!r}"
    words = shlex.split(GUIDES[name][0])
    own = name.split()
    assert words[: len(own)] == own
    assert command.make_context(name, words[len(own) :]).params
    assert f"$ carbon-migrate {GUIDES[name][0]}\n" in sections(f"commands/{slug(group)}.md")[name]


@EACH
def test_the_exit_codes_that_a_command_names_are_told_of_it(name: str, group: str, command: Any) -> None:
    function = inspect.getsource(command.callback.__wrapped__)
    named = {Exit[code] for code in re.findall(r"\bExit\.([A-Z]+)\b", function)}
    assert named - codes_of(name) == set()
    row = next(
        line
        for line in sections("exit-codes.md")["Which command ends with what"].splitlines()
        if f"[`{name}`](commands/{slug(group)}.md" in line
    )
    told = {Exit(int(code)) for code in re.findall(r"\b(\d+)(?=[:,] | and )|and (\d+)", row) for code in code if code}
    assert codes_of(name) - ANY == told


def test_every_table_and_column_of_a_journal_has_its_entry(tmp_path: Path) -> None:
    prepare(tmp_path / "journal")
    page = sections("journal.md")
    with closing(sqlite3.connect(tmp_path / "journal")) as journal:
        there = dict(journal.execute("select name, type from sqlite_schema where type in ('table', 'view')"))
        assert there.keys() == page.keys() - {"In PostgreSQL", "The states of an item"}
        for name in (name for name, kind in there.items() if kind == "table"):
            columns = [column for _, column, *_ in journal.execute(f"pragma table_info({name})")]
            assert re.findall(r"^\| `(\w+)` \|", page[name], re.MULTILINE) == columns


def routes(application: web.Application) -> set[str]:
    """The requests that an application answers, with `{run}` for the run."""
    found = ((one.method, one.resource.canonical) for one in application.router.routes() if one.resource)
    return {f"{method} {path.replace(RUN, '{run}')}" for method, path in found if method != hdrs.METH_HEAD}


def requests(title: str) -> set[str]:
    """The requests that a section tells of."""
    return set(re.findall(r"^\| `([A-Z]+ /\S*)` \|", sections("http.md")[title], re.MULTILINE))


def rows(text: str) -> set[str]:
    """The keys in the first cells of the tables of a text."""
    return {key for cell in re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE) for key in re.findall(r"`(\w+)`", cell)}


async def test_every_request_that_is_answered_has_its_entry(journal: Journal) -> None:
    async with anyio.create_task_group() as group:
        page = PageApplication(journal, PageOrder(None, "en"), Feeds(journal, group), "")
        assert routes(page.application(Admission(0))) == requests("The page")
    assert routes(metrics_application(str)) == requests("The metrics")


def test_every_key_of_status_sample_and_command_has_its_entry() -> None:
    status, sample = re.split(r"^### A sample", sections("http.md")["The status"], flags=re.MULTILINE)
    _, command = re.split(r"^### A command", sections("http.md")["The page"], flags=re.MULTILINE)
    assert rows(status) == {field.name for field in fields(Status)}
    assert rows(sample) == {field.name for field in fields(PaceSample)}
    assert rows(command) == {field.name for field in fields(ControlRequest)}


async def test_every_metric_has_its_entry_with_its_labels() -> None:
    page = (REFERENCE / "metrics.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(carbon_\w+)` \| \w+ \| (?:`(\w+)`|–) \|", page, re.MULTILINE))
    status = replace(Progress().status(), held_seconds={"paused": 1.0})
    text = exposition(RUN, "balances", status, datetime.now(UTC), RunEnded(Closing(Exit.DONE, RUN, "balances")))
    published = {
        name: re.findall(r"(\w+)=", labels) for name, labels in re.findall(r"^(\w+)\{(.*)\}", text, re.MULTILINE)
    }
    assert published == {name: ["run", "job", *filter(None, [label])] for name, label in told.items()}
    causes = set(re.findall(r"^\| `([a-z ]+)` \|", page, re.MULTILINE))
    assert causes == {IN_DOUBT, PAUSED, BILLING, BARRIER}


async def test_every_key_of_a_hooks_message_has_its_entry(journal: Journal) -> None:
    page = (REFERENCE / "hook-messages.md").read_text(encoding="utf-8")
    told: dict[str, set[str]] = defaultdict(set)
    for names, events, _ in re.findall(r"^\| (`.*?`) \| (.*?) \| (.*) \|$", page, re.MULTILINE):
        for event in HookEvent if events == "all" else map(HookEvent, events.split(", ")):
            told[event].update(re.findall(r"`(\w+)`", names))
    run = await journal.create_run(NEW_RUN)
    events = [
        RunBegan(Totals(), taken_up=False),
        Held(PAUSED, "why"),
        NeedsPerson(1, "why", ()),
        RunEnded(Closing(Exit.DONE, RUN, "balances")),
    ]
    sent = [message_of(event, run, "journal", language("en")) for event in events]
    assert {str(one["event"]) for one in sent} == told.keys()
    assert [key for one in sent for key in one if key not in told[HookEvent(str(one["event"]))]] == []


def test_every_variable_of_the_system_that_is_read_has_its_entry() -> None:
    told = (REFERENCE / "environment.md").read_text(encoding="utf-8")
    read = {name for room in ROOMS for path in (ROOT / room).rglob("*.py") for name in names_read(path)}
    assert {"HOME", "FIREBIRD", "CREDENTIALS_DIRECTORY"} <= read
    assert [name for name in sorted(read) if f"`{name}`" not in told] == []


def names_read(path: Path) -> Iterator[str]:
    """The variables that a file takes out of an environment, by name or by a constant of its own."""
    text = path.read_text(encoding="utf-8")
    constants = dict(re.findall(r'^(\w+)(?:: Final)? = "([A-Z_]+)"$', text, re.MULTILINE))
    for name, constant in re.findall(r'\benviron(?:ment)?(?:\.get\(|\.pop\(|\[)(?:"([A-Z_]+)"|(\w+))', text):
        if found := name or constants.get(constant):
            yield found


@pytest.mark.parametrize("way", [way for way, facts in FACTS.items() if facts.variable and way != "language"])
def test_a_variable_goes_before_the_file_and_a_flag_before_both(way: str, tmp_path: Path) -> None:
    table, _, key = way.rpartition(".")
    (tmp_path / "carbon-migrate.toml").write_text(f'{f"[{table}]" if table else ""}\n{key} = "UTF8"\n')
    facts = FACTS[way]
    name = facts.variable.removeprefix("CARBON_MIGRATE_").lower()

    def origin(environment: Mapping[str, str], **flags: Any) -> str:
        return str(getattr(load_settings(Flags(**flags), environment, tmp_path), name).origin)

    assert "carbon-migrate.toml" in origin({})
    assert origin({facts.variable: "UTF8"}) == facts.variable
    if facts.flag:
        flag = facts.flag.removeprefix("--").replace("-", "_")
        assert origin({facts.variable: "UTF8"}, **{flag: "UTF8"}) == facts.flag


def test_the_defaults_are_those_of_an_empty_file(tmp_path: Path) -> None:
    found = load_settings(Flags(), {"XDG_STATE_HOME": str(tmp_path)}, tmp_path)
    assert FACTS["database.user"].default == found.database_user.value
    assert FACTS["database.charset"].default == found.database_charset.value
    assert FACTS["api.timeout"].default == f"{found.timeout.value:g}"
    assert FACTS["hooks.hold-seconds"].default == f"{found.hooks.hold_seconds:g}"


def examples() -> Iterator[tuple[str, Any, str]]:
    """The settings and job files of pages, and those that come with the program, each with its schema."""
    pages = [(page.name, page.read_text(encoding="utf-8")) for page in sorted((ROOT / "docs").rglob("*.md"))]
    for name, text in pages:
        found = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        yield from ((name, SCHEMA, one) for one in found if "[[step]]" in one)
    for block in re.findall(r"(?:^    .*\n|^\n)+", dict(pages)["settings.md"], re.MULTILINE):
        if "    [" in block:
            yield "settings.md", SETTINGS, textwrap.dedent(block)
    for path in sorted((ROOT / "examples").rglob("*.toml")):
        text = path.read_text(encoding="utf-8")
        if "[[step]]" in text or path.name == "carbon-migrate.toml":
            yield str(path.relative_to(ROOT)), SCHEMA if "[[step]]" in text else SETTINGS, text


@pytest.mark.parametrize(("name", "schema", "text"), list(examples()))
def test_each_example_of_settings_and_of_a_job_file_is_valid(name: str, schema: Any, text: str) -> None:
    assert faults_of(schema, text) == [], name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("format = 2\n[[step]]\njob = 'balances'", "2 is greater than the maximum of 1"),
        ("[run]\nrate = 5", "'step' is a required property"),
        ("[[step]]\nfile = 'a.csv'", "'job' is a required property"),
        ("[[step]]\njob = 'balances'\nlimit = 0", "0 is less than the minimum of 1"),
        ("[[step]]\njob = 'balances'\nskip = true", "('skip' was unexpected)"),
        ("[[step]]\njob = 'balances'\nset = {amount = 0.1}", "0.1 is not of type 'string', 'integer'"),
        ("[run]\nspeed = 5\n[[step]]\njob = 'balances'", "('speed' was unexpected)"),
        ("[api]\nurk = 'x'", ""),
        ("[database]\nuser = 1", ""),
        ("[metrics]\nport = 'x'", ""),
        ("jbos = 1", ""),
    ],
)
def test_what_a_schema_refuses_the_program_refuses_too(text: str, told: str, tmp_path: Path) -> None:
    (fault,) = faults_of(SCHEMA if told else SETTINGS, text)
    assert told in fault
    path = tmp_path / "carbon-migrate.toml"
    path.write_text(text)
    reads: Callable[[], object] = (
        partial(read, path, BUILT_IN) if told else partial(load_settings, Flags(), {}, tmp_path)
    )
    with pytest.raises(CommandRefused if told else SettingsRefused):
        reads()


def test_every_key_is_in_its_schema_and_described() -> None:
    for schema in (SETTINGS, SCHEMA):
        validator().check_schema(schema)
    properties = SCHEMA["properties"]
    step, run = properties["step"]["items"]["properties"], properties["run"]["properties"]
    assert (step.keys(), run.keys()) == (KEYS.keys(), PACING)
    described = {**step, **run, "format": properties["format"]}
    assert [key for key, one in described.items() if not one["description"]] == []


def told(page: str, entry: str = r"^\| `(\w+)` \|") -> list[str]:
    """What the first cells of the tables of a page tell."""
    return re.findall(entry, (REFERENCE / page).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_code_format_mark_variable_and_example_has_its_entry() -> None:
    assert told("exit-codes.md", r"^\| (\d+) \|") == [str(int(code)) for code in Exit]
    read_at_all = [one.__name__.removeprefix("open_") for one in (*PACKED, *FORMATS) if "refuse" not in one.__name__]
    formats = told("input.md", r"^\| ([^|]*) \| [^|]* \| [^|]* \|$")[1:]
    assert list(zip(read_at_all, formats, strict=True)) == [
        ("ods", "ODS"),
        ("xlsx", "XLSX"),
        ("json_lines", "JSON lines"),
        ("isql", "isql"),
        ("delimited", "CSV and the like"),
    ]
    marks = (REFERENCE / "marks.md").read_text(encoding="utf-8")
    named = (*CREATED, *exported.COLUMNS, exported.RUN, exported.STEP)
    assert [one for one in named if f"`{one}`" not in marks] == []
    assert [one for one in variables() if one not in VARIABLES] == [], "say what it is: tools/reference.py"
    assert GUIDES.keys() - {name for name, *_ in typed()} == set(), "examples of commands that are gone"
