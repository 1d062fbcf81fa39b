"""A report as a page of HTML that prints on A4, or as a PDF: one file, which asks nothing of any network."""

import base64
import binascii
import hashlib
import html
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from itertools import islice, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from unicodedata import normalize

import anyio
import anyio.to_thread
import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from checkpoints.errors import NoSuchRun
from checkpoints.journal import Journal
from checkpoints.merkle import leaf_data, leaf_hash
from checkpoints.own_files import open_regular, read_regular
from checkpoints.records import Item, Run
from checkpoints.states import State
from checkpoints.tally import ImportTally
from cli.output.item_files import REFUSED, OutputFile, written_to
from cli.report.content import ReportContent, content_of
from cli.report.facts import DIGEST, EXTRA_SHOWN, SHOWN, ExceptionRow, ReportedRun, each_exception
from cli.report.subject import ReportFacts, SubjectKind, again, facts_of
from cli.report.sums import reason_of_row
from cli.report.tables import FileBeside, FilesBeside
from cli.settings.tables import Letterhead
from cli.terminal.exits import CommandRefused
from cli.terminal.language import LANGUAGES, CatalogueLanguage, language
from cli.terminal.texts import printable, reason_of
from jobs.catalogue.catalogue import Catalogue
from texts.remedies import setting
from texts.said import said, text_of

_FOLDER: Final = Path(__file__).parent
_PDF_STANDARD: Final = "a-2b"
_LANGUAGE: Final = re.compile(r'<html lang="(\w+)">')
_STAMP: Final = re.compile(
    r'<meta name="carbon-migrate-report" content="kind=([a-z]+) runs=(\w+(?:,\w+)*) root=([0-9a-f]{64})">'
)
_DIGESTS: Final = re.compile(r'<template id="digests-(\w+)">([A-Za-z0-9+/=]*)</template>')


_UNPRINTABLE: Final = re.compile("[^\n\x20-\x7e\xa0-\xac\xae-\u017fΑ-ΡΣ-Ωα-ωЀ-џҐґ–—‘’‚“”„†•…‰‹›€₽№™←↑→↓−≈≠≤≥]")
"""What the fonts of the PDF may lack. PDF/A forbids a letter without a glyph."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a report is of: its kind, its root in hexadecimal, and by run the first bytes of the hash of each item."""

    kind: str
    root: str
    digests: Mapping[str, bytes]

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs of the report, in their order."""
        return tuple(self.digests)


def to_html(content: ReportContent, facts: ReportFacts) -> Iterator[str]:
    """The parts of the page, in their order. The same content gives the same page."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    names = ",".join(one.run.name for one in facts.runs)
    return environment.get_template("report.html").generate(
        content=content,
        evidence=[(one.run.name, base64.b64encode(one.evidence.digests).decode()) for one in facts.runs],
        stamp=f"kind={facts.kind} runs={names} root={facts.root}",
    )


def to_pdf(content: ReportContent) -> bytes:
    """The report as PDF/A. The same content gives the same bytes. Raises `CommandRefused` without the extra `pdf`."""
    try:
        import typst  # noqa: PLC0415 - an extra
    except ImportError as error:
        missing = said(
            "{option} needs the extra `pdf`, which is not installed: {command}. Without it, a browser prints the "
            "page",
            option=setting("pdf"),
            command="pip install 'carbon-migrate[pdf]'",
        )
        raise CommandRefused(missing) from error
    data = _UNPRINTABLE.sub(_spelled, normalize("NFC", msgspec.json.encode(content).decode()))
    # Only the fonts of the library itself: those of the machine would make other bytes.
    return typst.compile(
        _FOLDER / "report.typ", sys_inputs={"report": data}, pdf_standards=_PDF_STANDARD, ignore_system_fonts=True
    )


def read_stamp(page: str) -> Stamp:
    """The stamp of a page. Raises `ValueError` for another page."""
    stamp = _STAMP.search(page)
    try:
        digests = {run: base64.b64decode(text, validate=True) for run, text in _DIGESTS.findall(page)}
    except binascii.Error as error:
        raise ValueError(said("the hashes of its rows are damaged")) from error
    if stamp is None or stamp[2].split(",") != list(digests):
        raise ValueError(said("it is no report of this program, or its stamp was removed"))
    return Stamp(stamp[1], stamp[3], digests)


