"""Writes what is made from the code: `python -m tools.reference` names the stale files, `--write` writes them anew.

They are whole files, and blocks of pages that people write, each between `<!-- NAME -->` and `<!-- /NAME -->`.
What the code does not know of a command is data here: an example, the pages that show its use, how it ends.

Texts of the program are in the language of the reader, as its help is; what is said here alone is English, and
tools/pages.py has it translated as all that people write.
"""

import inspect
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import msgspec

from checkpoints.queries import FORMAT as JOURNAL_FORMAT
from checkpoints.queries import schema as journal_schema
from checkpoints.states import State
from cli.commands.completion import TABLE as OPTIONS
from cli.commands.jobs import in_rows, needs
from cli.commands.jobs import value as value_of
from cli.main import COMMANDS, Product, app
from cli.session.job_file import FORMAT, KEYS, NUMBER, RUN, STEP, SWITCH, TABLE, TEXT, TEXTS
from cli.session.metrics import METRICS, kind_of
from cli.settings.flags import Pacing
from cli.settings.settings import DEFAULT_PROFILE, PROFILE, SETTINGS, FileTables, ProfileTables, SettingsTables
from cli.terminal import exits
from cli.terminal.exits import Exit
from cli.terminal.options import notes_of, options_of, panel_of, paragraphs
from cli.terminal.texts import ENGLISH, reader
from jobs.catalogue.catalogue import JOBS
from jobs.spec.columns import KNOWN as KNOWN_COLUMNS
from jobs.spec.entries import CREATED
from jobs.spec.spec import JobSpec, own_select
from jobs.spec.words import SharedAccountsRule
from tests.proofs import proofs_of
from texts.said import PROGRAM, Said, said
from tools.catalogues import written
from tools.house import ROOMS, ROOT
from tools.markdown import code, table, with_block
from tools.syntax import choices, option_table, typed, word_of

REFERENCE: Final = ROOT / "docs" / "reference"


# ---- the commands -------------------------------------------------------------------------------------------------

SHARED_BY: Final = 3
"""An option of so many commands that says the same in each stands in one table, `shared.md`."""
_VARIABLE: Final = re.compile(r"CARBON_MIGRATE_\w+")


GUIDES: Final[Mapping[str, tuple[str, ...]]] = {
    "doctor": ("doctor", "tutorial/first-load.md"),
    "jobs": ("jobs balances", "reference/jobs.md"),
    "translate": ("translate -f recipes.sh", "how-to/calls.md"),
    "probe": ("probe --abonent 1042", "how-to/probe.md", "explanation/profile.md"),
    "dictionary": ("dictionary subscribers.csv -o names.csv", "reference/import.md"),
    "completion": ("completion bash",),
    "plan": ("plan balances balances.csv", "tutorial/first-load.md"),
    "run": (
        "run balances balances.csv --limit 1",
        *("tutorial/first-load.md", "tutorial/move.md", "how-to/night.md", "how-to/slow.md", "how-to/again.md"),
    ),
    "import": ("import subscribers.csv --dictionary names.csv --check", "reference/import.md"),
    "worker": ("worker --billings 20", "how-to/postgres.md"),
    "resume": ("resume k7m2q", "how-to/trouble.md"),
    "status": ("status k7m2q --watch", "how-to/steer.md"),
    "compare": ("compare k7m2q x7bqd", "how-to/compare.md", "tutorial/move.md"),
    "page": ("page k7m2q", "how-to/page.md"),
    "pause": ("pause k7m2q", "how-to/steer.md"),
    "continue": ("continue k7m2q", "how-to/steer.md"),
    "get": ("get k7m2q", "how-to/steer.md"),
    "set": ("set k7m2q rate=20 hours=01:00-06:00", "how-to/steer.md"),
    "stop": ("stop k7m2q", "how-to/steer.md"),
    "verify": ("verify k7m2q -o differences.csv", "tutorial/first-load.md"),
    "reconcile": ("reconcile k7m2q", "how-to/settle.md"),
    "decide": ('decide k7m2q/1042 accepted --why "seen by Olga"', "how-to/settle.md"),
    "export": ("export k7m2q --state bad -o bad.csv", "how-to/correct.md"),
    "report": ("report k7m2q --lang ru", "how-to/report.md"),
    "validate": ("validate record.toml k7m2q --program UTM5 --program-version 5.5", "validated.md"),
    "undo": ("undo k7m2q --set way=opposite", "how-to/undo.md"),
    "close": ('close k7m2q --reason "the file was that of October"', "how-to/undo.md"),
    "purge": ("purge --older-than 90d --keep-totals", "how-to/personal-data.md"),
    "journal copy": ("journal copy carbon-migrate.journal postgresql://HOST/DATABASE", "how-to/postgres.md"),
    "journal key": ("journal key vault.key", "how-to/postgres.md"),
    "demo": ("demo",),
    "selftest": ("selftest --rounds 1", "how-to/rehearsal.md"),
    "mock init": ("mock init billing.fdb --abonents 1000", "how-to/rehearsal.md"),
    "mock serve": ("mock serve billing.fdb --port 8082", "how-to/rehearsal.md"),
    "mock replay": ("mock replay night.rec", "how-to/replay.md"),
    "mock rows": ("mock rows k7m2q -o rows.csv", "how-to/replay.md"),
    "mock diff": ("mock diff night.rec --api-url http://billing:8082", "how-to/replay.md"),
}
"""An example of each command as it is typed, without the program, and the pages below `docs` that show its use."""


