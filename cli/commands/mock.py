"""`mock`: a test billing with made-up subscribers; recordings, made by `run --record`, are served and compared."""

import csv
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
import structlog
from rich.text import Text

from billing.api.client import BillingClient, ClientSettings
from billing.api.wire import CallObserver
from checkpoints.journal import Journal
from checkpoints.states import State
from cli.commands.execution import with_settings
from cli.settings.flags import FAULTS, RUN_NAME, ApiFlags, JournalFlags
from cli.settings.places import state_folder
from cli.settings.settings import Settings
from cli.show.files import OutputFile, replacing
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import render, steps_list
from cli.terminal.options import argument, as_command, option, switch
from cli.terminal.screen import BriefVoice, Screen
from cli.terminal.signals import run_command
from cli.terminal.streams import waiting
from cli.terminal.texts import WHOLE, printable
from jobs.rows.input import input_of_parameters
from jobs.runs import refuse_purged
from texts.said import PROGRAM, Quantity, any_of, counted, reason_of, said

if TYPE_CHECKING:
    from lab.record.pseudonyms import Pseudonyms
    from lab.record.replay import ReplayReport, Speed

log = structlog.get_logger(__name__)

RECORDING: Final[Any] = argument("FILE", "A recording made by `run --record FILE`.")

KEY_FILE: Final = "made-up-names.key"
"""The key of made-up names, in the state folder."""

MAX_NOTES_SHOWN: Final = 20
"""Requests of each kind that are listed; the rest is counted."""
PORT: Final = 8082
QUIRKS: Final = (
    "type_8",
    "descr_length",
    "descr_returned",
    "descr_filters",
    "in_filters",
    "create_answers",
    "storno_call",
    "storno_type_8",
    "error_status",
    "deleted_numbers",
    "too_long",
    "value_types",
    "list_errors",
    "closed_period",
    "money_scale",
)
"""The names that --quirk takes: the fields of the lab's `Quirks`. Repeated, since help must not import the lab."""

QUIRK: Final[Any] = option(
    "NAME=VALUE", f"What it does otherwise than usual; repeatable. Names: {', '.join(QUIRKS)}."
)


@as_command("mock init")
def init(
    file: Path = argument("FILE", "The database to make; it must not be there yet."),
    abonents: int = option("N", "Subscribers.", required=True, least=1, most=2_000_000),
    seed: int = option(
        "N",
        "The same seed makes the same subscribers: one billing. Another one has another seed.",
        default=1,
    ),
    without: list[str] | None = option(
        "TABLE[.COLUMN]", "A column or table that it lacks, as versions do; repeatable."
    ),
) -> None:
    """Make the database of a mock billing."""
    from lab.mock.population import FOLDERS, create

    if file.exists():
        raise CommandRefused("{file} is there already: name another file, or remove it", file=printable(file))
    progress = (0, 0)

    def note(done: int, of: int) -> None:
        nonlocal progress
        progress = (done, of)

    try:
        with waiting(said("making {file}", file=printable(file)), lambda: progress):
            deleted = create(file, subscribers=abonents, seed=seed, without=without or (), on_progress=note)
    except BaseException:
        # A partial database is useless, whatever came between; the command can be repeated.
        file.unlink(missing_ok=True)
        raise
    screen = Screen()
    screen.say(
        counted(
            "{file}: {n} subscriber[s], {deleted} deleted, folders {folders}",
            abonents,
            file=printable(file),
            deleted=Quantity(deleted),
            folders=tuple(map(str, FOLDERS)),
        )
    )
    screen.say(steps_list([(f"{PROGRAM} mock serve {quote(printable(file, WHOLE))}", said("serve it"))]))


