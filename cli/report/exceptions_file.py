"""The files beside a report: all exceptions of a run that has more of them than its report shows, as CSV."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio
import anyio.to_thread

from checkpoints.journal import Journal
from checkpoints.records import Run
from cli.output.item_files import REFUSED, OutputFile, written_to
from cli.report.course import reason_of
from cli.report.facts import SHOWN, ExceptionRow, each_exception
from cli.report.subject import ReportFacts
from cli.report.tables import ExceptionsFile
from cli.terminal.exits import CommandRefused
from cli.terminal.language import CatalogueLanguage
from texts.said import said

HEADER: Final = ("line", "contract", "amount", "state", "reason", "decision", "decided_by", "why")
"""The columns, equal in every language; what the reasons say is in the language of the report."""

_IN_NAME: Final = 8
_PAGE: Final = 1000
_CHUNK: Final = 1 << 20


async def write_exceptions(
    facts: ReportFacts, language: CatalogueLanguage, folder: Path, journal: Journal
) -> dict[str, ExceptionsFile]:
    """Write the files of all runs that need one into a folder; returns them by run.

    A file has the beginning of its digest in its name, so none takes the place of one that an earlier report names.
    Raises `CommandRefused`.
    """
    files: dict[str, ExceptionsFile] = {}
    for one in facts.runs:
        if one.exceptions.number > SHOWN:
            try:
                files[one.run.name] = await _file_of(one.run, language, folder, journal)
            except OSError as error:
                why = error.strerror or str(error)
                raise CommandRefused(
                    said("no file can be written in {folder}: {why}", folder=folder, why=why)
                ) from error
    return files


async def _file_of(run: Run, language: CatalogueLanguage, folder: Path, journal: Journal) -> ExceptionsFile:
    with TemporaryDirectory(prefix=".report.", dir=folder) as apart:
        made = Path(apart) / "exceptions.csv"
        await _write(run, language, OutputFile(made), journal)
        digest = await anyio.to_thread.run_sync(digest_of, made)
        name = f"report-{run.name}-exceptions-{digest[:_IN_NAME]}.csv"
        await anyio.Path(made).replace(folder / name)
    return ExceptionsFile(name, digest)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, read in parts, for it may have as many rows as the run."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()


async def _write(run: Run, language: CatalogueLanguage, target: OutputFile, journal: Journal) -> None:
    page: list[list[str]] = []
    async with written_to(target) as sheet:
        sheet.row(HEADER)
        async for row in each_exception(run, journal):
            page.append(_cells(row, language))
            if len(page) == _PAGE:
                await anyio.to_thread.run_sync(sheet.all, page)
                page = []
        await anyio.to_thread.run_sync(sheet.all, page)


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
