"""Options, help, what scripts read and the examples of the pages: what the commands show of themselves."""

import json
import os
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
import pytest

from checkpoints.journal import Journal
from cli.main import COMMANDS, load
from cli.session.order import parse_order
from cli.settings.flags import CallFlags, parse_pairs
from cli.terminal.texts import LANGUAGES, RUSSIAN
from cli.terminal.texts import language as reader_of
from jobs.catalogue.catalogue import BUILT_IN, JOBS
from jobs.rows.input import Input
from jobs.spec.parameters import today
from tests.checkpoints.samples import frozen_run, new_item, within
from tests.cli.conftest import Place, Typed

UNLIKE = {
    "--output": {"FILE", "DIR|FILE"},
    "--map": {"NAME=COLUMN", "FILE.toml|FIELD=COLUMN"},
    "--since": {"DATE", "RUN"},
}
"""Options that take more than one kind of word, for a reason: a plan has several files, or is one; the columns of an
import are many, and stand in a file; a delta begins where a run has ended, and a run has a name.
"""


def commands() -> Iterator[tuple[str, Any]]:
    """All commands, those of a group each by itself."""
    for name in COMMANDS:
        command = load(name)
        for own, one in getattr(command, "commands", {"": command}).items():
            yield f"{name} {own}".strip(), one


def options(command: Any) -> Iterator[Any]:
    return (one for one in command.params if isinstance(one, click.Option))


ALL = dict(commands())


def longest(option: Any) -> str:
    return str(max(option.opts, key=len))


def shown(name: str) -> set[str]:
    return {longest(option) for option in options(ALL[name])}


def test_an_option_has_one_short_name_and_takes_one_kind_of_word_everywhere() -> None:
    shorts: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    words: defaultdict[str, set[str]] = defaultdict(set)
    longs: defaultdict[str, set[str]] = defaultdict(set)
    for command in ALL.values():
        for option in options(command):
            short = tuple(one for one in option.opts if not one.startswith("--"))
            shorts[longest(option)].add(short)
            words[longest(option)].add(option.metavar or "")
            for one in short:
                longs[one].add(longest(option))
    assert {name: found for name, found in shorts.items() if len(found) > 1} == {}
    assert {name: found for name, found in longs.items() if len(found) > 1} == {}
    assert {name: found for name, found in words.items() if len(found) > 1} == UNLIKE


def test_an_option_says_what_it_is_for_and_no_two_differ_by_a_letter() -> None:
    assert [(name, one.name) for name, command in ALL.items() for one in command.params if not one.help] == []
    names = {longest(option).lstrip("-") for command in ALL.values() for option in options(command)}
    assert {(name, f"{name}s") for name in names if f"{name}s" in names} == {("abonent", "abonents")}


@pytest.mark.parametrize("name", ["", *ALL])
def test_a_language_that_there_is_not_is_refused(name: str, typed: Typed) -> None:
    before, after = typed(*name.split(), "--lang", "xx", "--help"), typed(*name.split(), "--help", "--lang=xx")
    assert (before.exit, before.words) == (2, "✗ --lang: xx is not a language; there are: en, ru")
    assert (after.exit, after.err) == (0, ""), "help was asked for first"


