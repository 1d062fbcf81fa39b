"""The pages of the commands, a group each, from the command line itself.

What the command line does not know of a command is data here: an example, and the pages that show its use.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from typer.main import get_command

from cli.main import COMMANDS, app, load
from cli.terminal.usage import paragraphs
from texts.remedies import PROGRAM
from tools.reference.markdown import code, table

SHARED_BY: Final = 3
"""An option of so many commands that says the same in each stands in one table, `shared.md`."""

_VARIABLE: Final = re.compile(r"CARBON_MIGRATE_\w+")


@dataclass(frozen=True, slots=True)
class Guide:
    """An example of a command as it is typed, without the program, and the pages that show its use, below `docs`."""

    example: str
    pages: Sequence[str]


GUIDES: Final[Mapping[str, Guide]] = MappingProxyType(
    {
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
        "journal copy": Guide(
            "journal copy carbon-migrate.journal postgresql://HOST/DATABASE", ["how-to/postgres.md"]
        ),
        "journal key": Guide("journal key vault.key", ["how-to/postgres.md"]),
        "demo": Guide("demo", []),
        "selftest": Guide("selftest --rounds 1", ["how-to/rehearsal.md"]),
        "mock init": Guide("mock init billing.fdb --abonents 1000", ["how-to/rehearsal.md"]),
        "mock serve": Guide("mock serve billing.fdb --port 8082", ["how-to/rehearsal.md"]),
        "mock replay": Guide("mock replay night.rec", ["how-to/replay.md"]),
        "mock rows": Guide("mock rows k7m2q -o rows.csv", ["how-to/replay.md"]),
        "mock diff": Guide("mock diff night.rec --api-url http://billing:8082", ["how-to/replay.md"]),
    }
)
"""By command; a test names those that are missing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An argument or option as the reference tells it. `panel` is the name of its group in the help."""

    names: str
    help: str
    panel: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A command with all that may be typed after it."""

    name: str
    group: str
    paragraphs: Sequence[str]
    arguments: Sequence[Entry]
    options: Sequence[Entry]


def commands() -> list[Command]:
    """All commands, those of a group of commands by both words."""
    return [
        _command(f"{name} {own}".strip(), entry.group, one)
        for name, entry in COMMANDS.items()
        for own, one in members(load(name)).items()
    ]


def members(command: Any) -> Mapping[str, Any]:  # noqa: ANN401 - typer does not export this type
    """The commands of a group by their names, with the group itself as "" where it does something alone."""
    own = getattr(command, "commands", {})
    return {"": command, **own} if not own or command.invoke_without_command else own


def pages() -> dict[str, str]:
    """The pages by their names."""
    found = commands()
    shared = _shared(found)
    groups: dict[str, list[Command]] = defaultdict(list)
    for one in found:
        groups[one.group].append(one)
    return {
        "index.md": _index(groups),
        **{f"{slug(group)}.md": _page(group, members, shared) for group, members in groups.items()},
        "shared.md": _shared_page(shared),
    }


def slug(text: str) -> str:
    """The anchor of a heading, and the name of a page."""
    return re.sub(r"[^\w-]", "", text.lower().replace(" ", "-"))


def _command(name: str, group: str, one: Any) -> Command:  # noqa: ANN401 - as above
    parameters = [parameter for parameter in one.params if not getattr(parameter, "hidden", False)]
    return Command(
        name,
        group,
        list(paragraphs(one.help or "")),
        [_entry(parameter) for parameter in parameters if parameter.param_type_name == "argument"],
        [_entry(parameter) for parameter in parameters if parameter.param_type_name == "option"],
    )


def _entry(parameter: Any) -> Entry:  # noqa: ANN401 - as above
    """An argument or option: its names with its value, and what it says, with its default."""
    choices = _choices(parameter)
    value = "|".join(choices) or str(parameter.metavar or "VALUE")
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


def _choices(parameter: Any) -> tuple[str, ...]:  # noqa: ANN401 - as above
    annotation = parameter.type_descriptor.annotation
    is_choice = isinstance(annotation, type) and issubclass(annotation, Enum)
    return tuple(str(one.value) for one in annotation) if is_choice else ()


def _shared(found: Sequence[Command]) -> dict[Entry, None]:
    """The options of a panel that several commands have in the same words, in the order of their panels."""
    times = Counter(option for one in found for option in one.options if option.panel)
    order = list(dict.fromkeys(option.panel for option in times))
    shared = [option for option, number in times.items() if number >= SHARED_BY]
    return dict.fromkeys(sorted(shared, key=lambda option: order.index(option.panel)))


def _index(groups: Mapping[str, Sequence[Command]]) -> str:
    same = "`--help` after any command shows the same; after `run`, `plan` and `import` with `--verbose`."
    lines = ["# Commands", "", f"What can be typed after `{PROGRAM}`. {same}", ""]
    for group, members in groups.items():
        lines += [f"**{group}**", ""]
        rows = [(f"[{one.name}]({slug(group)}.md#{slug(one.name)})", one.paragraphs[0]) for one in members]
        lines += [table(["command", "does"], rows), ""]
    program = [_entry(one) for one in get_command(app).params if one.param_type_name == "option"]
    lines += ["**Without a command**", "", table(["option", "does"], [(one.names, one.help) for one in program]), ""]
    names = "\n".join((*map(slug, groups), "shared"))
    return "\n".join([*lines, f"```{{toctree}}\n:hidden:\n\n{names}\n```", ""])


def _page(group: str, members: Sequence[Command], shared: Mapping[Entry, None]) -> str:
    lines = [f"# {group}", ""]
    for one in members:
        lines += [f"## {one.name}", "", *_section(one, shared)]
    return "\n".join(lines)


def _section(one: Command, shared: Mapping[Entry, None]) -> Iterator[str]:
    guide = GUIDES.get(one.name, Guide("", []))
    for paragraph in one.paragraphs:
        yield from (paragraph, "")
    if guide.example:
        yield from ("```console", f"$ {PROGRAM} {guide.example}", "```", "")
    if one.arguments:
        yield from (table(["argument", "is"], [(entry.names, entry.help) for entry in one.arguments]), "")
    own = [entry for entry in one.options if entry not in shared]
    if own:
        yield from (table(["option", "does"], [(entry.names, entry.help) for entry in own]), "")
    panels: dict[str, list[str]] = defaultdict(list)
    for entry in one.options:
        if entry in shared:
            panels[entry.panel].append(entry.names)
    rows = [(f"[{panel}](shared.md#{slug(panel)})", ", ".join(names)) for panel, names in panels.items()]
    rows += [(f"[{page.rpartition('/')[2]}](../../{page})", "how it is used") for page in guide.pages]
    if rows:
        yield from (table(["see", "for"], rows), "")


def _shared_page(shared: Mapping[Entry, None]) -> str:
    lines = ["# Options of many commands", "", "Which command takes which of them, its own entry says.", ""]
    for panel in dict.fromkeys(entry.panel for entry in shared):
        rows = [(entry.names, entry.help) for entry in shared if entry.panel == panel]
        lines += [f"## {panel}", "", table(["option", "does"], rows), ""]
    return "\n".join(lines)
