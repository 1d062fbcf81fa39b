"""The check of a report against the journal: its rows by their hashes, its words by those of a new report."""

import html
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import islice, zip_longest
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from checkpoints.errors import NoSuchRun
from checkpoints.journal import Journal
from checkpoints.merkle import leaf_data, leaf_hash
from checkpoints.own_files import read_regular
from checkpoints.records import Item, Run
from checkpoints.states import State
from cli.report.content import content_of
from cli.report.document import Stamp, digest_of, language_of, read_stamp, to_html, write_files
from cli.report.facts import DIGEST
from cli.report.subject import ReportFacts, SubjectKind, again, facts_of
from cli.report.tables import FileBeside
from cli.settings.tables import Letterhead
from cli.terminal.exits import CommandRefused
from cli.terminal.language import language
from cli.terminal.texts import printable, reason_of
from jobs.catalogue.catalogue import Catalogue
from texts.said import said, text_of

MAX_SHOWN: Final = 20
"""Rows that differ, which a check names; the rest is counted."""
MAX_WORDS_SHOWN: Final = 5
"""Lines of a page that differ, which a check shows."""

_COMPARED: Final = 1_000
"""Lines behind the first that differs, which are compared: a forged page of any length takes no time."""

_TAG: Final = re.compile("<[^>]*>")


@dataclass(frozen=True, slots=True)
class DifferingRow:
    """A row whose hash is not the one in the report, as the journal has it now."""

    run: Run
    item: Item


@dataclass(slots=True)
class ReportDifferences:
    """How a report differs from the journal.

    `rows` are the runs and numbers of all rows that differ, `first` the first of them, and `runs` those whose root
    differs in a report that has no rows; `sizes` has, by run, how many
    rows there are in the report and in the journal, where that differs. `words` are pairs of a line of the page and
    that of a new one; they are compared if the rows agree. `files` are those beside the report that are not as it
    says.
    """

    rows: list[tuple[str, int]] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    first: list[DifferingRow] = field(default_factory=list)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    words: list[tuple[str, str]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    @property
    def of_rows(self) -> bool:
        """Whether rows differ."""
        return bool(self.rows or self.sizes or self.runs)

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return self.of_rows or bool(self.words or self.files)

    def add(self, run: Run, item: Item) -> None:
        """Add a row."""
        self.rows.append((run.name, item.number))
        if len(self.first) < MAX_SHOWN:
            self.first.append(DifferingRow(run, item))


@dataclass(frozen=True, slots=True)
class Checked:
    """A report that was checked: its stamp, what the journal has now, and the differences."""

    stamp: Stamp
    facts: ReportFacts
    differences: ReportDifferences


async def check(file: Path, letterhead: Letterhead, journal: Journal, catalogue: Catalogue) -> Checked:
    """Compare a report with the journal.

    Raises `CommandRefused` for a file that is no report of runs in the journal, and `JournalError`.
    """
    try:
        page = (await anyio.to_thread.run_sync(read_regular, file)).decode("utf-8")
        stamp, name = read_stamp(page), language_of(page)
        subject = await again(stamp.kind, stamp.runs, journal)
        runs = [await journal.run(one) for one in stamp.runs]
    except (OSError, UnicodeDecodeError, ValueError, NoSuchRun) as error:
        why = reason_of(error) if isinstance(error, OSError) else text_of(error)
        raise CommandRefused(said("{file} cannot be checked: {why}", file=printable(file), why=why)) from error
    facts = await facts_of(subject, journal, catalogue)
    differences = ReportDifferences()
    if subject.kind is SubjectKind.CAMPAIGN:
        roots = {one.run.name: one.evidence.digests for one in facts.runs}
        differences.runs += [name for name, root in roots.items() if root != stamp.digests[name]]
        runs = []
    for run in runs:
        await _compare_rows(run, stamp.digests[run.name], journal, differences)
    if not differences.of_rows:
        await _compare_words(_Page(file, page, name), facts, letterhead, journal, differences)
    return Checked(stamp, facts, differences)


async def _compare_rows(run: Run, digests: bytes, journal: Journal, differences: ReportDifferences) -> None:
    start = 0
    async for page in journal.each_page(run, frozenset(State)):
        for item in page:
            if leaf_hash(leaf_data(item))[:DIGEST] != digests[start : start + DIGEST]:
                differences.add(run, item)
            start += DIGEST
    if start != len(digests):
        differences.sizes[run.name] = (len(digests) // DIGEST, start // DIGEST)


@dataclass(frozen=True, slots=True)
class _Page:
    file: Path
    text: str
    language: str


async def _compare_words(
    page: _Page, facts: ReportFacts, letterhead: Letterhead, journal: Journal, differences: ReportDifferences
) -> None:
    """Compare the page with the one that the journal gives now, and the files beside it with what they should be."""
    reader = language(page.language)
    with tempfile.TemporaryDirectory() as folder:
        files = await write_files(facts, reader, Path(folder), journal)
    now = await anyio.to_thread.run_sync(
        lambda: "".join(to_html(content_of(facts, reader, letterhead, files), facts))
    )
    if page.text != now:
        there, here = page.text.splitlines(), now.splitlines()
        # Words first: a row that one of the two pages has more is told as that row.
        found = list(islice(_differing(_with_words(there), _with_words(here)), MAX_WORDS_SHOWN))
        differences.words += found or list(islice(_differing(there, here), MAX_WORDS_SHOWN))
    for file in (one for beside in files.values() for one in beside.all):
        path = page.file.parent / file.name
        if not await anyio.to_thread.run_sync(_is_as_said, path, file):
            differences.files.append(str(path))


def _is_as_said(path: Path, file: FileBeside) -> bool:
    try:
        return digest_of(path) == file.digest
    except OSError:
        return False


def _differing(there: Sequence[str], here: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The lines of two pages that differ, in pairs; "" beside a line that only one of them has."""
    start = next((at for at, (one, other) in enumerate(zip(there, here, strict=False)) if one != other), 0)
    one, other = there[start : start + _COMPARED], here[start : start + _COMPARED]
    for what, first, last, begin, end in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if what != "equal":
            yield from zip_longest(one[first:last], other[begin:end], fillvalue="")


def _with_words(lines: Iterable[str]) -> list[str]:
    """The texts of lines of HTML; lines without any are left out."""
    return [text for line in lines if (text := " ".join(html.unescape(_TAG.sub(" ", line)).split()))]
