"""`report`: the report of a run to be signed, its check against the journal, and the proof of one row."""

import hashlib
import html
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path
from typing import Annotated, Final

import anyio
import anyio.to_thread
import typer

from checkpoints.errors import NoSuchRun
from checkpoints.journal import Journal
from checkpoints.merkle import leaf_data, leaf_hash, prove
from checkpoints.records import Item, Run
from checkpoints.states import State
from cli.commands.execution import execute
from cli.output.item_files import STDOUT, OutputFile, replacing, standard_output, written_to
from cli.report.content import ExceptionsFile, content_of
from cli.report.document import language_of, read_stamp, to_html, to_pdf
from cli.report.facts import DIGEST, SHOWN, ReportFacts, each_exception, facts_of, leaves_of
from cli.session.journal import open_existing, require_content
from cli.settings.flags import JournalFlags, grouped
from cli.settings.settings import Letterhead, Settings
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.language import LANGUAGES, language
from cli.terminal.screen import BriefVoice, Screen
from cli.terminal.texts import count, markup_safe, printable, rows
from texts.remedies import PROGRAM
from texts.said import Language

CHECK: Final = "check"
PROVE: Final = "prove"
MAX_WORDS_SHOWN: Final = 5
"""Lines of a page that differ, which a check shows."""
_TAG: Final = re.compile("<[^>]*>")
MAX_SHOWN: Final = 20
"""Rows that differ, which a check names; the rest is counted."""

_USAGE: Final = f"type {PROGRAM} report RUN, {PROGRAM} report {CHECK} FILE, or {PROGRAM} report {PROVE} RUN KEY"
_HEADER: Final = ("line", "contract", "amount", "state", "reason", "decision", "decided_by", "why")

app: Final = typer.Typer(add_completion=False)


