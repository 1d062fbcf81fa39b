"""A report as a page of HTML that prints on A4, or as a PDF: one file, which asks nothing of any network.

What a report says stands in the templates beside this file: report.html is the page, sections.j2 and verdict.j2 its
parts, report.typ sets the page as PDF.
"""

import base64
import binascii
import hashlib
import html
import os
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache, reduce
from itertools import chain
from operator import add
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple, TypeAlias
from unicodedata import normalize

import anyio
import anyio.to_thread
from jinja2 import Environment
from markupsafe import Markup

from checkpoints.journal import Journal
from checkpoints.own_files import open_regular
from checkpoints.states import State
from checkpoints.tally import NOTHING, ImportTally, Subtotal
from cli.report.facts import (
    EXTRA_SHOWN,
    SHOWN,
    ReportedRun,
    ReportFacts,
    SubjectKind,
    each_exception,
    each_standing,
)
from cli.settings.settings import Letterhead, host_of
from cli.show.closing import describe_end
from cli.show.files import REFUSED, OutputFile, written_to
from cli.terminal.exits import CommandRefused
from cli.terminal.layout import environment
from cli.terminal.names import (
    HELD_BACK,
    NOT_AS_SENT,
    OUTCOMES,
    STATE_NAMES,
    name_of_group,
    name_of_outcome,
    state_names,
)
from cli.terminal.texts import LANGUAGES, RUSSIAN, CatalogueLanguage, printable
from engine.pacing.policy import ALL, Policy, describe_policy, policy_with
from jobs.access.vault import mask_secrets
from jobs.imports.subscriber import STEP_NAMES
from jobs.rows.input import is_input, job_parameters
from jobs.spec.spec import DECLARATION, DECLARATION_DIGEST, INPUT
from jobs.spec.words import PLACE
from jobs.sums import RunSums, sum_over
from texts.said import PROGRAM, Given, Quantity, Said, Value, counted, reason_of, said, setting

STATES: Final = (
    State.APPLIED,
    State.ACCEPTED,
    State.REJECTED,
    State.SKIPPED,
    State.UNKNOWN,
    State.UNCONFIRMED,
    State.MANUAL,
    State.SENDING,
    State.PENDING,
)
"""The states in the order of a report; a replaced row counts as the one that replaced it."""
_ALWAYS: Final = frozenset(STATES) - {State.UNCONFIRMED, State.SENDING, State.PENDING}
"""States that stand in a report also where they have no rows: that there are none is what is signed."""

_FOLDER: Final = Path(__file__).parent
_LONGEST: Final = 500
"""Characters of a text of file or billing that are shown."""
_LANGUAGE: Final = re.compile(r'<html lang="(\w+)">')
_STAMP: Final = re.compile(
    r'<meta name="carbon-migrate-report" content="kind=([a-z]+) runs=(\w+(?:,\w+)*) root=([0-9a-f]{64})">'
)
_DIGESTS: Final = re.compile(r'<template id="digests-(\w+)">([A-Za-z0-9+/=]*)</template>')
_VERDICT: Final = re.compile(r'<p class="verdict(?: preliminary">[^<]*?\. |">)([^<]*)</p>')
_BODY: Final = re.compile("<body>|<template|</body>")
_ROWS: Final = re.compile("<tr.*?</tr>", re.DOTALL)

_UNPRINTABLE: Final = re.compile("[^\n\x20-\x7e\xa0-\xac\xae-\u017fΑ-ΡΣ-Ωα-ωЀ-џҐґ–—‘’‚“”„†•…‰‹›€₽№™←↑→↓−≈≠≤≥]")
"""What the fonts of the PDF may lack. PDF/A forbids a letter without a glyph."""


class FileBeside(NamedTuple):
    """A file beside the report: its name and its SHA-256."""

    name: str
    digest: str


FilesBeside: TypeAlias = Mapping[tuple[str, str], FileBeside]
"""The files beside a report by the name of their run and what they have, which stands in their names as well."""


