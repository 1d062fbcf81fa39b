"""`import`: creates subscribers from a table, with all that belongs to them."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cli.commands.execution import JobCommand, execute, execute_run
from cli.output.item_files import OutputFile
from cli.settings.flags import (
    ASIDE,
    RECORD,
    RECORD_NAMES,
    WITH_PAGE,
    CallFlags,
    CheckFlags,
    Consent,
    Flags,
    ImportFlags,
    Pacing,
    RepeatFlags,
    TableFlags,
)
from cli.settings.settings import Settings
from cli.show.closing import Closing
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.options import argument, as_command, option, switch, typed
from cli.terminal.screen import Screen, Voice
from texts.said import said

if TYPE_CHECKING:
    from cli.session.order import Order
    from cli.session.session import Invocation

JOB: Final = "import"


@as_command("import", cls=JobCommand)
def _import(  # noqa: PLR0913 - each is a flag or a group of them
    context: click.Context,
    file: str = argument("FILE", "The table, a row a subscriber; - for standard input."),
    *,
    table: TableFlags,
    importing: ImportFlags,
    checking: CheckFlags,
    repeating: RepeatFlags,
    save: Path | None = option("FILE.toml", "Write what was typed as a job file, and send nothing.", panel=ASIDE),
    force: bool = switch("Overwrite the file of --save or -o."),
    record: Path | None = RECORD,
    record_names: bool = RECORD_NAMES,
    page: bool = WITH_PAGE,
    consent: Consent,
    pacing: Pacing,
    flags: Flags,
    voice: Voice,
) -> None:
    """Show what a table makes of subscribers, ask, and create them.

    Each gets its folder, account, tariff, services, attributes, limits and balance.
    What is there already is left as it is, so the same command completes what is missing.
    """
    given = typed(context)

    async def order_of(settings: Settings, screen: Screen) -> "Order":
        from cli.session.order import typed_order

        return await typed_order(
            JOB, file, repeating, table, CallFlags(), screen, settings.catalogue, importing=importing
        )

    async def check(settings: Settings, screen: Screen) -> Exit:
        from cli.session.input_check import check_order

        if save is not None:
            raise CommandRefused(said("--check sends nothing and begins no run: leave --save out"))
        target = None if checking.output is None else OutputFile(checking.output, force=force)
        return await check_order(await order_of(settings, screen), file, target, settings, screen)

    async def work(told: "Invocation") -> Closing:
        # Imported here, so that `import --help` and a mistyped flag stay fast.
        from cli.jobfile import job_file
        from cli.session.run_session import begin

        if checking.output is not None:
            raise CommandRefused(said("-o names the workbook of --check, and that is not given: add it"))
        order = await order_of(told.settings, told.screen)
        if save is not None:
            return job_file.save_order(order, save, told, pacing, given, force=force)
        if force:
            raise CommandRefused(said("--force overwrites the file of --save, and none is named: leave it out"))
        return await begin(order, told)

    if checking.check:
        execute(check, flags, voice, only_reads=True, about={"file": file, "rows": None, "workbook": None})
    execute_run(work, flags, voice, JOB, consent, pacing, record=record, record_names=record_names, page=page)
