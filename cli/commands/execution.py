"""Execution of a command: settings, log, event loop, and the exit code of an error."""

import errno
import os
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import structlog
from rich.console import RenderableType

from checkpoints.errors import JournalError, NoSuchRun
from checkpoints.journal import Journal
from checkpoints.journal_file import why_unwritable
from checkpoints.stores import runs_of
from cli.service.service_manager import ServiceManager, outcome_of, service_manager, show_to
from cli.session.journal import JournalAbsent, database_address, open_existing
from cli.settings.flags import Consent, Detaching, Flags
from cli.settings.pacing_flags import Pacing
from cli.settings.places import IN_FOLDER, state_folder, without_password, without_user
from cli.settings.settings import BUILT_IN, IN_HOOK, Settings, load
from cli.show.closing import Closing, closing_object
from cli.terminal.exits import OPERATOR_ERRORS, CommandRefused, Exit, again_after, code_of
from cli.terminal.language import language
from cli.terminal.layout import labelled
from cli.terminal.logs import logging_to
from cli.terminal.screen import Screen, Voice
from cli.terminal.signals import Interrupted, run_command
from cli.terminal.texts import printable, reason_of
from engine.pacing.policy import TooFewFiles, provide_files
from texts.remedies import PROGRAM, advise_settings, command_line, setting
from texts.said import in_lines, said, text_of

if TYPE_CHECKING:
    from cli.session.events import RunReader
    from cli.session.session import Invocation

    RunWork: TypeAlias = Callable[[Invocation], Coroutine[Any, Any, Closing]]

log = structlog.get_logger(__name__)

Work: TypeAlias = Callable[[Settings, Screen], Coroutine[Any, Any, Exit]]


def execute(
    work: Work,
    flags: Flags,
    voice: Voice,
    *,
    only_reads: bool = False,
    sends: bool = False,
    about: Mapping[str, object] = MappingProxyType({}),
    failure: Callable[[Exit, Exception], object] | None = None,
) -> NoReturn:
    """Run `work` with the settings in force, and exit with its code.

    A command that `only_reads` the journal writes no log; one that `sends` works on a run. With `--json` an error
    prints an object too: that of `failure`, or `about`, exit code and text.
    """
    screen = Screen(voice)
    manager = ServiceManager.of(os.environ, screen.mask)

    async def beside_beats() -> Exit:
        async with manager.beating():
            return await work(settings, screen)

    try:
        try:
            settings = settings_in_force(flags, screen, only_reads=only_reads)
        except CommandRefused as error:
            if voice.as_json:
                screen.emit(closing_object(Closing(error.code, error=text_of(error))))
            raise
        with logging_to(None if only_reads else settings.log, screen):
            try:
                code = run_command(beside_beats, calls=not only_reads, hear=manager.hear)
            except Interrupted:
                raise
            except Exception as raised:  # noqa: BLE001 - shown here, while the log can still keep its details
                told = with_profile_of_run(raised, settings)
                code = exit_code(told, screen, sends=sends)
                manager.show(partial(text_of, told))
                if voice.as_json and isinstance(told, OPERATOR_ERRORS):
                    plain = {**about, "exit": int(code), "error": text_of(told)}
                    screen.emit(failure(code, told) if failure else plain)
    except CommandRefused as error:
        manager.end(error.code, text_of(error))
        raise
    except Interrupted as interrupt:
        manager.end(Exit.INTERRUPTED, said("interrupted ({signal})", signal=interrupt))
        raise
    manager.end(code)
    raise SystemExit(code)


def close(screen: Screen, code: Exit, shown: RenderableType, facts: Mapping[str, object]) -> Exit:
    """End a command with what is shown of it; with `--json` its facts and the exit code are an object."""
    if screen.voice.as_json:
        screen.emit({**facts, "exit": int(code)})
    screen.result(shown, good=code is Exit.DONE)
    return code


def execute_in_journal(
    work: Callable[[Journal, Screen], Coroutine[Any, Any, Exit]],
    flags: Flags,
    voice: Voice,
    *,
    only_reads: bool = False,
) -> NoReturn:
    async def opened(settings: Settings, screen: Screen) -> Exit:
        async with open_existing(settings.journal.value) as journal:
            return await work(journal, screen)

    execute(opened, flags, voice, only_reads=only_reads)


