"""Writes what is made from the code: `python -m tools.reference` names the stale files, `--write` writes them anew.

They are whole files, and blocks of pages that people write, each between `<!-- NAME -->` and `<!-- /NAME -->`.
What the code does not know of a command is data here: an example, the pages that show its use, how it ends.
"""

import inspect
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from typer.main import get_command

from checkpoints.dialects import schema as journal_schema
from checkpoints.queries import FORMAT as JOURNAL_FORMAT
from checkpoints.states import State
from cli.commands.completion import TABLE as OPTIONS
from cli.jobfile.job_file import FORMAT, KEYS, NUMBER, RUN, STEP, SWITCH, TABLE, TEXT, TEXTS
from cli.main import COMMANDS, Product, app
from cli.metrics.reader import METRICS, kind_of
from cli.settings.flags import options_of
from cli.settings.pacing_flags import Pacing
from cli.settings.settings import SETTINGS
from cli.settings.tables import KNOWN, PROFILE, FileHead, ProfileHead, SettingsTables
from cli.terminal import exits
from cli.terminal.exits import Exit
from cli.terminal.usage import paragraphs
from jobs.catalogue.catalogue import JOBS
from jobs.spec.entries import CREATED, SharedAccountsRule
from texts.remedies import PROGRAM
from tools.house import ROOMS, ROOT
from tools.jobs import page as jobs_page
from tools.markdown import code, table, with_block
from tools.syntax import choices, option_table, typed, word_of

REFERENCE: Final = ROOT / "docs" / "reference"


# ---- the commands -------------------------------------------------------------------------------------------------

SHARED_BY: Final = 3
"""An option of so many commands that says the same in each stands in one table, `shared.md`."""
_VARIABLE: Final = re.compile(r"CARBON_MIGRATE_\w+")


class Guide(NamedTuple):
    """An example of a command as it is typed, without the program, and the pages that show its use, below `docs`."""

    example: str
    pages: Sequence[str]


GUIDES: Final[Mapping[str, Guide]] = {
    "doctor": Guide("doctor", ["tutorial/first-load.md"]),
    "jobs": Guide("jobs balances", ["reference/jobs.md"]),
    "translate": Guide("translate -f recipes.sh", ["how-to/calls.md"]),
    "probe": Guide("probe --abonent 1042", ["how-to/probe.md", "explanation/profile.md"]),
    "dictionary": Guide("dictionary subscribers.csv -o names.csv", ["reference/import.md"]),
    "completion": Guide("completion bash", []),
    "plan": Guide("plan balances balances.csv", ["tutorial/first-load.md"]),
    "run": Guide(
        "run balances balances.csv --limit 1",
        ["tutorial/first-load.md", "how-to/night.md", "how-to/slow.md", "how-to/again.md"],
    ),
    "import": Guide("import subscribers.csv --dictionary names.csv --check", ["reference/import.md"]),
    "worker": Guide("worker --billings 20", ["how-to/postgres.md"]),
    "resume": Guide("resume k7m2q", ["how-to/trouble.md"]),
    "status": Guide("status k7m2q --watch", ["how-to/steer.md"]),
    "page": Guide("page k7m2q", ["how-to/page.md"]),
    "pause": Guide("pause k7m2q", ["how-to/steer.md"]),
    "continue": Guide("continue k7m2q", ["how-to/steer.md"]),
    "get": Guide("get k7m2q", ["how-to/steer.md"]),
    "set": Guide("set k7m2q rate=20 hours=01:00-06:00", ["how-to/steer.md"]),
    "stop": Guide("stop k7m2q", ["how-to/steer.md"]),
    "verify": Guide("verify k7m2q -o differences.csv", ["tutorial/first-load.md"]),
    "reconcile": Guide("reconcile k7m2q", ["how-to/settle.md"]),
    "decide": Guide('decide k7m2q/1042 accepted --why "seen by Olga"', ["how-to/settle.md"]),
    "export": Guide("export k7m2q --state rejected -o rejected.csv", ["how-to/correct.md"]),
    "report": Guide("report k7m2q --lang ru", ["how-to/report.md"]),
    "undo": Guide("undo k7m2q --set way=opposite", ["how-to/undo.md"]),
    "close": Guide('close k7m2q --reason "the file was that of October"', ["how-to/undo.md"]),
    "purge": Guide("purge --older-than 90d --keep-totals", ["how-to/personal-data.md"]),
    "journal copy": Guide("journal copy carbon-migrate.journal postgresql://HOST/DATABASE", ["how-to/postgres.md"]),
    "journal key": Guide("journal key vault.key", ["how-to/postgres.md"]),
    "demo": Guide("demo", []),
    "selftest": Guide("selftest --rounds 1", ["how-to/rehearsal.md"]),
    "mock init": Guide("mock init billing.fdb --abonents 1000", ["how-to/rehearsal.md"]),
    "mock serve": Guide("mock serve billing.fdb --port 8082", ["how-to/rehearsal.md"]),
    "mock replay": Guide("mock replay night.rec", ["how-to/replay.md"]),
    "mock rows": Guide("mock rows k7m2q -o rows.csv", ["how-to/replay.md"]),
    "mock diff": Guide("mock diff night.rec --api-url http://billing:8082", ["how-to/replay.md"]),
}
"""By command; a test names those that are missing."""


