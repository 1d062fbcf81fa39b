"""`carbon-migrate`: the table of all commands, and the entry point of the program.

Each command has its own file, which is imported only when the command is typed. This keeps every command's start
fast.
"""

import gc
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from enum import Enum, auto
from functools import cache, partial
from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from cli.terminal.language import LANGUAGES, OPTION, set_reader, typed_language
from cli.terminal.streams import outputs
from cli.terminal.texts import from_bytes, printable
from cli.terminal.usage import show_translated_help, show_usage_error
from texts.remedies import PROGRAM


class Product(Enum):
    """What a command is there for, and so what its exit code speaks of."""

    OUTPUT = auto()
    """What it prints or writes: where that is lost, the command has failed."""
    CHANGE = auto()
    """A change, here or in the billing: done, also when what it printed is lost."""
    RUN = auto()
    """A run that sends: the same, and it can be resumed."""


class Entry(NamedTuple):
    """A command of the program: its file, its group in the help, and the first sentence of its own help."""

    file: str
    group: str
    summary: str
    product: Product = Product.OUTPUT

    @property
    def module(self) -> str:
        return f"cli.commands.{self.file}"


BEGIN: Final = "Begin"
LOAD: Final = "Load"
STEER: Final = "Watch and steer"
SETTLE: Final = "Check, mend, take back"
TRY: Final = "Try and prove"


COMMANDS: Final = {
    "doctor": Entry("doctor", BEGIN, "Check everything that a run rests on, and say what to mend."),
    "jobs": Entry("jobs", BEGIN, "List the jobs, or show one with its parameters and an example."),
    "translate": Entry("translate", BEGIN, "Turn shell one-liners (curl, loops, xargs) into commands."),
    "probe": Entry("probe", BEGIN, "Ask a live billing what nobody documents of it.", Product.CHANGE),
    "dictionary": Entry("dictionary", BEGIN, "Collect names of tariffs, services and folders for an import."),
    "completion": Entry("completion", BEGIN, "Print the script that completes commands in bash, zsh or fish."),
    "plan": Entry("plan", LOAD, "Show what a run would do; nothing is sent."),
    "run": Entry("run", LOAD, "Show what a job will do, ask, and do it.", Product.RUN),
    "import": Entry("imports", LOAD, "Show what a table makes of subscribers, ask, and create them.", Product.RUN),
    "resume": Entry("resume", LOAD, "Go on with a run that was stopped, interrupted or killed.", Product.RUN),
    "worker": Entry("worker", LOAD, "Send the runs that were handed in, until Ctrl-C.", Product.CHANGE),
    "status": Entry("status", STEER, "Show all runs, or one of them in detail."),
    "page": Entry("page", STEER, "Show runs in a browser while they work, until Ctrl-C."),
    "pause": Entry("control", STEER, "Send nothing more until `continue`, also after a restart.", Product.CHANGE),
    "continue": Entry("control", STEER, "Let a paused run go on.", Product.CHANGE),
    "get": Entry("control", STEER, "Show what can be set on a working run, and what it is now."),
    "set": Entry("control", STEER, "Change how hard a working run drives the billing.", Product.CHANGE),
    "stop": Entry("control", STEER, "Stop a run as Ctrl-C would; `resume` goes on.", Product.CHANGE),
    "verify": Entry("verify", SETTLE, "Read back what the billing now says, and compare it."),
    "reconcile": Entry("verify", SETTLE, "Look up what is in doubt; sends nothing.", Product.CHANGE),
    "decide": Entry(
        "control", SETTLE, "Record a person's decision on a row that no look-up can settle.", Product.CHANGE
    ),
    "export": Entry("export", SETTLE, "Write the rows of a run to files, to be read or corrected."),
    "report": Entry("report", SETTLE, "Write the report of a run or of a job file, to be signed."),
    "undo": Entry("undo", SETTLE, "Take a run back; what was changed since is left alone.", Product.RUN),
    "close": Entry("control", SETTLE, "End a stopped run for good: what was not sent never is.", Product.CHANGE),
    "purge": Entry("purge", SETTLE, "Remove what finished runs hold of people; totals can be kept.", Product.CHANGE),
    "journal": Entry("journal", SETTLE, "Move a journal: from a file to PostgreSQL, or back.", Product.CHANGE),
    "demo": Entry("demo", TRY, "Load balances, kill the load, resume it, and prove the result.", Product.CHANGE),
    "selftest": Entry("selftest", TRY, "Kill loads of a mock billing that fails, and prove the result."),
    "mock": Entry("mock", TRY, "A billing to try things on, with made-up subscribers.", Product.CHANGE),
}
"""All commands, in the order of the help."""

