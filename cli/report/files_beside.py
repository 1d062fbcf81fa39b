"""The files beside a report, as CSV: what a run has more of than its report shows.

These are its exceptions and, of an import, the subscribers of its folders who are not in its table.
"""

import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio
import anyio.to_thread

from checkpoints.journal import Journal
from checkpoints.own_files import open_regular
from checkpoints.records import Run
from checkpoints.tally import ImportTally
from cli.output.item_files import REFUSED, OutputFile, written_to
from cli.report.course import reason_of
from cli.report.facts import EXTRA_SHOWN, SHOWN, ExceptionRow, ReportedRun, each_exception
from cli.report.subject import ReportFacts, SubjectKind
from cli.report.tables import FileBeside, FilesBeside
from cli.terminal.exits import CommandRefused
from cli.terminal.language import CatalogueLanguage
from texts.said import said

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
        language.render(reason_of(row)),
        *((decided.state, decided.who, decided.why) if decided else ("", "", "")),
    ]


async def _extra(tally: ImportTally) -> AsyncIterator[list[str]]:
    for one in tally.first_extra:
        yield [str(one.abonent_id), one.number, one.name, str(one.folder or ""), format(one.balance, "f")]