class Entry(NamedTuple):
    """An argument or option as the reference tells it. `panel` is the name of its group in the help."""

    names: str
    help: str
    panel: str = ""


def _entries(command: click.Command, kind: type[click.Parameter]) -> list[Entry]:
    """The arguments or the options of a command."""
    shown = (one for one in command.params if not getattr(one, "hidden", False))
    return [_entry(one) for one in shown if isinstance(one, kind)]


def _entry(parameter: click.Parameter) -> Entry:
    """An argument or option: its names with its value, and what it says, with its default."""
    value = "|".join(choices(parameter)) or word_of(parameter)
    if not isinstance(parameter, click.Option):
        names = code(value if parameter.nargs == 1 else f"{value.rstrip('…')}…")
    else:
        names = ", ".join(code(name) for name in (*parameter.opts, *parameter.secondary_opts))
        names += "" if parameter.is_flag else f" {code(value)}"
    told = " ".join((*map(translated, paragraphs(parameter.help or "")), *notes_of(parameter)))
    return Entry(names, _VARIABLE.sub(lambda one: code(one[0]), told), translated(panel_of(parameter)))


def translated(text: str) -> str:
    """A text of the program, in the language of who reads the pages."""
    if reader().name == ENGLISH or not text:
        return str(text)
    return reader().render(text) if isinstance(text, Said) else reader().translate(text)


def slug(text: str) -> str:
    """The anchor of a heading, and the name of a page."""
    return re.sub(r"[^\w-]", "", text.lower().replace(" ", "-"))


