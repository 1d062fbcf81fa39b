"""No text reaches a person but as a sentence that can be said in each language (`texts/said.py`).

A walk over the syntax trees: what reads like words between spaces stands in `said` or `counted`, in a docstring, in
the help of an option (tools/syntax.py collects it), in a log event or in SQL; or it is named here with a reason.
"""

import ast
import re
from collections.abc import Collection, Iterator
from functools import cache

from jinja2 import nodes

from tools.catalogues import SAYING, parsed, said_errors, templates
from tools.house import ROOT, House


@cache
def house() -> House:
    """Read once, by the worker that has these tests, and by none at its start."""
    return House()


@cache
def errors() -> Collection[str]:
    return said_errors(house().trees.values())


LOGS = {"debug", "info", "warning", "error", "exception"}
OPTIONS = {
    *("option", "switch", "argument", "Option", "key", "as_command", "with_settings"),
    *("_connection", "_row", "_format", "_calling", "_importing", "_pacing"),
}
"""State an option, a command or a key, with its help; tools/syntax.py collects it, a key's is for the reference."""
HELP = {"help", "epilog", "panel", "metavar"}
BUGS = {"AssertionError", "NotImplementedError", "TypeError", "LookupError", "ForbiddenTransition"}
"""Errors that only a fault of this program raises."""
WORDS = re.compile(r"[^\W\d_]{2,}[,:;]? [^\W\d_]{2,}|[^\W\d_]{3,}[,:;]? $|^[,:;]? [^\W\d_]{3,}")
"""Two words with a space between them, or one with a space at its end, as in a piece of a sentence."""

STYLES = "bold|dim|not|red|green|yellow|cyan|white|magenta|on|reverse|italic"
NO_SENTENCE = re.compile(
    r"(with found as|select|insert into|update|delete from|pragma|begin immediate|savepoint|rollback|release|attach)"
    r"\b.*"
    rf"|(({STYLES}) ?)+"
    r"|carbon-migrate( [a-z-]+)+( [\w.-]+)*( --?\w.*)?|… [a-z]+( [A-Z…]+| [a-z]+)"
    r"|(undo )?--set NAME=VALUE|pip install .*"
    r"|(HTTP/1\.1|Content-[A-Z]|Connection: |application/json).*"
    r"|[^a-z]*",
    re.DOTALL,
)
"""SQL, styles of a screen, what a person types, HTTP, names in capitals; and what is Russian in the code: texts of
the vendor, and headings of files."""

