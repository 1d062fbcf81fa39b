"""`report`: the report of a run to be signed, its check against the journal, and the proof of one row."""

import html
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from difflib import SequenceMatcher
from itertools import islice, zip_longest
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from checkpoints.errors import NoSuchRun
from checkpoints.journal import Journal
from checkpoints.merkle import leaf_data, leaf_hash, prove
from checkpoints.own_files import read_regular
from checkpoints.records import Item, Run
from checkpoints.states import State
from cli.commands.execution import with_settings
from cli.report.document import Stamp, digest_of, page_of, pdf_of, read_stamp, verdict_of, write_files
from cli.report.facts import DIGEST, ReportFacts, SubjectKind, again, campaign_of, facts_of, subject_of
from cli.session.journal import chosen_run, open_existing
from cli.session.run_view import mark_of
from cli.settings.flags import JournalFlags
from cli.settings.settings import Letterhead, Settings, journal_of_all, without_profile_or_default
from cli.show.files import NO_CSV, STDOUT, OutputFile, refuse_present, write_whole
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import drawn
from cli.terminal.options import argument, option, switch
from cli.terminal.screen import BriefVoice, Screen
from cli.terminal.streams import waiting
from cli.terminal.texts import WHOLE, CatalogueLanguage, language, markup_safe, printable, reader
from jobs.catalogue.catalogue import Catalogue
from jobs.sums import sums_object
from texts.said import Quantity, command_line, reason_of, said, setting, text_of

MAX_SHOWN: Final = 20
"""Rows that differ, which a check names; the rest is counted."""
MAX_WORDS_SHOWN: Final = 5
"""Lines of a page that differ, which a check shows."""
_COMPARED: Final = 1_000
"""Lines behind the first that differs, which are compared: a forged page of any length takes no time."""
_TAG: Final = re.compile("<[^>]*>")

CHECK: Final = "check"
PROVE: Final = "prove"

_USAGE: Final = said(
    "type {run} or {file}, {check}, or {prove}",
    run=command_line("report", "RUN"),
    file=command_line("report", "FILE.toml"),
    check=command_line("report", CHECK, "FILE"),
    prove=command_line("report", PROVE, "RUN", "KEY"),
)

_USAGE_OF_ALL: Final = said(
    "the report of all billings names no run: type {all}, or --since DATE with it",
    all=command_line("report", "--all"),
)


@with_settings(
    "report",
    JournalFlags,
    BriefVoice,
    reads=True,
    flags_of=lambda flags, given: without_profile_or_default(flags) if given["every"] else flags,
)
async def _report(
    settings: Settings,
    screen: Screen,
    words: list[str] | None = argument(
        "RUN|FILE.toml", f"A run or a job file; or {CHECK} FILE, or {PROVE} RUN KEY.", required=False
    ),
    output: Path | None = option("FILE", "Where to, report-RUN.html by default; - for stdout.", "-o", "--output"),
    since: str | None = option("DATE", "With --all: only runs that were begun then or later."),
    *,
    every: bool = switch("One report of all billings and their runs: sums and roots, and no rows.", "--all"),
    pdf: bool = switch("As PDF/A; needs the extra `pdf`."),
    force: bool = switch("Overwrite what is there."),
) -> Exit:
    """Write the report of a run or of a job file, to be signed.

    The report of an undo has the run that it takes back, that of a job file all steps of its last round, that of
    --all a whole campaign. `check` compares a report with the journal and names each row that differs; `prove` prints
    the proof of one row, which holds against the root on the report's first page.
    """
    where = settings.journal.value
    if every:
        where = await anyio.to_thread.run_sync(journal_of_all, settings, os.environ)
    async with open_existing(where) as journal:
        catalogue = settings.catalogue
        match words or []:
            case [] if every:
                try:
                    first = None if since is None else datetime.fromisoformat(since).astimezone()
                except ValueError as error:
                    raise CommandRefused(
                        "--since: '{given}' is not a date; write it as 2026-11-30", given=printable(since, 40)
                    ) from error
                subject, name = await campaign_of(journal, first), "report-all"
            case _ if every or since is not None:
                raise CommandRefused(_USAGE_OF_ALL)
            case ["check", file]:
                return await _check(Path(file), settings.letterhead, journal, catalogue, screen)
            case ["prove", name, key]:
                return await _prove(await journal.run(name), key, journal, screen)
            case [] | [_]:
                name = words[0] if words else (await chosen_run(None, journal, "report")).name
                subject = await subject_of(name, journal, is_file=name.endswith(".toml"))
                mark = mark_of(subject.main) if subject.kind is SubjectKind.FILE else None
                name = f"report-{Path(mark.file).stem}-{mark.round}" if mark else f"report-{subject.main.name}"
            case _:
                raise CommandRefused(_USAGE)
        suffix, *others = (".pdf",) if pdf else (".html", ".htm")
        target = OutputFile(output or Path(f"{name}{suffix}"), force=force)
        if target.path.suffix.casefold() in {".csv", *NO_CSV} - {suffix, *others}:
            raise CommandRefused(
                "{path} would be a report with the name of another format: name it {suffix}; {flag} makes a PDF",
                path=printable(target.path),
                suffix=suffix,
                flag=setting("pdf"),
            )
        with waiting(said("adding up the rows of the report")):
            facts = await facts_of(subject, journal, catalogue)
        await _write(facts, target, reader(), settings.letterhead, journal, screen, pdf=pdf)
        await journal.history.note_report(subject.main, facts.root)
        return Exit.DONE


