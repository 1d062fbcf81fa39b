"""What a shell makes of a line, and what the translated command sends: both as the forms that the billing receives.

The line runs in a real bash, with xargs, parallel and awk as they are; curl, wget, sqlexec and isql are small scripts
that keep their arguments, or print what a database would. Nothing leaves the machine.
"""

import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.typedefs import Handler

from billing.api.client import BillingClient, ClientSettings, Patience
from billing.database.database import Database
from billing.database.dsn import Dsn
from checkpoints.records import Run
from cli.main import load
from cli.session.order import given_values, parse_input, parse_order
from cli.settings.order_flags import CallFlags, RowFlags
from cli.translate.translation import Translation
from jobs.access.gateway import Gateway
from jobs.catalogue.catalogue import BUILT_IN
from jobs.job import build
from jobs.spec.entries import without_marks
from lab.crash.loops import loops
from lab.mock.server import running
from tests.checkpoints.samples import sending_item

Sent = list[str]
"""The calls, each as JSON with its numbers as texts, in order of their texts."""

KEEPS_ARGUMENTS = """\
#!/bin/sh
printf '%s\\0' {name} "$@" > "{calls}/$$"
case "$*" in *@-*) printf '%s\\0' "$(cat)" >> "{calls}/$$" ;; esac
"""

SQLEXEC = """\
#!/bin/sh
case $0 in
    *isql*) sql=$(cat) ;;
    *) sql=$1 ;;
esac
case $sql in
    *"set list"*) print='ID                              %s\\n\\n' ;;
    *"set heading off"*) print='\\n%20s     ' ;;
    *) print='%12s \\n'; printf '\\n          ID \\n============ \\n' ;;
esac
case $sql in
    *"="*)
        key=${{sql##*=}}; key=${{key#"${{key%%[! ]*}}"}}; key=${{key#\\'}}; key=${{key%%\\'*}}
        awk -F';' -v key="$key" '$2 == key {{print $1}}' '{rows}' ;;
    *) cut -d';' -f1 '{rows}' ;;
esac | while read -r id; do printf "$print" "$id"; done
echo
"""
"""Prints ids as isql does: all of them, or the one whose key the select asks for. isql reads what it is fed."""


# ---- the shell ---------------------------------------------------------------------------------------------------


