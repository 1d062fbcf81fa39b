"""A report as a page of HTML that prints on A4, or as a PDF: one file, which asks nothing of any network."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from unicodedata import normalize

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cli.report.content import ReportContent
from cli.report.subject import ReportFacts
from cli.terminal.exits import CommandRefused
from cli.terminal.language import LANGUAGES
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