class Entry(NamedTuple):
    """An argument or option as the reference tells it. `panel` is the name of its group in the help."""

    names: str
    help: str
    panel: str = ""


class Command(NamedTuple):
    """A command with all that may be typed after it."""

    name: str
    group: str
    paragraphs: Sequence[str]
    arguments: Sequence[Entry]
    options: Sequence[Entry]


def commands() -> list[Command]:
    """All commands, those of a group of commands by both words."""
    found = []
    for name, group, one in typed():
        entries: dict[str, list[Entry]] = {"argument": [], "option": []}
        for parameter in one.params:
            if not getattr(parameter, "hidden", False):
                entries[parameter.param_type_name].append(_entry(parameter))
        found.append(Command(name, group, list(paragraphs(one.help or "")), *entries.values()))
    return found


def _entry(parameter: Any) -> Entry:  # noqa: ANN401 - typer does not export this type
    """An argument or option: its names with its value, and what it says, with its default."""
    value = "|".join(choices(parameter)) or word_of(parameter)
    if parameter.param_type_name == "argument":
        names = code(value if parameter.nargs == 1 else f"{value.rstrip('…')}…")
    else:
        names = ", ".join(code(name) for name in (*parameter.opts, *parameter.secondary_opts))
        names += "" if parameter.is_flag else f" {code(value)}"
    said = [" ".join(paragraphs(parameter.help or ""))]
    if parameter.required:
        said.append("Required.")
    elif parameter.default not in (None, False, True, (), [], ""):
        said.append(f"Default: {code(str(parameter.default))}.")
    if parameter.param_type_name == "option" and parameter.multiple and "repeatable" not in said[0]:
        said.append("Repeatable.")
    return Entry(names, _VARIABLE.sub(lambda one: code(one[0]), " ".join(said)), parameter.rich_help_panel or "")


def slug(text: str) -> str:
    """The anchor of a heading, and the name of a page."""
    return re.sub(r"[^\w-]", "", text.lower().replace(" ", "-"))


def command_pages() -> dict[str, str]:
    """A page for each group of commands, one for the options that many share, and the index, by their names."""
    found = commands()
    times = Counter(option for one in found for option in one.options if option.panel)
    order = list(dict.fromkeys(option.panel for option in times))
    often = (option for option, number in times.items() if number >= SHARED_BY)
    shared = dict.fromkeys(sorted(often, key=lambda option: order.index(option.panel)))
    same = "`--help` after any command shows the same; after `run`, `plan` and `import` with `--verbose`."
    index = ["# Commands", "", f"What can be typed after `{PROGRAM}`. {same}", ""]
    written: dict[str, str] = {}
    for group in dict.fromkeys(one.group for one in found):
        members = [one for one in found if one.group == group]
        rows = [(f"[{one.name}]({slug(group)}.md#{slug(one.name)})", one.paragraphs[0]) for one in members]
        index += [f"**{group}**", "", table(["command", "does"], rows), ""]
        sections = (line for one in members for line in (f"## {one.name}", "", *_section(one, shared)))
        written[f"{slug(group)}.md"] = "\n".join([f"# {group}", "", *sections])
    program = [_entry(one) for one in get_command(app).params if one.param_type_name == "option"]
    index += ["**Without a command**", "", table(["option", "does"], [one[:2] for one in program]), ""]
    names = "\n".join((*(name.removesuffix(".md") for name in written), "shared"))
    lines = ["# Options of many commands", "", "Which command takes which of them, its own entry says.", ""]
    for panel in dict.fromkeys(entry.panel for entry in shared):
        rows = [entry[:2] for entry in shared if entry.panel == panel]
        lines += [f"## {panel}", "", table(["option", "does"], rows), ""]
    written["index.md"] = "\n".join([*index, f"```{{toctree}}\n:hidden:\n\n{names}\n```", ""])
    return {**written, "shared.md": "\n".join(lines)}