def settings_in_force(flags: Flags, screen: Screen, *, only_reads: bool = True, note: bool = True) -> Settings:
    """The settings of a command, whose screen hides their secrets from now on and asks by their profile.

    What is to be known of them is told, but without `note`. Raises `SettingsRefused`, and `CommandRefused` where a
    command that does not only read lacks open files or a place for its log.
    """
    if not only_reads:
        try:
            provide_files()
        except TooFewFiles as error:
            raise CommandRefused(text_of(error)) from error
    settings = load(flags, os.environ, Path.cwd())
    screen.mask.hide(settings.secrets)
    if settings.profile is not None:
        screen.heading.badge = settings.profile.badge
    advise_typed(flags, settings)
    if not note:
        return settings
    if settings.profile is not None:
        screen.say(settings.profile.badge.line)
    if settings.journal.origin == IN_FOLDER:
        found = said("the journal is {journal}, found in the working folder", journal=str(settings.journal.value))
        screen.say(labelled(said("note:"), found))
    for one in settings.exposed:
        screen.say_always(labelled("!", said("{reason}. Close it:", reason=one.reason), "yellow"))
        screen.err.print(f"  {one.command}", markup=False, soft_wrap=True)
    place = settings.log if settings.log.exists() else settings.log.parent
    can_log = only_reads or os.access(place, os.W_OK, effective_ids=True)
    if not can_log and (why := why_unwritable(settings.journal.value.path)):
        # Said of the journal, and not of its log, where this user can write neither.
        raise CommandRefused(why)
    return settings


def advise_typed(flags: Flags, settings: Settings) -> None:
    """Let commands that are advised from now on name what leads to journal and billing, but no secret.

    What a settings file says is named by the file.
    """
    in_force = {"api-url": without_user(settings.api_url.value or ""), "database": database_address(settings)}
    journal: dict[str, str | None] = {}
    if settings.file or flags.config:
        journal["config"] = os.path.normpath((settings.file or flags.config or Path()).absolute())
    if settings.profile:
        journal["profile"] = settings.profile.badge.profile
    if not settings.journal.of_file:
        postgres = settings.journal.value.postgres
        path = os.path.normpath(settings.journal.value.path.absolute())
        journal["journal"] = without_password(postgres.typed) if postgres else path
    if flags.journal_on_network:
        journal["journal-on-network"] = None
    billing: dict[str, str | None] = {}
    if settings.api_url.value and not settings.api_url.of_file:
        billing["api-url"] = in_force["api-url"]
    if (settings.database.value or flags.database is not None) and not settings.database.of_file:
        billing["database"] = in_force["database"]
    for name, chosen in (("database-user", settings.database_user), ("database-charset", settings.database_charset)):
        if not chosen.of_file and chosen.origin != BUILT_IN:
            billing[name] = chosen.value
    if flags.timeout is not None:
        billing["timeout"] = f"{flags.timeout:g}"
    advise_settings(
        *(
            {name: value for name, value in options.items() if value is None or value.isprintable()}
            for options in (journal, billing, in_force)
        )
    )


def with_profile_of_run(error: Exception, settings: Settings) -> Exception:
    """The error; where the run that was typed is not found, one that names the profile of settings that has it."""
    if not isinstance(error, NoSuchRun | JournalAbsent):
        return error
    for profile, journal in settings.journals_of_others.items():
        # Only a hint: whatever is wrong with another profile's journal is not of this command.
        with suppress(JournalError, OSError):
            if found := next((run.name for run in runs_of(journal) if run.name in sys.argv[1:]), ""):
                where = said(
                    "run {run} is of the profile of settings {profile}: {flag}",
                    run=found,
                    profile=profile,
                    flag=setting("profile", profile),
                )
                return CommandRefused(in_lines([text_of(error), where]), code_of(error))
    return error


@contextmanager
def errors_shown(screen: Screen) -> Iterator[None]:
    """Show an error on the command's own screen, which knows its secrets, and exit with its code."""
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        raise SystemExit(exit_code(error, screen)) from error