def by_shell(line: str, folder: Path, rows: Mapping[str, str] | None = None) -> Sent:
    """Run a line in bash, in a folder with its files; what the billing would receive.

    `rows` are the ids of the database by their keys.
    """
    tools, calls = folder / "bin", folder / "calls"
    shutil.rmtree(calls, ignore_errors=True)
    for one in (tools, calls):
        one.mkdir(exist_ok=True)
    table = folder / "database"
    table.write_text("".join(f"{number};{key}\n" for key, number in (rows or {}).items()))
    for name in ("curl", "wget"):
        _script(tools / name, KEEPS_ARGUMENTS.format(name=name, calls=calls))
    for name in ("sqlexec", "isql", "isql-fb"):
        _script(tools / name, SQLEXEC.format(rows=table))
    subprocess.run(  # noqa: S603 - curl, wget and sqlexec are scripts of ours
        ["bash", "-c", line],  # noqa: S607 - whichever bash there is
        cwd=folder,
        env={"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=loops(60),
    )
    return sorted(_form(call.read_bytes().decode().split("\0")[:-1]) for call in calls.iterdir())


def _script(path: Path, text: str) -> None:
    if not path.exists():
        path.write_text(text)
        path.chmod(0o700)


def _form(words: Sequence[str]) -> str:
    """What the billing would receive of a curl or wget."""
    fields: list[tuple[str, str]] = []
    for option, value in _data(words):
        if option == "--data-urlencode":
            name, _, content = value.partition("=")
            fields.append((name, content))
        else:
            fields += parse_qsl(value, keep_blank_values=True)
    (path,) = (found[1] for word in words if (found := re.search(r"/rest_api/v2/(\w+)/", word)))
    return plain(path, dict(fields))


def _data(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word, following in pairwise([*words, ""]):
        if word in ("-d", "--data", "--data-raw", "--data-urlencode"):
            yield word, following if following != "@-" else words[-1].replace("\n", "")
        elif word.startswith(("--post-data=", "--body-data=")):
            yield "-d", word.partition("=")[2]
        elif word.startswith("-d"):
            yield "-d", word[2:]


# ---- the billing -------------------------------------------------------------------------------------------------


def plain(model: str, fields: Mapping[str, str]) -> str:
    """A call as it can be compared: numbers as texts, and without marks; which fields an answer has is no matter."""
    steps = []
    for number in range(1, 10):
        if (method := fields.get(f"method{number}")) is not None:
            arguments = json.loads(fields.get(f"arg{number}") or "{}", parse_float=Decimal, parse_int=Decimal)
            steps.append([method, _as_texts(arguments)])
    return json.dumps([model, steps], ensure_ascii=False, sort_keys=True)


def _as_texts(value: Any) -> Any:
    match value:
        case dict():
            return {name: _as_texts(one) for name, one in value.items()}
        case str():
            text = without_marks(value)
            return str(Decimal(text).normalize()) if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text) else text
        case Decimal():
            return str(value.normalize())
    return value


@dataclass(slots=True)
class Receiver:
    """A billing, and the calls that it has received."""

    gateway: Gateway
    received: list[str]

    async def by_us(self, command: Sequence[str], folder: Path, rows: Path | None = None) -> Sent:
        """Send what a translated command sends, in a folder with its files; `rows` is its standard input."""
        self.received.clear()
        program, run, *words = command
        assert (program, run) == ("carbon-migrate", "run")
        given = _RUN_COMMAND.make_context(run, words).params
        calling = CallFlags(
            given["model"], given["chain"] or None, given["fields"], given["repeatable"], given["look_up"]
        )
        said = given_values(given["set_"], calling)
        source = RowFlags(given["sql"], given["columns"], given["mapping"], delimiter=given["delimiter"])
        file = given["file"]
        path = None if file is None else rows if file == "-" else folder / file
        order = parse_order(given["job"], parse_input(None if path is None else str(path), source), said, BUILT_IN)
        sending = build(order.kind, self.gateway, order.parameters, order.rows)
        number = 0
        for page in sending.source.pages(None):
            prepared = await sending.prepare(page.rows)
            for new in prepared.items:
                number += 1
                self.received.append("")
                await sending.effect.send(_RUN, sending_item(new, number))
        return sorted(self.received)


_RUN_COMMAND = load("run")
_NOW = datetime(2026, 3, 1, tzinfo=UTC)
_RUN = Run(1, "k7m2q", "call", {}, "billing", "file", "", (), None, _NOW, _NOW, _NOW, None)


@asynccontextmanager
async def receiver(billing: Path) -> AsyncIterator[Receiver]:
    """A billing over a database, which is read by whoever sends to it."""
    received: list[str] = []

    @web.middleware
    async def keep(request: web.Request, handler: Handler) -> web.StreamResponse:
        if received and received[-1] == "":
            fields = dict(parse_qsl((await request.read()).decode(), keep_blank_values=True))
            received[-1] = plain(request.path.split("/")[-2], fields)
        return await handler(request)

    async with (
        running(Dsn(str(billing)), middlewares=[keep]) as server,
        BillingClient(ClientSettings(server.url), patience=Patience(attempts=1)) as client,
    ):
        with Database(Dsn(str(billing))) as database:
            yield Receiver(Gateway(client, database), received)


def standard_input(found: Translation, folder: Path) -> Path | None:
    """The file with what a translated command is given on standard input; None for nothing."""
    path = folder / "stdin"
    if found.pipe:
        done = subprocess.run(["bash", "-c", found.pipe], cwd=folder, check=True, capture_output=True)  # noqa: S603, S607 - text tools alone
        path.write_bytes(done.stdout)
    elif found.text:
        path.write_text(found.text)
    return path if path.exists() else None