def page_of(facts: ReportFacts, reader: CatalogueLanguage, letterhead: Letterhead, files: FilesBeside) -> str:
    """The page of a report, with the files beside it. The same facts give the same page."""
    return _environment(reader).get_template("report.html").render(facts=facts, letterhead=letterhead, files=files)


@cache
def _environment(reader: CatalogueLanguage) -> Environment:
    """The templates for readers of a language: a value is written as that language writes it."""

    def text(value: Value | None) -> str:
        match value:
            case None:
                return "–"
            case str():
                return reader.render(value)
            case datetime():
                # Without its zone, which the report says once.
                return reader.moment(value)
            case Decimal():
                # A zero has no sign.
                return reader.write(value or Decimal(0))
            case int():
                return reader.write(Quantity(value))
            case _:
                return str(value)

    def sentences(values: Iterable[Value], between: str = " ") -> str:
        return between.join(filter(None, [text(one) for one in values if one]))

    def quantities(values: Mapping[str, Given]) -> dict[str, Given]:
        # Whole numbers in a report are numbers of things.
        return {name: Quantity(one) if isinstance(one, int) else one for name, one in values.items()}

    made = environment(_FOLDER, text)
    made.globals |= {
        "ALWAYS": _ALWAYS,
        "DECLARATION": DECLARATION,
        "DECLARATION_DIGEST": DECLARATION_DIGEST,
        "EXTRA_SHOWN": EXTRA_SHOWN,
        "HELD_BACK": HELD_BACK,
        "NOTHING": NOTHING,
        "NOT_AS_SENT": NOT_AS_SENT,
        "PROGRAM": PROGRAM,
        "SHOWN": SHOWN,
        "STATES": STATES,
        "STEP_NAMES": STEP_NAMES,
        "State": State,
        "counted": lambda sentence, n, **values: counted(sentence, n, **quantities(values)),
        "language": reader,
        "some": lambda sentence, n, **values: counted(sentence, n, **quantities(values)) if n else None,
        "said": lambda template, **values: said(template, **quantities(values)),
    }
    made.filters |= {
        "describe_end": describe_end,
        "host_of": host_of,
        "in_effect": lambda policy: describe_policy(policy_with(Policy(), policy, ALL)),
        "of_input": lambda given: {name: value for name, value in given.items() if is_input(name)},
        "of_job": job_parameters,
        "names_of": lambda runs: state_names(OUTCOMES, has_ended=all(one.totals.has_ended for one in runs)),
        "pairs": _pairs,
        "added": lambda several: reduce(add, several),
        # The columns of a table, of which the first have words, and the others numbers.
        "columns": lambda titles, widths, words: [
            (*column, *["number"][: place >= words]) for place, column in enumerate(zip(titles, widths, strict=True))
        ],
        "as_base64": lambda digests: base64.b64encode(digests).decode(),
        "count_of": lambda totals, state: sum(one.count(state) for one in totals),
        "has_money": lambda sums: any(one.has_money for one in sums),
        "lines": str.splitlines,
        "moment": lambda when: reader.moment(datetime.fromisoformat(when) if isinstance(when, str) else when),
        "name_of_file": lambda path: PurePath(path).name,
        "name_of_group": name_of_group,
        "number_in": lambda outcome, *counts: sum(one[outcome] for one in counts),
        "rows": lambda rows: [Markup(row) for row in _ROWS.findall(rows)],  # noqa: S704 - of a macro's own output
        "sentences": sentences,
        "skipped_as": _skipped_as,
        "shown": lambda value: printable(text(value), _LONGEST),
        # The sum of a part, or of the rows in a state, over several runs.
        "total": lambda runs, part: sum_over(
            runs, lambda one: one.of(part) if isinstance(part, State) else getattr(one, part)
        ),
        "written": text,
    }
    return made


