"""A report as a page of HTML that prints on A4, or as a PDF: one file, which asks nothing of any network."""

import base64
import binascii
import hashlib
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from unicodedata import normalize

import anyio
import anyio.to_thread
import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from checkpoints.journal import Journal
from checkpoints.own_files import open_regular
from checkpoints.records import Run
from checkpoints.tally import ImportTally
from cli.output.item_files import REFUSED, OutputFile, written_to
from cli.report.content import ReportContent
from cli.report.facts import EXTRA_SHOWN, SHOWN, ExceptionRow, ReportedRun, ReportFacts, SubjectKind, each_exception
from cli.report.sums import reason_of_row
from cli.report.tables import FileBeside, FilesBeside
from cli.terminal.exits import CommandRefused
from cli.terminal.language import LANGUAGES, CatalogueLanguage
from texts.remedies import setting
from texts.said import said

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