def command_pages() -> Iterator[tuple[str, str]]:
    """A page for each group of commands, one for the options that many share, and the index, with their names."""
    options = {name: _entries(command, click.Option) for name, _, command in typed()}
    times = Counter(option for some in options.values() for option in some if option.panel)
    order = list(dict.fromkeys(option.panel for option in times))
    often = (option for option, number in times.items() if number >= SHARED_BY)
    shared = sorted(often, key=lambda option: order.index(option.panel))
    pages: dict[str, list[str]] = {}
    rows: dict[str, list[Sequence[str]]] = defaultdict(list)
    for name, group, command in typed():
        summary, *others = map(translated, paragraphs(command.help or ""))
        rows[group].append((f"[{code(name)}]({slug(group)}.md#{slug(name)})", summary))
        page = pages.setdefault(group, [f"# {translated(group)}", ""])
        page += [f"## {name}", ""]
        example, *guides = GUIDES.get(name, ("",))
        page += (line for one in (summary, *others) for line in (one, ""))
        if example:
            page += ["```console", f"$ {PROGRAM} {example}", "```", ""]
        panels: dict[str, list[str]] = defaultdict(list)
        for entry in options[name]:
            if entry in shared:
                panels[entry.panel].append(entry.names)
        see = [(f"[{panel}](shared.md#{slug(panel)})", ", ".join(names)) for panel, names in panels.items()]
        see += [(f"[{code(guide.rpartition('/')[2])}](../../{guide})", "how it is used") for guide in guides]
        arguments = [entry[:2] for entry in _entries(command, click.Argument)]
        own = [entry[:2] for entry in options[name] if entry not in shared]
        for head, lines in ((("argument", "is"), arguments), (("option", "does"), own), (("see", "for"), see)):
            page += [table(head, lines), ""] if lines else []
    same = "`--help` after any command shows the same; after `run`, `plan` and `import` with `--verbose`."
    index = ["# Commands", "", f"What can be typed after `{PROGRAM}`. {same}", ""]
    for group, page in pages.items():
        index += [f"**{translated(group)}**", "", table(["command", "does"], rows[group]), ""]
        yield f"{slug(group)}.md", "\n".join(page)
    program = [entry[:2] for entry in _entries(app, click.Option)]
    index += ["**Without a command**", "", table(["option", "does"], program), ""]
    names = "\n".join((*map(slug, pages), "shared"))
    yield "index.md", "\n".join([*index, f"```{{toctree}}\n:hidden:\n\n{names}\n```", ""])
    listed = ["# Options of many commands", "", "Which command takes which of them, its own entry says.", ""]
    for panel in dict.fromkeys(entry.panel for entry in shared):
        listed += [
            f"## {panel}",
            "",
            table(["option", "does"], [one[:2] for one in shared if one.panel == panel]),
            "",
        ]
    yield "shared.md", "\n".join(listed)


# ---- the jobs: what the catalogue says of them, and what it does not know; tests/proofs.py says what is tested ---

Effects = tuple[str, str, str]
"""The effect of a second call, how that of a call is recognised, and how it is verified."""


_MARK: Final = "the mark of run and row in its comment"
_ENTRY: Final = "entry, sum and comment are read again, the sums compared"
_ISSUED: Final = (
    "yes: it is only another address",
    "the pool, and an address that is not the old one",
    "pool and address are read again",
)
_DELETED: Final = ("no", "it is gone", "it is looked for, and not found")
_UNREADABLE: Final = ("nothing: it is sent again", "cannot be read back, and says so")
_TO_A_PERSON: Final = "nothing: a lost answer is left to a person"
_EFFECTS: Final[Mapping[str, Effects]] = {
    "balances": ("no: it would be a second entry", _MARK, _ENTRY),
    "import": (
        "no: each step is looked up before it is sent again",
        "contract number, login, name of a folder; the mark of run and row where there is none of these",
        "each step is read again, the sums compared; counts and sums by folder, tariff and operator",
    ),
    "snat-pool": _ISSUED,
    "ip-pool": _ISSUED,
    "recalculate": (
        "yes: it is the same recalculation",
        "the date, or none, for the billing clears it when it is done",
        "the date is read again; none counts as done",
    ),
    "connect-service": ("no: it would be a second service", _MARK, "the service is read again"),
    "attribute": (
        "no: it would be a second value",
        "the value, by subscriber and attribute",
        "the value is read again",
    ),
    "delete-services": _DELETED,
    "delete-account": _DELETED,
    "payment": ("no: it would be a second payment", f"{_MARK}; with `way=add_payment` {_TO_A_PERSON}", _ENTRY),
    "password": ("yes: it is the same password", *_UNREADABLE),
    "random-password": ("yes: it is only another password, and the last one counts", *_UNREADABLE),
    "password-recovery": ("no: it would be a second letter", _TO_A_PERSON, _UNREADABLE[1]),
    "call": (
        "as its methods tell, or `--repeatable` says",
        "as its methods tell, or by the select of `--look-up`",
        f"the same way; where there is none it {_UNREADABLE[1]}",
    ),
}
"""By job; the other jobs read, or set fields."""


def effects_of(job: JobSpec) -> Effects:
    """How the effect of a job is recognised."""
    fields = (
        "yes: a field that is set twice is set once",
        "its fields, which are as wanted",
        "its fields are read again",
    )
    return _EFFECTS.get(job.name, fields if job.writes else ("yes: it changes nothing", "not needed", "not needed"))


