"""`run … --save FILE.toml`: writes a job file from the command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import tomli_w

from cli.jobfile.job_file import FORMAT, RUN, STEP, TOML
from cli.session.order import Order
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import from_bytes, printable, reason_of
from engine.pipeline.intake import Repeat
from engine.rows import STDIN
from engine.sources.raw.charset import AUTO
from jobs.catalogue.typed_call import CALL, OWN, YES
from jobs.rows.key_lists import KeyList
from texts.remedies import setting
from texts.said import said


@dataclass(frozen=True, slots=True)
class SaveRequest:
    """The parts of a command line that a job file can hold; `pacing` is by the keys of `[run]`."""

    order: Order
    output: Path | None
    skip_bad: bool
    pacing: Mapping[str, object]


def save(request: SaveRequest, path: Path, *, force: bool) -> None:
    """Write the request as a job file of one step; nothing is run.

    Raises `CommandRefused` for an existing file, one that cannot be written, and for secrets.
    """
    order = request.order
    if path.suffix != TOML:
        raise CommandRefused(
            said(
                "{path}: the name of a job file ends in {suffix}, or `run` would take it for a job",
                path=printable(path),
                suffix=TOML,
            )
        )
    secret = next((one.name for one in order.kind.parameters if one.secret and order.parameters.get(one.name)), None)
    if secret is not None:
        raise CommandRefused(
            said("{name} is a secret: no job file keeps one. Let a column of the rows say it", name=secret)
        )
    text = _text(request.pacing, _step(request, path.absolute().parent))
    if text != from_bytes(text):
        raise CommandRefused(said("a job file is UTF-8, and the name of a file in it is not: rename that file"))
    try:
        with path.open("w" if force else "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        raise CommandRefused(
            said(
                "{path} is there already: name another file, or give {flag}",
                path=printable(path),
                flag=setting("force"),
            )
        ) from error
    except OSError as error:
        raise CommandRefused(
            said("{path} cannot be written: {why}", path=printable(path), why=reason_of(error))
        ) from error


def _text(pacing: Mapping[str, object], step: Mapping[str, object]) -> str:
    """A step in the usual layout: its tables after it, each under its own header."""
    plain_keys = {name: value for name, value in step.items() if not isinstance(value, dict)}
    parts = [tomli_w.dumps({"format": FORMAT, **({RUN: pacing} if pacing else {})})]
    parts += [f"[[{STEP}]]\n{tomli_w.dumps(plain_keys, multiline_strings=True)}"]
    parts += [f"[{STEP}.{name}]\n{tomli_w.dumps(table)}" for name, table in step.items() if isinstance(table, dict)]
    return "\n".join(parts)


def _step(request: SaveRequest, folder: Path) -> dict[str, object]:
    order, rows, own = request.order, request.order.rows, {one.name: one for one in OWN}
    step: dict[str, object] = {"job": order.kind.name, "file": _relative(rows.file, folder), "sql": rows.sql}
    step |= {"columns": list(rows.columns), "delimiter": rows.delimiter, "sheet": rows.sheet}
    step |= {"limit": rows.limit, "only": _keys(rows.only, folder), "exclude": _keys(rows.exclude, folder)}
    step["encoding"] = "" if rows.encoding == AUTO else rows.encoding
    files = {one.name for one in order.kind.parameters if one.makes_file or one.reads_file}
    # A file may be corrected between two runs of a job file, so its digest is left out.
    digests = {one.digest_name for one in order.kind.parameters if one.reads_file}
    given = {
        name: _relative(value, folder) if name in files else value
        for name, value in {**order.parameters, **rows.values}.items()
        if name not in digests
    }
    if order.kind.name == CALL:
        step |= {
            "model": given["model"],
            "chain": msgspec.json.decode(given["chain"], type=list[str]),
            "fields": [name for name in given["fields"].split(",") if name],
            "repeatable": given["repeatable"] == YES,
            "look_up": given["look_up"],
        }
        given = {name: value for name, value in given.items() if name not in own}
    step["output"] = _relative(str(request.output.absolute()), folder) if request.output else ""
    step |= {"again": order.enter is Repeat.AGAIN, "another_billing": order.enter is Repeat.PER_BILLING}
    step["skip_bad"] = request.skip_bad
    step["shared_accounts"] = order.shared_accounts.value if order.shared_accounts else ""
    defaults = {one.name: one.default for one in order.kind.parameters}
    step["map"] = dict(rows.mapping)
    step["set"] = {name: value for name, value in given.items() if value != (defaults.get(name) or "")}
    return {name: value for name, value in step.items() if value}


def _keys(keys: KeyList | None, folder: Path) -> str:
    return "" if keys is None else keys.text or _relative(keys.file, folder)


def _relative(file: str, folder: Path) -> str:
    """The path for the job file: relative to the file's folder where it lies below that."""
    if file in {"", STDIN}:
        return file
    path = Path(file)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else file