@app.command("report")
@grouped
def _report(  # noqa: PLR0913 - a parameter for each thing that can be typed
    words: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help=f"The run's short name; or {CHECK} FILE, or {PROVE} RUN KEY."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where to, report-RUN.html by default; - for stdout."),
    ] = None,
    lang: Annotated[
        str | None,
        typer.Option(
            "--lang", metavar="|".join(LANGUAGES), help="The language of the report; else that of the system."
        ),
    ] = None,
    *,
    pdf: Annotated[bool, typer.Option("--pdf", help="As PDF/A; needs the extra `pdf`.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    flags: JournalFlags,
    voice: BriefVoice,
) -> None:
    """Write the report of a run, to be printed and signed.

    `check` compares a report with the journal and names each row that differs; `prove` prints the proof of one row,
    which holds against the root on the report's first page.
    """

    async def work(settings: Settings, screen: Screen) -> Exit:
        async with open_existing(settings.journal.value) as journal:
            match words:
                case ["check", file]:
                    return await check(Path(file), settings.letterhead, journal, screen)
                case ["prove", name, key]:
                    return await prove_row(await journal.run(name), key, journal, screen)
                case [name]:
                    run, reader = await journal.run(name), _language(lang, settings)
                    target = OutputFile(output or Path(f"report-{name}.{'pdf' if pdf else 'html'}"), force=force)
                    order = ReportOrder(target, reader, settings.letterhead, pdf)
                    return await write_report(run, order, journal, screen)
                case _:
                    raise CommandRefused(_USAGE)

    execute(work, flags.whole(), voice.whole(), only_reads=True)


def _language(given: str | None, settings: Settings) -> Language:
    """The language that was given, or that of the settings. Raises `CommandRefused` for an unknown one."""
    name = given or settings.language.value
    if name not in LANGUAGES:
        raise CommandRefused(f"--lang: {printable(name)!r} is not a language; there are: {', '.join(LANGUAGES)}")
    return language(name)


# ---- the report -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReportOrder:
    """How a report is wanted: where to, in which language, with which names, as a page or as a PDF."""

    target: OutputFile
    language: Language
    letterhead: Letterhead
    pdf: bool = False


async def write_report(run: Run, order: ReportOrder, journal: Journal, screen: Screen) -> Exit:
    """Write the report of a run as a page or a PDF, and a file with all exceptions beside it if they are many.

    Raises `CommandRefused` and `JournalError`.
    """
    await require_content(run, journal)
    facts = await facts_of(run, journal)
    target = order.target
    to_stdout = target.path == STDOUT
    if to_stdout:
        screen = screen.beside_rows()
    beside = await _write_exceptions(facts, target, journal) if facts.number_of_exceptions > SHOWN else None
    content = content_of(facts, order.language, order.letterhead, beside)
    if order.pdf:
        await anyio.to_thread.run_sync(lambda: _write([to_pdf(content)], target))
    else:
        await anyio.to_thread.run_sync(lambda: _write(map(str.encode, to_html(content, facts.evidence)), target))
    await journal.history.note_report(run, facts.evidence.root)
    if screen.voice.as_json:
        screen.emit(_object(facts, target, beside))
    else:
        screen.result(markup_safe(content.verdict))
        if not to_stdout:
            screen.say(f"The report of run {run.name} is in {markup_safe(target.path)}")
        if beside is not None:
            screen.say(f"All {rows(facts.number_of_exceptions)} with exceptions are in {markup_safe(beside.name)}")
    return Exit.DONE


def _write(parts: Iterable[bytes], target: OutputFile) -> None:
    if target.path == STDOUT:
        with standard_output() as stdout:
            stdout.writelines(parts)
        return
    with replacing(target) as made, made.open("wb") as file:
        file.writelines(parts)


async def _write_exceptions(facts: ReportFacts, target: OutputFile, journal: Journal) -> ExceptionsFile:
    """All exceptions as CSV beside the report; beside stdout it stands in the working folder."""
    folder = Path() if target.path == STDOUT else target.path.parent
    path = folder / f"report-{facts.run.name}-exceptions.csv"
    async with written_to(OutputFile(path, force=target.force)) as sheet:
        sheet.row(_HEADER)
        async for one in each_exception(facts.run, journal):
            decided = one.decision
            sheet.row(
                (
                    "" if one.line is None else str(one.line),
                    one.label,
                    "" if one.amount is None else format(one.amount, "f"),
                    "refused" if one.state is None else one.state,
                    one.reason,
                    *((decided.state, decided.who, decided.why) if decided else ("", "", "")),
                )
            )
    return ExceptionsFile(path.name, hashlib.sha256(await anyio.Path(path).read_bytes()).hexdigest())


def _object(facts: ReportFacts, target: OutputFile, beside: ExceptionsFile | None) -> dict[str, object]:
    return {
        "run": facts.run.name,
        "file": None if target.path == STDOUT else str(target.path),
        "exceptions": facts.number_of_exceptions,
        "exceptions_file": None if beside is None else beside.name,
        "preliminary": facts.is_preliminary,
        "root": facts.evidence.root,
        "exit": int(Exit.DONE),
    }


# ---- check and proof --------------------------------------------------------------------------------------------


async def check(file: Path, letterhead: Letterhead, journal: Journal, screen: Screen) -> Exit:
    """Compare a report with the journal, its rows by their hashes and its words with those of a new one.

    Raises `CommandRefused` for a file that is no report of a run in the journal.
    """
    try:
        page = await anyio.Path(file).read_text(encoding="utf-8")
        stamp, digests = read_stamp(page)
        reader = language(language_of(page))
        run = await journal.run(stamp.run)
    except (OSError, UnicodeDecodeError, ValueError, NoSuchRun) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise CommandRefused(f"{printable(file)} cannot be checked: {why}") from error
    await require_content(run, journal)
    facts = await facts_of(run, journal)
    evidence = facts.evidence
    rows_agree = (evidence.root, evidence.size) == (stamp.root, stamp.size)
    differing = Differing() if rows_agree else await _differing(run, digests, journal)
    words = await _differing_words(page, facts, journal, reader, letterhead) if rows_agree else []
    agrees = rows_agree and not words
    if screen.voice.as_json:
        roots = {"root": evidence.root, "reported": stamp.root}
        screen.emit({"run": run.name, "agrees": agrees, **roots, "rows": differing.numbers})
    elif agrees:
        screen.result(f"[green]✓[/] the report agrees with the journal: {rows(stamp.size)}, root {stamp.root}")
    else:
        screen.result(f"[bold red]✗[/] the report of run {run.name} does not agree with the journal", good=False)
        if words:
            screen.result(f"  its rows agree, {rows(stamp.size)}; its words do not:", good=False)
        for there, now in words:
            screen.result(f"  here: {markup_safe(there) or '–'}", good=False)
            screen.result(f"  now:  {markup_safe(now) or '–'}", good=False)
        for item in differing.first:
            place = f"row {item.number}" + (f", line {item.line}" if item.line else "")
            now = leaf_data(item).decode()
            screen.result(f"  {place} ({markup_safe(item.label, 60)}): now {markup_safe(now)}", good=False)
        if more := len(differing.numbers) - len(differing.first):
            screen.result(f"  and {count(more)} more", good=False)
        if evidence.size != stamp.size:
            screen.result(f"  {rows(stamp.size)} in the report, {count(evidence.size)} in the journal", good=False)
    return Exit.DONE if agrees else Exit.REJECTED


async def _differing_words(
    page: str, facts: ReportFacts, journal: Journal, reader: Language, letterhead: Letterhead
) -> list[tuple[str, str]]:
    """The first lines in which a page differs from the one that the journal gives now, as pairs of texts."""
    with tempfile.TemporaryDirectory() as folder:
        target = OutputFile(Path(folder) / "report.html")
        beside = await _write_exceptions(facts, target, journal) if facts.number_of_exceptions > SHOWN else None
    content = content_of(facts, reader, letterhead, beside)
    now = await anyio.to_thread.run_sync(lambda: "".join(to_html(content, facts.evidence)))
    pairs = zip_longest(page.splitlines(), now.splitlines(), fillvalue="")
    differing = ((one, other) for one, other in pairs if one != other)
    return [(_words(one), _words(other)) for one, other in islice(differing, MAX_WORDS_SHOWN)]


def _words(line: str) -> str:
    """The text of a line of HTML."""
    return " ".join(html.unescape(_TAG.sub(" ", line)).split()) or line.strip()


@dataclass(slots=True)
class Differing:
    """Rows that differ: the numbers of all, which may be all of the run, and the first of them to be shown."""

    numbers: list[int] = field(default_factory=list)
    first: list[Item] = field(default_factory=list)

    def add(self, item: Item) -> None:
        """Add a row."""
        self.numbers.append(item.number)
        if len(self.first) < MAX_SHOWN:
            self.first.append(item)


async def _differing(run: Run, digests: bytes, journal: Journal) -> Differing:
    """The rows whose hash is not the one in the report, and those that the report does not have."""
    differing = Differing()
    start = 0
    async for page in journal.each_page(run, frozenset(State)):
        for item in page:
            if leaf_hash(leaf_data(item))[:DIGEST] != digests[start : start + DIGEST]:
                differing.add(item)
            start += DIGEST
    return differing


async def prove_row(run: Run, key: str, journal: Journal, screen: Screen) -> Exit:
    """Print the proof of one row as JSON. Raises `CommandRefused` if no row or several have the key."""
    found = await journal.find(run, key)
    if len(found) != 1:
        how_many = rows(len(found)) if found else "no row"
        raise CommandRefused(f"run {run.name} has {how_many} with {printable(key)!r}: name one by its row number")
    (item,) = found
    leaves, numbers = await leaves_of(run, journal)
    proof = await anyio.to_thread.run_sync(prove, leaves, numbers.index(item.number))
    data = leaf_data(item)
    screen.emit(
        {
            "run": run.name,
            "row": data.decode(),
            "index": proof.index,
            "size": proof.size,
            "path": [one.hex() for one in proof.path],
            "root": proof.root(leaf_hash(data)).hex(),
        }
    )
    return Exit.DONE