_INTRODUCTION: Final = f"""\
What there is to do. `{PROGRAM} jobs` shows the same, `{PROGRAM} jobs JOB` one of them; this page is
written from the catalogue by `make docs`. The numbers are those of the vendor's recipes, and of what integrators do
besides: 1 to 30 are all of them. Whatever else the REST API can do, [call](#call) does.

The last three columns name tests. Those of the first take a job through plan, run, kill -9 in the middle, resume and
verify, as real processes against the mock billing; those of the second take it back, and compare the whole database;
where there is no way back they show that `undo` says so. The third has what is a job's own.

`{PROGRAM} plan JOB …` says what would be done and sends nothing. `run JOB …` shows it, asks, and does it.
`verify RUN` reads back what the billing has now. `undo RUN` takes it back, and that can be undone too. The crash lab
(`{PROGRAM} selftest --job NAME`) carries out every job that writes.

"""

_COLUMNS: Final = f"""\
Case, ё, spaces and points in a name do not matter. A sum may have its unit, as `Сумма, руб.`. A column of any other
name is given with `--map NAME=COLUMN`. `{PROGRAM} jobs JOB` says which of them a job asks for.
"""


def jobs_page() -> str:
    """The whole page as Markdown."""
    head = ["#", "job", "its call", "may it be sent twice?", "recognised by", "verified by", "undone by"]
    tested = ["tested: plan, run, kill -9, resume, verify", "tested: undo", "tested: its own"]
    numbered = sorted((number, job) for job in JOBS.values() for number in job.recipes)
    rows = []
    for number, job in [*numbered, *(("–", job) for job in JOBS.values() if not job.recipes)]:
        proofs = proofs_of(job)
        name = f"[{code(job.name)}](#{job.name})" + ("" if job.writes else ", reads")
        tested_by = [", ".join(map(_link, tests)) or "–" for tests in (proofs.whole_way, proofs.undo, proofs.own)]
        rows.append([str(number), name, f"`{job.call}`", *effects_of(job), translated(job.undo), *tested_by])
    names = [(code(name), ", ".join(map(code, others))) for name, others in KNOWN_COLUMNS.items()]
    columns = table(["column", "found as well when it is called"], names)
    parts = [
        "# Jobs",
        _INTRODUCTION + table([*head, *tested], rows),
        "## Names of columns",
        _COLUMNS.rstrip(),
        columns,
    ]
    return "\n\n".join([*parts, *(part for job in JOBS.values() for part in _section(job))]) + "\n"


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{code(name.removeprefix('test_').replace('_', ' '))}](../../tests/{path})"


def _value_cell(value: str) -> str:
    """A sentence, or a value as it is typed."""
    return translated(value) if isinstance(value, Said) else code(value)


def _section(job: JobSpec) -> Iterator[str]:
    yield f"## {job.name}"
    summary, kind = (
        translated(job.summary),
        said("writes") if job.writes else said("reads; its answers become a file"),
    )
    yield f"{summary[:1].upper()}{summary[1:]}."
    yield f"    {job.example}"
    facts = {said("kind"): kind, said("rows"): needs(job), said("call"): code(job.call), said("undo"): job.undo}
    yield "\n".join(f"- {translated(label).capitalize()}: {translated(fact)}" for label, fact in facts.items())
    for title, parameters in (("parameter", job.parameters), ("parameter of its undo", job.undo_parameters)):
        rows = [
            (
                code(one.name),
                _value_cell(value_of(one)),
                code(in_rows(one)) if in_rows(one) else "–",
                translated(one.help),
            )
            for one in parameters
        ]
        if rows:
            yield table([title, "value", "column of the rows", "what for"], rows)
    if select := own_select(job):
        yield f"```sql\n{select}\n```"


# ---- exit codes ---------------------------------------------------------------------------------------------------