def _pairs(parameters: Mapping[str, str]) -> list[str]:
    """Parameters as they are shown; those that only say where a run belongs are none."""
    return [
        f"{name.removeprefix(INPUT)}={printable(mask_secrets(value), _LONGEST)}"
        for name, value in sorted(parameters.items())
        if value and name != f"{INPUT}file" and not name.startswith(PLACE)
    ]


def _skipped_as(sums: Iterable[RunSums]) -> Mapping[Said, Subtotal]:
    """Skipped rows by what they are called, those together whose reasons are called alike."""
    found: dict[Said, Subtotal] = {}
    for kind, part in chain.from_iterable(one.skipped.items() for one in sums):
        name = name_of_outcome(State.SKIPPED, kind)
        found[name] = found.get(name, NOTHING) + part
    return found


# ---- the page as PDF --------------------------------------------------------------------------------------------


def pdf_of(page: str, facts: ReportFacts, reader: CatalogueLanguage) -> bytes:
    """A page as PDF/A. The same page gives the same bytes. Raises `CommandRefused` without the extra `pdf`."""
    try:
        import typst  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise CommandRefused(
            "{option} needs the extra `pdf`, which is not installed: {command}. Without it, a browser prints the "
            "page",
            option=setting("pdf"),
            command="pip install 'carbon-migrate[pdf]'",
        ) from error
    # As XML, which typst reads; a letter that the fonts may lack is spelled as its code.
    body = re.sub("<col( [^>]*)>", r"<col\1/>", _BODY.split(page)[1]).replace("&nbsp;", "\xa0")
    report = {
        "page": f"<body>{body}</body>",
        "language": reader.name,
        "name": facts.name,
        "date": facts.date.isoformat(),
        "page_word": reader.render(said("page")),
        "of_pages": reader.render(said("of")),
    }
    inputs = {
        name: _UNPRINTABLE.sub(lambda letter: letter[0].encode("unicode_escape").decode(), normalize("NFC", text))
        for name, text in report.items()
    }
    # Only the fonts of the library itself: those of the machine would make other bytes.
    return typst.compile(_FOLDER / "report.typ", sys_inputs=inputs, pdf_standards="a-2b", ignore_system_fonts=True)


# ---- the stamp of a page ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a report is of; `digests` has by run, in their order, the first bytes of the hash of each item."""

    kind: str
    root: str
    language: str
    digests: Mapping[str, bytes]

    @property
    def runs(self) -> tuple[str, ...]:
        return tuple(self.digests)


def read_stamp(page: str) -> Stamp:
    """The stamp of a page. Raises `ValueError` for another page."""
    stamp, spoken = _STAMP.search(page), _LANGUAGE.search(page)
    try:
        digests = {run: base64.b64decode(text, validate=True) for run, text in _DIGESTS.findall(page)}
    except binascii.Error as error:
        raise ValueError(said("the hashes of its rows are damaged")) from error
    if stamp is None or stamp[2].split(",") != list(digests):
        raise ValueError(said("it is no report of this program, or its stamp was removed"))
    if spoken is None or spoken[1] not in LANGUAGES:
        raise ValueError(said("it is no report of this program, or its language was removed"))
    return Stamp(stamp[1], stamp[3], spoken[1], digests)


def verdict_of(page: str) -> str:
    return html.unescape(found[1]) if (found := _VERDICT.search(page)) else ""


# ---- the files beside a report, as CSV ----------------------------------------------------------------------------


HEADER: Final = ("line", "contract", "amount", "state", "reason", "decision", "decided_by", "why")
"""The columns of exceptions."""

EXTRA_HEADER: Final = ("abonent_id", "contract_number", "name", "folder", "balance")
"""The columns of subscribers who are not in the table."""

ENTERED_HEADER: Final = ("line", "contract", "amount")
"""The columns of the rows that are in the billing."""

