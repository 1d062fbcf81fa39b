"""Execution of a command: settings, log, event loop, and the exit code of an error."""

import errno
import os
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

import click
import structlog
from rich.console import Console, RenderableType

from checkpoints.errors import JournalError, NoSuchRun
from checkpoints.journal_file import why_unwritable
from checkpoints.stores import runs_of
from cli.session.events import RunReader, ServiceManager, outcome_of, service_manager, show_to
from cli.session.journal import JournalAbsent, database_address, open_existing
from cli.settings.flags import PANELS_OF_JOBS, ROWS, Beside, Consent, Declared, Detaching, Flags, Pacing
from cli.settings.places import IN_FOLDER, state_folder, without_password, without_user
from cli.settings.settings import BUILT_IN, IN_HOOK, Settings, SettingValue, declared_jobs, load
from cli.show.closing import Closing, closing_object
from cli.terminal.exits import UNCAUGHT, CommandRefused, Exit, code_of
from cli.terminal.layout import Facts, labelled, render
from cli.terminal.logs import logging_to
from cli.terminal.options import Command, as_command, panel_of, show_help, translate_text, typed
from cli.terminal.screen import Screen, Voice
from cli.terminal.signals import Interrupted, run_command
from cli.terminal.texts import language, printable, reader
from engine.pacing.policy import provide_files
from texts.said import SaidError, advise_settings, command_line, in_lines, reason_of, said, setting, text_of

if TYPE_CHECKING:
    from cli.session.session import Invocation
    from jobs.spec.spec import JobSpec

log = structlog.get_logger(__name__)

Given: TypeAlias = Mapping[str, Any]
"""What was typed for the parameters of a command, by their names."""


def with_settings(
    name: str,
    *beside: Any,  # noqa: ANN401 - a type of a record, or a part of one
    cls: type[Command] = Command,
    epilog: str | None = None,
    reads: bool | str = False,
    sends: bool = False,
    job: str | None = None,
    about: Callable[[Given], Mapping[str, object]] = lambda _: {},
    flags_of: Callable[[Flags, Given], Flags] = lambda flags, _: flags,
) -> Callable[[Callable[..., Coroutine[Any, Any, "Exit | Closing"]]], Command]:
    """Make a command of what works with the settings in force, and exits with the code that it returns.

    Of `settings`, `screen`, `journal` and `told` the function is given those that it names: the journal of
    the settings, which has to be there, and an `Invocation`. The records `beside` say what it is told of those.

    A command that `reads` the journal alone, always or by a switch of that name, writes no log. One that `sends`
    works on runs; where it is told an invocation, it works on one of `job`, or of the typed one, and returns its
    closing. With `--json` an error prints an object too: that of the closing, else `about` with exit code and text.
    `flags_of` chooses among the flags, for a command of all billings.
    """

    def carry_out(function: Callable[..., Any], given: Given, records: Mapping[type[Any], Any]) -> NoReturn:
        wanted = signature(function).parameters.keys()
        typed_ = typed(click.get_current_context()) if "told" in wanted else {}
        screen = Screen(records.get(Voice, Voice()))
        only_reads = given[reads] if isinstance(reads, str) else reads
        does_send = sends and not only_reads
        works_on_run, of_job = does_send and "told" in wanted, given.get("job", job)

        async def work(settings: Settings) -> Exit:
            if Declared in records and records[Declared].changed_declaration:
                settings = replace(settings, own_jobs=replace(settings.own_jobs, takes_changed=True))
            there = {"settings": settings, "screen": screen}
            async with AsyncExitStack() as stack:
                if "journal" in wanted:
                    there["journal"] = await stack.enter_async_context(open_existing(settings.journal.value))
                if "told" in wanted:
                    there["told"] = await _told(settings, screen, records, typed_, sends=does_send)
                ended: Exit | Closing = await function(**{one: there[one] for one in there if one in wanted}, **given)
            if isinstance(ended, Exit):
                return ended
            if screen.voice.as_json:
                screen.emit(closing_object(ended))
            if manager := service_manager():
                manager.show(lambda: outcome_of(ended))
            return ended.exit

        def failure(code: Exit, error: Exception) -> object:
            if works_on_run:
                again = error.again_in if isinstance(error, CommandRefused) else None
                return closing_object(Closing(code, job=of_job, error=text_of(error), again_in=again))
            return {**about(given), "exit": int(code), "error": text_of(error)}

        try:
            _execute(work, flags_of(records[Flags], given), screen, failure, only_reads=only_reads, sends=does_send)
        except Interrupted as interrupt:
            if not works_on_run:
                raise
            # A working run handles the signal itself and closes in order.
            why = said(
                "interrupted ({signal}) while nothing was being sent; {command} shows what there is",
                signal=interrupt,
                command=command_line("status"),
            )
            screen.complain(why)
            if screen.voice.as_json:
                screen.emit(closing_object(Closing(Exit.INTERRUPTED, job=of_job, stopped=why)))
            raise SystemExit(Exit.INTERRUPTED) from interrupt

    return as_command(name, *beside, cls=cls, epilog=epilog, carry_out=carry_out)