ANY: Final = frozenset({Exit.REFUSED, Exit.FAULT, Exit.INTERRUPTED})
"""What every command can end with."""
_RUN: Final = (Exit.DONE, Exit.REJECTED, Exit.STOPPED, Exit.UNDECIDED)
ENDS: Final[Mapping[str, Mapping[Exit, str]]] = {
    "compare": {Exit.REJECTED: "the rows of the two runs differ, or cannot be compared"},
    "demo": {Exit.REJECTED: "the proof does not hold"},
    "dictionary": {Exit.REJECTED: "names are left without an id"},
    "get": {Exit.STOPPED: "the run's process does not answer"},
    "plan": {Exit.REJECTED: "rows would be refused"},
    "probe": {
        Exit.STOPPED: "the billing is away, or what was sent cannot be seen yet: probe again",
        Exit.UNDECIDED: "something could not be taken back, and is named",
    },
    "purge": {Exit.STOPPED: "the rows are purged, and the file could not be rewritten"},
    "reconcile": {
        Exit.REJECTED: "as the run: rows were rejected",
        Exit.STOPPED: "a look-up failed, or rows are to be sent",
        Exit.UNDECIDED: "rows are still in doubt",
    },
    "report": {Exit.REJECTED: "`check`: a row differs from the journal"},
    "selftest": {Exit.REJECTED: "a round did not hold", Exit.STOPPED: "the mock billing could not be started"},
    "verify": {
        Exit.REJECTED: "rows or sums read back different, or rows were rejected",
        Exit.STOPPED: "rows are to be sent, or reading failed",
        Exit.UNDECIDED: "rows are in doubt, or cannot be read back",
    },
    "mock replay": {Exit.REJECTED: "a request was unknown, or one of the recording was never made"},
    "mock diff": {Exit.REJECTED: "an answer differs"},
}
"""What a command ends with beside 0 and `ANY`, and when; of what sends, see `_RUN`."""


def codes_of(command: str) -> frozenset[Exit]:
    """All codes that a command can end with."""
    if COMMANDS[command.partition(" ")[0]].product is Product.RUN:
        return frozenset({*_RUN, *ANY})
    return frozenset({Exit.DONE, *ENDS.get(command, {}), *ANY})


def code_table() -> str:
    """The codes with the docstring below each, which Python does not keep."""
    told = re.findall(r'^    ([A-Z]+) = (\d+)\n    """(.*?)"""', inspect.getsource(exits), re.MULTILINE | re.DOTALL)
    return table(["code", "means"], [(number, text) for name, number, text in told if name in Exit.__members__])


def exit_table() -> str:
    """The commands with the codes of their own."""
    rows = []
    for name, group, _ in typed():
        told = "; ".join(["0: done", *(f"{int(one)}: {when}" for one, when in ENDS.get(name, {}).items())])
        match COMMANDS[name.partition(" ")[0]].product:
            case Product.OUTPUT:
                of = "what it prints"
            case Product.CHANGE:
                of = "what it changes"
            case _:
                told, of = "0, 1, 3 and 4: how the run came out", "the run"
        rows.append((f"[{code(name)}](commands/{slug(group)}.md#{slug(name)})", told, of))
    return table(["command", "ends with", "speaks of"], rows)


# ---- the journal --------------------------------------------------------------------------------------------------

_TABLE: Final = re.compile(r"((?:^--.*\n)*)^create (?:table (\w+) \(\n((?:^ .*\n)+)|view (\w+) as)", re.MULTILINE)
_COLUMN: Final = re.compile(r"^ {4}(\w+) +(integer|real|text)\b([^,\n]*?),? *(?:-- (.*))?$", re.MULTILINE)
_STATE_COLUMNS: Final = ("open", "settled", "in_effect", "counts_money", "to_send")


def table_sections() -> str:
    """A section for each table and each view, which has no columns of its own, with what the schema remarks of it."""
    sections: dict[bool, list[str]] = {False: [], True: []}
    for remark, name, body, view in _TABLE.findall(journal_schema()):
        lines = [line.removeprefix("--").strip() for line in remark.splitlines() if not line.startswith("-- ----")]
        sections[bool(view)] += [f"## {name or view}", "", *filter(None, [" ".join(lines)]), *([""] if lines else [])]
        rows = []
        for column, kind, rest, told in _COLUMN.findall(body):
            nullable = "" if "not null" in rest or "primary key" in rest else ", or null"
            points = [f"of {code(one)}" for one in re.findall(r"references (\w+)", rest)]
            rows.append((code(column), f"{kind}{nullable}", "; ".join(filter(None, [*points, told])) or "–"))
        if rows:
            sections[False] += [table(["column", "type", "what it holds"], rows), ""]
    return "\n".join((*sections[False], *sections[True])).rstrip()