@as_command("mock serve")
def serve(  # noqa: PLR0913 - each is a flag
    file: Path = argument("FILE", "A database made by `mock init`."),
    *,
    port: int = option("P", "0 takes a free one.", default=PORT, least=0, most=65535),
    latency_ms: float = option("MS", "How long each answer takes.", default=0.0, least=0),
    slots: int = option("N", "Requests that are worked on at one time.", default=64, least=1),
    queue: int | None = option("N", "Requests that may wait; others get 503. Default: any number.", least=0),
    capacity: str | None = option("SECONDS:SLOTS,…", "Slots that change over time, as 0:8,30:4."),
    stack_rate: float = option("N", "Writes that have their effect a second; 0: at once.", default=0.0, least=0),
    busy: bool = option(
        None, "Refuse writes to whom an entry in a stack concerns.", "--busy/--no-busy", default=True
    ),
    licence: int | None = option("N", "Subscribers it may have at most. Default: any number.", least=0),
    fault: list[str] | None = FAULTS,
    seed: int | None = option("N", "The same seed draws the same faults."),
    control_port: int | None = option(
        "P", "Where faults, state and ledger are reached; 0: a free one.", least=0, most=65535
    ),
    quirk: list[str] | None = QUIRK,
) -> None:
    """Serve the REST API of a mock billing until Ctrl-C; its address is the first line on stdout.

    With --control-port the second line is `control: URL`.
    """
    from lab.mock.facts import read_quirks
    from lab.mock.faults import plan_of_flags
    from lab.mock.port import until_told
    from lab.mock.server import read_schedule, running

    if not file.exists():
        raise CommandRefused(
            "there is no {file}: make it with {command}",
            file=printable(file),
            command=f"{PROGRAM} mock init {printable(file)} --abonents 1000",
        )
    plan = plan_of_flags(fault or [], seed)
    schedule = read_schedule(capacity) if capacity is not None else None
    quirks = read_quirks(quirk or [])

    async def work() -> None:
        mock = running(
            file,
            port=port,
            latency=latency_ms / 1000,
            slots=slots,
            queue=queue,
            capacity=schedule,
            stack_rate=stack_rate,
            busy=busy,
            licence=licence,
            faults=plan,
            control_port=control_port,
            quirks=quirks,
        )
        with waiting(None):
            control = "control: {0.control_url}\n" if control_port is not None else ""
            await until_told(mock, f"{{0.url}}\n{control}".format)

    try:
        anyio.run(work)
    except OSError as error:
        ports = any_of([str(one) for one in (port, control_port) if one is not None])
        raise CommandRefused("port {ports} cannot be served: {why}", ports=ports, why=reason_of(error)) from error


# ---- recordings ---------------------------------------------------------------------------------------------------


async def _pseudonyms() -> "Pseudonyms":
    """The made-up names of this user: all recordings have the same ones."""
    from lab.record.pseudonyms import Pseudonyms
    from lab.record.recording import load_secret

    return Pseudonyms(await anyio.to_thread.run_sync(load_secret, state_folder(os.environ) / KEY_FILE))


@asynccontextmanager
async def recording_into(path: Path, client: ClientSettings, *, names: bool) -> AsyncIterator[CallObserver]:
    """A recorder into `path`. A recording that fails is logged and does not affect the run."""
    from lab.record.recording import RecordingBroken, open_recorder

    try:
        pseudonyms = None if names else await _pseudonyms()
        async with open_recorder(path, client, pseudonyms=pseudonyms) as recorder:
            yield recorder
    except RecordingBroken as error:
        log.error("the recording is not complete", why=error)  # noqa: TRY400 - the error's sentence is complete


@as_command("mock replay")
def _replay(
    file: Path = RECORDING,
    port: int = option("P", "0 takes a free one.", default=8082, least=0, most=65535),
    *,
    recorded_timing: bool = switch("Let each answer take as long as it did then."),
) -> None:
    """Serve a recording until Ctrl-C or SIGTERM: the same request gets the same answer.

    Ends with 1 when a request was unknown or one of the recording was never made, and names them.
    """
    from lab.mock.port import until_told
    from lab.record.replay import replaying

    speed: Speed = "recorded" if recorded_timing else "at once"

    async def work() -> "ReplayReport":
        with waiting(None):
            async with replaying(file, port=port, speed=speed) as replay:
                await until_told(nullcontext(replay), "{0.url}\n".format)
        return replay.report()

    try:
        report = run_command(work)
    except OSError as error:
        raise CommandRefused("port {ports} cannot be served: {why}", ports=port, why=reason_of(error)) from error
    served = counted("{n} request[s] [was|were] answered as recorded", report.served)
    text = Text(f"{printable(served)}\n")
    unknown, never_made = Quantity(report.unknown_count), Quantity(report.never_made_count)
    for sign, what, named, number in (
        ("✗", said("{number} unknown to the recording:", number=unknown), report.unknown, unknown),
        ("–", said("{number} never made:", number=never_made), report.never_made, never_made),
    ):
        if number:
            text.append(f"{sign} {printable(what)}\n", "yellow")
            text.append("".join(f"    {printable(one, 160)}\n" for one in named[:MAX_NOTES_SHOWN]))
        if number > MAX_NOTES_SHOWN:
            more = said("… and {number} more", number=Quantity(number - MAX_NOTES_SHOWN))
            text.append(f"    {printable(more)}\n", "dim")
    if report.same:
        text.append(f"✓ {printable(said('all of the recording, and nothing else'))}", "bold green")
    Screen().result(text, good=report.same)
    raise SystemExit(Exit.DONE if report.same else Exit.REJECTED)