async def _write(
    facts: ReportFacts,
    target: OutputFile,
    spoken: CatalogueLanguage,
    letterhead: Letterhead,
    journal: Journal,
    screen: Screen,
    *,
    pdf: bool,
) -> None:
    """Write a report as a page or a PDF, and beside it the files of each run that has more than the report shows."""
    to_stdout = target.path == STDOUT
    if to_stdout:
        screen = screen.beside_rows()
    else:
        refuse_present(target)
    # Beside stdout it stands in the working folder.
    folder = Path() if to_stdout else target.path.parent

    with waiting(said("writing the report {file}", file=printable(target.path, WHOLE))):
        beside = await write_files(facts, spoken, folder, journal)
        page = await anyio.to_thread.run_sync(page_of, facts, spoken, letterhead, beside)
        made = await anyio.to_thread.run_sync(pdf_of, page, facts, spoken) if pdf else page.encode()
        await anyio.to_thread.run_sync(write_whole, target, made)
    if screen.voice.as_json:
        screen.emit(
            {
                "run": facts.main.run.name,
                "kind": facts.kind,
                "runs": [one.run.name for one in facts.runs],
                "file": None if to_stdout else str(target.path),
                "sums": {one.run.name: sums_object(one.sums) for one in facts.runs},
                "exceptions": facts.exceptions,
                "exceptions_files": [one.name for (_, what), one in beside.items() if what == "exceptions"],
                "not_in_file_files": [one.name for (_, what), one in beside.items() if what == "not-in-file"],
                "preliminary": facts.is_preliminary,
                "root": facts.root,
                "exit": int(Exit.DONE),
            }
        )
        return
    screen.result(markup_safe(verdict_of(page), WHOLE))
    if not to_stdout:
        screen.say(said("The report is in {path}", path=printable(target.path, WHOLE)))
    for (name, what), file in beside.items():
        if what == "exceptions":
            screen.say(said("All exceptions of run {run} are in {file}", run=name, file=file.name))
        elif what == "not-in-file":
            screen.say(said("The subscribers who are not in the file of run {run}: {file}", run=name, file=file.name))


# ---- the check of a report against the journal --------------------------------------------------------------------


@dataclass(slots=True)
class ReportDifferences:
    """How a report of these runs differs from the journal.

    `rows` are the runs and numbers of all rows that differ, `first` the first of them, as the journal has them now,
    and `runs` those whose root differs in a report that has no rows; `sizes` has, by run, how many rows there are in
    the report and in the journal, where that differs. `words` are pairs of a line of the page and that of a new one;
    they are compared if the rows agree. `files` are those beside the report that are not as it says.
    """

    stamp: Stamp
    facts: ReportFacts
    rows: list[tuple[str, int]] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    first: list[tuple[Run, Item, str]] = field(default_factory=list)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    words: list[tuple[str, str]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rows or self.runs or self.sizes or self.words or self.files)