def state_table() -> str:
    """The states with their properties."""
    rows = [(code(state), *("yes" if getattr(state, name) else "–" for name in _STATE_COLUMNS)) for state in State]
    return table(["state", *(name.replace("_", " ") for name in _STATE_COLUMNS)], rows)


# ---- the settings: each key of the file, from the tables and the options of the code, and their JSON Schema --------

TOP: Final = "At the top of the file"
"""The heading of the keys that stand in no table."""


class KeyFacts(NamedTuple):
    """A key: what it is for, what counts without it, its type in words, and where else it can be given."""

    help: str
    default: str
    type: str
    flag: str = ""
    variable: str = ""


_SIMPLE: Final[Mapping[type[msgspec.inspect.Type], str]] = {
    msgspec.inspect.StrType: "text",
    msgspec.inspect.IntType: "whole number",
    msgspec.inspect.FloatType: "number",
    msgspec.inspect.BoolType: "true or false",
}
_ELSEWHERE: Final = {row.key: (name, row) for name, row in SETTINGS.items()}


def _facts(of: msgspec.inspect.Type, prefix: str) -> Iterator[tuple[str, KeyFacts]]:
    for field in of.fields if isinstance(of, msgspec.inspect.StructType) else ():
        way = f"{prefix}{field.encode_name}"
        if isinstance(field.type, msgspec.inspect.Metadata):
            told = (field.type.extra_json_schema or {})["description"]
            name, row = _ELSEWHERE.get(way, ("", None))
            flag = row.flags_of(name)[0] if row and not row.hidden else ""
            default = (field.type.extra or {})["default"]
            yield way, KeyFacts(told, default, _words(field.type), flag, row.variable if row else "")
        else:
            yield from _facts(field.type, f"{way}.")


def _words(of: Any) -> str:  # noqa: ANN401 - any type of msgspec
    match of:
        case msgspec.inspect.Metadata(type=inner):
            return _words(inner)
        case msgspec.inspect.UnionType(types=types):
            return " or ".join(_words(one) for one in types if not isinstance(one, msgspec.inspect.NoneType))
        case msgspec.inspect.ListType(item_type=each) | msgspec.inspect.DictType(value_type=each):
            many = f"{_words(each)}s" if type(each) in _SIMPLE else f"values, each {_words(each)}"
            return f"{'list' if isinstance(of, msgspec.inspect.ListType) else 'table'} of {many}"
        case msgspec.inspect.StructType(fields=fields):
            return f"table of {', '.join(code(one.encode_name) for one in fields)}"
        case _:
            return _SIMPLE.get(type(of), "any")


_OF_FILE: Final = SettingsTables.__struct_encode_fields__
_TABLES: Final = [
    name
    for name, default in zip(_OF_FILE, SettingsTables.__struct_defaults__, strict=True)
    if isinstance(default, msgspec.Struct)
]
FACTS: Final[Mapping[str, KeyFacts]] = {
    way: facts
    for prefix, kind, of_file in (("", FileTables, ()), (f"{PROFILE}.NAME.", ProfileTables, _OF_FILE))
    for way, facts in _facts(msgspec.inspect.type_info(kind), prefix)
    if way.removeprefix(prefix).partition(".")[0] not in of_file
}
"""By table and key."""


def key_tables() -> str:
    """A section for each table of the file."""
    lines: list[str] = []
    for name in ("", f"{PROFILE}.NAME", *_TABLES):
        rows = []
        for way, facts in FACTS.items():
            if way.rpartition(".")[0] == name:
                elsewhere = ", ".join(code(one) for one in (facts.flag, facts.variable) if one) or "–"
                rows.append((code(way.rpartition(".")[2]), facts.type, facts.default, elsewhere, facts.help))
        lines += [f"### {code(f'[{name}]') if name else TOP}", ""]
        if "." in name:
            lines += ["All that the file has, and:", ""]
        lines += [table(["key", "type", "default", "flag, variable", "what for"], rows), ""]
    return "\n".join(lines).rstrip()