def _execute(
    work: Callable[[Settings], Coroutine[Any, Any, Exit]],
    flags: Flags,
    screen: Screen,
    failure: Callable[[Exit, Exception], object],
    *,
    only_reads: bool,
    sends: bool,
) -> NoReturn:
    manager = ServiceManager.of(os.environ, screen.mask)

    async def beside_beats() -> Exit:
        async with manager.beating():
            return await work(settings)

    try:
        try:
            settings = settings_in_force(flags, screen, only_reads=only_reads)
        except SaidError as error:
            if screen.voice.as_json:
                screen.emit(closing_object(Closing(code_of(error), error=text_of(error))))
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
                if screen.voice.as_json and isinstance(told, SaidError):
                    screen.emit(failure(code, told))
    except SaidError as error:
        manager.end(code_of(error), text_of(error))
        raise
    except Interrupted as interrupt:
        manager.end(Exit.INTERRUPTED, said("interrupted ({signal})", signal=interrupt))
        raise
    manager.end(code)
    raise SystemExit(code)


async def _told(
    settings: Settings, screen: Screen, records: Mapping[type[Any], Any], typed_: Mapping[str, str], *, sends: bool
) -> "Invocation":
    """What a command was told that works on runs: those that send one have readers, and may have page and recorder.

    Recorder, page, hooks, metrics and the queue of workers are imported for the commands that ask for them.
    """
    from cli.session.session import Invocation

    pacing, consent = records.get(Pacing, Pacing()), records.get(Consent, Consent())
    beside, detaching = records.get(Beside, Beside()), records.get(Detaching, Detaching())
    told = Invocation(settings, screen, typed_, pacing, consent)
    # Refused before anything is asked.
    _ = pacing.given
    if not sends:
        return told
    hand_in = recorder = opens = None
    if detaching.detach or detaching.priority:
        from cli.session.queue import handing_in

        hand_in = await handing_in(detaching, typed_, settings, screen)
    if beside.record is not None:
        from cli.commands.mock import recording_into

        recorder = partial(recording_into, beside.record, names=beside.record_names)
    elif beside.record_names:
        raise CommandRefused(said("--record-names says what a recording keeps: name its file, --record FILE"))
    if beside.page:
        from cli.commands.page import page_beside

        opens = page_beside(settings, screen)
    settings.hidden.require("hooks")
    # In the order in which they are told of a run.
    readers: list[RunReader] = []
    if settings.hooks and os.environ.get(IN_HOOK):
        log.warning("a hook has started this command, so it calls no hooks")
    elif settings.hooks:
        from cli.session.hooks import call_hooks

        settings.hooks.check_programs()
        readers.append(call_hooks(settings.hooks, language(settings.language.value), screen.mask))
    if settings.metrics:
        from cli.session.metrics import publish_metrics

        readers.append(publish_metrics(settings.metrics))
    if manager := service_manager():
        readers.append(show_to(manager))
    return replace(told, record=recorder, page=opens, readers=readers, hand_in=hand_in)


def close(screen: Screen, code: Exit, shown: RenderableType, facts: Mapping[str, object]) -> Exit:
    """End a command with what is shown of it; with `--json` its facts and the exit code are an object."""
    if screen.voice.as_json:
        screen.emit({**facts, "exit": int(code)})
    screen.result(shown, good=code is Exit.DONE)
    return code


def settings_in_force(flags: Flags, screen: Screen, *, only_reads: bool = True, note: bool = True) -> Settings:
    """The settings of a command, whose screen hides their secrets from now on and asks by their profile.

    What is to be known of them is told, but without `note`. Raises `SettingsRefused`; where a command that does not
    only read lacks open files `TooFewFiles`, and `CommandRefused` where it lacks a place for its log.
    """
    if not only_reads:
        provide_files()
    settings = load(flags, os.environ, Path.cwd())
    screen.mask.hide(settings.secrets)
    if settings.profile is not None:
        screen.badge = settings.profile.badge
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

    def typed(chosen: SettingValue[object], shown: str | None) -> str | None:
        return None if chosen.of_file or chosen.origin == BUILT_IN else shown

    def told(options: Mapping[str, str | None]) -> dict[str, str | None]:
        return {name: value for name, value in options.items() if value is not None and value.isprintable()}

    file, where, charset = settings.file or flags.config, settings.journal.value, settings.database_charset
    path = os.path.normpath(where.path.absolute())
    journal = {
        "config": os.path.normpath(file.absolute()) if file else None,
        "profile": settings.profile.badge.profile if settings.profile else None,
        "journal": typed(settings.journal, without_password(where.postgres.typed) if where.postgres else path),
    }
    in_force = {"api-url": without_user(settings.api_url.value or ""), "database": database_address(settings)}
    billing = {
        "api-url": typed(settings.api_url, in_force["api-url"] or None),
        "database": typed(settings.database, in_force["database"]),
        "database-user": typed(settings.database_user, settings.database_user.value),
        "database-charset": typed(charset, charset.value),
        "timeout": None if flags.timeout is None else f"{flags.timeout:g}",
    }
    on_network: dict[str, str | None] = {"journal-on-network": None} if flags.journal_on_network else {}
    advise_settings(told(journal) | on_network, told(billing), told(in_force))


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