def execute_run(  # noqa: PLR0913 - each is a flag or a group of them
    work: "RunWork",
    flags: Flags,
    voice: Voice,
    job: str | None,
    consent: Consent,
    pacing: Pacing,
    *,
    changed_declaration: bool = False,
    detaching: Detaching | None = None,
    typed: Mapping[str, str] | None = None,
    record: Path | None = None,
    record_names: bool = False,
    page: bool = False,
    ends_outside_hours: bool = False,
) -> NoReturn:
    """Run `work`, which works on a run of `job`; with `--json`, print its closing object.

    `typed` is the command line, by parameter. Recorder, page, hooks, metrics and the queue of workers are imported
    for the commands that ask for them.
    """

    async def closed(settings: Settings, screen: Screen) -> Exit:
        from cli.session.session import Invocation

        settings = settings.with_changed_declaration(changed_declaration)
        hand_in = recorder = opens = None
        if detaching is not None and (detaching.detach or detaching.priority):
            from cli.session.queue import handing_in

            hand_in = await handing_in(detaching, typed or {}, settings, screen)
        if record is not None:
            from cli.commands.mock import recording_into

            recorder = partial(recording_into, record, names=record_names)
        elif record_names:
            raise CommandRefused(
                "{names} says what a recording keeps: name its file, {file}",
                names=setting("record-names"),
                file=setting("record", "FILE"),
            )
        if page:
            from cli.commands.page import page_beside

            opens = page_beside(settings, screen)
        settings.hidden.require("hooks")
        # In the order in which they are told of a run.
        readers: list[RunReader] = []
        if settings.hooks and os.environ.get(IN_HOOK):
            log.warning("a hook has started this command, so it calls no hooks")
        elif settings.hooks:
            from cli.hooks.reader import call_hooks

            settings.hooks.check_programs()
            readers.append(call_hooks(settings.hooks, language(settings.language.value), screen.mask))
        if settings.metrics:
            from cli.metrics.reader import publish_metrics

            readers.append(publish_metrics(settings.metrics))
        if manager := service_manager():
            readers.append(show_to(manager))
        told = Invocation(
            settings, screen, pacing.given, consent, recorder, opens, readers, hand_in, ends_outside_hours
        )
        closing = await work(told)
        if voice.as_json:
            screen.emit(closing_object(closing))
        if manager:
            manager.show(lambda: outcome_of(closing))
        return closing.exit

    try:
        execute(
            closed,
            flags,
            voice,
            sends=True,
            failure=lambda code, error: closing_object(
                Closing(code, job=job, error=text_of(error), again_in=again_after(error))
            ),
        )
    except Interrupted as interrupt:
        # A working run handles the signal itself and closes in order.
        screen = Screen(voice)
        why = said(
            "interrupted ({signal}) while nothing was being sent; {command} shows what there is",
            signal=interrupt,
            command=command_line("status"),
        )
        screen.complain(why)
        if voice.as_json:
            screen.emit(closing_object(Closing(Exit.INTERRUPTED, job=job, stopped=why)))
        raise SystemExit(Exit.INTERRUPTED) from interrupt


def exit_code(error: BaseException, screen: Screen, *, sends: bool = False) -> Exit:
    """Show an error and return its exit code; a command that `sends` says where to see what it has sent.

    Details of an internal error go to a report in the state folder.
    """
    match error:
        case KeyboardInterrupt():
            # The signal came before the command's handlers were installed.
            return Exit.INTERRUPTED
        case Interrupted():
            screen.complain(said("interrupted ({signal})", signal=error))
            return Exit.INTERRUPTED
        case Exception() if isinstance(error, OPERATOR_ERRORS):
            screen.complain(text_of(error))
            return code_of(error)
        case OSError(errno=errno.ENAMETOOLONG | errno.ELOOP, filename=str() as name):
            # No file can have such a name, whichever command it was typed for.
            screen.complain(
                said("{file}: {reason}: give another name", file=printable(name), reason=reason_of(error))
            )
            return Exit.REFUSED
        case MemoryError():
            why = [said("there is not enough memory: give this machine or its container more")]
        case _:
            details = screen.mask("".join(traceback.format_exception(error)))
            try:
                where = said("The details are in {file}: please report them.", file=_report(details))
            except OSError:
                screen.err.print(details, markup=False)
                where = said("The details stand above: please report them.")
            kind, text = type(error).__name__, str(error)
            why = [said("a fault of {program} itself: {kind}: {text}", program=PROGRAM, kind=kind, text=text), where]
    if sends:
        status = command_line("status")
        why.append(
            said("What was sent is in the journal; {command} shows it, and resume goes on safely", command=status)
        )
    screen.complain(in_lines(why))
    return Exit.FAULT


def _report(details: str) -> Path:
    """A new file that only its owner can read. Raises OSError, also for anything that is there by its name."""
    folder = state_folder(os.environ)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"fault-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{os.getpid()}.txt"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(details)
    return path