@pytest.mark.parametrize("name", ALL)
def test_no_word_of_the_help_is_cut_at_80_columns(name: str, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown_help = typed(*name.split(), "--help", *(["--verbose"] if name in OF_JOBS else [])).out
    assert max(map(len, shown_help.splitlines())) <= 80
    words = set(shown_help.replace("│", " ").split())
    assert words & {"<bool>", "<str>", "<path>", "<int>", "<float>"} == set(), "types of Python"
    for one in (one for one in ALL[name].params if not getattr(one, "hidden", False)):
        assert set((one.help or "").split()) <= words, one.name


# ---- the help of a job ---------------------------------------------------------------------------------------------

OF_JOBS = ("run", "plan", "import")
"""The commands whose help is that of a job."""
PANELS = {
    "call": {"--model", "--chain", "--fields", "--repeatable", "--look-up"},
    "import": {
        *("--dictionary", "--accounts", "--services", "--attributes", "--folder", "--sample", "--change", "--alike"),
    },
}


def told_of(name: str) -> set[str]:
    return {longest(option) for option in options(ALL[name]) if not option.hidden}


def flags_in(shown_help: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]*", shown_help))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["run", "plan"])
@pytest.mark.parametrize("job", JOBS)
def test_the_help_of_a_job_shows_what_it_needs_and_names_the_rest(
    job: str, name: str, language: str, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown_help = typed(name, job, "--help", "--lang", language).out
    lines = shown_help.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 70
    assert f"{job}: {reader_of(language).render(JOBS[job].summary)}" in " ".join(shown_help.split())
    for one in JOBS[job].parameters:
        flag = f"--{one.name.replace('_', '-')}"
        of_rows = flag in PANELS.get(job, ()) or re.search(rf"^  (--set )?{one.name}  ", shown_help, re.MULTILINE)
        assert of_rows, one.name
    for other, flags in PANELS.items():
        assert flags_in(shown_help) & flags == (flags if job == other else set()), other
    assert ("--ask" in shown_help) is any(one.secret for one in JOBS[job].parameters)
    assert name != "run" or ("--output" in shown_help) is not JOBS[job].writes
    others = {"--ask", "--output", "--shared-accounts", "--changed-declaration", *PANELS["call"], *PANELS["import"]}
    assert told_of(name) - flags_in(shown_help) <= others
    assert f"carbon-migrate {name} {job} --help --verbose" in shown_help


@pytest.mark.parametrize("name", OF_JOBS)
def test_each_option_of_a_command_is_named_by_its_help_and_explained_by_the_verbose_one(
    name: str, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    brief, whole = typed(name, "--help").out, typed(name, "-v", "-h").out
    jobs_own = {"--shared-accounts", "--changed-declaration"}
    assert told_of(name) - flags_in(brief) <= jobs_own
    assert len(brief.splitlines()) <= 75
    for one in told_of(name):
        assert re.search(rf"^│ {one} ", whole, re.MULTILINE), one


def test_help_is_there_whatever_the_settings_are_but_not_for_a_job_that_there_is_not(typed: Typed) -> None:
    Path("carbon-migrate.toml").write_text("language = [", encoding="utf-8")
    assert "--shared-accounts" in typed("run", "balances", "--help").out
    assert "carbon-migrate run JOB --help" in typed("run", "night.toml", "--help").out
    Path("carbon-migrate.toml").unlink()
    typed.refused("plan", "--help", "blances", says="did you mean 'balances'?")


# ---- what scripts read is the same in every language ---------------------------------------------------------------

UNREACHABLE = "http://127.0.0.1:9"
_RUSSIAN = re.compile("[а-яё]", re.IGNORECASE)

SAID_ALIKE = (
    "--version",
    "nosuch",
    "status --json",
    "status RUN --json",
    "status nosuch --json",
    "get RUN --json",
    "pause RUN --json",
    "continue RUN --json",
    "set RUN rate=fast --json",
    "stop RUN --json",
    "jobs --json",
    "jobs balances --json",
    "jobs blances --json",
    f"doctor --json --api-url {UNREACHABLE}",
    f"run balances rows.csv --json --yes --api-url {UNREACHABLE}",
    f"run balances nowhere.csv --json --api-url {UNREACHABLE}",
    "run balances rows.csv --json --api-url nonsense",
    "run --json",
    "run balances rows.csv --json --rate fast",
    "run job.toml --json --yes",
    "run balances rows.csv --continue RUN --plan x --json",
    f"plan balances rows.csv --json --api-url {UNREACHABLE}",
    f"plan password rows.csv --json --api-url {UNREACHABLE}",
    f"resume RUN --json --api-url {UNREACHABLE}",
    "resume nosuch --json",
    f"undo RUN --json --api-url {UNREACHABLE}",
    f"verify RUN --json --api-url {UNREACHABLE}",
    f"reconcile RUN --json --api-url {UNREACHABLE}",
    "decide RUN 1 nonsense --why seen --json",
    "decide RUN 99 accepted --why seen --json",
    "export RUN --json",
    "export RUN --state reject --json",
    "purge RUN --json",
    "translate 'curl http://billing/rest_api' --json",
)


@pytest.fixture
def run(tmp_path: Path) -> str:
    """A run of two rows in a journal of the working folder, with inputs beside it."""
    (tmp_path / "rows.csv").write_text("contract_number;amount\n1;1,00\n2;x\n", encoding="utf-8")
    (tmp_path / "job.toml").write_text('[[step]]\njob = "blances"\n', encoding="utf-8")

    async def make(journal: Journal) -> str:
        return (await frozen_run(journal, new_item("1"), new_item("2"))).name

    return within(tmp_path / "carbon-migrate.journal", make)


@pytest.mark.parametrize("line", SAID_ALIKE)
def test_a_script_reads_the_same_in_every_language(line: str, run: str, typed: Typed, tmp_path: Path) -> None:
    journal = tmp_path / "carbon-migrate.journal"
    kept = journal.read_bytes()
    found = []
    for language in LANGUAGES:
        for file in tmp_path.glob(f"{journal.name}*"):
            file.unlink()
        journal.write_bytes(kept)
        ended = typed(*shlex.split(line.replace("RUN", run)), "--lang", language)
        found.append((ended.exit, _without_times(ended.out)))
        assert ended.exit == 0 or bool(_RUSSIAN.search(ended.err)) is (language == RUSSIAN), ended.err
    assert found[0] == found[1]


def _without_times(text: str) -> str:
    """A closing object without what is new in each process."""
    for word in ('"seconds":', "freed", " MiB free", '"since":', '"given_at":'):
        text = re.sub(rf"{word}[^,}}]*", word, text)
    return re.sub(r"[0-9:T.-]{19,}(Z|\+00:00)?|[0-9 ]+ MiB", "…", text)


# ---- the examples of the pages can be typed ------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]
_EXAMPLE = re.compile(r"^    (?:\S.* \| )?carbon-migrate (.+)$", re.MULTILINE)
_REMARK = re.compile(r" {2,}\S.*$| # .*$")


def examples() -> Iterator[tuple[str, str]]:
    """Each command of the pages, without the remark behind it; what has a gap (…) or a job to be named is none."""
    for page in (ROOT / "README.md", ROOT / "README.ru.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = re.sub(r" \\\n +", " ", page.read_text(encoding="utf-8"))
        for line in _EXAMPLE.findall(text):
            command = _REMARK.sub("", line).partition(" > ")[0].strip()
            if "…" not in command and " JOB " not in command:
                yield page.name, command


def without_redirection(words: Sequence[str]) -> list[str]:
    """The words that the program is given; a file at its standard input is for a command that says it reads it."""
    if "<" not in words:
        return list(words)
    *given, sign, file = words
    assert (sign, file[:1].isalnum(), "-" in given) == ("<", True, True), words
    return given


@pytest.mark.parametrize(("page", "command"), list(examples()))
def test_an_example_is_taken_as_it_stands(page: str, command: str) -> None:
    # What the shell makes of it.
    words = shlex.split(command.replace("$(date +%Y-%m-01)", f"{today():%Y-%m-01}"))
    name, *arguments = without_redirection(words)
    found = load(name)
    if commands := getattr(found, "commands", None):
        found = commands[arguments.pop(0)]
    given = found.make_context(name, arguments).params
    if name in {"run", "plan"} and given["job"] in JOBS:
        calling = CallFlags(
            given["model"], given["chain"] or None, given["fields"], given["repeatable"], given["look_up"]
        )
        rows = Input(file=given["file"] or "", sql=given["sql"] or "")
        order = parse_order(given["job"], rows, parse_pairs(given["set_"], "--set") | calling.parameters, BUILT_IN)
        assert order.kind.name == given["job"], page


# ---- the face: every command and flag, every key of --json, and exit codes (face.txt) ----------------------------

FACE: Final = Path(__file__).parent / "face.txt"
"""What scripts rely on. A key that is missing there is a change that a user's script notices.

`FACE=write pytest tests/cli/test_options.py` writes the list anew, and the changelog names the change.
"""
VARYING: Final = (
    "states",
    "amounts",
    "held",
    "left_out",
    "skipped",
    "skipped_amounts",
    "kinds",
    "kind_amounts",
    "sums",
)
"""Objects whose keys are states, reasons or runs: which of them occur depends on the run."""


def compare(begins: str, found: set[str]) -> None:
    """Hold these lines against those of the list that begin so."""
    listed = FACE.read_text(encoding="utf-8").splitlines() if FACE.exists() else []
    if os.environ.get("FACE") == "write":
        kept = [line for line in listed if not line.startswith(begins)]
        listed = sorted({*kept, *found})
        FACE.write_text("".join(f"{line}\n" for line in listed), encoding="utf-8")
    assert found == {line for line in listed if line.startswith(begins)}


def flags(name: str) -> Iterator[str]:
    for parameter in ALL[name].params:
        yield f"command {name} {'|'.join([*parameter.opts, *parameter.secondary_opts])}"


def keys(value: Any, path: str = "") -> Iterator[str]:
    """Each key of an object and of the objects in it, `[]` for each element of a list."""
    if isinstance(value, dict):
        for key, inner in value.items():
            name = "*" if path.rpartition(".")[2] in VARYING else key
            yield f"{path}.{name}"
            yield from keys(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner, f"{path}[]")


def test_every_command_and_flag_is_still_there() -> None:
    compare("command ", {line for name in ALL for line in flags(name)})


async def test_every_key_of_json_is_still_there(place: Place) -> None:
    balances = place.balances(6)
    lines = balances.path.read_text(encoding="utf-8").splitlines()
    table = place.rows(*lines, f"{balances.numbers[0]};1,5E+03", "no such number;1,00")
    script = place.rows("curl -XPOST http://b/rest_api/v2/Users/ -d 'method1=objects.get'", name="s.sh")
    seen: set[str] = set()

    async def type_(*words: str | Path, name: str = "") -> Any:
        printed = await place.cli(*words, "--json", may_end_with=range(256))
        objects = [json.loads(line) for line in printed.out.splitlines() if line.strip()]
        name = name or str(words[0])
        seen.add(f"json {name} exit {printed.exit}")
        seen.update(f"json {name} {path}" for one in objects for path in keys(one))
        return objects[-1] if objects else printed.err

    await type_("doctor")
    await type_("jobs", name="jobs")
    await type_("jobs", "balances", name="jobs JOB")
    await type_("translate", script)
    await type_("plan", "balances", table)
    await type_("run", "balances", table, name="run refused")
    run = (await type_("run", "balances", table, "--yes", "--skip-bad"))["run"]
    stopped = await place.stopped("balances", place.balances(9, "more.csv").path, "--again", "--in-flight", "1")
    await type_("status", name="status")
    await type_("status", run, name="status RUN")
    await type_("status", "--all", name="status --all")
    await type_("compare", run, stopped)
    await type_("get", stopped)
    await type_("pause", stopped)
    await type_("continue", stopped)
    await type_("reconcile", stopped, "--settle", "0.1")
    await type_("close", stopped, "--reason", "a trial")
    await type_("resume", stopped, "--settle", "0.1", name="resume closed")
    await type_("verify", run)
    await type_("decide", run, "1", "accepted", name="decide refused")
    await type_("export", run, "-o", "exported.csv", "--state", "accepted")
    await type_("report", run, "-o", "report.html")
    await type_("report", "check", "report.html", name="report check")
    await type_("journal", "copy", "carbon-migrate.journal", "copy.journal", name="journal copy")
    await type_("undo", run, "--yes")
    await type_("purge", run, "--keep-totals", "--yes")
    compare("json ", seen)