def run_alone(work: Callable[[], Coroutine[Any, Any, Exit]], screen: Screen, *, calls: bool = True) -> NoReturn:
    """Carry out a command that finds its settings itself; an error is shown on its screen, which knows secrets."""
    try:
        code = run_command(work, calls=calls)
    except Interrupted:
        raise
    except Exception as error:
        raise SystemExit(exit_code(error, screen)) from error
    raise SystemExit(code)


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
        case SaidError() if not isinstance(error, UNCAUGHT):
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
            why = [said("a fault of carbon-migrate itself: {kind}: {text}", kind=kind, text=text), where]
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


# ---- the help of a command that takes a job -----------------------------------------------------------------------


_WORDS: Final = __name__


class JobCommand(Command):
    """A command whose job is its argument JOB, or is named as the command is: `import`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words, and keep them: help is shown before any of them is a parameter."""
        ctx.meta[_WORDS] = tuple(args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the help of the job that was typed; without one, that of the command."""
        from cli.commands.jobs import parameter_list

        given = self.make_parser(ctx).parse_args(args=list(ctx.meta.get(_WORDS, ())))[0]
        typed = next((one for one in self.params if one.name == "job"), None)
        job = _job(given.get("job") if typed else self.name, given.get("config"))
        own = PANELS_OF_JOBS.get(job.name) if job else None
        by_flag = {one.name for one in self.params if panel_of(one) == own} if own else set()
        shown: list[click.Parameter] = []
        named: defaultdict[str, list[str]] = defaultdict(list)
        for one in self.get_params(ctx):
            panel = panel_of(one)
            if getattr(one, "hidden", False) or (job and not _concerns(one.name, panel, job, self.name)):
                continue
            if given.get("verbose") or panel in {"", ROWS, own}:
                shown.append(one)
            else:
                named[panel].append(max(one.opts, key=len))
        words = ctx.command_path.split()[1:]
        about, pieces = translate_text(self.help), self.collect_usage_pieces(ctx)
        if job and typed:
            words.append(job.name)
            shown.remove(typed)
            about = f"{job.name}: {render(job.summary)}"
            pieces = [job.name if one in typed.get_usage_pieces(ctx) else one for one in pieces]
        show_help(ctx, pieces, about, shown)
        screen = Screen(out=Console(highlight=False, emoji=False))
        if job:
            title = said("columns of the rows, or --set NAME=VALUE")
            by_name = [one for one in job.parameters if typed and one.name not in by_flag]
            if listed := parameter_list(title, by_name, briefly=True):
                screen.result(listed)
            screen.result(said("more about the job: {command}", command=command_line("jobs", job.name)))
        elif typed:
            screen.result(said("what a job needs: {command}", command=command_line(*words, "JOB", "--help")))
        if named:
            screen.result("")
            screen.result(said("more options: {command}", command=command_line(*words, "--help", "--verbose")))
            rest = ((reader().translate(panel), " ".join(options)) for panel, options in named.items())
            screen.result(Facts(*rest, indent=2))


def _job(name: object, config: object) -> "JobSpec | None":
    """The job of that name, None for none and for a job file. Raises `ParameterRefused` for one that there is not."""
    from jobs.catalogue.catalogue import JOBS

    if not isinstance(name, str) or name.endswith(".toml"):
        return None
    if name in JOBS:
        return JOBS[name]
    return declared_jobs(Path(config) if isinstance(config, str) else None).named(name)


def _concerns(option: str, panel: str, job: "JobSpec", command: str | None) -> bool:
    """Whether the help of a job has to show an option, or to name it."""
    match option:
        case "set_":
            return False  # Its parameters are shown themselves.
        case "ask":
            return any(one.secret for one in job.parameters)
        case "output":
            return command != "run" or not job.writes
        case "changed_declaration":
            return job.declared is not None
        case "shared_accounts":
            return any(one.name == "op_type" for one in job.parameters) or job.name == "call"
        case _:
            return panel not in PANELS_OF_JOBS.values() or panel == PANELS_OF_JOBS.get(job.name)