app: Final = typer.Typer(
    name=PROGRAM,
    help="Moves a Carbon Billing's subscribers in bulk: each row's effect lands exactly once, whatever happens.",
    epilog=f"Begin with: {PROGRAM} demo, {PROGRAM} doctor, {PROGRAM} jobs",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _check_language(given: str | None) -> str | None:
    """The language that was typed. Raises `CommandRefused` for one that there is not."""
    if given is not None and given not in LANGUAGES:
        from cli.terminal.exits import CommandRefused

        shown, known = printable(given), ", ".join(LANGUAGES)
        raise CommandRefused("--lang: {given} is not a language; there are: {known}", given=shown, known=known)
    return given


@app.callback(invoke_without_command=True)
def _program(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,  # noqa: FBT002 - typer's style of flags
    lang: Annotated[  # noqa: ARG001 - it was taken before the rest was read
        str | None,
        typer.Option(
            OPTION,
            metavar="|".join(LANGUAGES),
            rich_help_panel="Screen",
            expose_value=False,
            is_eager=True,
            callback=_check_language,
            help="The language of screens and help; by default that of the settings, or of the system.",
        ),
    ] = None,
) -> None:
    if show_version:
        from importlib.metadata import version

        sys.stdout.write(f"{PROGRAM} {version(PROGRAM)}\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        context.get_help()
        raise typer.Exit(2)


class Deferred(TyperCommand):
    """Stands for a command whose file is not imported yet; when typed, it becomes that command."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:  # noqa: ANN401 - typer does not export this type
        """Import the command, and let it parse its arguments."""
        return load(str(self.name)).make_context(info_name, args, parent, **extra)


def load(name: str) -> Any:  # noqa: ANN401 - as above
    """The command from its file; `app` is a single command, one of several, or a group."""
    gc.disable()
    found = get_command(import_module(COMMANDS[name].module).app)
    # What was imported stays: to look for garbage among it takes a fifth of a command's start.
    gc.freeze()
    gc.enable()
    command = found.commands.get(name, found) if isinstance(found, TyperGroup) else found
    for one in (command, *getattr(command, "commands", {}).values()):
        # Each takes `--lang`; one of its own, which says of what it makes, is checked alike.
        own = next((parameter for parameter in one.params if OPTION in parameter.opts), None)
        if own is None:
            one.params.append(copy(_language_option()))
        else:
            own.is_eager, own.callback = True, _language_option().callback
    return _without_pydantic(command)


@cache
def _language_option() -> Any:  # noqa: ANN401 - as above
    return next(parameter for parameter in get_command(app).params if OPTION in parameter.opts)


for _name, _entry in COMMANDS.items():
    app.command(_name, cls=Deferred, help=_entry.summary, rich_help_panel=_entry.group)(lambda: None)


def main() -> None:
    """The entry point: run the command and exit with its code, or with 2 where what it is there to print was lost."""
    _take_texts_as_utf8()
    set_reader(typed_language(sys.argv[1:], os.environ))
    product = next((COMMANDS[word].product for word in sys.argv[1:] if word in COMMANDS), Product.OUTPUT)
    with outputs() as stdout:
        try:
            code = _without_pydantic(get_command(app)).main(prog_name=PROGRAM, standalone_mode=False) or 0
        except SystemExit as ended:
            code = ended.code or 0
        except TyperException as error:
            show_usage_error(error)
            code = error.exit_code
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last line of defence
            from cli.commands.execution import exit_code
            from cli.terminal.screen import Screen

            code = exit_code(error, Screen(), sends=product is Product.RUN)
        finally:
            # The interpreter would look through everything once more before it ends.
            gc.freeze()
    if code == 0 and stdout.trouble is not None and product is Product.OUTPUT:
        from cli.terminal.exits import Exit

        code = Exit.REFUSED
    sys.exit(code)


def _take_texts_as_utf8() -> None:
    """Start anew with UTF-8 where the locale has only ASCII: no argument, setting or path could be Cyrillic there.

    The process remains the same, and so does the encoding of what it writes.
    """
    utf8 = ["-X", "utf8"]
    if sys.getfilesystemencoding() != "ascii" or sys.orig_argv[1:3] == utf8:
        return
    if not os.environ.get("PYTHONIOENCODING"):
        os.environ["PYTHONIOENCODING"] = "ascii:surrogateescape"
    with suppress(OSError):
        os.execv(sys.executable, [sys.executable, *utf8, *sys.orig_argv[1:]])  # noqa: S606 - this program itself


def _without_pydantic(command: Any) -> Any:  # noqa: ANN401 - as above
    """The command, with pydantic used only for values that need conversion, such as a number or a path.

    Typer uses pydantic for every parameter, and its import takes a third of a command's start.
    """
    show_translated_help(command)
    of_command = command.get_params

    def get_params(context: typer.Context) -> list[Any]:
        parameters: list[Any] = of_command(context)
        for parameter in parameters:
            if "process_value" not in vars(parameter):
                parameter.process_value = partial(_value, parameter, parameter.process_value)
        return parameters

    command.get_params = get_params
    for one in getattr(command, "commands", {}).values():
        if not isinstance(one, Deferred):
            _without_pydantic(one)
    return command


def _value(parameter: Any, convert: Callable[..., Any], context: typer.Context, value: Any) -> Any:  # noqa: ANN401 - as above
    """The value of a parameter: what has its type already is unchanged, the rest is converted by typer."""
    if value is None and not parameter.required:
        return () if parameter.multiple or parameter.nargs == -1 else None
    annotation = parameter.type_descriptor.annotation
    if parameter.metavar != "FILE" and annotation in {str, list[str]}:
        _check_letters(parameter, [value] if isinstance(value, str) else list(value or ()))
    if annotation == list[str] and value and not isinstance(value, str):
        value = list(value)
    elif type(value) is not annotation:
        return convert(context, value)
    return value if parameter.callback is None else parameter.callback(context, parameter, value)


def _check_letters(parameter: Any, texts: list[str]) -> None:  # noqa: ANN401 - as above
    """Raise `CommandRefused` for a text with bytes that are no letters in the locale; a file may have such a name.

    The text is not shown: it may be a password.
    """
    odd = next((text for text in texts if text != from_bytes(text) and not os.path.lexists(text)), None)
    if odd is None:
        return
    from cli.terminal.exits import CommandRefused

    name = parameter.metavar if parameter.param_type_name == "argument" else max(parameter.opts, key=len)
    if parameter.metavar == "NAME=VALUE" and "=" in odd:
        name += f" {printable(odd.partition('=')[0])}"
    locale = next((os.environ[one] for one in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(one)), "C")
    raise CommandRefused(
        "{name} is not {encoding}, the encoding of texts in the locale {locale}: type it anew with "
        "LC_ALL=C.UTF-8, or set LC_ALL to the locale of your terminal, as ru_RU.KOI8-R",
        name=name,
        encoding=sys.getfilesystemencoding().upper(),
        locale=printable(locale),
    )