_IN_RUSSIAN: Final = {
    "line": "строка_файла",
    "contract": "договор",
    "amount": "сумма",
    "state": "состояние",
    "reason": "причина",
    "decision": "решение",
    "decided_by": "кто_решил",
    "why": "почему",
    "contract_number": "номер_договора",
    "name": "название",
    "folder": "папка",
    "balance": "остаток",
}
"""The columns for a Russian reader, who gets decimal commas and states in words as well."""

_PAGE: Final = 1000


async def write_files(facts: ReportFacts, reader: CatalogueLanguage, folder: Path, journal: Journal) -> FilesBeside:
    """Write the files of all runs that need one: all exceptions, subscribers not in its file, rows entered.

    A file has the beginning of its digest in its name, so none takes the place of one that an earlier report names.
    A campaign has none: its report shows no rows.
    Raises `CommandRefused`.
    """
    files: dict[tuple[str, str], FileBeside] = {}

    async def write(
        key: tuple[str, str], name: Said, header: Sequence[str], rows: AsyncIterator[Sequence[str]]
    ) -> None:
        with TemporaryDirectory(prefix=".report.", dir=folder) as apart:
            made, page = Path(apart) / "rows.csv", list[Sequence[str]]()
            named = [_IN_RUSSIAN.get(one, one) for one in header] if reader.name == RUSSIAN else header
            async with written_to(OutputFile(made), named, of_rows=True) as put:
                async for row in rows:
                    page.append(row)
                    if len(page) == _PAGE:
                        await put(page)
                        page = []
                await put(page)
            digest = await anyio.to_thread.run_sync(digest_of, made)
            whole = f"{reader.render(name)}-{digest[:8]}.csv"
            files[key] = FileBeside(whole, digest)
            await anyio.Path(made).replace(folder / whole)

    try:
        for one in facts.runs if facts.kind is not SubjectKind.CAMPAIGN else ():
            run = one.run.name
            if one.exceptions_in_all > SHOWN:
                exceptions = said("report-{run}-exceptions", run=run)
                await write((run, "exceptions"), exceptions, HEADER, _exceptions(one, reader, journal))
            if one.tally is not None and one.tally.extra > EXTRA_SHOWN:
                others = said("report-{run}-not-in-file", run=run)
                await write((run, "not-in-file"), others, EXTRA_HEADER, _extra(one.tally, reader))
            if len(one.annex) > SHOWN:
                entered = said("report-{run}-entered", run=run)
                await write((run, "entered"), entered, ENTERED_HEADER, _entered(one, reader, journal))
    except OSError as error:
        raise CommandRefused(
            "no file can be written in {folder}: {why}", folder=folder, why=reason_of(error)
        ) from error
    return files


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, read in parts, for it may have as many rows as the run."""
    with os.fdopen(open_regular(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _exceptions(one: ReportedRun, reader: CatalogueLanguage, journal: Journal) -> AsyncIterator[list[str]]:
    async for row in each_exception(one.run, one.totals, journal, one.spec, has_money=one.sums.has_money):
        decided = row.decision
        yield [
            row.place or "",
            row.label,
            _sum(row.amount, reader),
            reader.render(row.outcome) if reader.name == RUSSIAN else row.state or REFUSED,
            reader.render(row.why),
            *((reader.render(STATE_NAMES[decided.state]), decided.who, decided.why) if decided else ("", "", "")),
        ]


def _sum(amount: Decimal | None, reader: CatalogueLanguage) -> str:
    plain = "" if amount is None else format(amount, "f")
    return plain.replace(".", ",") if reader.name == RUSSIAN else plain


async def _entered(one: ReportedRun, reader: CatalogueLanguage, journal: Journal) -> AsyncIterator[Sequence[str]]:
    async for rows in each_standing(one.run, one.totals, journal):
        for place, label, amount in rows:
            yield place, label, _sum(amount, reader)


async def _extra(tally: ImportTally, reader: CatalogueLanguage) -> AsyncIterator[Sequence[str]]:
    for it in tally.first_extra:
        yield str(it.abonent_id), it.number, it.name, str(it.folder or ""), _sum(it.balance, reader)
