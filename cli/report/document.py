"""A report as a page of HTML that prints on A4, or as a PDF: one file, which asks nothing of any network."""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cli.report.content import ReportContent
from cli.report.facts import Evidence
from cli.terminal.exits import CommandRefused
from cli.terminal.language import LANGUAGES

_FOLDER: Final = Path(__file__).parent
_PDF_STANDARD: Final = "a-2b"
_LANGUAGE: Final = re.compile(r'<html lang="(\w+)">')
_STAMP: Final = re.compile(r'<meta name="carbon-migrate-report" content="run=(\w+) size=(\d+) root=([0-9a-f]{64})">')
_DIGESTS: Final = re.compile(r'<template id="digests">([A-Za-z0-9+/=]*)</template>')


@dataclass(frozen=True, slots=True)
class Stamp:
    """The run that a report is of, the number of its items, and the Merkle root over them in hexadecimal."""

    run: str
    size: int
    root: str


def to_html(content: ReportContent, evidence: Evidence) -> Iterator[str]:
    """The parts of the page, in their order. The same content gives the same page."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html").generate(
        content=content,
        digests=base64.b64encode(evidence.digests).decode(),
        stamp=f"run={content.run} size={evidence.size} root={evidence.root}",
    )


def to_pdf(content: ReportContent) -> bytes:
    """The report as PDF/A. The same content gives the same bytes. Raises `CommandRefused` without the extra `pdf`."""
    try:
        import typst  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise CommandRefused(
            "--pdf needs the extra `pdf`, which is not installed: pip install 'carbon-migrate[pdf]'. Without it, a "
            "browser prints the page"
        ) from error
    data = msgspec.json.encode(content).decode()
    # Only the fonts of the library itself: those of the machine would make other bytes.
    return typst.compile(
        _FOLDER / "report.typ", sys_inputs={"report": data}, pdf_standards=_PDF_STANDARD, ignore_system_fonts=True
    )


def read_stamp(page: str) -> tuple[Stamp, bytes]:
    """The stamp of a page, and the first bytes of the hash of each item. Raises `ValueError` for another page."""
    stamp, digests = _STAMP.search(page), _DIGESTS.search(page)
    if stamp is None or digests is None:
        raise ValueError("it is no report of this program, or its stamp was removed")
    try:
        return Stamp(stamp[1], int(stamp[2]), stamp[3]), base64.b64decode(digests[1], validate=True)
    except binascii.Error as error:
        raise ValueError("the hashes of its rows are damaged") from error


def language_of(page: str) -> str:
    """The language that a page names. Raises `ValueError` if it names none of ours."""
    found = _LANGUAGE.search(page)
    if found is None or found[1] not in LANGUAGES:
        raise ValueError("it is no report of this program, or its language was removed")
    return found[1]