@with_settings(
    "mock rows",
    JournalFlags,
    BriefVoice,
    reads=True,
    epilog=f"An example: {PROGRAM} mock rows k7m2q -o tests/balances.csv",
)
async def _rows(
    journal: Journal,
    settings: Settings,
    screen: Screen,
    name: str = RUN_NAME,
    output: Path = option("FILE", "The CSV file to write.", "-o", "--output", required=True),
    *,
    force: bool = switch("Overwrite the file."),
) -> Exit:
    """Write the rows of a run with made-up people: the input for a replay of its recording.

    They are made up as in the recordings of this user. Columns that the job does not use are emptied.
    """
    target = OutputFile(output, force=force)

    from lab.record.replay import made_up_rows

    number = after = 0
    run = await journal.run(name)
    refuse_purged(run)
    if not run.header:
        raise CommandRefused(
            "run {run} was not read from a file with columns: there are no rows to write", run=run.name
        )
    mapping = input_of_parameters(run.parameters).mapping
    made_up = made_up_rows(await _pseudonyms(), settings.catalogue.of(run), run.header, mapping)
    with replacing(target) as made, made.open("w", encoding="utf-8", newline="") as stream:
        # Not defused for a spreadsheet: these rows are read by programs.
        sheet = csv.writer(stream, delimiter=";", lineterminator="\n")
        sheet.writerow(run.header)
        async for page in journal.each_page(run, frozenset(State)):
            sheet.writerows(made_up(item.row) for item in page)
            number += len(page)
        while refused := await journal.refusals(run, after=after):
            sheet.writerows(made_up(refusal.row) for _, refusal in refused)
            number += len(refused)
            after, _ = refused[-1]
    written = counted(
        "{n} row[s] of run {run} with made-up people, written to {file}",
        number,
        run=printable(name),
        file=printable(output),
    )
    screen.say(written)
    return Exit.DONE


@with_settings(
    "mock diff",
    ApiFlags,
    reads=True,
    epilog=f"An example: {PROGRAM} mock diff night.rec --api-url http://test-billing:8082",
)
async def _diff(settings: Settings, screen: Screen, file: Path = RECORDING) -> Exit:
    """Ask a live server the recorded reads again, and show what it answers differently; nothing is written.

    Ends with 1 where an answer differs.
    """
    from lab.record.replay import differing

    different, tally = 0, Counter[str]()
    async with BillingClient(settings.client) as client:
        async for difference in differing(file, client, tally, await _pseudonyms()):
            different += 1
            screen.result(render(difference.text, limit=400), good=False)
    asked = counted(
        "{n} read[s] asked again of {billing}, {different} answered differently; not asked: {not_asked}",
        tally["asked"],
        billing=printable(settings.target),
        different=Quantity(different),
        not_asked=(
            counted("{n} write[s]", tally["writes"]),
            said("{number} with a secret", number=Quantity(tally["secret"])),
            said("{number} asked before", number=Quantity(tally["repeated"])),
            said("{number} without a recorded answer", number=Quantity(tally["unanswered"])),
            said("{number} that ask by a made-up value", number=Quantity(tally["made_up"])),
        ),
    )
    screen.say(asked)
    return Exit.REJECTED if different else Exit.DONE