async def _check(file: Path, letterhead: Letterhead, journal: Journal, catalogue: Catalogue, screen: Screen) -> Exit:
    try:
        page = (await anyio.to_thread.run_sync(read_regular, file)).decode("utf-8")
        stamp = read_stamp(page)
        subject = await again(stamp.kind, stamp.runs, journal)
        runs = [await journal.run(one) for one in stamp.runs]
    except (OSError, UnicodeDecodeError, ValueError, NoSuchRun) as error:
        why = reason_of(error) if isinstance(error, OSError) else text_of(error)
        if isinstance(error, UnicodeDecodeError):
            why = said("it is not the HTML page of a report, and only that can be checked")
        raise CommandRefused("{file} cannot be checked: {why}", file=printable(file), why=why) from error
    facts = await facts_of(subject, journal, catalogue)
    found = ReportDifferences(stamp, facts)
    if subject.kind is SubjectKind.CAMPAIGN:
        roots = {one.run.name: one.evidence.digests for one in facts.runs}
        found.runs += [name for name, root in roots.items() if root != stamp.digests[name]]
    else:
        for run in runs:
            digests, start = stamp.digests[run.name], 0
            async for items in journal.each_page(run, frozenset(State)):
                for item in items:
                    if leaf_hash(leaf_data(item))[:DIGEST] != digests[start : start + DIGEST]:
                        found.rows.append((run.name, item.number))
                        if len(found.first) < MAX_SHOWN:
                            found.first.append((run, item, leaf_data(item).decode()))
                    start += DIGEST
            if start != len(digests):
                found.sizes[run.name] = (len(digests) // DIGEST, start // DIGEST)
    if not found:
        spoken = language(stamp.language)
        with tempfile.TemporaryDirectory() as folder:
            files = await write_files(facts, spoken, Path(folder), journal)
        now = await anyio.to_thread.run_sync(page_of, facts, spoken, letterhead, files)
        found.words = _differing_words(page.splitlines(), now.splitlines())
        for beside in files.values():
            path, digest = file.parent / beside.name, ""
            with suppress(OSError):
                digest = await anyio.to_thread.run_sync(digest_of, path)
            if digest != beside.digest:
                found.files.append(str(path))
    differs = bool(found)
    if screen.voice.as_json:
        screen.emit(
            {
                "runs": list(stamp.runs),
                "agrees": not differs,
                "root": facts.root,
                "reported": stamp.root,
                "rows": [{"run": run, "row": row} for run, row in found.rows],
                "differing_runs": found.runs,
                "words": len(found.words),
                "files": found.files,
            }
        )
    screen.result(drawn("report_check.j2", found=found, differs=differs), good=not differs)
    return Exit.REJECTED if differs else Exit.DONE


def _differing_words(there: Sequence[str], here: Sequence[str]) -> list[tuple[str, str]]:
    """The first lines of two pages that differ, in pairs, "" beside a line that only one of them has.

    Words first: a row that one of the two pages has more is told as that row.
    """

    def differing(there: Sequence[str], here: Sequence[str]) -> Iterator[tuple[str, str]]:
        start = next((at for at, (one, other) in enumerate(zip(there, here, strict=False)) if one != other), 0)
        one, other = there[start : start + _COMPARED], here[start : start + _COMPARED]
        for what, first, last, begin, end in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
            if what != "equal":
                yield from zip_longest(one[first:last], other[begin:end], fillvalue="")

    def words(lines: Sequence[str]) -> list[str]:
        return [text for line in lines if (text := " ".join(html.unescape(_TAG.sub(" ", line)).split()))]

    if there == here:
        return []
    found = list(islice(differing(words(there), words(here)), MAX_WORDS_SHOWN))
    return found or list(islice(differing(there, here), MAX_WORDS_SHOWN))


async def _prove(run: Run, key: str, journal: Journal, screen: Screen) -> Exit:
    """Print the proof of one row as JSON."""
    found = await journal.find(run, key)
    if not found:
        raise CommandRefused("run {run} has no row with '{key}'", run=run.name, key=printable(key))
    if len(found) > 1:
        raise CommandRefused(
            "run {run} has {number} rows with '{key}': name one by its row number",
            run=run.name,
            number=Quantity(len(found)),
            key=printable(key),
        )
    # The hash of each item is 32 bytes: all of a run go into memory.
    leaves, numbers, data = list[bytes](), list[int](), leaf_data(found[0])
    async for page in journal.each_page(run, frozenset(State)):
        leaves += (leaf_hash(leaf_data(one)) for one in page)
        numbers += (one.number for one in page)
    proof = await anyio.to_thread.run_sync(prove, leaves, numbers.index(found[0].number))
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