def _section(one: Command, shared: Mapping[Entry, None]) -> Iterator[str]:
    guide = GUIDES.get(one.name, Guide("", []))
    for paragraph in one.paragraphs:
        yield from (paragraph, "")
    if guide.example:
        yield from ("```console", f"$ {PROGRAM} {guide.example}", "```", "")
    if one.arguments:
        yield from (table(["argument", "is"], [entry[:2] for entry in one.arguments]), "")
    if own := [entry[:2] for entry in one.options if entry not in shared]:
        yield from (table(["option", "does"], own), "")
    panels: dict[str, list[str]] = defaultdict(list)
    for entry in one.options:
        if entry in shared:
            panels[entry.panel].append(entry.names)
    rows = [(f"[{panel}](shared.md#{slug(panel)})", ", ".join(names)) for panel, names in panels.items()]
    rows += [(f"[{page.rpartition('/')[2]}](../../{page})", "how it is used") for page in guide.pages]
    if rows:
        yield from (table(["see", "for"], rows), "")


# ---- exit codes ---------------------------------------------------------------------------------------------------

ANY: Final = frozenset({Exit.REFUSED, Exit.FAULT, Exit.INTERRUPTED})
"""What every command can end with."""
_RUN: Final = (Exit.DONE, Exit.REJECTED, Exit.STOPPED, Exit.UNDECIDED)
ENDS: Final[Mapping[str, Mapping[Exit, str]]] = {
    "demo": {Exit.REJECTED: "the proof does not hold"},
    "dictionary": {Exit.REJECTED: "names are left without an id"},
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

_SPEAKS_OF: Final[Mapping[Product, str]] = {
    Product.OUTPUT: "what it prints",
    Product.CHANGE: "what it changes",
    Product.RUN: "the run",
}


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
        product = COMMANDS[name.partition(" ")[0]].product
        told = "; ".join(["0: done", *(f"{int(one)}: {when}" for one, when in ENDS.get(name, {}).items())])
        if product is Product.RUN:
            told = "0, 1, 3 and 4: how the run came out"
        rows.append((f"[{name}](commands/{slug(group)}.md#{slug(name)})", told, _SPEAKS_OF[product]))
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
        if rows := [_column(*found) for found in _COLUMN.findall(body)]:
            sections[False] += [table(["column", "type", "what it holds"], rows), ""]
    return "\n".join((*sections[False], *sections[True])).rstrip()


def _column(name: str, kind: str, rest: str, remark: str) -> tuple[str, str, str]:
    nullable = "" if "not null" in rest or "primary key" in rest else ", or null"
    points = re.search(r"references (\w+)", rest)
    told = f"of {code(points[1])}" if points else ""
    return code(name), f"{kind}{nullable}", "; ".join(filter(None, [told, remark])) or "–"


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
            flag = row.flags_of(name)[0] if row and "hidden" not in dict(row.more) else ""
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


FACTS: Final[Mapping[str, KeyFacts]] = {
    way: facts
    for prefix, kind in (("", SettingsTables), ("", FileHead), (f"{PROFILE}.NAME.", ProfileHead))
    for way, facts in _facts(msgspec.inspect.type_info(kind), prefix)
}
"""By table and key."""


def key_tables() -> str:
    """A section for each table of the file."""
    lines: list[str] = []
    for name in KNOWN:
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
    kinds = (SettingsTables, FileHead, ProfileHead)
    (whole, top, head), parts = msgspec.json.schema_components(kinds, ref_template="{name}")
    file, default, own = (_table_schema(parts[one["$ref"]], parts) for one in (whole, top, head))
    # What a profile has of its own stands beside all that the file has.
    profile = {**own, "properties": {**own["properties"], **file["properties"]}}
    tables = {PROFILE: {"type": "object", "additionalProperties": profile}}
    properties = {**file["properties"], **tables, **default["properties"]}
    return {"$schema": _DIALECT, "title": f"Settings of {PROGRAM}", **file, "properties": properties}


def _table_schema(found: Mapping[str, Any], parts: Mapping[str, Any]) -> Schema:
    """A table with its keys, and the tables in it."""
    properties = {}
    for key, value in found["properties"].items():
        is_table = "$ref" in value and key in KNOWN
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

_ENTRY: Final = re.compile(r"^\| (`\w+`(?:, `\w+`)*) \| [^|]* \| (.*) \|$", re.MULTILINE)
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
    told = {name: text for names, text in _ENTRY.findall(page) for name in re.findall(r"`(\w+)`", names)}
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


def written() -> Iterator[tuple[Path, str]]:
    """Each file that has something written from the code, as it should be."""
    yield OPTIONS, msgspec.json.format(msgspec.json.encode(option_table()), indent=1).decode() + "\n"
    yield REFERENCE / "jobs.md", jobs_page()
    for name, text in command_pages().items():
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
    return {path: text for path, text in written() if not path.exists() or path.read_text(encoding="utf-8") != text}


def main() -> int:
    """Write what is stale, or end with 1 where something is and nothing may be written."""
    found = stale()
    for path, text in found.items():
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
        if sys.argv[1:] == ["--write"]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(bool(found) and sys.argv[1:] != ["--write"])


if __name__ == "__main__":
    sys.exit(main())