Schema = dict[str, Any]
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def settings_schema() -> Schema:
    """The JSON Schema of the settings file, for editors."""
    whole, parts = msgspec.json.schema_components((FileTables, ProfileTables), ref_template="{name}")
    file, profile = (_table_schema(parts[one["$ref"]], parts) for one in whole)
    # What a profile has of its own stands beside all that the file has.
    own, common = profile["properties"], {name: file["properties"][name] for name in _OF_FILE}
    profile = {**profile, "properties": {**{name: own[name] for name in own if name not in common}, **common}}
    tables = {PROFILE: {"type": "object", "additionalProperties": profile}}
    properties = {**common, **tables, DEFAULT_PROFILE: file["properties"][DEFAULT_PROFILE]}
    return {"$schema": _DIALECT, "title": f"Settings of {PROGRAM}", **file, "properties": properties}


def _table_schema(found: Mapping[str, Any], parts: Mapping[str, Any]) -> Schema:
    """A table with its keys, and the tables in it."""
    properties = {}
    for key, value in found["properties"].items():
        is_table = "$ref" in value and key in _TABLES
        described = {"description": value["description"]} if "description" in value else {}
        inner = _table_schema(parts[value["$ref"]], parts) if is_table else {**described, **_value(value, parts)}
        properties[key] = inner
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _value(found: Any, parts: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any part of a schema
    """A value without what TOML does not have, null, and without names of ours."""
    match found:
        case {"$ref": str(name)}:
            return _value(parts[name], parts)
        case {"anyOf": [*options]}:
            left = [_value(one, parts) for one in options if one != {"type": "null"}]
            return left[0] if len(left) == 1 else {"anyOf": left}
        case dict():
            kept = {key: one for key, one in found.items() if key not in {"default", "title", "description"}}
            return {key: _value(one, parts) for key, one in kept.items()}
        case list():
            return [_value(one, parts) for one in found]
        case _:
            return found


# ---- job files: keys and types are those of the reader, what a key says is taken from the table of the page --------

_TOLD: Final = re.compile(r"^\| (`\w+`(?:, `\w+`)*) \| [^|]* \| (.*) \|$", re.MULTILINE)
_TYPES: Final[Mapping[str, Schema]] = {
    TEXT: {"type": "string"},
    TEXTS: {"type": "array", "items": {"type": "string"}},
    TABLE: {"type": "object", "additionalProperties": {"type": ["string", "integer"]}},
    SWITCH: {"type": "boolean"},
    NUMBER: {"type": "integer", "minimum": 1},
}
_KNOWN_VALUES: Final[Mapping[str, Schema]] = {
    # A job of one's own has a name that nobody knows here.
    "job": {"anyOf": [{"enum": [*JOBS]}, {"type": "string"}]},
    "shared_accounts": {"enum": [str(rule) for rule in SharedAccountsRule]},
}


def job_file_schema() -> Schema:
    """The JSON Schema of job files, for editors."""
    page = (REFERENCE / "job-files.md").read_text(encoding="utf-8")
    told = {name: text for names, text in _TOLD.findall(page) for name in re.findall(r"`(\w+)`", names)}
    step = {
        name: {"description": told.get(name, ""), **_KNOWN_VALUES.get(name, _TYPES[kind])}
        for name, kind in KEYS.items()
    }
    pacing = {
        name: {"description": row.help, "type": ["string", "number"] if row.metavar else "boolean"}
        for name, row in options_of(Pacing).items()
    }
    each = {"type": "object", "additionalProperties": False}
    format_ = {"description": told.get("format", ""), "type": "integer", "minimum": 1, "maximum": FORMAT}
    hard = "how hard the billing is driven, for all steps"
    steps = {"description": "one job, in the order of the file", "type": "array", "minItems": 1}
    return {
        "$schema": _DIALECT,
        "title": f"A job file of {PROGRAM}",
        **each,
        "required": [STEP],
        "properties": {
            "format": format_,
            RUN: {"description": hard, **each, "properties": pacing},
            STEP: {**steps, "items": {**each, "required": ["job"], "properties": step}},
        },
    }


# ---- small tables: variables, what is published for Prometheus, and which objects carry a mark ---------------------

VARIABLES: Final[Mapping[str, str]] = {
    "CARBON_MIGRATE_API_URL": "the address of the REST API, as `--api-url`",
    "CARBON_MIGRATE_DATABASE": "the database, as `--database`",
    "CARBON_MIGRATE_DATABASE_USER": "its user, as `--database-user`",
    "CARBON_MIGRATE_DATABASE_PASSWORD": "its password, which has no flag; hooks get neither it nor `PGPASSWORD`",
    "CARBON_MIGRATE_DATABASE_CHARSET": "its encoding, as `--database-charset`",
    "CARBON_MIGRATE_JOURNAL": "the journal, as `--journal`",
    "CARBON_MIGRATE_VAULT_KEY": "the key for [passwords in PostgreSQL](../how-to/postgres.md) itself, "
    "without a flag; hooks do not get it",
    "CARBON_MIGRATE_LANG": "the language, as `--lang`",
    "CARBON_MIGRATE_PROFILE": "the profile of the settings, as `--profile`",
    "CARBON_MIGRATE_IN_HOOK": "set for what a hook starts: such a command calls no hooks",
}
"""What each variable is that the code reads. A test names those that are missing here."""

_OWN_LABELS = {
    "carbon_migrate_items": "state",
    "carbon_migrate_roubles": "state",
    "carbon_migrate_held_seconds_total": "cause",
}
"""What labels a metric has beside those of its run; a test holds this against what is published."""


def variables() -> list[str]:
    """The variables of the program's own that its code names."""
    texts = (path.read_text(encoding="utf-8") for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    found = {name for text in texts for name in re.findall(r"\bCARBON_MIGRATE_[A-Z_]*[A-Z]\b", text)}
    return sorted(found, key=lambda name: ([*VARIABLES, name].index(name), name))


def metric_table() -> str:
    """All metrics in their order."""
    rows = [
        (code(name), kind_of(name), code(_OWN_LABELS[name]) if name in _OWN_LABELS else "–", told)
        for name, told in METRICS.items()
    ]
    return table(["metric", "kind", "label", "what it says"], rows)


def mark_table() -> str:
    """The models whose new objects are found again, by a mark or by what they are."""
    rows = [
        (code(model), f"its mark, in {code(field)}" if field else "what it is: a contract number, a login, a value")
        for model, field in CREATED.items()
    ]
    return table(["model of the API", "a new object is found again by"], rows)


# ---- all of them --------------------------------------------------------------------------------------------------

BLOCKS: Final[Mapping[str, Mapping[str, Callable[[], str]]]] = {
    "environment.md": {
        "variables": lambda: table(
            ["variable", "is"], [(code(name), VARIABLES.get(name, "–")) for name in variables()]
        )
    },
    "exit-codes.md": {"codes": code_table, "commands": exit_table},
    "job-files.md": {"pacing": lambda: ", ".join(map(code, options_of(Pacing)))},
    "journal.md": {
        "format": lambda: f"The present format is {JOURNAL_FORMAT} (`pragma user_version`).",
        "tables": table_sections,
        "states": state_table,
    },
    "settings.md": {"keys": key_tables},
    "marks.md": {"models": mark_table},
    "metrics.md": {"metrics": metric_table},
}
"""The blocks of each page."""


def pages() -> Iterator[tuple[Path, str]]:
    """Each file that has something written from the code, as it should be."""
    yield OPTIONS, msgspec.json.format(msgspec.json.encode(option_table()), indent=1).decode() + "\n"
    yield REFERENCE / "jobs.md", jobs_page()
    for name, text in command_pages():
        yield REFERENCE / "commands" / name, text
    for name, schema in (("job-file", job_file_schema()), ("settings", settings_schema())):
        encoded = msgspec.json.format(msgspec.json.encode(schema), indent=2)
        yield REFERENCE / f"{name}.schema.json", encoded.decode() + "\n"
    for name, blocks in BLOCKS.items():
        text = (REFERENCE / name).read_text(encoding="utf-8")
        for block, content in blocks.items():
            text = with_block(text, block, content())
        yield REFERENCE / name, text


def stale() -> dict[Path, str]:
    """The files that would be written otherwise today, with what they would be."""
    return {path: text for path, text in pages() if not path.exists() or path.read_text(encoding="utf-8") != text}


if __name__ == "__main__":
    sys.exit(written(stale(), sys.argv[1:]))