# What is no sentence for a person although it reads like one: a folder, a file, or a file and how the text begins.
FOR_A_REASON = {
    "billing/api/client.py: gzip": "HTTP",
    "billing/api/client.py: not open yet": "a fault of this program",
    "billing/api/client.py: this BillingClient": "a fault of this program",
    "billing/api/client.py: Connect call failed": "a text of the operating system",
    "billing/database/database.py: of the user": "a kind of select",
    "billing/selects/select.py: of the operator": "a kind of select, in logs",
    "billing/selects/select_reader.py: of the operator": "a kind of select, in logs",
    "billing/database/file_process.py: the keeper failed": "a fault of this program, with its traceback",
    "billing/selects/select.py: Data type unknown": "a text of Firebird",
    "cli/session/apprise_message.py": "what a command of its own says, which is noted as it is",
    "checkpoints/sentences.py": "the codes of reasons, which journals count by",
    "engine/job.py: all before": "a need of an item, as the journal keeps it",
    "jobs/effects/creatable_models.py: login": "a text of the billing",
    "texts/said.py: … is no template of ours": "a fault of this program",
    "checkpoints/merkle.py": "a proof that is no proof, which whoever checks one says in a sentence",
    "checkpoints/queries.py": "words of SQL",
    "checkpoints/postgres_store.py": "psycopg's options, and its types",
    "checkpoints/writer.py: forbidden transition": "a text of the journal's triggers",
    "lab/crash/": "the crash lab's findings, read by whoever works on this program",
    "lab/mock/": "the mock billing's control port and answers, read by tests",
    "lab/record/": "HTTP",
    "lab/simulation/": "the simulation's story and findings, read by whoever works on this program",
    "billing/api/error_catalogue.py": "texts of the billing",
    "billing/database/client_library.py": "a configuration file of Firebird",
    "billing/database/schema.py": "names of columns",
    "billing/directory/models.py": "names of fields, and pieces of SQL",
    "checkpoints/states.py": "the table of steps, from which docs/architecture.md is drawn",
    "jobs/spec/columns.py": "headings that files have",
    "cli/main.py": "the table of commands, which tools/syntax.py collects",
    "cli/commands/mock.py: … mock": "what a person types",
    "cli/commands/mock.py: at once": "a value of an option",
    "cli/commands/selftest.py: no settings.toml": "the name of a file",
    "cli/commands/translate.py: …\n# or": "the output of translate, the same in every language as all that is typed",
    "cli/commands/validate.py": "a record, the same in every language",
    "cli/session/metrics.py": "the helps of metrics, the same in every language",
    "cli/page/application.py: <!DOCTYPE": "HTML",
    "cli/page/application.py: attachment": "HTTP",
    "cli/page/application.py: inline": "HTTP",
    "cli/page/application.py: text/csv": "HTTP",
    "cli/session/run_session.py: taken up with": "a log event",
    "cli/commands/run.py: taken up with": "a command as it was typed, in the history of the run",
    "cli/session/run_view.py: given up": "a stage of --json",
    "cli/session/run_view.py: not approved": "a stage of --json",
    "cli/session/run_view.py: reading, stopped": "a stage of --json",
    "cli/session/run_view.py: taken back": "a stage of --json",
    "cli/settings/flags.py: The job": "the name of a panel, which tools/syntax.py collects",
    "cli/session/session.py: # What is known": "the head of the profile's file",
    "cli/session/journal.py: \u0020(says it is": "who gives a command, as the journal and its log have it",
    "billing/database/reader.py: Error while": "fdb's line with the name of its function",
    "billing/database/reader.py: … does not fit": "a refusal in fdb's place, in English as fdb's own",
    "billing/database/reader.py: Value of parameter": "the same",
    "engine/pacing/holds.py: in doubt": "the name of a hold in --json",
    "engine/pacing/window.py: start": "a fault of this program",
    "engine/pipeline/intake.py: per billing": "a value of a parameter",
    "jobs/effects/answer_cells.py": "a cell of an export",
    "jobs/effects/delete.py: does not exist": "a text of the billing",
    "jobs/effects/factory.py: … makes two": "a fault of this program",
    "jobs/effects/read.py: the session": "a value of a request that is shown",
    "jobs/probe/entries.py": "the mark of a probe in the billing",
    "jobs/probe/probe.py: … nothing has this": "what a filter is asked for",
    "jobs/spec/chain.py: bool |": "a type",
    "jobs/spec/entries.py: [cm": "the form of a mark",
    "lab/demo.py: The next demonstration": "a file in the demo's folder",
    "cli/terminal/names.py: taken up with ": "how the journal has that a run goes on with other settings",
}


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The strings that are not said, each with its line; `…` stands for a value."""
    left_out: set[int] = set()
    for node in ast.walk(tree):
        left_out.update(id(inner) for part in apart(node) for inner in ast.walk(part))
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.JoinedStr):
            left_out.update(id(part) for part in node.values)
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def apart(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a node whose strings are sentences, docstrings, help or log events, or never get onto a screen."""
    match node:
        case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from (one for one in node.body if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
        case ast.Call(func=ast.Name(id=name)) if name in OPTIONS:
            yield from node.args
        case ast.Call(func=ast.Name(id=name)) if name in SAYING or (node.keywords and name in errors()):
            yield from node.args
        case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=name)) if name in LOGS:
            yield node
        case ast.Call(func=ast.Attribute(value=ast.Name(id="re"))) | ast.Assert():
            yield node
        case ast.Raise(exc=ast.Call(func=ast.Name(id=name))) if name in BUGS:
            yield node
        case ast.keyword(arg=name) if name in HELP:
            yield node
        case ast.Subscript(value=ast.Name(id="Literal")):
            yield node