def language_of(page: str) -> str:
    """The language that a page names. Raises `ValueError` if it names none of ours."""
    found = _LANGUAGE.search(page)
    if found is None or found[1] not in LANGUAGES:
        raise ValueError(said("it is no report of this program, or its language was removed"))
    return found[1]


def _spelled(letter: re.Match[str]) -> str:
    """A letter as its code, in JSON."""
    return "\\\\" + letter[0].encode("unicode_escape").decode().removeprefix("\\")


# ---- the files beside a report, as CSV ----------------------------------------------------------------------------


HEADER: Final = ("line", "contract", "amount", "state", "reason", "decision", "decided_by", "why")
"""The columns of exceptions, equal in every language; what the reasons say is in the language of the report."""

EXTRA_HEADER: Final = ("abonent_id", "contract_number", "name", "folder", "balance")
"""The columns of subscribers who are not in the table."""

_IN_NAME: Final = 8
_PAGE: Final = 1000
_CHUNK: Final = 1 << 20
_NONE: Final = FilesBeside()


async def write_files(
    facts: ReportFacts, language: CatalogueLanguage, folder: Path, journal: Journal
) -> dict[str, FilesBeside]:
    """Write the files of all runs that need one into a folder; returns them by run.

    A file has the beginning of its digest in its name, so none takes the place of one that an earlier report names.
    A campaign has none: its report shows no rows.
    Raises `CommandRefused`.
    """
    files: dict[str, FilesBeside] = {}
    try:
        for one in facts.runs if facts.kind is not SubjectKind.CAMPAIGN else ():
            beside = await _files_of(one, language, folder, journal)
            if beside.all:
                files[one.run.name] = beside
    except OSError as error:
        why = error.strerror or str(error)
        raise CommandRefused(said("no file can be written in {folder}: {why}", folder=folder, why=why)) from error
    return files


async def _files_of(one: ReportedRun, language: CatalogueLanguage, folder: Path, journal: Journal) -> FilesBeside:
    beside = _NONE
    if one.exceptions.number > SHOWN:
        rows = _exceptions(one, language, journal)
        beside = replace(beside, exceptions=await _written(one.run, "exceptions", HEADER, rows, folder))
    if one.tally is not None and one.tally.extra > EXTRA_SHOWN:
        rows = _extra(one.tally)
        beside = replace(beside, extra=await _written(one.run, "not-in-file", EXTRA_HEADER, rows, folder))
    return beside


async def _written(
    run: Run, what: str, header: Sequence[str], rows: AsyncIterator[list[str]], folder: Path
) -> FileBeside:
    with TemporaryDirectory(prefix=".report.", dir=folder) as apart:
        made = Path(apart) / "rows.csv"
        await _write(OutputFile(made), header, rows)
        digest = await anyio.to_thread.run_sync(digest_of, made)
        name = f"report-{run.name}-{what}-{digest[:_IN_NAME]}.csv"
        await anyio.Path(made).replace(folder / name)
    return FileBeside(name, digest)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, read in parts, for it may have as many rows as the run."""
    digest = hashlib.sha256()
    with os.fdopen(open_regular(path), "rb") as file:
        while part := file.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()


async def _write(target: OutputFile, header: Sequence[str], rows: AsyncIterator[list[str]]) -> None:
    page: list[list[str]] = []
    async with written_to(target) as sheet:
        sheet.row(header)
        async for row in rows:
            page.append(row)
            if len(page) == _PAGE:
                await anyio.to_thread.run_sync(sheet.all, page)
                page = []
        await anyio.to_thread.run_sync(sheet.all, page)


async def _exceptions(one: ReportedRun, language: CatalogueLanguage, journal: Journal) -> AsyncIterator[list[str]]:
    async for row in each_exception(one.run, journal, one.spec, has_money=one.sums.has_money):
        yield _cells(row, language)


def _cells(row: ExceptionRow, language: CatalogueLanguage) -> list[str]:
    decided = row.decision
    return [
        str(row.place or ""),
        row.label,
        "" if row.amount is None else format(row.amount, "f"),
        REFUSED if row.state is None else row.state,
        language.render(reason_of_row(row)),
        *((decided.state, decided.who, decided.why) if decided else ("", "", "")),
    ]


async def _extra(tally: ImportTally) -> AsyncIterator[list[str]]:
    for one in tally.first_extra:
        yield [str(one.abonent_id), one.number, one.name, str(one.folder or ""), format(one.balance, "f")]


# ---- the check of a report against the journal --------------------------------------------------------------------


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