def reason_of(file: str, text: str) -> str | None:
    return next((key for key in FOR_A_REASON if f"{file}: {text}".startswith(key)), None)


def test_what_a_person_reads_is_a_sentence_in_each_language() -> None:
    found = [
        (file, line, text)
        for file, tree in house().trees.items()
        for line, text in texts(tree)
        if WORDS.search(text) and not NO_SENTENCE.fullmatch(text.strip())
    ]
    assert [f"{file}:{line}: {text}" for file, line, text in found if reason_of(file, text) is None] == []
    needed = {reason_of(file, text) for file, _, text in found}
    assert needed == set(FOR_A_REASON), "a reason is needed no more"


MARKUP = re.compile(r"<style>.*?</style>|<[^>]*>|&[a-z]+;|\[[a-z /]*\]|¦[$»|=]*\w*", re.DOTALL)


def texts_of_template(tree: nodes.Template) -> Iterator[str]:
    """The strings of a template that are not said, and what it has between its tags."""
    given = [call.args for call in tree.find_all(nodes.Call) if getattr(call.node, "name", "") in SAYING]
    left_out = {id(one) for arguments in given for one in arguments}
    yield from (
        one.value for one in tree.find_all(nodes.Const) if id(one) not in left_out and isinstance(one.value, str)
    )
    yield MARKUP.sub("", "".join(one.data for one in tree.find_all(nodes.TemplateData)))


def test_what_a_template_shows_is_a_sentence_in_each_language() -> None:
    found = {
        (path.name, text)
        for path in templates()
        for text in texts_of_template(parsed(path))
        if WORDS.search(text) and not NO_SENTENCE.fullmatch(text.strip())
    }
    # Commands as they are typed.
    typed = {
        "report.html": (" report check", " report ", " reconcile ", " verify "),
        "sections.j2": (" verify ",),
    }
    assert found == {(name, text) for name, texts in typed.items() for text in texts}


LOOKS = {
    *("startswith", "endswith", "partition", "rpartition", "split", "removeprefix", "removesuffix"),
    *("find", "index"),
}
SENTENCES = {"message", "reason", "skip_reason", "example", "sentence", "why", "said", "text_of", "str", "told"}
OF_LIBRARIES = {
    "billing/selects/select.py": "fdb says what Firebird says in its text alone",
    "checkpoints/postgres_store.py": "psycopg says no code where a connection is lost",
    "checkpoints/writer.py": "what a trigger of the journal raises has no other sign",
    "jobs/spec/toml_places.py": "msgspec says where a fault is in its text alone",
}
SQL_LOOKS = re.compile(
    r"\b(instr|substr|split_part|starts_with|position|like|glob)\b[^,\n]*\b(message|reason)\b", re.IGNORECASE
)


def looked_into(tree: ast.Module) -> Iterator[int]:
    """The lines where the words of a sentence, or of an error, are looked into."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOOKS:
            match node.func.value:
                case ast.BoolOp(values=[ast.Attribute(attr=name) | ast.Name(id=name), *_]) if name in SENTENCES:
                    yield node.lineno
                case ast.Attribute(attr=name) | ast.Name(id=name) if name in SENTENCES:
                    yield node.lineno
                case ast.Call(func=ast.Name(id=name), args=[ast.Name(id="error"), *_]) if name in SENTENCES:
                    yield node.lineno


def test_no_program_looks_into_the_words_of_a_sentence() -> None:
    found = {file: lines for file, tree in house().trees.items() if (lines := list(looked_into(tree)))}
    assert {
        file: lines for file, lines in found.items() if file not in OF_LIBRARIES and file.partition("/")[0] != "lab"
    } == {}
    assert found.keys() >= OF_LIBRARIES.keys(), "a reason is needed no more"


def test_no_statement_looks_into_the_words_of_a_sentence() -> None:
    statements = [*(ROOT / "checkpoints").glob("queries.sql"), *(ROOT / "checkpoints").glob("postgres.sql")]
    assert statements
    assert [
        (path.name, found[0]) for path in statements if (found := SQL_LOOKS.search(path.read_text(encoding="utf-8")))
    ] == []
